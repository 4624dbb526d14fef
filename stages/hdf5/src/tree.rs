//! Listing of an open HDF5 file, without reading its data or following references to other files.

use crate::error::{Result, damaged, reason};
use crate::raw::{attribute_flags, exponent_bias};
use crate::text::FileText;
use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Attribute, File, Group, IndexType, IterationOrder, LinkType, LocationType};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Maximum depth of groups; a hard link to a parent group makes a cycle.
const DEEPEST_GROUP: usize = 16;

/// Maximum number of values shown of an array attribute.
const LONGEST_ARRAY: usize = 8;

/// Attributes with more values are shown by their size only.
const LARGEST_ATTRIBUTE: usize = 65_536;

/// A dataset as described by its header.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetInfo {
    /// Absolute path inside the file, such as `/features`.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Element type in numpy's short form: f16, f32, u8, i64, ...; a description if it is not a number.
    pub dtype: String,
    /// Shape of a chunk; `None` if the data is contiguous.
    pub chunks: Option<Vec<usize>>,
    /// The filters in the order in which writing applies them, such as `shuffle`, `gzip(4)`.
    pub filters: Vec<String>,
    /// Names and printed values of the attributes; long arrays are cut.
    pub attributes: Vec<(String, String)>,
    /// Size of the data in the file, in bytes.
    pub stored_bytes: u64,
}

/// The datasets of a file, and what was skipped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileListing {
    pub file: PathBuf,
    /// Every dataset reachable by hard links, by name.
    pub datasets: Vec<DatasetInfo>,
    /// Links to other files, which are never followed.
    pub external_links: Vec<String>,
    /// Groups nested too deep.
    pub too_deep: Vec<String>,
}

/// The listing of an open file at `path`.
pub(crate) fn of_file(file: &File, path: &Path) -> Result<FileListing> {
    let mut listing = FileListing {
        file: path.to_owned(),
        datasets: Vec::new(),
        external_links: Vec::new(),
        too_deep: Vec::new(),
    };
    visit(file, path, "", 0, &mut listing)?;
    Ok(listing)
}

fn visit(
    group: &Group,
    path: &Path,
    prefix: &str,
    depth: usize,
    listing: &mut FileListing,
) -> Result<()> {
    let damaged = |name: &str, e: hdf5::Error| damaged(path, name, &e);
    let links = group
        .links(IndexType::Name, IterationOrder::Increasing)
        .map_err(|e| damaged(&format!("{prefix}/"), e))?;
    for (link, info) in links {
        let link = link.text();
        let name = format!("{prefix}/{link}");
        match info.link_type {
            LinkType::External => listing.external_links.push(name),
            // The target of a soft link is listed under its own name.
            LinkType::Soft => {}
            LinkType::Hard => {
                let kind = group.loc_type_by_name(&link);
                match kind.map_err(|e| damaged(&name, e))? {
                    LocationType::Dataset => {
                        let dataset = group.dataset(&link).map_err(|e| damaged(&name, e))?;
                        listing
                            .datasets
                            .push(describe(&dataset, &name).map_err(|e| damaged(&name, e))?);
                    }
                    LocationType::Group if depth < DEEPEST_GROUP => {
                        let inner = group.group(&link).map_err(|e| damaged(&name, e))?;
                        visit(&inner, path, &name, depth + 1, listing)?;
                    }
                    LocationType::Group => listing.too_deep.push(name),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// The header of `dataset`, called `name`.
pub(crate) fn describe(dataset: &hdf5::Dataset, name: &str) -> hdf5::Result<DatasetInfo> {
    let mut attributes = Vec::new();
    for attribute in dataset.attr_names()? {
        let value = dataset.attr(&attribute).and_then(|a| print(&a));
        attributes.push((
            attribute.text(),
            value.unwrap_or_else(|e| format!("({})", reason(&e))),
        ));
    }
    Ok(DatasetInfo {
        name: name.to_owned(),
        shape: dataset.get_shape()?,
        dtype: type_name(&dataset.dtype()?),
        chunks: dataset.chunk(),
        filters: dataset.filters().iter().map(filter_name).collect(),
        attributes,
        stored_bytes: dataset.storage_size(),
    })
}

/// The short name of an element type: numpy's letter and the number of bits for numbers.
pub(crate) fn type_name(dtype: &hdf5::Datatype) -> String {
    use TypeDescriptor::{Float, Integer, Unsigned};
    match dtype.to_descriptor() {
        Ok(Integer(size)) => format!("i{}", 8 * size as usize),
        Ok(Unsigned(size)) => format!("u{}", 8 * size as usize),
        Ok(Float(size)) if size as usize == 2 && exponent_bias(dtype) != 15 => {
            "a 16-bit float other than f16 (bfloat16?)".to_owned()
        }
        Ok(Float(size)) => format!("f{}", 8 * size as usize),
        Ok(other) => other.to_string(),
        Err(e) => format!("unsupported type ({})", reason(&e)),
    }
}

pub(crate) fn filter_name(filter: &hdf5::filters::Filter) -> String {
    use hdf5::filters::Filter;
    match filter {
        Filter::Deflate(level) => format!("gzip({level})"),
        Filter::Shuffle => "shuffle".into(),
        Filter::Fletcher32 => "fletcher32".into(),
        Filter::User(id @ 32000, _) => format!("lzf, filter {id}"),
        Filter::User(id @ (32001 | 32026), _) => format!("blosc, filter {id}"),
        Filter::User(id @ 32015, _) => format!("zstd, filter {id}"),
        Filter::User(id, _) => format!("filter {id}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The value of an attribute on one line.
fn print(attribute: &Attribute) -> hdf5::Result<String> {
    use TypeDescriptor::{Boolean, Float, Integer, Unsigned};
    fn join<T: ToString>(values: Vec<T>) -> String {
        let mut shown: Vec<String> = values
            .iter()
            .take(LONGEST_ARRAY)
            .map(ToString::to_string)
            .collect();
        if values.len() > LONGEST_ARRAY {
            shown.push(format!("... ({} values)", values.len()));
        }
        match values.len() {
            1 => shown.remove(0),
            _ => format!("[{}]", shown.join(", ")),
        }
    }
    fn texts<T: FileText>(values: Vec<T>) -> String {
        join(values.iter().map(FileText::text).collect())
    }
    if attribute.size() > LARGEST_ATTRIBUTE {
        return Ok(format!("({} values)", attribute.size()));
    }
    let dtype = attribute.dtype()?.to_descriptor()?;
    Ok(match dtype {
        Float(_) => join(attribute.read_raw::<f64>()?),
        Integer(_) => join(attribute.read_raw::<i64>()?),
        Unsigned(_) => join(attribute.read_raw::<u64>()?),
        Boolean => join(attribute_flags(attribute)?),
        TypeDescriptor::VarLenUnicode => texts(attribute.read_raw::<VarLenUnicode>()?),
        TypeDescriptor::VarLenAscii => texts(attribute.read_raw::<VarLenAscii>()?),
        TypeDescriptor::FixedAscii(_) => texts(attribute.read_raw::<FixedAscii<1024>>()?),
        TypeDescriptor::FixedUnicode(_) => texts(attribute.read_raw::<FixedUnicode<1024>>()?),
        other => other.to_string(),
    })
}
