//! `latent-align man [--out DIR]`

use crate::console::Console;
use crate::export::Files;
use anyhow::Result;
use clap::{Args, Command};
use clap_mangen::Man;
use std::path::PathBuf;

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Write a page for the program and one for each subcommand into this folder; by default all pages are
    /// printed, one after the other, as in `latent-align man | man -l -`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace existing files that differ
    #[arg(long, requires = "out")]
    force: bool,
}

/// Prints the manual of `program`, or writes its pages.
pub fn run(arguments: &Arguments, program: Command, console: &Console) -> Result<()> {
    let pages = pages(program)?;
    let Some(dir) = &arguments.out else {
        let all: Vec<String> = pages.into_iter().map(|page| page.1).collect();
        console.print_for_programs(&all.concat());
        return Ok(());
    };
    let mut files = Files::default();
    for (name, text) in pages {
        files.add(name, text.into_bytes());
    }
    files.write(dir, arguments.force)?;
    console.print(&format!("{} pages in {}\n", files.0.len(), dir.display()));
    Ok(())
}

/// The pages by file name: that of the program, then those of its subcommands.
fn pages(program: Command) -> Result<Vec<(String, String)>> {
    let mut program = program.disable_help_subcommand(true);
    // Gives each subcommand its full name and the global options.
    program.build();
    let mut pages = Vec::new();
    add(&program, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<(String, String)>) -> Result<()> {
    let source = concat!("latent-align ", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone()).source(source);
    let mut roff = Vec::new();
    page.render(&mut roff)?;
    pages.push((page.get_filename(), String::from_utf8(roff)?));
    command.get_subcommands().try_for_each(|c| add(c, pages))
}
