//! `latent-align serve [--listen ADDRESS] [--device DEVICE]`

use crate::console::Console;
use anyhow::{Context as _, Result};
use clap::Args;
use latent_align_stages::devices::{DeviceChoice, serve};
use std::net::TcpListener;

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The address to listen on. Neither encrypted nor authenticated: keep it on loopback behind an SSH
    /// tunnel, or on a network you trust
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: String,
    /// The device to serve: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Serves until stopped.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let device: DeviceChoice = arguments.device.parse()?;
    let listener = TcpListener::bind(&arguments.listen)
        .with_context(|| format!("--listen {}: cannot listen there", arguments.listen))?;
    let address = listener.local_addr()?;
    console.print(&format!(
        "serving {device}; reach it with `device: remote:ws://{address}`\n"
    ))?;
    Ok(serve(&device, listener)?)
}
