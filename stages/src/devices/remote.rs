//! Devices on other hosts, over WebSocket.

use crate::error::{Error, Result};
use burn::remote::{ConnectError, RemoteHost};
use burn::tensor::Device;

/// Environment variable with the token for a served device.
pub const TOKEN: &str = "LATENT_ALIGN_TOKEN";

/// Opens the device served at `url`.
///
/// # Errors
/// A device error if nothing is served there, or the token differs from the one in [`TOKEN`].
pub fn open(url: &str) -> Result<Device> {
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
