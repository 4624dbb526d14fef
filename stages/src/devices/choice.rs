//! Device names in configurations.

#[cfg(feature = "cuda")]
use super::cuda;
use super::kinds::{KINDS, Kind, forms};
#[cfg(feature = "remote")]
use super::remote;
#[cfg(feature = "wgpu-untuned")]
use super::wgpu;
use crate::error::{Error, Result};
use burn::tensor::Device;
use std::fmt;
use std::str::FromStr;

/// A device by name: `cpu`, `cuda`, `cuda:1`, `wgpu`, `remote:ws://host:3000`. See [`KINDS`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// Pure Rust on the CPU (Burn's Flex backend).
    #[default]
    Cpu,
    /// An NVIDIA GPU by index (cargo feature `cuda`).
    Cuda(usize),
    /// A GPU by index through Vulkan, Metal or DirectX (cargo feature `wgpu`).
    Wgpu(usize),
    /// A device served by another host (cargo feature `remote`).
    Remote(String),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let choice = match name.split_once(':') {
            None => match name {
                "cpu" => Some(Self::Cpu),
                "cuda" => Some(Self::Cuda(0)),
                "wgpu" => Some(Self::Wgpu(0)),
                _ => None,
            },
            Some(("cuda", index)) => index.parse().map(Self::Cuda).ok(),
            Some(("wgpu", index)) => index.parse().map(Self::Wgpu).ok(),
            Some(("remote", url)) if !url.is_empty() => Some(Self::Remote(url.to_owned())),
            Some(_) => None,
        };
        choice.ok_or_else(|| {
            let expected = forms("`");
            Error::input(format!("device: found `{name}`, expected {expected}"))
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
            Self::Remote(url) => write!(f, "remote:{url}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// A device error that says, in one line, what this build, this machine or the other host lacks,
    /// and how to fix it.
    pub fn open(&self) -> Result<Device> {
        self.kind().require_built(self)?;
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => cuda::open(*index),
            #[cfg(feature = "wgpu-untuned")]
            Self::Wgpu(index) => wgpu::open(*index),
            #[cfg(feature = "remote")]
            Self::Remote(url) => remote::open(url),
            #[allow(unreachable_patterns, reason = "a build may have all kinds")]
            _ => unreachable!("what was not built in has been refused"),
        }
    }

    /// Its entry in [`KINDS`].
    pub fn kind(&self) -> &'static Kind {
        &KINDS[match self {
            Self::Cpu => 0,
            Self::Cuda(_) => 1,
            Self::Wgpu(_) => 2,
            Self::Remote(_) => 3,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_list_is_a_device_of_its_kind_and_is_written_as_it_is_read() {
        for kind in &KINDS {
            for form in kind.forms {
                let written = form.replace('N', "3").replace("URL", "ws://host:3000");
                let choice: DeviceChoice = written.parse().unwrap();
                assert_eq!(choice.kind().name, kind.name, "{written}");
                assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
                assert_eq!(kind.name, form.split(':').next().unwrap());
            }
        }
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_the_list() {
        for name in [
            "", "gpu", "cuda:", "cuda:one", "wgpu:-1", "remote:", "cpu:0",
        ] {
            let error = name.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains(&format!("found `{name}`")), "{error}");
            assert!(error.contains(&forms("`")), "{error}");
        }
    }

    #[test]
    fn a_kind_that_was_not_built_in_says_how_to_build_it() {
        for name in ["cuda:1", "wgpu", "remote:ws://host:3000"] {
            let choice: DeviceChoice = name.parse().unwrap();
            let kind = choice.kind();
            if kind.built {
                continue;
            }
            let feature = kind.feature.unwrap();
            let error = choice.open().unwrap_err().to_string();
            assert!(error.contains(&choice.to_string()), "{error}");
            assert!(error.contains(&format!("--features {feature}")), "{error}");
        }
    }
}
