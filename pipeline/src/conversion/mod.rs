//! Conversion of files of other formats to HDF5, block by block.

mod arrange;
mod classes;
mod columns;
mod columns_first;
mod csv;
mod idx;
mod images;
mod npy;
mod npz;
mod parquet;
mod picture;
mod raw;
mod safetensors;
mod source;
mod tally;
mod torch;

pub use arrange::Channels;
pub use columns::shown;
pub use picture::Colours;

use arrange::{arrange, refuse_labels_alone};
use columns::LabelColumn;
use latent_align_hdf5::foreign::{Foreign, is_image};
use latent_align_hdf5::{DatasetWriter, Number, OutData, Planned};
use latent_align_stages::{Error, Result};
use source::{Array, Sink, Source};
use std::io::ErrorKind;
use std::path::Path;
use tally::Tally;

/// What to convert.
#[derive(Debug)]
pub struct Request<'a> {
    pub from: &'a Path,
    /// The file that will be written; temporary files are made beside it.
    pub to: &'a Path,
    /// Names of columns or arrays; all if empty.
    pub only: &'a [String],
    /// The column of the labels in a table; a file of labels otherwise.
    pub labels: Option<&'a str>,
    /// The name of the dataset.
    pub dataset: Option<&'a str>,
    pub channels: Option<Channels>,
    pub colours: Option<Colours>,
    /// Whether values that are not finite are kept.
    pub keep_non_finite: bool,
}

/// A dataset that was written.
#[derive(Debug)]
pub struct Written {
    pub name: String,
    pub shape: Vec<usize>,
    pub number: Number,
    pub classes: Vec<String>,
    /// The range of its values.
    pub tally: Tally,
}

/// An opened conversion: everything that can be checked without the values has been.
pub struct Conversion<'a> {
    request: Request<'a>,
    source: Box<dyn Source>,
    arrays: Vec<Array>,
    arranged: Vec<arrange::Arranged>,
    notes: Vec<String>,
}

impl<'a> Conversion<'a> {
    /// Opens the file of the `request`.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is missing, damaged or of an unknown format, and for options that do not fit it.
    pub fn open(request: Request<'a>) -> Result<Self> {
        let format = format_of(request.from)?;
        let is_table = matches!(format, Foreign::Csv | Foreign::Parquet);
        check_options(&request, format)?;
        let column = match request.labels {
            Some(name) if is_table => LabelColumn::Named(name.to_owned()),
            _ => LabelColumn::Usual,
        };
        let mut source = open(format, &request, &column)?;
        let labels = request.labels.filter(|_| !is_table).map(Path::new);
        if let Some(file) = labels {
            let labels = labels_of(file, &request)?;
            source = Box::new(Labelled::new(source, labels, request.from, file)?);
        }
        let arrays = source.arrays();
        for name in request.only {
            let is_there = arrays.iter().any(|array| array.name.as_ref() == Some(name));
            if !is_table && !is_there {
                let held = open(
                    format,
                    &Request {
                        only: &[],
                        ..request
                    },
                    &column,
                )?
                .arrays();
                let held: Vec<String> = held.into_iter().filter_map(|array| array.name).collect();
                return Err(Error::input(format!(
                    "{}: found no array `{name}`, expected one of {}",
                    request.from.display(),
                    columns::shown(&held)
                )));
            }
        }
        refuse_labels_alone(&arrays, request.from)?;
        let arranged = arrange(&arrays, request.channels, request.dataset, request.from)?;
        let others = arrays.iter().filter(|array| !array.can_be_labels());
        if let (Some(name), true) = (request.dataset, others.count() > 1) {
            return Err(Error::input(format!(
                "--dataset {name}: found several arrays in {}, expected one; choose it with --only",
                request.from.display()
            )));
        }
        let notes = source.notes();
        Ok(Self {
            request,
            source,
            arrays,
            arranged,
            notes,
        })
    }

    /// What users should know about it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Writes all arrays to a new HDF5 file at `to`, calling `progress` with the number of values that are
    /// written, and of all.
    ///
    /// # Errors
    /// [`Error::Input`] for values that are damaged or not finite; file errors; those of `progress`.
    pub fn write(
        mut self,
        to: &Path,
        progress: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<Vec<Written>> {
        let planned: Vec<Planned> = (self.arrays.iter().zip(&self.arranged))
            .map(|(array, arranged)| Planned {
                name: arranged.name.clone(),
                shape: arranged.shape.clone(),
                number: array.number,
                about: classes::attribute(&array.classes).into_iter().collect(),
            })
            .collect();
        let mut writer = DatasetWriter::create_planned(to, &planned)?;
        let mut tallies = vec![Tally::new(); planned.len()];
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let all: usize = planned.iter().map(|p| count(&p.shape)).sum();
        let mut done = 0;
        let (from, keep) = (self.request.from, self.request.keep_non_finite);
        self.source.pour(&mut |at, values| {
            tallies[at].add(values);
            if let (Some(found), false) = (tallies[at].first_not_finite(), keep) {
                let Planned { name, shape, .. } = &planned[at];
                return Err(Error::input(format!(
                    "{}: found a value that is not finite in `{name}`, item {} of {}, expected finite ones; remove such \
                     items, or keep them with --keep-non-finite and leave them out of a training by \
                     `non_finite: drop`",
                    from.display(),
                    found / count(&shape[1..]).max(1),
                    shape[0]
                )));
            }
            let moved = self.arranged[at].order.apply(values);
            let values = moved.as_ref().map_or(values, arrange::Values::as_out);
            writer.append_values(at, values)?;
            done += length(values);
            progress(done as u64, all as u64)
        })?;
        writer.commit()?;
        let written = planned.into_iter().zip(self.arrays).zip(tallies);
        Ok(written
            .map(|((planned, array), tally)| Written {
                name: planned.name,
                shape: planned.shape,
                number: planned.number,
                classes: array.classes,
                tally,
            })
            .collect())
    }
}

fn length(values: OutData<'_>) -> usize {
    match values {
        OutData::F16(v) => v.len(),
        OutData::F32(v) => v.len(),
        OutData::F64(v) => v.len(),
        OutData::U8(v) => v.len(),
        OutData::I64(v) => v.len(),
    }
}

/// The format of `path`.
fn format_of(path: &Path) -> Result<Foreign> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::input(format!(
            "no file or folder {shown}, expected one to convert"
        )),
        _ => Error::input(format!("{shown} cannot be opened: {e}")),
    })?;
    if metadata.is_dir() {
        // an error about a folder without images says what it holds
        return Ok(Foreign::Images);
    }
    if metadata.len() == 0 {
        return Err(Error::input(format!(
            "{shown}: found an empty file; copy or save it again"
        )));
    }
    if let Some(format) = Foreign::of(path) {
        return Ok(format);
    }
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| {
        use std::io::Read as _;
        file.take(16).read_to_end(&mut head)
    });
    read.map_err(|e| Error::input(format!("{shown} cannot be read: {e}")))?;
    let (found, way_out) = if head.starts_with(b"\x89HDF\r\n\x1a\n") {
        (
            "an HDF5 file".to_owned(),
            "use it as it is, or look into it with `latent-align show FILE`",
        )
    } else if is_image(path) {
        ("one image".to_owned(), "name its folder")
    } else if head.starts_with(&[0x80]) {
        (
            "a pickle, which may hold code that runs when it is read".to_owned(),
            "save its numbers with `np.save`",
        )
    } else {
        (
            format!("a file that starts with {head:02x?}"),
            "save it as one of these; a table as text needs the name .csv",
        )
    };
    Err(Error::input(format!(
        "{shown}: found {found}, expected .npy, .npz, .parquet, .csv, .safetensors, .pt, an IDX file or a folder of \
         images; {way_out}"
    )))
}

/// Refuses options that have no meaning for files of this format.
fn check_options(request: &Request<'_>, format: Foreign) -> Result<()> {
    let has_names = !matches!(format, Foreign::Npy | Foreign::Idx | Foreign::Images);
    let unfit = [
        (
            "--only",
            !request.only.is_empty() && !has_names,
            "tables and archives",
        ),
        (
            "--colours",
            request.colours.is_some() && format != Foreign::Images,
            "folders of images",
        ),
        (
            "--channels",
            request.channels.is_some() && format == Foreign::Images,
            "arrays",
        ),
    ];
    for (option, is_unfit, of) in unfit {
        if is_unfit {
            return Err(Error::input(format!(
                "{option}: found {} ({}), expected it with {of} alone; leave it out",
                format.describe(),
                request.from.display()
            )));
        }
    }
    Ok(())
}

fn open(format: Foreign, request: &Request<'_>, column: &LabelColumn) -> Result<Box<dyn Source>> {
    let Request { from, only, .. } = *request;
    Ok(match format {
        Foreign::Npy => Box::new(npy::open(from)?),
        Foreign::Npz => Box::new(npz::open(from, only)?),
        Foreign::Idx => Box::new(idx::open(from)?),
        Foreign::Safetensors => Box::new(safetensors::open(from, only)?),
        Foreign::Torch => Box::new(torch::open(from, only, request.to)?),
        Foreign::Csv => Box::new(csv::open(from, only, column)?),
        Foreign::Parquet => Box::new(parquet::open(from, only, column)?),
        Foreign::Images => Box::new(images::open(from, request.colours)?),
    })
}

/// The labels in a file of their own.
fn labels_of(file: &Path, request: &Request<'_>) -> Result<Box<dyn Source>> {
    let alone = Request {
        from: file,
        only: &[],
        labels: None,
        dataset: None,
        channels: None,
        colours: None,
        ..*request
    };
    let source = match format_of(file)? {
        Foreign::Images => None,
        format => Some(open(format, &alone, &LabelColumn::Sole)?),
    };
    let arrays = source.as_ref().map_or(Vec::new(), |source| source.arrays());
    match (source, arrays.as_slice()) {
        (Some(source), [array]) if array.can_be_labels() => Ok(source),
        _ => {
            let found: Vec<String> = arrays
                .iter()
                .map(|array| format!("{:?} {}", array.shape, array.number.name()))
                .collect();
            let found = match found.as_slice() {
                [] => "a folder".to_owned(),
                some => some.join(", "),
            };
            Err(Error::input(format!(
                "--labels {}: found {found}, expected one array of integers [N], the class of each item; save it with \
                 `np.save(file, labels.astype(\"int64\").ravel())`",
                file.display()
            )))
        }
    }
}

/// A source with labels from another one.
struct Labelled {
    items: Box<dyn Source>,
    labels: Box<dyn Source>,
    notes: Vec<String>,
}

impl Labelled {
    fn new(
        items: Box<dyn Source>,
        mut labels: Box<dyn Source>,
        from: &Path,
        file: &Path,
    ) -> Result<Self> {
        let count = |source: &dyn Source| {
            source
                .arrays()
                .first()
                .and_then(|a| a.shape.first().copied())
        };
        let (found, expected) = (count(&*labels).unwrap_or(0), count(&*items).unwrap_or(0));
        let arrays = items.arrays();
        if arrays.len() != 1 {
            return Err(Error::input(format!(
                "--labels {}: found {} arrays in {}, expected one that it labels; choose it with --only",
                file.display(),
                arrays.len(),
                from.display()
            )));
        }
        if found != expected {
            return Err(Error::input(format!(
                "--labels {}: found {found} labels, expected {expected}, one for each item of {}; check that both files \
                 belong together",
                file.display(),
                from.display()
            )));
        }
        let mut notes = items.notes();
        let of_labels = labels.notes();
        notes.extend(of_labels.iter().map(|n| format!("{}: {n}", file.display())));
        if let Some([first, last]) = items.ends() {
            let [one, other] = ends_of(&mut *labels)?;
            notes.push(format!(
                "the labels are those of the images in the order of the numbers in their names: {first} has the label \
                 {one}, and {last}, the last one, {other}"
            ));
        }
        Ok(Self {
            items,
            labels,
            notes,
        })
    }
}

/// The first and the last one of `labels`.
fn ends_of(labels: &mut dyn Source) -> Result<[String; 2]> {
    let classes = labels.arrays().into_iter().next().map(|a| a.classes);
    let classes = classes.unwrap_or_default();
    let (mut first, mut last) = (None, 0);
    labels.pour(&mut |_, values| {
        if let OutData::I64(&[one, ..]) = values {
            first.get_or_insert(one);
        }
        if let OutData::I64(&[.., other]) = values {
            last = other;
        }
        Ok(())
    })?;
    let named = |label: i64| {
        let class = usize::try_from(label).ok().and_then(|at| classes.get(at));
        class.map_or_else(|| label.to_string(), Clone::clone)
    };
    Ok([named(first.unwrap_or(0)), named(last)])
}

impl Source for Labelled {
    fn arrays(&self) -> Vec<Array> {
        let mut arrays = self.items.arrays();
        arrays.extend(self.labels.arrays().into_iter().map(|array| Array {
            name: Some("labels".into()),
            ..array
        }));
        arrays
    }

    fn pour(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        self.items.pour(sink)?;
        self.labels.pour(&mut |_, values| sink(1, values))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
