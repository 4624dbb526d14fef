//! What numbers a device computes in. Nothing in Burn refuses a type that a device lacks: there would be
//! garbage, or a panic.

use crate::problems::Problems;
use burn::tensor::{DType, Device};

/// Numbers that a stage computes in, and the key that asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Within the stage's section.
    pub key: &'static str,
    /// Their type.
    pub dtype: DType,
}

/// Notes, under its key, every type of `asked` that `device`, which messages call `name`, lacks.
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
        let expected = format!("`f32`, since the device `{name}` does not compute in that");
        problems.require(supported(*dtype), key, found, &expected);
    }
}

/// The widest numbers that `device` computes in: 64 bits, or else 32, and then what is to be said of that.
pub fn widest(device: &Device) -> (DType, Option<&'static str>) {
    widest_of(|dtype| device.supports_dtype(dtype))
}

fn widest_of(supported: impl Fn(DType) -> bool) -> (DType, Option<&'static str>) {
    if supported(DType::F64) {
        return (DType::F64, None);
    }
    let told =
        "the device has no f64: its divergences are compared in f32, where they agree less well";
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
             compute in that"
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
        assert!(told.is_some_and(|told| told.contains("no f64")), "{told:?}");
    }
}
