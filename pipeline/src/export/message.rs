//! Encoding of protocol buffers, as far as events need it.

/// A message under construction; fields may be added in any order.
#[derive(Debug, Clone, Default)]
pub struct Message(Vec<u8>);

/// Wire types.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    /// An integer.
    pub fn int(mut self, field: u64, value: u64) -> Self {
        self.key(field, VARINT);
        self.varint(value);
        self
    }

    /// A double.
    pub fn double(mut self, field: u64, value: f64) -> Self {
        self.key(field, FIXED_64);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A float.
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Bytes, a string, or another message.
    pub fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.key(field, LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    /// Seven bits per byte, the lowest first.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_encodings_documentation() {
        let int = Message::default().int(1, 150);
        assert_eq!(int.as_ref(), [0x08, 0x96, 0x01]);
        let text = Message::default().bytes(2, "testing");
        assert_eq!(text.as_ref(), b"\x12\x07testing");
        let inner = Message::default().bytes(3, &int);
        assert_eq!(inner.as_ref(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn fixed_widths_are_little_endian() {
        let message = Message::default().double(1, 1.0).float(2, 1.0);
        let expected = b"\x09\0\0\0\0\0\0\xf0\x3f\x15\0\0\x80\x3f";
        assert_eq!(message.as_ref(), expected);
    }
}
