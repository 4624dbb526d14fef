//! Text from files: HDF5 declares it as UTF-8, but passes on any bytes.

use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};

/// A string from a file.
pub(crate) trait FileText {
    /// Its bytes.
    fn bytes(&self) -> &[u8];

    /// As text; invalid UTF-8 is replaced.
    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

impl FileText for VarLenUnicode {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl FileText for VarLenAscii {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<const N: usize> FileText for FixedUnicode<N> {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<const N: usize> FileText for FixedAscii<N> {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The name of a link or an attribute, which the bindings assume to be UTF-8.
impl FileText for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::list;

    #[test]
    fn text_that_is_not_utf_8_is_shown_with_replacements() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("attributes.h5");
        let file = hdf5::File::create(&path).unwrap();
        let dataset = file
            .new_dataset::<f32>()
            .shape([2, 2])
            .create("features")
            .unwrap();
        let about: VarLenUnicode = "a mark in the file".parse().unwrap();
        let attribute = dataset.new_attr::<VarLenUnicode>().create("about");
        attribute.unwrap().write_scalar(&about).unwrap();
        drop((dataset, file));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(4).position(|w| w == b"mark").unwrap();
        bytes[at] = 0xff;
        std::fs::write(&path, bytes).unwrap();
        let datasets = list(&path).unwrap();
        let (name, value) = &datasets[0].attributes[0];
        assert_eq!((&**name, &**value), ("about", "a \u{fffd}ark in the file"));
    }
}
