//! The end of the process: printing of errors, and exit codes.

use crate::console::Console;
use crate::process::Signals;
use latent_align_stages::Error;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

/// Short list of exit codes for `--help`.
pub const SHORT_EXIT_CODES: &str = "\
Exit codes: 0 success; 1 failure; 2 wrong input; 3 what --require or checks ask for does not hold;
  101 a bug in this program; 130 stopped by SIGINT (Ctrl-C); 143 stopped by SIGTERM";

/// Exit codes for `help` and the manual.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    success; also when there was nothing to do
  1    failure: a file that cannot be written, numbers that went wrong, a device that is not there;
       also when everything was done and standard output could not be written, but not when its
       reader went away, as `head` does
  2    wrong input: command line, configuration or data; the message says what to change
  3    what `run --require` or a sweep's checks ask for does not hold; everything was computed and
       written
  101  a bug in this program
  130  stopped by SIGINT (Ctrl-C)
  143  stopped by SIGTERM

Environment:
  LATENT_ALIGN_ARTIFACTS  the folder of artifacts, where --artifacts is not given
  LATENT_ALIGN_LOG        a tracing filter such as `debug` that replaces -v and -q for logs";

/// A requirement on a run that is not met.
#[derive(Debug)]
pub struct Unmet(pub String);

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unmet {}

/// Prints help, the version, or a command-line error, and returns the exit code.
pub fn usage(said: &clap::Error) -> ExitCode {
    let printed = said.print().and_then(|()| std::io::stdout().flush());
    match printed {
        _ if said.use_stderr() => ExitCode::from(2),
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(
                std::io::stderr(),
                "error: standard output cannot be written ({e})"
            );
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints `error` with its causes and returns the exit code.
pub fn report(error: &anyhow::Error, console: &Console) -> ExitCode {
    let stages = error.chain().find_map(|e| e.downcast_ref::<Error>());
    if let Some(Error::Cancelled) = stages {
        console.error(&format!(
            "stopped on request; finished work is kept. To continue:\n  {}",
            this_command()
        ));
        return ExitCode::from(Signals::exit_code());
    }
    if let Some(unmet) = error.downcast_ref::<Unmet>() {
        console.error(&unmet.to_string());
        return ExitCode::from(3);
    }
    console.error(&format!("error: {}", describe(error)));
    let of_file = error.chain().find_map(|e| e.downcast_ref());
    match (stages, of_file) {
        (Some(Error::Input(_)), _) | (_, Some(latent_align_hdf5::Error::Input(_))) => {
            ExitCode::from(2)
        }
        _ => ExitCode::from(1),
    }
}

/// The outermost message, and each cause with new information on a line below.
pub fn describe(error: &anyhow::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if !lines.iter().any(|line| line.contains(&text)) {
            lines.push(text);
        }
    }
    lines.join("\n  because: ")
}

/// The command line of this process, quoted for a shell.
pub(crate) fn this_command() -> String {
    let words: Vec<String> = std::env::args_os()
        .map(|word| quote(&word.to_string_lossy()))
        .collect();
    words.join(" ")
}

pub(crate) fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn words_with_spaces_survive_a_shell() {
        assert_eq!(quote("configs/ring.yaml"), "configs/ring.yaml");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = Err::<(), _>(Error::input("no file"))
            .context("stage x")
            .context("stage x: no file")
            .unwrap_err();
        assert_eq!(describe(&error), "stage x: no file");
    }
}
