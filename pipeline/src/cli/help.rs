//! Help pages: commands grouped by task, with an example on each page.

use clap::Command;
use std::fmt::Write as _;

/// Tasks, the commands for each, and an example of each command.
const GROUPS: [(&str, &[(&str, &str)]); 5] = [
    (
        "Run",
        &[
            ("convert", "convert my-array.npy my-array.h5"),
            ("init", "init my-features.h5 --data my-images.h5"),
            ("plan", "plan my-features.yaml"),
            (
                "run",
                "run my-features.yaml --set train_autoencoder.steps=300",
            ),
            ("sweep", "sweep my-sweep.yaml --jobs 2"),
        ],
    ),
    (
        "Look",
        &[
            ("list", "list --filter state=finished --sort=-started"),
            ("show", "show digits --curves --chart"),
            ("compare", "compare digits 'weight*'"),
            ("report", "report digits"),
        ],
    ),
    (
        "Use",
        &[
            ("encode", "encode digits my-images.h5 --out latents.h5"),
            ("decode", "decode digits latents.h5 --out decoded.h5"),
            ("sample", "sample digits --count 64 --out samples.h5"),
            ("score", "score digits my-features.h5 --out scores.parquet"),
            ("generate", "generate moons --count 5000 --out moons.h5"),
            ("import", "import their-flow.safetensors"),
            ("export", "export safetensors digits --out weights"),
        ],
    ),
    (
        "Keep",
        &[("verify", "verify digits"), ("clean", "clean --delete")],
    ),
    (
        "Set up",
        &[
            ("config", "config my-features.yaml"),
            ("devices", "devices"),
            #[cfg(feature = "remote")]
            ("serve", "serve --device cpu"),
        ],
    ),
];

/// Examples of pages in no group.
const OTHERS: [(&str, &str); 2] = [
    ("completions", "completions bash"),
    ("man", "man --out man"),
];

/// Examples of the export formats.
const EXPORTS: [(&str, &str); 2] = [
    ("tensorboard", "export tensorboard digits --out logs"),
    ("safetensors", "export safetensors digits --arrays"),
];

/// The options common to all commands.
const OPTIONS: &str = "\
Options of every command:
      --artifacts <DIR>      The folder of artifacts [default: $LATENT_ALIGN_ARTIFACTS or `artifacts`]
  -v, --verbose...           More output: -v what happens, -vv why, -vvv everything
  -q, --quiet                Less output: no progress and no warnings
      --log-format <FORMAT>  How logs and progress are written to stderr: text or json
  -h, --help                 Print this page, or that of a command
  -V, --version              Print the version";

/// `program` with its commands in groups on the help page, and an example on each command's page.
pub fn arranged(mut program: Command) -> Command {
    let mut commands = String::new();
    for (title, group) in GROUPS {
        for (at, (name, _)) in group.iter().enumerate() {
            let title = if at == 0 { title } else { "" };
            let about = program.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(commands, "  {title:<8}{name:<10}{about}");
        }
    }
    let others = OTHERS.map(|(name, _)| format!("`{name}`")).join(", ");
    program = program.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\nCommands:\n{commands}\nMore: \
         {others}, and `help COMMAND` for the full page\n\n{OPTIONS}\n{{after-help}}"
    ));
    for (name, example) in GROUPS.iter().flat_map(|group| group.1).chain(&OTHERS) {
        program = program.mut_subcommand(name, |command| with_example(command, example));
    }
    program.mut_subcommand("export", |mut export| {
        for (name, example) in EXPORTS {
            export = export.mut_subcommand(name, |command| with_example(command, example));
        }
        export
    })
}

fn with_example(command: Command, example: &str) -> Command {
    let more = command.get_after_help().map(|more| format!("\n\n{more}"));
    let more = more.unwrap_or_default();
    command.after_help(format!("Example:\n  latent-align {example}{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    /// Lines of a screen.
    const SCREEN: usize = 40;

    #[test]
    fn every_visible_command_is_in_one_group_and_they_are_few() {
        let program = Cli::command();
        let visible = program.get_subcommands().filter(|c| !c.is_hide_set());
        let mut visible: Vec<&str> = visible.map(Command::get_name).collect();
        let grouped = GROUPS.iter().flat_map(|group| group.1);
        let mut grouped: Vec<&str> = grouped.map(|command| command.0).collect();
        visible.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(visible, grouped);
        // those that use a trained model, and one that only binaries for remote devices have
        let more = ["encode", "decode", "sample", "score", "serve"];
        let others = visible.iter().filter(|name| !more.contains(name));
        assert!(others.count() <= 16, "{visible:?}");
    }

    #[test]
    fn the_options_of_every_command_are_those_of_the_first_page() {
        let program = Cli::command();
        let global = program.get_arguments().filter(|a| a.is_global_set());
        let global: Vec<String> = global
            .filter_map(|a| Some(format!("--{}", a.get_long()?)))
            .collect();
        assert!(global.len() > 3, "{global:?}");
        for option in global {
            assert!(OPTIONS.contains(&option), "{option}");
        }
    }

    #[test]
    fn a_page_of_help_fits_a_screen() {
        let mut program = arranged(Cli::command());
        program.build();
        let lines = |page: String| page.lines().count();
        assert!(lines(program.render_help().to_string()) <= SCREEN);
        let mut long = Vec::new();
        for command in program
            .get_subcommands_mut()
            .filter(|c| c.get_name() != "help")
        {
            let page = command.render_help().to_string();
            assert!(page.contains("\nExample:\n  latent-align "), "{page}");
            let lines = lines(page);
            if lines > SCREEN {
                long.push(format!("{} {lines}", command.get_name()));
            }
        }
        assert!(long.is_empty(), "{long:?}");
    }
}
