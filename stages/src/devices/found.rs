//! Devices of this machine that this binary can use.

use super::choice::DeviceChoice;
use super::kinds::{KINDS, Kind};
use burn::tensor::{DType, Device};

/// A device of this machine, or a kind without a device.
#[derive(Debug)]
pub struct Found {
    /// Name in configurations.
    pub name: String,
    /// Description: the GPU's model if known, else its kind.
    pub about: String,
    /// Whether it can be used.
    pub usable: bool,
    /// The reason if it cannot be used.
    pub why: String,
    /// Whether it supports bfloat16; None if it was not opened.
    pub bf16: Option<bool>,
    /// Whether it supports 64 bits; None if it was not opened.
    pub f64: Option<bool>,
}

/// Opens and lists every device of this machine, with one line for each kind without a device.
pub fn found() -> Vec<Found> {
    KINDS.iter().flat_map(of_kind).collect()
}

fn of_kind(kind: &'static Kind) -> Vec<Found> {
    let choices = match kind.name {
        "cpu" => vec![DeviceChoice::Cpu],
        "cuda" => numbered(cuda_count(), DeviceChoice::Cuda),
        "wgpu" => numbered(wgpu_count(), DeviceChoice::Wgpu),
        _ if kind.built => {
            let why = "specified by its address; not searched for".to_owned();
            return vec![unopened(kind.forms.join(", "), kind, why)];
        }
        _ => vec![DeviceChoice::Remote("URL".to_owned())],
    };
    choices.into_iter().map(|choice| open(&choice)).collect()
}

/// All `count` devices, or the first one, which explains why there is none.
fn numbered(count: usize, choice: fn(usize) -> DeviceChoice) -> Vec<DeviceChoice> {
    (0..count.max(1)).map(choice).collect()
}

fn open(choice: &DeviceChoice) -> Found {
    let kind = choice.kind();
    match choice.open() {
        Ok(device) => Found {
            name: choice.to_string(),
            about: model(&device).unwrap_or_else(|| kind.about.to_owned()),
            usable: true,
            why: String::new(),
            bf16: Some(device.supports_dtype(DType::BF16)),
            f64: Some(device.supports_dtype(DType::F64)),
        },
        Err(why) => {
            let why = why.to_string();
            let start = format!("device `{choice}`: ");
            let start = [start.as_str(), &format!("device `{}`: ", kind.name)]
                .into_iter()
                .find_map(|start| why.strip_prefix(start));
            let why = start.unwrap_or(&why).to_owned();
            unopened(kind.forms.join(", "), kind, why)
        }
    }
}

fn unopened(name: String, kind: &Kind, why: String) -> Found {
    Found {
        name,
        about: kind.about.to_owned(),
        usable: false,
        why,
        bf16: None,
        f64: None,
    }
}

#[cfg(feature = "cuda")]
pub(super) fn cuda_count() -> usize {
    super::cuda::count()
}

#[cfg(not(feature = "cuda"))]
pub(super) fn cuda_count() -> usize {
    0
}

#[cfg(feature = "wgpu-untuned")]
fn wgpu_count() -> usize {
    super::wgpu::all().len()
}

#[cfg(not(feature = "wgpu-untuned"))]
fn wgpu_count() -> usize {
    0
}

/// The model name of a GPU.
#[cfg(any(feature = "cuda", feature = "wgpu-untuned"))]
fn model(device: &Device) -> Option<String> {
    Some(device.identity()?.name)
}

#[cfg(not(any(feature = "cuda", feature = "wgpu-untuned")))]
fn model(_: &Device) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_or_says_why_not() {
        let found = found();
        assert!(found[0].name == "cpu" && found[0].usable);
        assert_eq!((found[0].bf16, found[0].f64), (Some(true), Some(true)));
        for kind in &KINDS {
            let of_kind = |found: &&Found| found.name.starts_with(kind.name);
            let first = found.iter().find(of_kind).expect("a line for each kind");
            assert_eq!(first.usable, first.why.is_empty(), "{first:?}");
            assert!(!first.why.starts_with("device"), "{first:?}");
        }
    }
}
