//! A folder with configurations and inputs, and the binary run in it.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Held while this process writes HDF5 and while it starts a child: a child started in between would
/// inherit the open file with its lock.
static FORK: Mutex<()> = Mutex::new(());

/// The user `nobody`, and its group.
const NOBODY: u32 = 65534;

/// A fresh folder; removed when dropped.
pub struct Project {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    /// An HDF5 file with one dataset of rows of width `width`, values from `value(row, column)`.
    pub fn write_features(
        &self,
        file: &str,
        dataset: &str,
        rows: usize,
        width: usize,
        value: impl Fn(usize, usize) -> f32,
    ) -> &Self {
        let values: Vec<f32> = (0..rows * width)
            .map(|i| value(i / width, i % width))
            .collect();
        self.write_dataset(file, dataset, &[rows, width], &values)
    }

    pub fn write_dataset<T: hdf5::H5Type>(
        &self,
        file: &str,
        dataset: &str,
        shape: &[usize],
        values: &[T],
    ) -> &Self {
        let _no_fork = FORK.lock().unwrap();
        let file = hdf5::File::create(self.path(file)).unwrap();
        fill(&file, dataset, shape, values);
        self
    }

    /// One more dataset in an HDF5 file.
    pub fn add_dataset<T: hdf5::H5Type>(
        &self,
        file: &str,
        dataset: &str,
        shape: &[usize],
        values: &[T],
    ) -> &Self {
        let _no_fork = FORK.lock().unwrap();
        let file = hdf5::File::open_rw(self.path(file)).unwrap();
        fill(&file, dataset, shape, values);
        self
    }

    /// A text attribute of a dataset.
    pub fn write_attribute(&self, file: &str, dataset: &str, name: &str, text: &str) -> &Self {
        let _no_fork = FORK.lock().unwrap();
        let file = hdf5::File::open_rw(self.path(file)).unwrap();
        let dataset = file.dataset(dataset).unwrap();
        let attribute = dataset
            .new_attr::<hdf5::types::VarLenUnicode>()
            .create(name);
        attribute
            .unwrap()
            .write_scalar(&text.parse::<hdf5::types::VarLenUnicode>().unwrap())
            .unwrap();
        self
    }

    /// The binary in this folder, free of the caller's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_latent-align")), arguments)
    }

    fn command_of(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env_remove("LATENT_ALIGN_ARTIFACTS")
            .env_remove("LATENT_ALIGN_LOG")
            .stdin(Stdio::null());
        command
    }

    /// The same, in a shell that runs `first` before.
    pub fn command_after(&self, first: &str, arguments: &[&str]) -> Command {
        let line = format!("{first}; exec \"$0\" \"$@\"");
        let mut command = self.command_of(Path::new("sh"), &["-c", &line]);
        command
            .arg(env!("CARGO_BIN_EXE_latent-align"))
            .args(arguments);
        command
    }

    /// The same as another user than the owner of the folder; none, and a reason, without the necessary
    /// rights. Every user may enter the folder.
    pub fn command_of_another_user(&self, arguments: &[&str]) -> Option<Command> {
        if !rustix::process::geteuid().is_root() {
            skipped("only root may run the binary as another user");
            return None;
        }
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.dir.path(), open).unwrap();
        let mut command = self.command_of(&self.binary_for_everyone(), arguments);
        command.env("HOME", "/nonexistent").uid(NOBODY).gid(NOBODY);
        Some(command)
    }

    /// The binary where every user may run it: cargo's folder may be one that only its owner may enter.
    fn binary_for_everyone(&self) -> PathBuf {
        let binary = Path::new(env!("CARGO_BIN_EXE_latent-align"));
        let is_open = |folder: &Path| folder.metadata().unwrap().permissions().mode() & 0o001 != 0;
        if binary.ancestors().all(is_open) {
            return binary.to_owned();
        }
        let copy = self.path(".latent-align");
        if !copy.exists() {
            let _no_fork = FORK.lock().unwrap();
            std::fs::copy(binary, &copy).unwrap();
        }
        copy
    }

    /// Runs as another user, if possible.
    pub fn run_as_another_user(&self, arguments: &[&str]) -> Option<Outcome> {
        let output = output(&mut self.command_of_another_user(arguments)?).unwrap();
        Some(Outcome::of(output))
    }

    /// Runs it; `run CONFIG` with `-v`, which prints every figure, unless the arguments say how much to print.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let says = ["-q", "--quiet", "-v", "-vv", "--log-format=json"];
        let is_brief =
            arguments.first() == Some(&"run") && !arguments.iter().any(|a| says.contains(a));
        let more: &[&str] = if is_brief { &["-v"] } else { &[] };
        self.run_as_it_is(&[arguments, more].concat())
    }

    pub fn run_as_it_is(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.spawn(arguments).wait_with_output().unwrap())
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        start(command.stdout(Stdio::piped()).stderr(Stdio::piped())).unwrap()
    }

    /// Names in a stage's folder: artifacts and temporary entries.
    pub fn entries(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .path(folder)
            .read_dir()
            .into_iter()
            .flatten()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Outcome {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The first number in the row of the summary that starts with `label`.
    #[track_caller]
    pub fn figure(&self, label: &str) -> f64 {
        let row = (self.stdout.lines())
            .find(|line| line.starts_with(&format!("| {label} ")))
            .unwrap_or_else(|| panic!("no row `{label}` in\n{self}"));
        let cell = row.split('|').nth(2).unwrap();
        let number = cell.split_whitespace().next().unwrap();
        number.parse().unwrap()
    }

    /// Checks that it exited with `code`, and printed every one of `parts`, on either stream.
    #[track_caller]
    pub fn expect(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        for part in parts {
            assert!(
                self.stdout.contains(part) || self.stderr.contains(part),
                "`{part}` is missing from\n{self}"
            );
        }
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self {
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "exit {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

fn fill<T: hdf5::H5Type>(file: &hdf5::File, dataset: &str, shape: &[usize], values: &[T]) {
    let dataset = file
        .new_dataset::<T>()
        .shape(shape.to_vec())
        .create(dataset);
    dataset.unwrap().write_raw(values).unwrap();
}

/// JSON as it stands on disk: with its digest as its last member.
pub fn sealed(json: &str) -> String {
    let above = json.trim_end().strip_suffix("\n}").unwrap_or(json);
    let digest = blake3::hash(above.as_bytes()).to_hex();
    format!("{above},\n  \"digest of all above\": \"{digest}\"\n}}\n")
}

/// The JSON of a file that holds its digest, without that.
pub fn unsealed(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let (above, _) = text.rsplit_once(",\n  \"digest of all above\"").unwrap();
    format!("{above}\n}}")
}

/// A manifest as it stands on disk; what is in it is given as YAML, NaN among figures as a word.
pub fn manifest(yaml: &str) -> String {
    let content: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    sealed(&serde_json::to_string_pretty(&content).unwrap())
}

/// Changes what is in a manifest, and its digest with it.
pub fn change_manifest(file: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut content = serde_json::from_str(&unsealed(file)).unwrap();
    change(&mut content);
    let text = serde_json::to_string_pretty(&content).unwrap();
    std::fs::write(file, sealed(&text)).unwrap();
}

/// The output of another program.
pub fn output(command: &mut Command) -> std::io::Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    start(command)?.wait_with_output()
}

/// Starts a program while no file is open that it would inherit.
pub fn start(command: &mut Command) -> std::io::Result<Child> {
    let _no_open_files = FORK.lock().unwrap();
    command.spawn()
}

/// Reports why a test is skipped on stderr directly: the output of a passing test is not shown.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Waits for `found` to be true.
#[track_caller]
pub fn wait_until(what: &str, mut found: impl FnMut() -> bool) {
    let started = Instant::now();
    while !found() {
        assert!(started.elapsed() < Duration::from_secs(120), "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends the signal `name` to `child`.
pub fn signal(child: &Child, name: &str) {
    let command = format!("kill -{name} {}", child.id());
    let mut sent = start(Command::new("sh").arg("-c").arg(command)).unwrap();
    assert!(sent.wait().unwrap().success());
}

/// The first folder under `folder` whose name starts with `prefix`.
pub fn starting_with(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = folder.read_dir().ok()?;
    let mut paths = entries.flatten().map(|e| e.path());
    paths.find(|p| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(prefix))
    })
}
