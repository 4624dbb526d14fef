//! Text from files: HDF5 declares it as UTF-8, but passes on any bytes.

/// A string from a file, or the name of a link or an attribute, which the bindings assume to be UTF-8.
pub(crate) trait FileText: AsRef<[u8]> {
    /// As text; invalid UTF-8 is replaced.
    fn text(&self) -> String {
        String::from_utf8_lossy(self.as_ref()).into_owned()
    }
}

impl<T: AsRef<[u8]>> FileText for T {}

#[cfg(test)]
mod tests {
    use crate::listing::list;
    use hdf5::types::VarLenUnicode;

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
