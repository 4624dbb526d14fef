//! Selection of datasets in a file, if not specified.

use super::readings::images_as_features;
use latent_align_hdf5::{DatasetInfo, FileListing};
use latent_align_stages::{Error, Result};

/// The dataset of the features: `named`, or `features`, or the only suitable one.
///
/// # Errors
/// [`Error::Input`] if there is none or more than one, listing what the file holds.
pub fn features(listing: &FileListing, named: Option<&str>) -> Result<String> {
    if let Some(named) = named {
        return Ok(absolute(named));
    }
    let can_be = |d: &DatasetInfo| (2..=3).contains(&d.shape.len());
    let expected = "features [N, D] or tokens [N, T, D]";
    let image = usable(listing, None).find(|d| d.shape.len() == 4);
    if let Some(image) = image.filter(|_| !usable(listing, None).any(can_be)) {
        return Err(images_as_features(
            &listing.file,
            &image.name,
            &describe(image),
        ));
    }
    choose(listing, None, "features", "--dataset", expected, can_be)
}

/// The dataset to encode in a file given for it: `images`, or the only images, or the only suitable one,
/// other than `taken`.
///
/// # Errors
/// As [`features`].
pub fn data(listing: &FileListing, taken: Option<&str>) -> Result<String> {
    if let Some(images) = images(listing, taken) {
        return Ok(images);
    }
    let expected = "images [N, C, H, W] or vectors [N, D]";
    choose(listing, taken, "images", "--data-dataset", expected, |_| {
        true
    })
}

/// The images in a file that was given for features, if unambiguous: the only ones, or those of that
/// name.
pub fn images(listing: &FileListing, taken: Option<&str>) -> Option<String> {
    let named = |d: &DatasetInfo| d.shape.len() == 3 && d.name.ends_with("/images");
    let all: Vec<_> = usable(listing, taken)
        .filter(|d| d.shape.len() == 4 || named(d))
        .collect();
    one(&all, "images").map(|d| d.name.clone())
}

fn choose(
    listing: &FileListing,
    taken: Option<&str>,
    name: &str,
    option: &str,
    expected: &str,
    can_be: impl Fn(&DatasetInfo) -> bool,
) -> Result<String> {
    let all: Vec<&DatasetInfo> = usable(listing, taken).filter(|d| can_be(d)).collect();
    // Bytes are rarely features; real-valued datasets take precedence.
    let real: Vec<&DatasetInfo> = all.iter().copied().filter(|d| d.dtype != "u8").collect();
    if let Some(found) = one(&all, name).or_else(|| one(&real, name)) {
        return Ok(found.name.clone());
    }
    let file = listing.file.display();
    if let (Some(taken), [], true) = (taken, all.as_slice(), usable(listing, None).any(&can_be)) {
        let taken = taken.trim_start_matches('/');
        return Err(Error::input(format!(
            "{file}: found nothing but {taken}, the features; expected {expected} to encode. Add them, or encode \
             the features themselves with {option} {taken}"
        )));
    }
    if all.is_empty() {
        let held: Vec<String> = listing.datasets.iter().map(describe).collect();
        let held = match held.as_slice() {
            [] => "no dataset".to_owned(),
            some => some.join(", "),
        };
        let empty = |d: &DatasetInfo| d.shape.contains(&0);
        let remedy = match (listing.datasets.as_slice(), listing.too_deep.first()) {
            ([], Some(group)) => {
                format!(
                    "{group} is nested too deep to be searched; name a dataset in it with {option}"
                )
            }
            ([], None) => "Write some with h5py".to_owned(),
            (some, _) if some.iter().all(empty) => "Nothing in it holds a number".to_owned(),
            _ => {
                "Convert with numpy (`.astype(\"float32\")`, `.reshape(n, -1)`) and write with h5py"
                    .to_owned()
            }
        };
        return Err(Error::input(format!(
            "{file}: found {held}; expected {expected} of f16, f32, f64 or u8. {remedy}"
        )));
    }
    let held: Vec<String> = all.into_iter().map(describe).collect();
    Err(Error::input(format!(
        "{file}: found {} datasets that can be {expected}; name one with {option}\n  {}",
        held.len(),
        held.join("\n  ")
    )))
}

/// The one whose last name is `name`, or the only one.
fn one<'a>(all: &[&'a DatasetInfo], name: &str) -> Option<&'a DatasetInfo> {
    let mut named = all
        .iter()
        .filter(|d| d.name.rsplit('/').next() == Some(name));
    match (named.next(), named.next(), all) {
        (Some(found), None, _) | (None, None, [found]) => Some(found),
        _ => None,
    }
}

/// Nonempty numeric datasets other than `taken`.
fn usable<'a>(
    listing: &'a FileListing,
    taken: Option<&'a str>,
) -> impl Iterator<Item = &'a DatasetInfo> {
    let numbers = |d: &&DatasetInfo| ["f16", "f32", "f64", "u8"].contains(&d.dtype.as_str());
    let rows = |d: &&DatasetInfo| (2..=4).contains(&d.shape.len()) && !d.shape.contains(&0);
    let free = move |d: &&DatasetInfo| taken != Some(d.name.as_str());
    listing
        .datasets
        .iter()
        .filter(numbers)
        .filter(rows)
        .filter(free)
}

fn describe(dataset: &DatasetInfo) -> String {
    format!("{} {:?} {}", dataset.name, dataset.shape, dataset.dtype)
}

fn absolute(name: &str) -> String {
    format!("/{}", name.trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(datasets: &[(&str, &[usize], &str)]) -> FileListing {
        let datasets = datasets.iter().map(|(name, shape, dtype)| DatasetInfo {
            name: (*name).to_owned(),
            shape: shape.to_vec(),
            dtype: (*dtype).to_owned(),
            chunks: None,
            filters: Vec::new(),
            attributes: Vec::new(),
            stored_bytes: 0,
        });
        FileListing {
            file: "a.h5".into(),
            datasets: datasets.collect(),
            external_links: Vec::new(),
            too_deep: Vec::new(),
        }
    }

    #[test]
    fn features_are_those_of_that_name_or_the_only_ones() {
        let embeddings = ("/words/embeddings", &[100, 8][..], "f32");
        let labels = ("/labels", &[100][..], "i64");
        let images = ("/images", &[100, 1, 4, 4][..], "u8");
        let pixels = ("/pixels", &[100, 16][..], "u8");
        let one = listing(&[embeddings, labels, images, pixels]);
        assert_eq!(features(&one, None).unwrap(), "/words/embeddings");
        assert_eq!(features(&one, Some("pixels")).unwrap(), "/pixels");

        let more = ("/x", &[100, 2, 8][..], "f16");
        let two = listing(&[embeddings, more]);
        let why = features(&two, None).unwrap_err().to_string();
        for part in [
            "2 datasets",
            "/words/embeddings [100, 8] f32",
            "/x",
            "--dataset",
        ] {
            assert!(why.contains(part), "{part} is missing from\n{why}");
        }
        let named = listing(&[embeddings, more, ("/features", &[9, 2], "f64")]);
        assert_eq!(features(&named, None).unwrap(), "/features");
    }

    #[test]
    fn a_file_without_features_says_what_it_holds() {
        let none = listing(&[("/labels", &[100], "i64"), ("/empty", &[0, 4], "f32")]);
        let why = features(&none, None).unwrap_err().to_string();
        assert!(
            why.contains("/labels [100] i64, /empty [0, 4] f32"),
            "{why}"
        );
        assert!(
            features(&listing(&[]), None)
                .unwrap_err()
                .to_string()
                .contains("no dataset")
        );
    }

    #[test]
    fn images_are_taken_from_the_same_file_only_beyond_doubt() {
        let features = ("/features", &[100, 8][..], "f32");
        let a = ("/a", &[100, 1, 4, 4][..], "u8");
        let b = ("/b", &[100, 1, 4, 4][..], "u8");
        assert_eq!(images(&listing(&[features]), None), None);
        assert_eq!(
            images(&listing(&[features, a]), None).as_deref(),
            Some("/a")
        );
        assert_eq!(images(&listing(&[a, b]), None), None);
        let (grey, tokens) = (
            ("/images", &[9, 4, 4][..], "u8"),
            ("/x", &[9, 4, 4][..], "u8"),
        );
        assert_eq!(images(&listing(&[features, tokens]), None), None);
        assert_eq!(
            images(&listing(&[features, grey]), None).as_deref(),
            Some("/images")
        );
        assert_eq!(data(&listing(&[features]), None).unwrap(), "/features");
        let taken = data(&listing(&[features]), Some("/features")).unwrap_err();
        let remedy = "encode the features themselves with --data-dataset features";
        assert!(taken.to_string().contains(remedy), "{taken}");
    }
}
