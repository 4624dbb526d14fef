//! Completions and man pages, in the shells and with the `man` of this machine, and their installation.

use crate::project::{Project, output, skipped};
use std::path::PathBuf;
use std::process::Command;

/// Runs `script` in `shell`; `None`, with a reason on stderr, without such a shell.
fn execute(project: &Project, shell: &str, script: &str) -> Option<String> {
    let mut command = Command::new(shell);
    if shell == "bash" {
        command.args(["--norc", "--noprofile"]);
    }
    let output = output(command.arg("-c").arg(script).current_dir(project.path(".")));
    let Ok(output) = output else {
        skipped(&format!("there is no {shell} here"));
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success() && errors.is_empty(),
        "{shell}: {script}\n{out}{errors}"
    );
    Some(out)
}

fn completions(project: &Project, shell: &str) -> String {
    let printed = project.run(&["completions", shell]);
    printed.expect(0, &["latent-align", "tensorboard", "no-schema"]);
    project.write("completions", &printed.stdout);
    printed.stdout
}

#[test]
fn bash_completes_subcommands_options_and_choices() {
    let project = Project::new();
    completions(&project, "bash");
    let complete = |words: &str| {
        let script = format!(
            "source ./completions
             COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             function=$(complete -p latent-align | sed 's/.*-F \\([^ ]*\\).*/\\1/')
             $function latent-align \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let found = execute(&project, "bash", &script).expect("bash, which the Makefile needs too");
        found.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("latent-align sho"), ["show"]);
    assert_eq!(complete("latent-align export t"), ["tensorboard"]);
    assert_eq!(complete("latent-align config --sch"), ["--schema"]);
    assert_eq!(complete("latent-align run a.yaml --require h"), ["holds"]);
    let all = complete("latent-align ''");
    for command in ["run", "sweep", "init", "export", "show", "list"] {
        assert!(all.contains(&command.to_owned()), "{command}: {all:?}");
    }
    for former in ["inspect", "metrics", "features", "best", "diff"] {
        assert!(!all.contains(&former.to_owned()), "{former}: {all:?}");
    }
}

#[test]
fn zsh_and_fish_accept_their_completions() {
    let project = Project::new();
    assert!(completions(&project, "zsh").starts_with("#compdef latent-align\n"));
    execute(
        &project,
        "zsh",
        "autoload -U compinit && compinit -u -d dump && source ./completions",
    );
    let fish = completions(&project, "fish");
    assert!(fish.contains("complete -c latent-align"), "{fish}");
    if let Some(found) = execute(
        &project,
        "fish",
        "source ./completions; complete -C 'latent-align sho'",
    ) {
        assert!(found.starts_with("show\t"), "{found}");
    }
}

#[test]
fn the_manual_has_a_page_a_subcommand_and_renders() {
    let project = Project::new();
    project
        .run(&["man", "--out", "man"])
        .expect(0, &["pages in man"]);
    let pages = project.entries("man");
    for page in [
        "latent-align.1",
        "latent-align-run.1",
        "latent-align-export-tensorboard.1",
    ] {
        assert!(pages.contains(&page.to_owned()), "{page}: {pages:?}");
    }
    let whole = project.run(&["man"]);
    whole.expect(0, &[]);
    assert_eq!(whole.stdout.matches(".TH ").count(), pages.len());
    project.write("whole.1", &whole.stdout);
    let render = "MANWIDTH=100 LC_ALL=C man -l";
    if output(Command::new("man").arg("--version")).is_err() {
        skipped("there is no man here");
        return;
    }
    for page in &pages {
        let text = execute(&project, "bash", &format!("{render} man/{page}")).unwrap();
        let name = page.trim_end_matches(".1");
        assert!(
            text.contains("NAME") && text.contains("SYNOPSIS") && text.contains(name),
            "{text}"
        );
    }
    let text = execute(&project, "bash", &format!("{render} whole.1")).unwrap();
    for part in [
        "--require-in",
        "Exit codes",
        "TensorBoard",
        "[default: 127.0.0.1:3000]",
    ] {
        let served = cfg!(feature = "remote") || !part.contains("127");
        assert!(!served || text.contains(part), "{part}");
    }
}

#[test]
fn make_install_puts_everything_where_it_is_looked_for() {
    let project = Project::new();
    let prefix = project.path("prefix");
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    // `-o build`: the binary that is tested is there already.
    let mut make = Command::new("make");
    make.args(["-s", "-o", "build", "install"])
        .arg(format!("BINARY={}", env!("CARGO_BIN_EXE_latent-align")))
        .arg(format!("PREFIX={}", prefix.display()))
        .current_dir(manifest.join(".."));
    let make = output(&mut make).unwrap();
    assert!(
        make.status.success(),
        "{}",
        String::from_utf8_lossy(&make.stderr)
    );
    for file in [
        "bin/latent-align",
        "share/man/man1/latent-align-run.1",
        "share/bash-completion/completions/latent-align",
        "share/zsh/site-functions/_latent-align",
        "share/fish/vendor_completions.d/latent-align.fish",
    ] {
        let size = std::fs::metadata(prefix.join(file)).map(|m| m.len());
        assert!(size.is_ok_and(|size| size > 100), "{file}");
    }
}
