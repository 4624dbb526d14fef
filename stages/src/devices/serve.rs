//! A device of this host for others, over WebSocket.

use super::choice::DeviceChoice;
use super::remote::TOKEN;
use crate::error::{Error, Result};
use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};

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
