//! The list of devices, used by help, schema, errors and completions.

use crate::error::{Error, Result};
use std::fmt::Display;

/// A kind of device.
#[derive(Debug)]
pub struct Kind {
    /// Prefix of its forms.
    pub name: &'static str,
    /// Forms in configurations.
    pub forms: &'static [&'static str],
    /// Description.
    pub about: &'static str,
    /// The cargo feature that enables it; None if it is always available.
    pub feature: Option<&'static str>,
    /// Whether this binary includes it.
    pub built: bool,
}

/// Every kind of device, whether or not this binary includes it.
pub const KINDS: [Kind; 4] = [
    Kind {
        name: "cpu",
        forms: &["cpu"],
        about: "the CPU of this machine, in pure Rust",
        feature: None,
        built: true,
    },
    Kind {
        name: "cuda",
        forms: &["cuda", "cuda:N"],
        about: "an NVIDIA GPU",
        feature: Some("cuda"),
        built: cfg!(feature = "cuda"),
    },
    Kind {
        name: "wgpu",
        forms: &["wgpu", "wgpu:N"],
        about: "a GPU through Vulkan, Metal or DirectX",
        feature: Some("wgpu"),
        built: cfg!(feature = "wgpu-untuned"),
    },
    Kind {
        name: "remote",
        forms: &["remote:URL"],
        about: "a device served by another host",
        feature: Some("remote"),
        built: cfg!(feature = "remote"),
    },
];

/// Every form of a device name, each between two `quote`s: `cpu, cuda, ... or remote:URL`.
pub fn forms(quote: &str) -> String {
    let forms = KINDS.iter().flat_map(|kind| kind.forms);
    let mut forms: Vec<String> = forms.map(|form| format!("{quote}{form}{quote}")).collect();
    let last = forms.pop().expect("there are some");
    format!("{} or {last}", forms.join(", "))
}

impl Kind {
    /// An error that says how to build it if this binary lacks it; `choice` is the requested device.
    pub(super) fn require_built(&self, choice: &impl Display) -> Result<()> {
        match self.feature {
            Some(feature) if !self.built => Err(Error::Device(format!(
                "device `{choice}`: this binary was built without it; build it with `cargo build \
                 --features {feature}`, or use `device: cpu`"
            ))),
            _ => Ok(()),
        }
    }
}
