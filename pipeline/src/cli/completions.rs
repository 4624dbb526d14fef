//! `latent-align completions SHELL`

use crate::console::Console;
use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

/// Options of `completions`.
#[derive(Debug, Args)]
#[command(after_help = WHERE)]
pub struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// How to use the output.
const WHERE: &str = "\
Where shells look for completions (`make install` puts them there):
  bash  ~/.local/share/bash-completion/completions/latent-align
  zsh   ~/.local/share/zsh/site-functions/_latent-align, a folder that must be in fpath
  fish  ~/.local/share/fish/vendor_completions.d/latent-align.fish";

/// Prints the script that completes `program`.
pub fn run(arguments: &Arguments, mut program: Command, console: &Console) -> Result<()> {
    let mut script = Vec::new();
    let name = program.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut program, name, &mut script);
    let mut script = String::from_utf8(script)?;
    if arguments.shell == Shell::Bash {
        // clap#6421: the hyphen in the program's name is taken for the end of a subcommand's name, and
        // nothing is completed after one.
        script = script.replace("latent__subcmd__align", "latent__align");
    }
    console.print_for_programs(&script);
    Ok(())
}
