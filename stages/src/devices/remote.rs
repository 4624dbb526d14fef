//! Devices of other hosts, over WebSocket.

use super::DeviceChoice;
use crate::error::{Error, Result};
use burn::remote::{ConnectError, RemoteHost};
use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
use burn::tensor::Device;

/// The environment variable with the token that clients of a served device show.
pub const TOKEN: &str = "LATENT_ALIGN_TOKEN";

/// Serves `device` over WebSocket to clients that connect to `listener` and show `token`, until the
/// process ends. Any program of this machine can connect to loopback, a web page in a browser among them;
/// without the token none of them gets a session. The transport is not encrypted: for loopback, trusted
/// networks and SSH tunnels.
///
/// # Errors
/// An empty token; a device that is not there; a listener that fails.
pub fn serve(device: &DeviceChoice, listener: std::net::TcpListener, token: &str) -> Result<()> {
    let authorizer =
        TokenAuthorizer::new(token).map_err(|e| Error::input(format!("{TOKEN}: {e}")))?;
    let device = device.open()?;
    RemoteServer::new([device])
        .with_authorizer(authorizer)
        .serve(WebSocketTransport::from_listener(listener))
        .map_err(|error| Error::Device(format!("serving stopped: {error}")))
}

/// Opens the device that is served at `url`.
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
