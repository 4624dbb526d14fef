//! The few calls of libhdf5 that the safe crate lacks. All `unsafe` code for HDF5 is here.
//!
//! Every call runs under the process-wide lock of libhdf5 (`hdf5::sync::sync`), which also keeps the
//! library from printing its error stack.

use half::f16;
use hdf5::file::FileDriver;
use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
use hdf5::{
    Attribute, Dataset, Dataspace, Datatype, File, Group, H5Type, Hyperslab, LinkType, Selection,
};
use hdf5_sys::h5::{herr_t, hsize_t};
use hdf5_sys::h5a::H5Aread;
use hdf5_sys::h5d::{H5Dread, H5Dread_chunk1, H5Dwrite};
use hdf5_sys::h5f::{H5Fget_file_image, H5Fget_vfd_handle};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5l::{H5L_info1_t, H5Lexists, H5Lget_info1, H5Lget_val};
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5s::H5S_ALL;
use hdf5_sys::h5t::H5Tget_ebias;
use std::ffi::{CString, c_int, c_uint};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Once;

unsafe extern "C" {
    /// The bindings declare a pointer.
    fn H5PLset_loading_state(plugin_control_mask: c_uint) -> herr_t;
    /// Since 1.10.2; missing in the bindings.
    fn H5Dget_chunk_storage_size(
        dataset: hid_t,
        offset: *const hsize_t,
        bytes: *mut hsize_t,
    ) -> herr_t;
    /// Since 1.10.5; available in the bindings only for builds that know their version.
    fn H5Dget_num_chunks(dataset: hid_t, space: hid_t, count: *mut hsize_t) -> herr_t;
}

/// Keeps libhdf5 from loading plugins for filters it lacks from a path in an environment variable; such
/// filters are refused.
pub(crate) fn forbid_plugins() {
    static FORBIDDEN: Once = Once::new();
    FORBIDDEN.call_once(|| {
        // SAFETY: the call takes a number only.
        hdf5::sync::sync(|| unsafe { H5PLset_loading_state(0) });
    });
}

/// Types for which every bit pattern written by libhdf5 is valid. `bool` is not one of them: a file may
/// contain any byte for a flag, and libhdf5 passes it on.
pub trait Readable: H5Type + Clone + Default {}

macro_rules! readable {
    ($($kind:ty),*) => { $(impl Readable for $kind {})* };
}
readable!(f16, f32, f64, i8, i64, u8, u64, VarLenUnicode, VarLenAscii);
impl<const N: usize> Readable for FixedUnicode<N> {}
impl<const N: usize> Readable for FixedAscii<N> {}

/// Selection of the part `axes` of `dataset`: file space, memory space and number of elements.
fn part(dataset: &Dataset, axes: &[Range<usize>]) -> hdf5::Result<(Dataspace, Dataspace, usize)> {
    let count: Vec<usize> = axes.iter().map(|a| a.len()).collect();
    let slab: Vec<_> = axes.iter().cloned().map(Into::into).collect();
    let in_file = match axes.is_empty() {
        true => dataset.space()?, // a scalar has no axis to select from
        false => dataset
            .space()?
            .select(Selection::from(Hyperslab::from(slab)))?,
    };
    let in_memory = Dataspace::try_new(&count)?;
    Ok((in_file, in_memory, count.iter().product()))
}

/// The items `range` of an array of `shape`, as one range per axis.
fn items(shape: &[usize], range: &Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(range.clone())
        .chain(shape.iter().skip(1).map(|&n| 0..n))
        .collect()
}

/// Reads the items `range` of a dataset of shape `shape`, row-major.
pub(crate) fn read_items<T: Readable>(
    dataset: &Dataset,
    shape: &[usize],
    range: Range<usize>,
) -> hdf5::Result<Vec<T>> {
    if shape.contains(&0) {
        return Ok(Vec::new());
    }
    read_slab(dataset, &items(shape, &range))
}

/// Reads the part `axes` of a dataset, one range per axis, row-major.
pub(crate) fn read_slab<T: Readable>(
    dataset: &Dataset,
    axes: &[Range<usize>],
) -> hdf5::Result<Vec<T>> {
    if axes.iter().any(Range::is_empty) {
        return Ok(Vec::new());
    }
    let (in_file, in_memory, count) = part(dataset, axes)?;
    let dtype = Datatype::from_type::<T>()?;
    let mut values = vec![T::default(); count];
    // SAFETY: the memory space has exactly `count` elements of type `T`, the capacity of `values`, and any
    // bytes are a valid `T`.
    hdf5::sync::sync(|| {
        hdf5::h5check(unsafe {
            H5Dread(
                dataset.id(),
                dtype.id(),
                in_memory.id(),
                in_file.id(),
                H5P_DEFAULT,
                values.as_mut_ptr().cast(),
            )
        })
    })?;
    Ok(values)
}

/// As [`read_slab`], for flags: nonzero values are true.
pub(crate) fn read_flags(dataset: &Dataset, axes: &[Range<usize>]) -> hdf5::Result<Vec<bool>> {
    Ok(flags(&read_slab(dataset, axes)?))
}

/// The values of a flag attribute: nonzero values are true.
pub(crate) fn attribute_flags(attribute: &Attribute) -> hdf5::Result<Vec<bool>> {
    let dtype = Datatype::from_type::<i8>()?;
    let mut values = vec![0i8; attribute.size()];
    // SAFETY: libhdf5 writes one byte per value of the attribute.
    hdf5::sync::sync(|| {
        hdf5::h5check(unsafe { H5Aread(attribute.id(), dtype.id(), values.as_mut_ptr().cast()) })
    })?;
    Ok(flags(&values))
}

fn flags(values: &[i8]) -> Vec<bool> {
    values.iter().map(|&value| value != 0).collect()
}

/// Reads the raw chunk that starts at `offset` (an index per axis) into the memory that `place` returns for
/// its size. `None` if `place` returns none, the chunk was never written, a filter was skipped for it, or
/// it cannot be read.
///
/// # Panics
/// If `place` returns memory of another size.
pub(crate) fn read_chunk<'a>(
    dataset: &Dataset,
    offset: &[u64],
    place: impl FnOnce(usize) -> Option<&'a mut [u8]>,
) -> Option<&'a [u8]> {
    assert_eq!(offset.len(), dataset.ndim());
    hdf5::sync::sync(|| {
        let mut size: hsize_t = 0;
        // SAFETY: `offset` has one entry per axis.
        hdf5::h5check(unsafe {
            H5Dget_chunk_storage_size(dataset.id(), offset.as_ptr(), &mut size)
        })
        .ok()?;
        if size == 0 {
            return None;
        }
        let stored = place(usize::try_from(size).ok()?)?;
        assert_eq!(stored.len() as u64, size);
        let mut skipped = 0;
        // SAFETY: libhdf5 writes the chunk, whose size was queried under the same lock.
        hdf5::h5check(unsafe {
            H5Dread_chunk1(
                dataset.id(),
                H5P_DEFAULT,
                offset.as_ptr(),
                &mut skipped,
                stored.as_mut_ptr().cast(),
            )
        })
        .ok()?;
        (skipped == 0).then_some(&*stored)
    })
}

/// The number of written chunks of `dataset`, counted by traversing its index; `None` if it is not chunked.
pub(crate) fn count_chunks(dataset: &Dataset) -> Option<u64> {
    dataset.chunk()?;
    let mut count = 0;
    // SAFETY: libhdf5 writes one number.
    hdf5::sync::sync(|| {
        hdf5::h5check(unsafe { H5Dget_num_chunks(dataset.id(), H5S_ALL, &mut count) })
    })
    .ok()?;
    Some(count)
}

/// Writes the raw chunk that starts at `offset`, bypassing its filters.
#[cfg(test)]
pub(crate) fn write_chunk(dataset: &Dataset, offset: &[u64], stored: &[u8]) -> hdf5::Result<()> {
    unsafe extern "C" {
        fn H5Dwrite_chunk(
            dataset: hid_t,
            transfer: hid_t,
            skipped: u32,
            offset: *const hsize_t,
            size: usize,
            stored: *const std::ffi::c_void,
        ) -> herr_t;
    }
    assert_eq!(offset.len(), dataset.ndim());
    hdf5::sync::sync(|| {
        // SAFETY: `offset` has one entry per axis, and libhdf5 reads `stored` only.
        hdf5::h5check(unsafe {
            H5Dwrite_chunk(
                dataset.id(),
                H5P_DEFAULT,
                0,
                offset.as_ptr(),
                stored.len(),
                stored.as_ptr().cast(),
            )
        })
    })?;
    Ok(())
}

/// The file that libhdf5 has open as `file`, for reading without libhdf5: the same inode, even if its name
/// now refers to another file. `None` if it is not a plain file.
pub(crate) fn plain_file(file: &File) -> Option<std::fs::File> {
    let driver = file.access_plist().ok()?.driver();
    if !matches!(driver, FileDriver::Sec2) {
        return None;
    }
    hdf5::sync::sync(|| {
        let mut handle = std::ptr::null_mut();
        // SAFETY: with this driver, the handle is a pointer to a descriptor that is open as long as the
        // file is.
        let descriptor = unsafe {
            hdf5::h5check(H5Fget_vfd_handle(file.id(), H5P_DEFAULT, &mut handle)).ok()?;
            BorrowedFd::borrow_raw(*handle.cast::<c_int>())
        };
        descriptor.try_clone_to_owned().ok().map(Into::into)
    })
}

/// Writes whole items, row-major, from item `first` on.
pub(crate) fn write_items<T: H5Type>(
    dataset: &Dataset,
    shape: &[usize],
    first: usize,
    values: &[T],
) -> hdf5::Result<()> {
    let width: usize = shape.iter().skip(1).product();
    if values.is_empty() || width == 0 {
        return Ok(());
    }
    let (in_file, in_memory, count) = part(
        dataset,
        &items(shape, &(first..first + values.len() / width)),
    )?;
    if count != values.len() {
        return Err(format!("{} values are not whole items of {width}", values.len()).into());
    }
    let dtype = Datatype::from_type::<T>()?;
    // SAFETY: the memory space has exactly `count == values.len()` elements of type `T`.
    hdf5::sync::sync(|| {
        hdf5::h5check(unsafe {
            H5Dwrite(
                dataset.id(),
                dtype.id(),
                in_memory.id(),
                in_file.id(),
                H5P_DEFAULT,
                values.as_ptr().cast(),
            )
        })
    })?;
    Ok(())
}

/// The kind of the link `name` of `group`; none if there is no such link. Looked up in the group's index, without
/// visiting its other links.
pub(crate) fn link_type(group: &Group, name: &str) -> hdf5::Result<Option<LinkType>> {
    let name = CString::new(name).map_err(|e| e.to_string())?;
    let mut info = MaybeUninit::<H5L_info1_t>::zeroed();
    // SAFETY: `name` ends with a zero, and libhdf5 fills `info`, whose first field is the kind as a C int. It is not read
    // as the enumeration of the bindings, which lacks the kinds that users may define.
    hdf5::sync::sync(|| {
        let exists = hdf5::h5check(unsafe { H5Lexists(group.id(), name.as_ptr(), H5P_DEFAULT) })?;
        if exists == 0 {
            return Ok(None);
        }
        hdf5::h5check(unsafe {
            H5Lget_info1(group.id(), name.as_ptr(), info.as_mut_ptr(), H5P_DEFAULT)
        })?;
        Ok(Some(
            match unsafe { info.as_ptr().cast::<c_int>().read() } {
                0 => LinkType::Hard,
                1 => LinkType::Soft,
                _ => LinkType::External,
            },
        ))
    })
}

/// Where the soft link `name` of `group` points to.
pub(crate) fn soft_link_target(group: &Group, name: &str) -> hdf5::Result<String> {
    let name = CString::new(name).map_err(|e| e.to_string())?;
    let mut target = vec![0u8; 1 << 16];
    // SAFETY: libhdf5 writes at most `target.len()` bytes.
    hdf5::sync::sync(|| {
        hdf5::h5check(unsafe {
            H5Lget_val(
                group.id(),
                name.as_ptr(),
                target.as_mut_ptr().cast(),
                target.len() as _,
                H5P_DEFAULT,
            )
        })
    })?;
    let end = target.iter().position(|&b| b == 0).unwrap_or(target.len());
    Ok(String::from_utf8_lossy(&target[..end]).into_owned())
}

/// The exponent bias of a floating-point type, which distinguishes IEEE half precision (15) from bfloat16
/// (127).
pub(crate) fn exponent_bias(dtype: &Datatype) -> usize {
    // SAFETY: a query on a live datatype.
    hdf5::sync::sync(|| unsafe { H5Tget_ebias(dtype.id()) as usize })
}

/// The bytes of a flushed in-memory file (core driver).
pub(crate) fn file_image(file: &File) -> hdf5::Result<Vec<u8>> {
    hdf5::sync::sync(|| {
        // SAFETY: with a null buffer the call only reports the size.
        let size = hdf5::h5check(unsafe { H5Fget_file_image(file.id(), std::ptr::null_mut(), 0) })?;
        let mut image = vec![0u8; size as usize];
        // SAFETY: libhdf5 writes at most `image.len()` bytes.
        hdf5::h5check(unsafe {
            H5Fget_file_image(file.id(), image.as_mut_ptr().cast(), image.len() as _)
        })?;
        Ok(image)
    })
}
