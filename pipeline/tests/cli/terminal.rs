//! Text of untrusted files on a terminal, and untrusted links.

use crate::project::{Project, output, start};
use crate::tiny;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

/// Clears the screen, in two encodings, rings, sets the title, and writes from right to left.
const EVIL: &str = "a\u{1b}[2J\u{9b}2J\u{7}\u{1b}]0;t\u{7}\r\u{202e}b";

/// An artifact and an HDF5 file with such names.
fn project() -> Project {
    let project = tiny::project();
    project.write_features("evil.h5", EVIL, 50, 2, tiny::noise);
    let value = format!("{EVIL}\nverified: all is well");
    project.write_attribute("evil.h5", EVIL, EVIL, &value);
    let place = "artifacts/pretrain-flow/00112233445566aa";
    std::fs::create_dir_all(project.path(place)).unwrap();
    // YAML wants such characters escaped.
    let escaped = EVIL.chars().map(|c| format!("\\u{:04x}", u32::from(c)));
    let evil = format!("\"{}\"", escaped.collect::<String>());
    project.write(
        &format!("{place}/manifest.json"),
        crate::project::manifest(&format!(
            "format: 4\nstage: pretrain-flow\nfingerprint: \"00112233445566aa\"\n\
             started: 2026-01-02T03:04:05Z\nfinished: 2026-01-02T03:05:05Z\nseconds: 60.0\n\
             figures: {{{evil}: 1.0}}\nwarnings: [{evil}]\nseed: 3\ndevice: {evil}\n\
             program: {{version: 0.1.0, revision: abc}}\nconfig: {{key: {evil}}}\n\
             inputs: [{{key: {evil}, path: {evil}, digest: 0123456789abcdef01, size: 2048}}]\n\
             outputs: {{}}\n"
        )),
    );
    project
}

fn is_obeyed(c: char) -> bool {
    c != '\n' && c != '\t' && (c.is_control() || c == '\u{202e}')
}

#[test]
fn names_in_files_are_shown_and_not_obeyed() {
    let project = project();
    let missing = "pretrain_flow.features={file: evil.h5, dataset: none}";
    let commands: [&[&str]; 12] = [
        &["show", "evil.h5"],
        &["show", "evil.h5", "--rows", "0"],
        &["init", "evil.h5", "--dataset", "none"],
        &["run", "tiny.yaml", "--set", missing],
        &["run", "tiny.yaml", "--set", missing, "-vvv"],
        &["run", "tiny.yaml", "--set", &format!("name={EVIL}")],
        &["list", "artifacts", "--columns", "*"],
        &["list", "artifacts", "--format", "markdown"],
        &["show", "0011223344"],
        &["verify"],
        &["clean"],
        &["show", EVIL],
    ];
    for arguments in commands {
        let said = project.run(arguments);
        assert_ne!(said.code, Some(101), "{said}");
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.contains(is_obeyed), "{arguments:?}: {all:?}");
        let forged = all
            .lines()
            .any(|line| line.starts_with("verified: all is well"));
        assert!(!forged, "{arguments:?}: {all}");
    }
    project
        .run(&["show", "evil.h5"])
        .expect(0, &["/a\\u{1b}[2J"]);
}

/// A terminal, and what it shows.
fn terminal() -> (File, OwnedFd) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
    (screen.into(), terminal)
}

#[test]
fn programs_get_names_as_they_are_and_a_terminal_does_not() {
    let project = project();
    let list = [
        "list",
        "artifacts",
        "--columns",
        "device",
        "--format",
        "csv",
    ];
    let exact = project.run(&list).stdout;
    assert_eq!(exact, format!("device\n\"{EVIL}\"\n"));

    for more in [&[][..], &["--out", "/dev/stdout"]] {
        let (mut screen, terminal) = terminal();
        let mut command = project.command(&[&list[..], more].concat());
        command.stdout(terminal).stderr(Stdio::null());
        let mut child = start(&mut command).unwrap();
        drop(command); // and with it the terminal, so that the screen ends
        let mut shown = Vec::new();
        let _ = screen.read_to_end(&mut shown); // an error is its end
        assert!(child.wait().unwrap().success());
        // A terminal makes two characters of the end of a line.
        let shown = String::from_utf8(shown).unwrap().replace("\r\n", "\n");
        assert!(!shown.contains(is_obeyed), "{more:?}: {shown:?}");
        assert!(
            shown.starts_with("device\n\"a\\u{1b}[2J"),
            "{more:?}: {shown}"
        );
    }
}

#[test]
fn a_link_with_the_name_of_a_draft_is_not_followed() {
    let project = tiny::project();
    project.write("victim", "mine");
    for (command, file) in [
        ("list", "table.csv"),
        ("generate moons --count 50", "moons.h5"),
        ("init features.h5", "new.yaml"),
    ] {
        // The shell knows the number that the program will have.
        let line = format!(
            "for name in .{file}.tmp-$$ .{file}.partial-$$-0; do ln -s victim $name; done; \
             exec '{}' {command} --out {file}",
            env!("CARGO_BIN_EXE_latent-align")
        );
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).current_dir(project.path("."));
        let done = output(&mut shell).unwrap();
        assert!(done.status.success(), "{command}: {done:?}");
        let victim = std::fs::read(project.path("victim")).unwrap();
        assert_eq!(victim, b"mine", "{command}");
    }
}
