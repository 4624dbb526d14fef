//! Names of datasets, and the axes of images.

use super::source::Array;
use clap::ValueEnum;
use latent_align_hdf5::{Number, OutData};
use latent_align_stages::{Error, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// The place of the channels of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Channels {
    /// Arrays of four axes are images [N, H, W, C]; written as [N, C, H, W]
    Last,
    /// Arrays of four axes are images [N, C, H, W], whatever their lengths
    First,
    /// Arrays of three axes are images [N, H, W] of one channel; written as [N, 1, H, W]
    None,
}

/// A last axis up to this length after two longer ones looks like channels, as the stages judge it.
const MOST_CHANNELS: usize = 4;

/// How the values of an array are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Kept,
    /// The last axis, of this length, comes before the two others of this many pixels.
    ChannelsFirst {
        pixels: usize,
        channels: usize,
    },
}

/// An array as it will be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Arranged {
    pub name: String,
    pub shape: Vec<usize>,
    pub order: Order,
}

/// Decides the names and the axes of `arrays` of the file `from`. `named` is the dataset's name, if given.
///
/// # Errors
/// [`Error::Input`] for empty arrays, single numbers, names that do not exist in HDF5 or twice, images whose channels
/// seem to come last, and `channels` that fit no array.
pub fn arrange(
    arrays: &[Array],
    channels: Option<Channels>,
    named: Option<&str>,
    from: &Path,
) -> Result<Vec<Arranged>> {
    let refuse = |why: String| Err(Error::input(format!("{}: {why}", from.display())));
    let mut arranged = Vec::new();
    let (mut fits, mut names) = (false, BTreeSet::new());
    for array in arrays {
        let (shape, order, is_as_said) = match axes(array, channels) {
            Ok(axes) => axes,
            Err(why) => return refuse(why),
        };
        fits |= is_as_said;
        let name = name_of(array, named, shape.len());
        if !is_name(&name) {
            return refuse(format!(
                "found the name `{}`, expected one that HDF5 can have; choose arrays with --only, or name the only one with \
                 --dataset",
                name.escape_debug()
            ));
        }
        if !names.insert(name.clone()) {
            return refuse(format!(
                "found two arrays for the dataset `{name}`, expected one; choose one with --only"
            ));
        }
        arranged.push(Arranged { name, shape, order });
    }
    for name in &names {
        let mut parents = name.match_indices('/').map(|(at, _)| &name[..at]);
        if let Some(parent) = parents.find(|parent| names.contains(*parent)) {
            return refuse(format!(
                "found the arrays `{parent}` and `{name}`, expected none inside another, as HDF5 would have them; choose \
                 with --only, or rename one"
            ));
        }
    }
    if let (Some(channels), false) = (channels, fits) {
        let (option, expected) = match channels {
            Channels::Last => ("last", "[N, H, W, C]"),
            Channels::First => ("first", "[N, C, H, W]"),
            Channels::None => ("none", "[N, H, W]"),
        };
        let shapes = arrays.iter().map(|array| format!("{:?}", array.shape));
        return refuse(format!(
            "found {}, expected images {expected} for `--channels {option}`; leave the option out",
            shapes.collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(arranged)
}

/// The axes of `array` as they will be written, their order, and whether it has the `channels` that are said.
///
/// # Errors
/// What was found and expected, for an array without items, and for images whose channels seem to come last.
fn axes(array: &Array, channels: Option<Channels>) -> Result<(Vec<usize>, Order, bool), String> {
    let shape = &array.shape;
    let name = array.name.as_deref();
    let said = name.map_or(String::new(), |name| format!("`{name}` of "));
    if shape.is_empty() || shape.contains(&0) {
        return Err(format!(
            "found {said}shape {shape:?}, expected items with numbers; leave it out with --only, or save it with items"
        ));
    }
    Ok(match (channels, shape.as_slice()) {
        (Some(Channels::Last), &[items, height, width, channels]) => {
            let pixels = height * width;
            let order = Order::ChannelsFirst { pixels, channels };
            (vec![items, channels, height, width], order, true)
        }
        (Some(Channels::First), [_, _, _, _]) => (shape.clone(), Order::Kept, true),
        (Some(Channels::None), &[items, height, width]) => {
            (vec![items, 1, height, width], Order::Kept, true)
        }
        (None, &[_, a, b, last])
            if last <= MOST_CHANNELS && a > MOST_CHANNELS && b > MOST_CHANNELS =>
        {
            return Err(format!(
                "found {said}shape {shape:?}, which may be images of {a} x {b} pixels with their channels last, or of {a} \
                 channels, expected to be told; add `--channels last` or `--channels first`"
            ));
        }
        _ => (shape.clone(), Order::Kept, false),
    })
}

/// The name of the dataset of `array` with this number of axes; `named` is the one that was asked for.
fn name_of(array: &Array, named: Option<&str>, axes: usize) -> String {
    match (&array.name, named) {
        (_, Some(named)) if !array.can_be_labels() => named.to_owned(),
        (Some(name), _) => name.clone(),
        (None, _) if array.can_be_labels() => "labels".to_owned(),
        (None, _) if axes == 4 => "images".to_owned(),
        (None, _) => "features".to_owned(),
    }
}

/// Whether HDF5 can have a dataset called `name`.
fn is_name(name: &str) -> bool {
    let mut parts = name.split('/');
    parts.all(|part| !["", ".", ".."].contains(&part)) && !name.contains('\0')
}

/// Refuses labels without anything to label.
///
/// # Errors
/// [`Error::Input`] if all arrays have one number an item.
pub fn refuse_labels_alone(arrays: &[Array], from: &Path) -> Result<()> {
    if arrays.iter().any(|array| array.shape.len() > 1) {
        return Ok(());
    }
    let shown = from.display();
    let items = arrays
        .first()
        .map_or(0, |array| array.shape.first().copied().unwrap_or(0));
    Err(Error::input(
        match arrays.iter().any(|a| a.number == Number::I64) {
            true => format!(
                "{shown}: found {items} labels alone, expected images or features; convert those, and name this file beside \
             them: `latent-align convert IMAGES TO.h5 --labels {shown}`"
            ),
            false => format!(
                "{shown}: found {items} numbers on one axis, expected features [N, D]; save a column, `x.reshape(-1, 1)`"
            ),
        },
    ))
}

/// Values of any type.
#[derive(Debug)]
pub enum Values {
    F16(Vec<half::f16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    U8(Vec<u8>),
    I64(Vec<i64>),
}

impl Values {
    /// The values, for a writer.
    pub fn as_out(&self) -> OutData<'_> {
        match self {
            Self::F16(v) => OutData::F16(v),
            Self::F32(v) => OutData::F32(v),
            Self::F64(v) => OutData::F64(v),
            Self::U8(v) => OutData::U8(v),
            Self::I64(v) => OutData::I64(v),
        }
    }
}

impl Order {
    /// `values`, whole items, in this order; none if they stay as they are.
    pub fn apply(self, values: OutData<'_>) -> Option<Values> {
        let Self::ChannelsFirst { pixels, channels } = self else {
            return None;
        };
        Some(match values {
            OutData::F16(v) => Values::F16(channels_first(v, pixels, channels)),
            OutData::F32(v) => Values::F32(channels_first(v, pixels, channels)),
            OutData::F64(v) => Values::F64(channels_first(v, pixels, channels)),
            OutData::U8(v) => Values::U8(channels_first(v, pixels, channels)),
            OutData::I64(v) => Values::I64(channels_first(v, pixels, channels)),
        })
    }
}

fn channels_first<T: Copy>(values: &[T], pixels: usize, channels: usize) -> Vec<T> {
    let mut moved = Vec::with_capacity(values.len());
    for item in values.chunks_exact(pixels * channels) {
        for channel in 0..channels {
            moved.extend(item.iter().skip(channel).step_by(channels));
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(name: Option<&str>, shape: &[usize], number: Number) -> Array {
        Array {
            name: name.map(str::to_owned),
            shape: shape.to_vec(),
            number,
            classes: Vec::new(),
        }
    }

    #[test]
    fn datasets_have_the_names_that_stages_expect() {
        for (name, shape, number, expected) in [
            (None, &[5, 3][..], Number::F32, "features"),
            (None, &[5, 1, 4, 4], Number::U8, "images"),
            (None, &[5], Number::I64, "labels"),
            (Some("x_train"), &[5, 3], Number::F32, "x_train"),
        ] {
            let found = arrange(&[array(name, shape, number)], None, None, Path::new("a")).unwrap();
            assert_eq!(found[0].name, expected);
        }
    }

    #[test]
    fn channels_move_on_request_alone() {
        let last = array(None, &[2, 5, 6, 3], Number::U8);
        let of = |array: &Array, channels| {
            arrange(
                std::slice::from_ref(array),
                channels,
                None,
                Path::new("a.npy"),
            )
        };
        let why = of(&last, None).unwrap_err().to_string();
        assert!(
            why.contains("--channels last") && why.contains("5 x 6 pixels"),
            "{why}"
        );
        let moved = of(&last, Some(Channels::Last)).unwrap().remove(0);
        assert_eq!(moved.shape, [2, 3, 5, 6]);
        let values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let order = Order::ChannelsFirst {
            pixels: 2,
            channels: 3,
        };
        let Some(Values::I64(found)) = order.apply(OutData::I64(&values)) else {
            panic!("not moved");
        };
        assert_eq!(found, [1, 4, 2, 5, 3, 6, 7, 10, 8, 11, 9, 12]);
        let kept = of(&last, Some(Channels::First)).unwrap().remove(0);
        assert_eq!(
            (kept.shape.as_slice(), kept.order),
            (&[2, 5, 6, 3][..], Order::Kept)
        );
        let grey = array(None, &[2, 5, 6], Number::U8);
        assert_eq!(of(&grey, None).unwrap()[0].shape, [2, 5, 6]);
        assert_eq!(
            of(&grey, Some(Channels::None)).unwrap()[0].shape,
            [2, 1, 5, 6]
        );
        assert!(of(&grey, Some(Channels::Last)).is_err());
    }

    /// Otherwise libhdf5 fails while writing, without a name.
    #[test]
    fn an_array_inside_another_one_is_refused_by_name() {
        let arrays = ["a/b/c", "a"].map(|name| array(Some(name), &[2, 2], Number::F32));
        let why = arrange(&arrays, None, None, Path::new("x.npz")).unwrap_err();
        assert!(why.to_string().contains("`a` and `a/b/c`"), "{why}");
    }

    #[test]
    fn names_that_are_no_paths_are_refused() {
        for name in ["", "a//b", "../x", "/x", "a\0b"] {
            let array = array(Some(name), &[2, 2], Number::F32);
            assert!(
                arrange(&[array], None, None, Path::new("a")).is_err(),
                "{name:?}"
            );
        }
    }
}
