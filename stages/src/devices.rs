//! The device tensors live on, chosen at run time.

use crate::error::{Error, Result};
use burn::tensor::Device;
use std::fmt;
use std::str::FromStr;

/// A device by name: `cpu`, `cuda`, `cuda:1`, `remote:ws://host:3000`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// Pure Rust on this machine's cores (Burn's Flex backend).
    #[default]
    Cpu,
    /// An NVIDIA GPU by index (cargo feature `cuda`).
    Cuda(usize),
    /// A device served by another host (cargo feature `remote`).
    Remote(String),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let expected = || {
            Error::input(format!(
                "device: found `{name}`, expected `cpu`, `cuda`, `cuda:N` or `remote:URL`"
            ))
        };
        match name.split_once(':') {
            None if name == "cpu" => Ok(Self::Cpu),
            None if name == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| expected()),
            Some(("remote", url)) if !url.is_empty() => Ok(Self::Remote(url.to_owned())),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Remote(url) => write!(f, "remote:{url}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device, or says in one line what is missing.
    pub fn open(&self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Cuda(index) => open_cuda(*index),
            Self::Remote(url) => open_remote(url),
        }
    }
}

/// The environment variable with the token that clients of a served device show.
#[cfg(feature = "remote")]
pub const TOKEN: &str = "LATENT_ALIGN_TOKEN";

/// Serves `device` over WebSocket to clients that connect to `listener` and show `token`, until the
/// process ends. Any program of this machine can connect to loopback, a web page in a browser among them;
/// without the token none of them gets a session. The transport is not encrypted: for loopback, trusted
/// networks and SSH tunnels.
///
/// # Errors
/// An empty token; a device that is not there; a listener that fails.
#[cfg(feature = "remote")]
pub fn serve(device: &DeviceChoice, listener: std::net::TcpListener, token: &str) -> Result<()> {
    use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
    let authorizer =
        TokenAuthorizer::new(token).map_err(|e| Error::input(format!("{TOKEN}: {e}")))?;
    let device = device.open()?;
    RemoteServer::new([device])
        .with_authorizer(authorizer)
        .serve(WebSocketTransport::from_listener(listener))
        .map_err(|error| Error::Device(format!("serving stopped: {error}")))
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    use burn::tensor::DeviceType;
    // Asked first: opening a device that is not there panics.
    let count = Device::enumerate(DeviceType::Cuda).into_vec().len();
    if index < count {
        return Ok(Device::new(burn_cuda::CudaDevice::new(index)));
    }
    Err(Error::Device(match count {
        0 => "device `cuda`: no NVIDIA GPU or driver was found on this machine; use `device: cpu`, or \
              install the driver"
            .into(),
        _ => format!("device `cuda:{index}`: found {count} GPUs, expected an index below {count}"),
    }))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_: usize) -> Result<Device> {
    Err(Error::Device(
        "device `cuda`: this binary was built without CUDA; build it with `cargo build --features \
         cuda`, or use `device: cpu`"
            .into(),
    ))
}

#[cfg(feature = "remote")]
fn open_remote(url: &str) -> Result<Device> {
    use burn::remote::{ConnectError, RemoteHost};
    let token = std::env::var(TOKEN).unwrap_or_default();
    let host = RemoteHost::websocket(url).with_credential(token.as_str());
    Device::remote_options(&host).init().map_err(|error| {
        Error::Device(match error {
            ConnectError::Unauthorized => format!(
                "device `remote:{url}`: found {} in {TOKEN}, expected the token that `latent-align serve` \
                 printed on that host; set it in the environment",
                if token.is_empty() { "nothing" } else { "another token" }
            ),
            error => format!(
                "device `remote:{url}`: no device there ({error}); start `latent-align serve` on that \
                 host, or use `device: cpu`"
            ),
        })
    })
}

#[cfg(not(feature = "remote"))]
fn open_remote(url: &str) -> Result<Device> {
    Err(Error::Device(format!(
        "device `remote:{url}`: this binary was built without remote devices; build it with `cargo \
         build --features remote`, or use `device: cpu`"
    )))
}
