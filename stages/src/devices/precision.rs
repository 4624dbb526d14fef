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

/// 64 bits where `device` has them, else 32.
pub fn widest(device: &Device) -> DType {
    if device.supports_dtype(DType::F64) {
        DType::F64
    } else {
        DType::F32
    }
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
        assert_eq!(widest(&Device::flex()), DType::F64);
    }
}
