//! An opened and checked dataset of an HDF5 file, through which all numbers are read.

use crate::element::{Element, element_of};
use crate::error::{Error, Result, reason};
use crate::guard::Asked;
use crate::name::absolute;
use crate::open::{open_dataset, open_file};
use crate::scratch::Scratch;
use crate::stored::{ReadError, Stored};
use crate::text::FileText;
use crate::tree::type_name;
use hdf5::types::VarLenUnicode;
use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An HDF5 dataset that is open, with type and shape checked, but not read yet. Its items may be in several files,
/// whose datasets follow each other.
///
/// Clones share the open files.
#[derive(Debug, Clone)]
pub struct Dataset {
    name: String,
    /// The length of the first axis is that of all files together.
    shape: Vec<usize>,
    element: Element,
    chunk_items: Option<usize>,
    /// At least one.
    pieces: Arc<[Piece]>,
}

/// The items in one file.
#[derive(Debug, Clone)]
struct Piece {
    path: PathBuf,
    /// The first one.
    start: usize,
    items: usize,
    handle: hdf5::Dataset,
    stored: Stored,
}

impl Dataset {
    /// Opens the dataset `name` of the file at `path`.
    ///
    /// # Errors
    /// Input errors that name file and dataset: a file that is missing, not HDF5 or truncated; a
    /// missing dataset; an element type other than f16, f32, f64, u8; a rank other than 2, 3, 4; an
    /// empty dataset; data stored in another file.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let file = open_file(path, &Asked::dataset(name))?;
        let handle = open_dataset(&file, path, name)?;
        let place = format!("`{}` in {}", absolute(name), path.display());
        let dtype = handle
            .dtype()
            .map_err(|e| Error::input(format!("{place}: {}", reason(&e))))?;
        let element = element_of(&dtype).ok_or_else(|| {
            Error::input(format!(
                "{place} holds {}; expected f16, f32, f64 or u8. Convert it with numpy: `.astype(\"float32\")`",
                type_name(&dtype)
            ))
        })?;
        let shape = handle
            .get_shape()
            .map_err(|e| Error::input(format!("{place}: {}", reason(&e))))?;
        if !(2..=4).contains(&shape.len()) {
            return Err(Error::input(format!(
                "{place} has shape {shape:?}; expected rank 2, 3 or 4: [N, D] features, [N, T, D] tokens or [N, C, H, W] images. Reshape it with numpy: `.reshape(n, -1)`"
            )));
        }
        if shape.contains(&0) {
            return Err(Error::input(format!(
                "{place} is empty: its shape is {shape:?}; expected at least one row of at least one number"
            )));
        }
        let stored =
            Stored::of(&file, &handle, &shape, element).map_err(|e| Error::file(path, e))?;
        let chunk_items = handle.chunk().map(|c| c[0]);
        let piece = Piece {
            path: path.to_owned(),
            start: 0,
            items: shape[0],
            handle,
            stored,
        };
        Ok(Self {
            name: absolute(name),
            chunk_items,
            shape,
            element,
            pieces: [piece].into(),
        })
    }

    /// Opens the datasets `name` of the files at `paths` as one, in this order.
    ///
    /// # Errors
    /// As [`Self::open`]; input errors for a file that is named twice, and for items unlike those of the first file.
    ///
    /// # Panics
    /// If there is no file.
    pub fn open_all(paths: &[PathBuf], name: &str) -> Result<Self> {
        let mut all = Self::open(&paths[0], name)?;
        if paths.len() == 1 {
            return Ok(all);
        }
        let first = all.describe();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut seen = HashSet::new();
        for path in paths {
            if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                return Err(Error::input(format!(
                    "{} is named twice, expected each file of a dataset once; take it out of the list",
                    path.display()
                )));
            }
            let next = Self::open(path, name)?;
            if next.shape[1..] != all.shape[1..] || next.element != all.element {
                return Err(Error::input(format!(
                    "found {}, expected items like those of {first}: the same shape and type in all files. Convert it \
                     with numpy, or take it out of the list",
                    next.describe()
                )));
            }
            let start = pieces.last().map_or(0, |last| last.start + last.items);
            pieces.extend(next.pieces.iter().map(|piece| Piece {
                start,
                ..piece.clone()
            }));
        }
        all.shape[0] = pieces.iter().map(|piece| piece.items).sum();
        all.pieces = pieces.into();
        Ok(all)
    }

    /// The file, or the first of several.
    pub fn path(&self) -> &Path {
        &self.pieces[0].path
    }

    /// Each file in order, with the number of its items.
    pub fn files(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.pieces
            .iter()
            .map(|piece| (piece.path.as_path(), piece.items))
    }

    /// Absolute path of the dataset inside the file, such as `/features`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Length of each axis; two, three or four of them, none zero.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// N, the length of the first axis.
    pub fn items(&self) -> usize {
        self.shape[0]
    }

    /// Numbers per item: the product of the other axes.
    pub fn item_width(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// The stored type.
    pub fn element(&self) -> Element {
        self.element
    }

    /// Such as `/features [29528, 384] f16 in data/words.h5`.
    pub fn describe(&self) -> String {
        let home = match &*self.pieces {
            [first, .., last] => format!(
                "{} files from {} to {}",
                self.pieces.len(),
                first.path.display(),
                last.path.display()
            ),
            _ => self.path().display().to_string(),
        };
        format!("{} {:?} {} in {home}", self.name, self.shape, self.element)
    }

    /// The pieces that hold items of `range`, each with its own numbers of these items.
    fn holding(&self, range: Range<usize>) -> impl Iterator<Item = (&Piece, Range<usize>)> {
        let first = self
            .pieces
            .partition_point(|piece| piece.start + piece.items <= range.start);
        let from = self.pieces[first..].iter();
        from.take_while(move |piece| piece.start < range.end)
            .map(move |piece| {
                let start = range.start.max(piece.start) - piece.start;
                let end = (range.end - piece.start).min(piece.items);
                (piece, start..end)
            })
    }

    /// Reads the items of `range`, row-major: [range.len(), item_width].
    ///
    /// # Errors
    /// An input error if an f64 is too large for f32 (it would silently become infinite), a file error
    /// if the numbers cannot be read: a failed checksum or decompression, a truncated file.
    ///
    /// # Panics
    /// If `range` ends after the last item.
    pub fn read_items(&self, range: Range<usize>) -> Result<Vec<f32>> {
        let mut values = vec![0.0; range.len() * self.item_width()];
        self.read_items_into(range, &mut values, &mut Scratch::default())?;
        Ok(values)
    }

    /// As [`Self::read_items`], into `values`, which is overwritten completely.
    ///
    /// # Errors
    /// As [`Self::read_items`].
    ///
    /// # Panics
    /// As [`Self::read_items`], and if `values` has another length.
    pub fn read_items_into(
        &self,
        range: Range<usize>,
        values: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        assert!(range.end <= self.items(), "{range:?} of {}", self.items());
        assert_eq!(values.len(), range.len() * self.item_width());
        let mut rest = values;
        for (piece, items) in self.holding(range) {
            let (here, after) = rest.split_at_mut(items.len() * self.item_width());
            self.read_piece(piece, items, here, scratch)?;
            rest = after;
        }
        Ok(())
    }

    fn read_piece(
        &self,
        piece: &Piece,
        items: Range<usize>,
        values: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let read = piece
            .stored
            .read(&piece.handle, items.clone(), values, scratch);
        read.map_err(|error| match error {
            ReadError::TooLarge { at, value } => Error::input(format!(
                "`{}` in {} holds {value:e} at item {}, column {}; expected numbers that fit f32 (at most 3.4e38 in size), in which everything is computed. Rescale the features",
                self.name,
                piece.path.display(),
                at / self.item_width(),
                at % self.item_width(),
            )),
            ReadError::Failed(reason) => Error::file(
                &piece.path,
                format!(
                    "items {} to {} of `{}` cannot be read: {reason}. The file is probably damaged; copy or create it again",
                    items.start, items.end, self.name,
                ),
            ),
        })
    }

    /// Announces a read of the items of `range`.
    pub fn announce_items(&self, range: Range<usize>) {
        for (piece, items) in self.holding(range) {
            piece.stored.announce(items);
        }
    }

    /// The string attribute `name`; `None` if there is none or it is not a string.
    pub fn text_attribute(&self, name: &str) -> Option<String> {
        let handle = &self.pieces[0].handle;
        if !handle.attr_names().ok()?.iter().any(|n| n == name) {
            return None;
        }
        let attribute = handle.attr(name).ok()?;
        let text: VarLenUnicode = attribute.read_scalar().ok()?;
        Some(text.text())
    }

    /// Consecutive ranges that cover all items; each is about `bytes` of f32 and ends at a chunk
    /// boundary, so that reading them one by one decompresses each chunk once.
    pub fn blocks(&self, bytes: usize) -> Vec<Range<usize>> {
        let wanted = (bytes / 4 / self.item_width()).max(1);
        let chunk = self.chunk_items.unwrap_or(1).max(1);
        let step = (wanted / chunk).max(1) * chunk;
        (0..self.items())
            .step_by(step)
            .map(|start| start..(start + step).min(self.items()))
            .collect()
    }
}
