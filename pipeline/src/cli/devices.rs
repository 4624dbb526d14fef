//! `latent-align devices`

use crate::console::Console;
use crate::tables::{Field, OutputArguments, Query, Source};
use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use latent_align_stages::devices::{Found, KINDS, found};
use std::ffi::OsStr;

/// Options of `devices`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints a line for each device, and for each kind with no device.
pub fn run(arguments: &Arguments, console: &Console) -> Result<()> {
    let output = arguments.output.open()?;
    let found = found();
    let text = |name, of: &dyn Fn(&Found) -> String| Field::text(name, found.iter().map(of));
    let state = |found: &Found| match found.usable {
        true => "ready".to_owned(),
        false => found.why.clone(),
    };
    let fields = vec![
        text("device", &|found| found.name.clone()),
        text("what", &|found| found.about.clone()),
        text("bf16", &|found| known(found.bf16)),
        text("f64", &|found| known(found.f64)),
        text("state", &state),
    ];
    let names = ["device", "what", "bf16", "f64", "state"];
    let source = Source::new(found.len(), fields).showing(&names);
    let mut frame = arguments.query.run(&source)?;
    output.write(&mut frame, console)
}

fn known(supported: Option<bool>) -> String {
    match supported {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    }
    .to_owned()
}

/// Parses the name of a device. The configuration checks the value; shells complete the kinds.
#[derive(Debug, Clone)]
pub struct DeviceName;

impl TypedValueParser for DeviceName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        let kinds = KINDS.iter().filter(|kind| kind.forms[0] == kind.name);
        Some(Box::new(
            kinds.map(|kind| PossibleValue::new(kind.name).help(kind.about)),
        ))
    }
}
