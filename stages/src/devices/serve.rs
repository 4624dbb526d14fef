//! Serves a device of this host over WebSocket.

use super::choice::DeviceChoice;
use super::remote::TOKEN;
use crate::error::{Error, Result};
use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};

/// Serves `device` over WebSocket to clients that connect to `listener` and present `token`, until the
/// process ends. Any program on this machine can connect to loopback, including web pages in a browser;
/// without the token, none of them gets a session. The transport is not encrypted: use it on loopback, in
/// trusted networks and through SSH tunnels.
///
/// # Errors
/// An empty token; a device that does not exist; a listener that fails.
pub fn serve(device: &DeviceChoice, listener: std::net::TcpListener, token: &str) -> Result<()> {
    let authorizer =
        TokenAuthorizer::new(token).map_err(|e| Error::input(format!("{TOKEN}: {e}")))?;
    let device = device.open()?;
    RemoteServer::new([device])
        .with_authorizer(authorizer)
        .serve(WebSocketTransport::from_listener(listener))
        .map_err(|error| Error::Device(format!("serving stopped: {error}")))
}
