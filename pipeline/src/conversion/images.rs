//! Folders of PNG and JPEG images, where each subfolder is a class.

use super::picture::{Colours, Picture, look, read};
use super::source::{Array, Sink, Source};
use crate::numbered::by_numbers;
use latent_align_hdf5::foreign::{extension, is_image};
use latent_align_hdf5::{Number, OutData};
use latent_align_stages::{Error, Result};
use std::path::{Path, PathBuf};

/// Bytes of pixels passed on at once.
const BLOCK: usize = 8 << 20;
/// Extensions of images that are not read.
const OTHERS: [&str; 9] = [
    "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "jxl", "ppm",
];

/// A folder whose images have been looked at.
#[derive(Debug)]
pub struct Images {
    files: Vec<(PathBuf, i64)>,
    classes: Vec<String>,
    channels: usize,
    height: usize,
    width: usize,
    colours: Option<Colours>,
    notes: Vec<String>,
}

/// What a folder holds.
#[derive(Debug, Default)]
struct Listing {
    images: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    /// Images of other formats.
    others: Vec<PathBuf>,
    /// Files that are no images.
    ignored: usize,
}

/// Opens the folder at `path`: images of one size.
///
/// # Errors
/// [`Error::Input`] for a folder without images or with images of other formats, for images beside folders of images,
/// and for images of different sizes or that cannot be read.
pub fn open(path: &Path, colours: Option<Colours>) -> Result<Images> {
    let top = list(path)?;
    let mut listings = Vec::new();
    for folder in &top.folders {
        listings.push((folder.clone(), list(folder)?));
    }
    let in_folders = listings.iter().any(|(_, found)| !found.images.is_empty());
    refuse_unclear(path, &top, &listings, in_folders)?;
    let mut images = Images {
        files: top.images.into_iter().map(|file| (file, 0)).collect(),
        classes: Vec::new(),
        channels: 1,
        height: 0,
        width: 0,
        colours,
        notes: Vec::new(),
    };
    let mut ignored = top.ignored;
    let mut deeper = (0, None);
    for folder in listings.iter().flat_map(|(_, found)| &found.folders) {
        count_images(folder, &mut deeper)?;
    }
    if in_folders {
        for (class, (folder, found)) in listings.into_iter().enumerate() {
            images.classes.push(name(&folder));
            let files = found.images.into_iter().map(|file| (file, class as i64));
            images.files.extend(files);
            ignored += found.ignored;
        }
    }
    if ignored > 0 {
        let told = format!("{ignored} files that are no images are left out");
        images.notes.push(told);
    }
    if let (count @ 1.., Some(first)) = deeper {
        images.notes.push(format!(
            "{count} images in folders inside {} are left out, such as {}; put them beside the other images, or convert \
             that folder alone",
            if in_folders { "those of the classes" } else { "its folders" },
            first.display()
        ));
    }
    images.look_at_all()?;
    Ok(images)
}

/// Refuses images of other formats, images beside folders of images, folders without images beside others, and none.
fn refuse_unclear(
    path: &Path,
    top: &Listing,
    listings: &[(PathBuf, Listing)],
    in_folders: bool,
) -> Result<()> {
    let refuse = |path: &Path, why: String| Err(Error::input(format!("{}: {why}", path.display())));
    let others = listings.iter().flat_map(|(_, found)| &found.others);
    if let Some(other) = top.others.iter().chain(others).next() {
        let why = "found an image of another format, expected PNG or JPEG; convert it, such as with ImageMagick's \
                   `mogrify -format png`, or remove it";
        return refuse(other, why.to_owned());
    }
    match (in_folders, top.images.len()) {
        (true, 0) => {
            let empty = listings.iter().find(|(_, found)| found.images.is_empty());
            let Some((empty, _)) = empty else {
                return Ok(());
            };
            let why = format!(
                "found a folder without PNG or JPEG images, expected the images of the class `{}`; remove it or fill it",
                name(empty)
            );
            refuse(empty, why)
        }
        (true, beside) => refuse(
            path,
            format!(
                "found {beside} images beside folders of images, expected either; each folder is a class, so move those \
                 images into one"
            ),
        ),
        (false, 0) => {
            let deeper = listings.iter().find(|(_, found)| !found.folders.is_empty());
            let way_out = match deeper {
                Some((folder, _)) => {
                    format!("convert each of its folders, such as {}", folder.display())
                }
                None => "put images into it, or into folders of it, one a class".to_owned(),
            };
            let why = format!("found no PNG or JPEG images, expected some; {way_out}");
            refuse(path, why)
        }
        (false, _) => Ok(()),
    }
}

/// Counts the images in `folder` and in all folders inside it, and keeps the first one.
fn count_images(folder: &Path, counted: &mut (usize, Option<PathBuf>)) -> Result<()> {
    let listing = list(folder)?;
    let images = listing.images.iter().chain(&listing.others);
    for image in images {
        counted.0 += 1;
        counted.1.get_or_insert_with(|| image.clone());
    }
    // a link may lead back
    for inner in listing.folders.iter().filter(|inner| !inner.is_symlink()) {
        count_images(inner, counted)?;
    }
    Ok(())
}

/// The contents of `folder` in the order of the numbers in their names, without hidden files.
fn list(folder: &Path) -> Result<Listing> {
    let failed =
        |e: std::io::Error| Error::input(format!("{}: cannot be listed: {e}", folder.display()));
    let mut listing = Listing::default();
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort_by(|a, b| by_numbers(&name(a), &name(b)));
    for path in paths {
        if name(&path).starts_with('.') {
            continue;
        }
        if path.is_dir() {
            listing.folders.push(path);
        } else if path.exists() && !path.is_file() {
            // opening a pipe would wait for a writer
            listing.ignored += 1;
        } else if is_image(&path) {
            listing.images.push(path);
        } else if OTHERS.contains(&&*extension(&path)) {
            listing.others.push(path);
        } else {
            listing.ignored += 1;
        }
    }
    Ok(listing)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Images {
    /// Reads the size of every image.
    fn look_at_all(&mut self) -> Result<()> {
        let mut grey = 0;
        let mut first: Option<(PathBuf, Picture)> = None;
        for (file, _) in &self.files {
            let found = look(file)?;
            let (first, expected) = first.get_or_insert_with(|| (file.clone(), found));
            if (found.height, found.width) != (expected.height, expected.width) {
                return Err(Error::input(format!(
                    "{}: found {} x {} pixels, expected {} x {} as in {}; bring all images to one size, such as with \
                     ImageMagick's `mogrify -resize '{}x{}!'`",
                    file.display(),
                    found.height,
                    found.width,
                    expected.height,
                    expected.width,
                    first.display(),
                    expected.width,
                    expected.height
                )));
            }
            grey += usize::from(!found.is_coloured);
        }
        if let Some((_, found)) = first {
            (self.height, self.width) = (found.height, found.width);
        }
        self.channels = match self.colours {
            Some(Colours::Grey) => 1,
            Some(Colours::Rgb) => 3,
            None if grey == self.files.len() => 1,
            None => 3,
        };
        if self.channels == 3 && grey > 0 {
            self.notes.push(format!(
                "{grey} grey images have three equal channels; `--colours grey` makes all grey"
            ));
        }
        Ok(())
    }
}

impl Source for Images {
    fn arrays(&self) -> Vec<Array> {
        let mut arrays = vec![Array {
            name: Some("images".into()),
            shape: vec![self.files.len(), self.channels, self.height, self.width],
            number: Number::U8,
            classes: Vec::new(),
        }];
        if !self.classes.is_empty() {
            arrays.push(Array {
                name: Some("labels".into()),
                shape: vec![self.files.len()],
                number: Number::I64,
                classes: self.classes.clone(),
            });
        }
        arrays
    }

    fn pour(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let mut block = Vec::new();
        for (file, _) in &self.files {
            read(
                file,
                self.channels,
                self.colours.is_some(),
                [self.height, self.width],
                &mut block,
            )?;
            if block.len() >= BLOCK {
                sink(0, OutData::U8(&block))?;
                block.clear();
            }
        }
        if !block.is_empty() {
            sink(0, OutData::U8(&block))?;
        }
        if !self.classes.is_empty() {
            let labels: Vec<i64> = self.files.iter().map(|file| file.1).collect();
            sink(1, OutData::I64(&labels))?;
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn ends(&self) -> Option<[String; 2]> {
        let shown = |(file, _): &(PathBuf, i64)| file.display().to_string();
        Some([shown(self.files.first()?), shown(self.files.last()?)])
    }
}
