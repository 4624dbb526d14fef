//! The class of each item of a dataset.

use crate::data::{Dataset, read_beside};
use crate::error::{Error, Result};
use crate::tensors::from_f32;
use burn::tensor::{Device, Tensor};

/// Classes 0 to K - 1, one per item; each class has at least one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    of_items: Vec<usize>,
    classes: usize,
}

/// f32 represents every integer up to this exactly.
const LARGEST: f32 = (1 << 24) as f32;

impl Labels {
    /// Reads the labels of each of `sources`, a dataset and the name of its labels in the same file. Items
    /// are numbered consecutively over all sources.
    ///
    /// # Errors
    /// Input errors for a dataset that is missing or not `[N]`, for labels that are not integers from 0
    /// without gaps, and for a single class.
    pub fn read(sources: &[(&Dataset, &str)]) -> Result<Self> {
        let renumber = "renumber them with numpy: `np.unique(labels, return_inverse=True)[1]`";
        let refuse = |(data, name): (&Dataset, &str), found: String, remedy: &str| {
            Err(Error::input(format!(
                "`{name}` in {}: found {found}, expected the class of each of the {} items of {}, \
                 integers from 0 without gaps, of shape [{}]; {remedy}",
                data.path().display(),
                data.items(),
                data.name(),
                data.items(),
            )))
        };
        let whole = |v: f32| (0.0..LARGEST).contains(&v) && v.fract() == 0.0;
        let mut of_items: Vec<usize> = Vec::new();
        for &(data, name) in sources {
            let read = read_beside(data, name);
            let (shape, values) = read.map_err(|error| match error {
                Error::Input(why) => Error::input(format!(
                    "{why}. `labels` names the class of each item, integers from 0; {renumber}"
                )),
                other => other,
            })?;
            if shape != [data.items()] {
                let remedy = match shape[..] {
                    [items, 1] if items == data.items() => "take the column: `labels[:, 0]`",
                    [items, _] if items == data.items() => {
                        "take the class of each row where one column a class is set: `labels.argmax(1)`"
                    }
                    _ => "set `labels` to the right dataset",
                };
                return refuse((data, name), format!("shape {shape:?}"), remedy);
            }
            if let Some(item) = values.iter().position(|&v| !whole(v)) {
                let found = format!("{} at item {item}", values[item]);
                return refuse((data, name), found, renumber);
            }
            of_items.extend(values.iter().map(|&v| v as usize));
        }
        let classes = of_items.iter().max().map_or(0, |most| most + 1);
        let mut counts = vec![0u64; classes];
        for &label in &of_items {
            counts[label] += 1;
        }
        if let Some(missing) = counts.iter().position(|&count| count == 0) {
            let found = format!("classes up to {} but none {missing}", classes - 1);
            return refuse(sources[0], found, renumber);
        }
        if classes < 2 {
            return refuse(
                sources[0],
                "one class only".into(),
                "a classifier needs at least two",
            );
        }
        Ok(Self { of_items, classes })
    }

    /// Number of classes K.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class of `item`.
    pub fn of(&self, item: usize) -> usize {
        self.of_items[item]
    }

    /// One-hot classes of `items`: [B, K].
    pub fn targets(&self, items: &[usize], device: &Device) -> Tensor<2> {
        let mut targets = vec![0.0; items.len() * self.classes];
        for (row, &item) in items.iter().enumerate() {
            targets[row * self.classes + self.of(item)] = 1.0;
        }
        from_f32(targets, [items.len(), self.classes], device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{OutData, write_datasets};

    fn read(labels: &[f32]) -> Result<Labels> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data.h5");
        write_datasets(
            &file,
            &[
                ("images", &[4, 2], OutData::F32(&[0.0; 8])),
                ("labels", &[labels.len()], OutData::F32(labels)),
            ],
            &[],
        )?;
        let data = Dataset::open(&file, "images")?;
        Labels::read(&[(&data, "labels")])
    }

    #[test]
    fn labels_become_one_hot_targets() {
        let labels = read(&[1.0, 0.0, 2.0, 1.0]).unwrap();
        assert_eq!(labels.classes(), 3);
        let targets = labels.targets(&[2, 0], &Device::flex());
        let targets = crate::tensors::to_f32(targets).unwrap();
        assert_eq!(targets, [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_column_a_code_of_ones_and_text_are_refused_with_what_makes_labels_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data.h5");
        let mut datasets: Vec<(&str, &[usize], OutData)> =
            vec![("images", &[4, 2], OutData::F32(&[0.0; 8]))];
        datasets.push(("column", &[4, 1], OutData::I64(&[0, 1, 1, 0])));
        datasets.push(("codes", &[4, 2], OutData::U8(&[0, 1, 1, 0, 1, 0, 0, 1])));
        write_datasets(&file, &datasets, &[]).unwrap();
        let opened = hdf5::File::open_rw(&file).unwrap();
        let text = opened
            .new_dataset::<hdf5::types::FixedAscii<3>>()
            .shape([4]);
        text.create("text").unwrap();
        drop(opened);
        let data = Dataset::open(&file, "images").unwrap();
        for (name, remedy) in [
            ("column", "`labels[:, 0]`"),
            ("codes", "`labels.argmax(1)`"),
            ("text", "np.unique(labels, return_inverse=True)[1]"),
        ] {
            let message = Labels::read(&[(&data, name)]).unwrap_err().to_string();
            assert!(
                message.contains(remedy) && message.contains(name),
                "{message}"
            );
        }
    }

    #[test]
    fn what_are_no_labels_is_refused_with_what_was_found() {
        for (labels, found) in [
            (&[0.0, 1.0, 0.0][..], "shape [3]"),
            (&[0.0, 1.5, 0.0, 1.0], "1.5 at item 1"),
            (&[0.0, -1.0, 0.0, 1.0], "-1 at item 1"),
            (&[0.0, f32::NAN, 0.0, 1.0], "NaN at item 1"),
            (&[0.0, 3.0, 1.0, 1.0], "classes up to 3 but none 2"),
            (&[0.0, 0.0, 0.0, 0.0], "one class only"),
        ] {
            let message = read(labels).unwrap_err().to_string();
            assert!(message.contains(found), "{message}");
        }
    }
}
