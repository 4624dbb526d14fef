//! The one list of devices: what help, schema, errors and completions say.

use crate::error::{Error, Result};
use std::fmt::Display;

/// A kind of device.
#[derive(Debug)]
pub struct Kind {
    /// As its forms begin.
    pub name: &'static str,
    /// As a configuration writes it.
    pub forms: &'static [&'static str],
    /// What it is.
    pub about: &'static str,
    /// The cargo feature that a binary needs to have it; none where every binary has.
    pub feature: Option<&'static str>,
    /// Whether this binary has it.
    pub built: bool,
}

/// Every kind of device there is, in this binary or not.
pub const KINDS: [Kind; 4] = [
    Kind {
        name: "cpu",
        forms: &["cpu"],
        about: "this machine's cores, in pure Rust",
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
        about: "a device that another host serves",
        feature: Some("remote"),
        built: cfg!(feature = "remote"),
    },
];

/// Every way to write a device, each between two `quote`s: `cpu, cuda, ... or remote:URL`.
pub fn forms(quote: &str) -> String {
    let forms = KINDS.iter().flat_map(|kind| kind.forms);
    let mut forms: Vec<String> = forms.map(|form| format!("{quote}{form}{quote}")).collect();
    let last = forms.pop().expect("there are some");
    format!("{} or {last}", forms.join(", "))
}

impl Kind {
    /// An error that says how to build it, where this binary lacks it; `choice` is the device that was asked for.
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
