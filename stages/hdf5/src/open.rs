//! Opening HDF5 files that may be missing, damaged, mislabelled, or maliciously refer to other files.

use crate::chunks::most_stored;
use crate::error::{Error, Result, damaged, reason};
use crate::foreign::conversion;
use crate::guard::{Asked, rehearse};
use crate::name::absolute;
use crate::raw::{forbid_plugins, link_type, soft_link_target};
use crate::suggest::closest;
use crate::tree;
use hdf5::plist::dataset_create::Layout;
use hdf5::{File, LinkType, LocationType};
use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// Soft links followed before a path counts as circular.
const LONGEST_LINK_CHAIN: usize = 16;

/// Opens `path` to read what is `asked`.
///
/// # Errors
/// Input errors for a file that is missing, not HDF5, or truncated, and for one that libhdf5 does not
/// survive.
pub(crate) fn open_file(path: &Path, asked: &Asked) -> Result<File> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::input(format!(
            "no file {shown}; expected an HDF5 file. Check `file` (it is relative to the configuration file)"
        )),
        _ => Error::input(format!("{shown} cannot be opened: {e}")),
    })?;
    if !metadata.is_file() {
        let remedy = conversion(path).map_or(String::new(), |how| format!(": {how}"));
        return Err(Error::input(format!(
            "{shown} is not a file; expected an HDF5 file{remedy}"
        )));
    }
    let mut head = [0u8; 8];
    let readable = std::fs::File::open(path).and_then(|mut f| match f.read_exact(&mut head) {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
        other => other,
    });
    readable.map_err(|e| Error::input(format!("{shown} cannot be read: {e}")))?;
    rehearse(path, &metadata, asked)?;
    forbid_plugins();
    opened(path).map_err(|e| {
        Error::input(if is_locked(&e) {
            format!(
                "{shown} is locked: another program has it open for writing. Wait until it is closed, or set HDF5_USE_FILE_LOCKING=FALSE if the file system has no locks"
            )
        } else if metadata.len() == 0 {
            format!("{shown} is empty, 0 bytes; expected an HDF5 file. Copy or create it again")
        } else if head == SIGNATURE {
            format!(
                "{shown} is an HDF5 file but cannot be opened: it is truncated or damaged ({} bytes). Copy or create it again, and check it with `h5ls`. libhdf5 says: {}",
                metadata.len(),
                reason(&e)
            )
        } else if let Some(how) = conversion(path) {
            format!("{shown} is not an HDF5 file: {how}")
        } else {
            format!(
                "{shown} is not an HDF5 file: it starts with {head:02x?} instead of the HDF5 signature. Write it with h5py (`h5py.File(path, \"w\")`)"
            )
        })
    })
}

/// Opens the file, again for a moment while it is locked: a process that is just being started holds the locks of the
/// one that starts it until it runs its own program.
fn opened(path: &Path) -> hdf5::Result<File> {
    const TRIES: usize = 10;
    const PAUSE: Duration = Duration::from_millis(30);
    for _ in 1..TRIES {
        match File::open(path) {
            Err(e) if is_locked(&e) => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
    File::open(path)
}

fn is_locked(error: &hdf5::Error) -> bool {
    error.to_string().contains("unable to lock")
}

/// Opens the dataset `name` of `file` (opened from `path`) without following references to other files.
///
/// # Errors
/// Input errors for a missing dataset (listing the existing ones), a group, an external link, external
/// storage, a virtual dataset, and filters that this libhdf5 lacks.
pub(crate) fn open_dataset(file: &File, path: &Path, name: &str) -> Result<hdf5::Dataset> {
    let shown = path.display();
    let full = absolute(name);
    let Some(real) = resolve(file, path, name)? else {
        return Err(missing(file, path, &full));
    };
    let damaged = |e: hdf5::Error| damaged(path, &full, &e);
    match file.loc_type_by_name(&real).map_err(damaged)? {
        LocationType::Dataset => {}
        LocationType::Group => {
            return Err(Error::input(format!(
                "`{full}` in {shown} is a group, not a dataset; {}",
                contents(file, path, &full)
            )));
        }
        _ => {
            return Err(Error::input(format!(
                "`{full}` in {shown} is a named datatype, expected a dataset"
            )));
        }
    }
    let dataset = file.dataset(&real).map_err(damaged)?;
    let created = dataset.dcpl().map_err(damaged)?;
    let layout = created.get_layout().map_err(damaged)?;
    let outside = if !created.get_external().map_err(damaged)?.is_empty() {
        "keeps its data in external files"
    } else if layout == Layout::Virtual {
        "is virtual: its data is in other files"
    } else {
        ""
    };
    if !outside.is_empty() {
        return Err(Error::input(format!(
            "`{full}` in {shown} {outside}, which is refused since a file must not make us read another one. Copy it into one file with h5py: `out.create_dataset(\"{}\", data=src[\"{}\"][:])`",
            full.trim_start_matches('/'),
            full.trim_start_matches('/'),
        )));
    }
    if created.has_filters() && !created.all_filters_avail() {
        return Err(Error::input(format!(
            "`{full}` in {shown} is compressed with a filter this libhdf5 lacks ({}). Write it again with gzip: `compression=\"gzip\", shuffle=True`",
            created
                .filters()
                .iter()
                .map(tree::filter_name)
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    check_size(&dataset, layout, path, &full)?;
    Ok(dataset)
}

/// Upper bound of gzip's compression ratio; other supported filters have smaller ones.
const GREATEST_COMPRESSION: u128 = 1100;
/// A dataset up to this size may be unwritten and consist of its fill value.
const SMALL: u128 = 1 << 20;
/// Upper bound of the numbers per row.
const WIDEST_ITEM: u128 = 1 << 26;

/// Refuses a shape larger than the stored data can fill, before memory is allocated.
fn check_size(dataset: &hdf5::Dataset, layout: Layout, path: &Path, full: &str) -> Result<()> {
    let damaged = |e| damaged(path, full, &e);
    let shape = dataset.get_shape().map_err(damaged)?;
    let size = dataset.dtype().map_err(damaged)?.size() as u128;
    let (bytes, stored) = (
        product(shape.iter().copied()).saturating_mul(size),
        u128::from(dataset.storage_size()),
    );
    let file = std::fs::metadata(path).map_or(0, |meta| u128::from(meta.len()));
    let held = match layout {
        Layout::Chunked if stored > of_chunks(dataset, &shape, size) => 0,
        Layout::Chunked => stored.saturating_mul(GREATEST_COMPRESSION).max(SMALL),
        Layout::Contiguous if stored == 0 => SMALL,
        // contiguous data, which libhdf5 would read past its end
        _ => stored,
    };
    let wide = product(shape.iter().copied().skip(1)) > WIDEST_ITEM;
    if stored <= file && bytes <= held && !wide {
        return Ok(());
    }
    Err(Error::input(format!(
        "`{full}` in {} says that its shape is {shape:?}, but {stored} bytes of it are stored in a file of \
         {file}; expected at most {WIDEST_ITEM} numbers an item, all of them written. The file is probably \
         damaged; create it again",
        path.display()
    )))
}

/// Upper bound of the stored size of all chunks of a dataset of `shape`, with numbers of `size` bytes.
/// Larger chunks would expand in memory.
fn of_chunks(dataset: &hdf5::Dataset, shape: &[usize], size: u128) -> u128 {
    let chunk = dataset.chunk().unwrap_or_default();
    let axes = shape.iter().zip(&chunk);
    let count = product(axes.map(|(axis, of_chunk)| axis.div_ceil((*of_chunk).max(1))));
    let plain = product(chunk).saturating_mul(size);
    count.saturating_mul(most_stored(plain))
}

fn product(axes: impl IntoIterator<Item = usize>) -> u128 {
    (axes.into_iter()).fold(1, |product, axis| product.saturating_mul(axis as u128))
}

/// The path of `name` through hard links only; `None` if a component is missing.
fn resolve(file: &File, path: &Path, name: &str) -> Result<Option<String>> {
    let parts = |p: &str| -> Vec<String> {
        p.split('/')
            .filter(|s| !s.is_empty() && *s != ".")
            .map(str::to_owned)
            .collect()
    };
    let mut ahead: VecDeque<String> = parts(name).into();
    let mut behind: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = ahead.pop_front() {
        let Ok(group) = file.group(&format!("/{}", behind.join("/"))) else {
            return Ok(None);
        };
        let kind = link_type(&group, &part).map_err(|e| {
            Error::input(format!(
                "{} cannot be listed: {}. The file is probably damaged; create it again",
                path.display(),
                reason(&e)
            ))
        })?;
        match kind {
            None => return Ok(None),
            Some(LinkType::Hard) => behind.push(part),
            Some(LinkType::External) => {
                return Err(Error::input(format!(
                    "`{}` in {} is a link into another file, which is refused since a file must not make us read another one. Name that file in `file` instead",
                    absolute(name),
                    path.display()
                )));
            }
            Some(LinkType::Soft) => {
                links += 1;
                if links > LONGEST_LINK_CHAIN {
                    return Err(Error::input(format!(
                        "`{}` in {} is a circle of soft links; expected a dataset",
                        absolute(name),
                        path.display()
                    )));
                }
                let target =
                    soft_link_target(&group, &part).map_err(|e| Error::file(path, reason(&e)))?;
                if target.starts_with('/') {
                    behind.clear();
                }
                for part in parts(&target).into_iter().rev() {
                    ahead.push_front(part);
                }
            }
        }
    }
    Ok((!behind.is_empty()).then(|| format!("/{}", behind.join("/"))))
}

fn missing(file: &File, path: &Path, full: &str) -> Error {
    Error::input(format!(
        "no `{full}` in {}; {}",
        path.display(),
        contents(file, path, full)
    ))
}

/// "it holds ... Did you mean ...?"
fn contents(file: &File, path: &Path, wanted: &str) -> String {
    const SHOWN: usize = 8;
    let Ok(found) = tree::of_file(file, path) else {
        return "its contents cannot be listed".to_owned();
    };
    let found = found.datasets;
    if found.is_empty() {
        return "it holds no dataset".to_owned();
    }
    let mut held: Vec<String> = found
        .iter()
        .take(SHOWN)
        .map(|d| format!("`{}` {:?} {}", d.name, d.shape, d.dtype))
        .collect();
    if found.len() > SHOWN {
        held.push(format!("and {} more", found.len() - SHOWN));
    }
    let names: Vec<String> = found.into_iter().map(|d| d.name).collect();
    let guess = match closest(wanted, &names) {
        Some(name) => format!("Did you mean `{}`?", name.trim_start_matches('/')),
        None => "Set `dataset` to one of them".to_owned(),
    };
    format!("it holds {}. {guess}", held.join(", "))
}
