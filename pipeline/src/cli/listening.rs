//! Who can connect to a served device.

use latent_align_stages::{Error, Result};
use std::net::{IpAddr, SocketAddr};

/// The fewest characters of a chosen token where other hosts can connect, and guess.
const FEWEST: usize = 16;

/// The address that clients name: where the server listens on all addresses, the name `host` of this machine.
pub fn named(address: SocketAddr, host: &str) -> String {
    match address.ip().is_unspecified() {
        true => format!("{host}:{}", address.port()),
        false => address.to_string(),
    }
}

/// A warning if other hosts can connect to `address`, where `token` lets clients in.
///
/// # Errors
/// An input error for a token that they can guess; `key` is where it comes from.
pub fn check(address: SocketAddr, token: &str, key: &str) -> Result<Option<String>> {
    let ip: IpAddr = address.ip().to_canonical();
    if ip.is_loopback() {
        return Ok(None);
    }
    let length = token.chars().count();
    if length < FEWEST {
        return Err(Error::input(format!(
            "{key}: found a token of {length} characters with --listen {address}, expected at least {FEWEST} where \
             other hosts can connect; leave it out for a new one, or listen on 127.0.0.1"
        )));
    }
    Ok(Some(format!(
        "warning: other hosts can connect to {address}; without the token they get no session, but nothing is \
         encrypted, the token included: use a network that you trust, or 127.0.0.1 and an SSH tunnel"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    /// Fails if an address that other hosts reach is taken for loopback.
    #[test]
    fn only_loopback_is_served_without_a_warning() {
        let token = "0123456789abcdef";
        for address in [
            "127.0.0.1:3000",
            "127.8.0.1:1",
            "[::1]:3000",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(check(at(address), token, "KEY").unwrap(), None, "{address}");
            assert_eq!(check(at(address), "a", "KEY").unwrap(), None, "{address}");
        }
        for address in [
            "0.0.0.0:3000",
            "[::]:3000",
            "10.0.0.1:3000",
            "[::ffff:10.0.0.1]:1",
        ] {
            let told = check(at(address), token, "KEY").unwrap().unwrap();
            assert!(
                told.contains(address) && told.contains("SSH tunnel"),
                "{told}"
            );
            let error = check(at(address), "short", "KEY").unwrap_err().to_string();
            assert!(
                error.contains("KEY: found a token of 5 characters"),
                "{error}"
            );
        }
    }

    #[test]
    fn clients_name_the_host_where_all_its_addresses_are_served() {
        assert_eq!(named(at("0.0.0.0:3000"), "gpu1"), "gpu1:3000");
        assert_eq!(named(at("[::]:3000"), "gpu1"), "gpu1:3000");
        assert_eq!(named(at("127.0.0.1:3000"), "gpu1"), "127.0.0.1:3000");
        assert_eq!(named(at("[::1]:3000"), "gpu1"), "[::1]:3000");
    }
}
