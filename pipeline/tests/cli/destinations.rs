//! Output paths: existing files are not lost without an explicit option.

use crate::project::{Project, output, start};
use crate::tiny;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::fs::File;
use std::io::{Read as _, Write as _};

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// Commands that write a file with a given name.
const WRITERS: [&[&str]; 8] = [
    &["list", "--out"],
    &["list", "artifacts", "--format", "parquet", "--out"],
    &["show", "tiny", "--format", "json", "--out"],
    &["show", "tiny", "--curves", "--out"],
    &["clean", "--out"],
    &["list", "artifacts", "--format", "markdown", "--out"],
    &["generate", "moons", "--count", "50", "--out"],
    &["init", "features.h5", "--out"],
];

fn project() -> Project {
    let project = tiny::project();
    project.run(&["run", "tiny.yaml"]).expect(0, &[]);
    project
}

pub fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_file_is_replaced_only_with_force_by_every_command() {
    let project = project();
    for writer in WRITERS {
        let file = project.path("there");
        project.write("there", "mine");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        let before = project.entries(".");
        let arguments = [writer, &["there"]].concat();
        let refused = project.run(&arguments);
        refused.expect(2, &["there: found a file, expected none", "--force"]);
        assert_eq!(std::fs::read(&file).unwrap(), b"mine", "{writer:?}");
        assert_eq!(project.entries("."), before, "{writer:?}");

        symlink("there", project.path("link")).unwrap();
        let arguments = [writer, &["link", "--force"]].concat();
        project.run(&arguments).expect(0, &[]);
        assert!(std::fs::read(&file).unwrap() != b"mine", "{writer:?}");
        let kept = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(kept & 0o777, 0o640, "{writer:?}");
        assert!(project.path("link").is_symlink(), "{writer:?}");
        std::fs::remove_file(project.path("link")).unwrap();
    }
}

#[test]
fn a_new_file_has_the_mode_that_the_umask_leaves() {
    let project = project();
    for writer in WRITERS {
        let line = format!(
            "umask 027; '{}' {} new",
            env!("CARGO_BIN_EXE_latent-align"),
            writer.join(" ")
        );
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).current_dir(project.path("."));
        assert!(output(&mut shell).unwrap().status.success(), "{writer:?}");
        let mode = std::fs::metadata(project.path("new"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o640, "{writer:?}");
        std::fs::remove_file(project.path("new")).unwrap();
    }
}

#[test]
fn a_device_is_written_to_and_stays_one() {
    let project = project();
    let device = project.path("device");
    let mode = Mode::from_raw_mode(0o666);
    let made = mknodat(CWD, &device, FileType::CharacterDevice, mode, makedev(1, 3));
    if made.is_err() {
        symlink("/dev/null", &device).unwrap(); // symlink("/dev/null", &device).unwrap(); // needs no rights, and loses no device
    }
    for writer in WRITERS {
        for force in [&[][..], &["--force"]] {
            let arguments = [writer, &["device"], force].concat();
            project.run(&arguments).expect(0, &[]);
            let kind = std::fs::metadata(&device).unwrap().file_type();
            assert!(kind.is_char_device(), "{writer:?}");
        }
    }
    let beside = project.entries(".");
    assert!(!beside.iter().any(|f| f.contains("schema")), "{beside:?}");
    project
        .run(&["list", "--out", "/dev/full"])
        .expect(1, &["/dev/full: No space left on device"]);
}

#[test]
fn a_pipe_gets_what_a_file_would() {
    let project = project();
    for writer in WRITERS {
        let pipe = project.path("pipe");
        fifo(&pipe);
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut bytes = Vec::new();
                File::open(pipe).unwrap().read_to_end(&mut bytes).unwrap();
                bytes
            }
        });
        project.run(&[writer, &["pipe"]].concat()).expect(0, &[]);
        let found = reader.join().unwrap();
        assert!(pipe.metadata().unwrap().file_type().is_fifo(), "{writer:?}");
        std::fs::remove_file(pipe).unwrap();
        project.run(&[writer, &["file"]].concat()).expect(0, &[]);
        let file = std::fs::read(project.path("file")).unwrap();
        // A configuration contains its own name, and a reference to its schema.
        if writer[0] == "init" {
            let text = String::from_utf8(found).unwrap();
            assert!(
                text.contains("name: features\n") && !text.contains("$schema"),
                "{text}"
            );
        } else {
            assert!(found == file, "{writer:?}");
        }
        std::fs::remove_file(project.path("file")).unwrap();
    }
}

#[test]
fn standard_output_by_name_goes_on_where_it_is() {
    let project = project();
    for writer in WRITERS {
        for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            // not opened for appending: a second opening of the file would have a position of its own
            let mut log = File::create(project.path("log")).unwrap();
            log.write_all(b"before\n").unwrap();
            let mut command = project.command(&[writer, &[name]].concat());
            let shared = log.try_clone().unwrap();
            command.stdout(shared).stderr(Stdio::null());
            assert!(start(&mut command).unwrap().wait().unwrap().success());
            log.write_all(b"after\n").unwrap();
            let log = std::fs::read(project.path("log")).unwrap();
            assert!(
                log.starts_with(b"before\n") && log.ends_with(b"after\n") && log.len() > 26,
                "{writer:?} {name}"
            );
        }
    }
    let json = project.run(&["list", "--format", "json", "--out", "/dev/stdout"]);
    assert_eq!(
        json.stdout,
        project.run(&["list", "--format", "json"]).stdout
    );
    let starter = project.run(&["init", "features.h5", "--out", "/dev/stdout"]);
    project.write("mine.yaml", starter.stdout);
    project
        .run(&["plan", "mine.yaml"])
        .expect(0, &["would run"]);
}

#[test]
fn what_is_no_file_is_never_replaced() {
    let project = project();
    std::fs::create_dir(project.path("folder")).unwrap();
    symlink("nowhere", project.path("dangling")).unwrap();
    symlink("loop", project.path("loop")).unwrap();
    let _socket = UnixListener::bind(project.path("socket")).unwrap();
    let before = project.entries(".");
    for writer in WRITERS {
        for (place, found) in [
            ("folder", "found a folder"),
            ("absent/", "found the name of a folder"),
            ("dangling", "found a link to nothing"),
            ("loop", "cannot be written"),
            ("socket", "found a socket"),
            ("absent/file", "cannot be written"),
            ("tiny.yaml/file", "cannot be written"),
        ] {
            let arguments = [writer, &[place, "--force"]].concat();
            let refused = project.run(&arguments);
            refused.expect(2, &[&format!("{place}: {found}"), "--out"]);
            assert_eq!(project.entries("."), before, "{writer:?} {place}");
        }
    }
}

#[test]
fn a_failure_leaves_nothing_beside() {
    let project = project();
    let before = project.entries(".");
    for arguments in [
        &["list", "--filter", "nonsense=1", "--out", "new"][..],
        &["generate", "moons", "--count", "0", "--out", "new"],
        &["init", "vectors.h5", "--dataset", "none", "--out", "new"],
    ] {
        project.run(arguments).expect(2, &[]);
        assert_eq!(project.entries("."), before, "{arguments:?}");
    }
}

#[test]
fn pages_and_exports_replace_files_only_with_force_and_nothing_else_ever() {
    let project = project();
    for (arguments, file) in [
        (&["man", "--out", "out"][..], "out/latent-align.1"),
        (
            &["export", "safetensors", "tiny", "--out", "out"],
            "out/tiny/metadata.json",
        ),
    ] {
        project.run(arguments).expect(0, &[]);
        project.run(arguments).expect(0, &[]); // equal files are left alone
        let forced = [arguments, &["--force"]].concat();
        project.write(file, "mine");
        project.run(arguments).expect(2, &[file, "--force"]);
        assert_eq!(std::fs::read(project.path(file)).unwrap(), b"mine");
        project.run(&forced).expect(0, &[]);
        assert!(std::fs::read(project.path(file)).unwrap() != b"mine");
        std::fs::remove_file(project.path(file)).unwrap();
        fifo(&project.path(file));
        project.run(&forced).expect(2, &[file, "a pipe or device"]);
    }
}

#[test]
fn a_name_that_leads_to_another_flow_is_kept() {
    let project = Project::new();
    let mut flow = crate::importing::foreign_flow();
    project.write("one.safetensors", &flow);
    *flow.last_mut().unwrap() ^= 1;
    project.write("two.safetensors", &flow);
    let leads_to = || std::fs::read_link(project.path("artifacts/runs/imported/pretrain-flow"));
    project.run(&["import", "one.safetensors"]).expect(0, &[]);
    let one = leads_to().unwrap();
    project.run(&["import", "one.safetensors"]).expect(0, &[]);
    let another = ["import", "two.safetensors"];
    let refused = project.run(&another);
    refused.expect(2, &["--into imported: found another flow", "--force"]);
    assert_eq!(leads_to().unwrap(), one);
    let forced = [&another[..], &["--force"]].concat();
    project.run(&forced).expect(0, &[]);
    assert_ne!(leads_to().unwrap(), one);
}
