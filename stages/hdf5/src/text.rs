//! Text out of files: HDF5 says that it is UTF-8, and hands on whatever bytes there are.

use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};

/// A string of a file.
pub(crate) trait FileText {
    /// What it holds.
    fn bytes(&self) -> &[u8];

    /// As text; what is not UTF-8 is replaced.
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

/// A name of a link or an attribute, which the bindings take for UTF-8 unseen.
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
