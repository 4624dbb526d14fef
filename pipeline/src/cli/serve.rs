//! `latent-align serve [--listen ADDRESS] [--device DEVICE]`

use super::devices::DeviceName;
use super::listening;
use crate::console::Console;
use crate::process::host;
use anyhow::{Context as _, Result};
use clap::Args;
use latent_align_stages::devices::{DeviceChoice, TOKEN, forms, serve};
use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;

/// Options of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Clients present a token: the value of LATENT_ALIGN_TOKEN here, or else a new one that is printed. They
read it from the same variable.")]
pub struct Arguments {
    /// The address to listen on; by default only programs of this machine can connect. Nothing is encrypted: keep
    /// it on loopback behind an SSH tunnel, or on a network that you trust
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: String,
    /// The device to serve
    #[arg(long, default_value = "cpu", value_parser = DeviceName, hide_possible_values = true)]
    #[arg(help = format!("The device to serve: {}", forms("")))]
    device: String,
}

/// Serves until stopped.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let device: DeviceChoice = arguments.device.parse()?;
    let listener = TcpListener::bind(&arguments.listen)
        .with_context(|| format!("--listen {}: cannot listen there", arguments.listen))?;
    let address = listener.local_addr()?;
    let given = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
    let (token, told) = match given {
        Some(token) => (token, format!("the {TOKEN} of this one")),
        None => {
            let token = new_token().context("no random numbers for a token")?;
            let told = format!("\n  {TOKEN}={token}");
            (token, told)
        }
    };
    if let Some(warning) = listening::check(address, &token, TOKEN)? {
        console.note(&warning);
    }
    let named = listening::named(address, &host());
    console.print(&format!(
        "serving {device}; reach it with `device: remote:ws://{named}`, in an environment with {told}\n"
    ));
    Ok(serve(&device, listener, &token)?)
}

/// 128 random bits in hexadecimal.
fn new_token() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
