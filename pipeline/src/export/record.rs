//! The framing of event files (TFRecord): length, checksum of the length, data, checksum of the data.

use crc32c::crc32c;

/// Appends one record to `out`.
pub fn append(out: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked(data).to_le_bytes());
}

/// CRC-32C, rotated and offset, so that checksums of data that contain checksums remain good.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_record_starts_as_tensorflow_writes_it() {
        let mut out = Vec::new();
        append(&mut out, &[7; 24]);
        assert_eq!(out[..12], *b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22");
        assert_eq!(out.len(), 8 + 4 + 24 + 4);
        assert_eq!(out[36..], masked(&[7; 24]).to_le_bytes());
    }
}
