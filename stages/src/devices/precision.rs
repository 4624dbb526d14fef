//! Number formats of devices. Burn does not refuse an unsupported type: it returns garbage or panics.

use crate::problems::Problems;
use burn::tensor::{DType, Device};

/// The number format that a stage uses, and its configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Key within the stage's section.
    pub key: &'static str,
    pub dtype: DType,
}

/// Reports, under its key, every type of `asked` that `device`, called `name` in messages, does not
/// support.
pub fn check_numbers(device: &Device, name: &str, asked: &[Numbers], problems: &mut Problems) {
    refuse(|dtype| device.supports_dtype(dtype), name, asked, problems);
}

fn refuse(
    supported: impl Fn(DType) -> bool,
    name: &str,
    asked: &[Numbers],
    problems: &mut Problems,
) {
    for Numbers { key, dtype } in asked {
        let found = format!("`{}`", dtype.name());
        let expected = format!("`f32`, since the device `{name}` does not support that type");
        problems.require(supported(*dtype), key, found, &expected);
    }
}

/// The widest number format of `device`: 64 bits, or else 32 with a note to report.
pub fn widest(device: &Device) -> (DType, Option<&'static str>) {
    widest_of(|dtype| device.supports_dtype(dtype))
}

fn widest_of(supported: impl Fn(DType) -> bool) -> (DType, Option<&'static str>) {
    if supported(DType::F64) {
        return (DType::F64, None);
    }
    let told = "the device does not support f64: its divergences are compared in f32, where they agree less well";
    (DType::F32, Some(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_the_device_lacks_is_refused_by_its_key() {
        let asked = [
            Numbers {
                key: "precision",
                dtype: DType::F64,
            },
            Numbers {
                key: "flow.precision",
                dtype: DType::F32,
            },
        ];
        let mut problems = Problems::new();
        problems.section("estimate_nll", |p| {
            refuse(|dtype| dtype == DType::F32, "wgpu:0", &asked, p);
        });
        let [message] = problems.messages() else {
            panic!("{:?}", problems.messages());
        };
        assert_eq!(
            message,
            "estimate_nll.precision: found `f64`, expected `f32`, since the device `wgpu:0` does not \
             support that type"
        );
    }

    #[test]
    fn the_processor_has_every_type_that_a_configuration_may_ask_for() {
        for dtype in [DType::F32, DType::BF16, DType::F64] {
            assert!(Device::flex().supports_dtype(dtype), "{dtype:?}");
        }
        assert_eq!(widest(&Device::flex()), (DType::F64, None));
    }

    #[test]
    fn without_f64_it_is_f32_and_said() {
        let (dtype, told) = widest_of(|dtype| dtype == DType::F32);
        assert_eq!(dtype, DType::F32);
        assert!(
            told.is_some_and(|told| told.contains("does not support f64")),
            "{told:?}"
        );
    }
}
