//! Temporary files and directories, which are renamed when complete: their names, their makers, and removal
//! of those left by dead processes.
//!
//! A temporary is called `.<name>.tmp-<system>-<process>-<nanoseconds>-<count>`. The system is one boot of
//! one host, and one PID namespace in it: only there does a process number tell whether the process is
//! alive.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Separator between the final name and the maker.
const MARK: &str = ".tmp-";
/// Hexadecimal digits of a system.
const SYSTEM: usize = 8;
/// Temporaries live for moments; an older one of another system has lost its process.
const LONG: Duration = Duration::from_secs(3600);

/// A process that makes temporaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// Its system; not recorded by older versions.
    system: Option<String>,
    process: u32,
}

impl Maker {
    /// This process.
    pub fn this() -> Self {
        Self {
            system: Some(system().to_owned()),
            process: std::process::id(),
        }
    }

    /// Parses `<system>-<process>`, or `<process>` as written by older versions.
    pub fn parse(text: &str) -> Option<Self> {
        let (system, process) = match text.split_once('-') {
            Some((system, process)) => (Some(system), process),
            None => (None, text),
        };
        let is_system = |s: &str| s.len() == SYSTEM && s.bytes().all(is_hexadecimal);
        (system.is_none_or(is_system) && is_number(process)).then_some(())?;
        Some(Self {
            system: system.map(str::to_owned),
            process: process.parse().ok()?,
        })
    }

    /// Whether it is known to be dead; None if that cannot be determined from here.
    pub fn is_gone(&self) -> Option<bool> {
        (self.system.as_deref() == Some(system())).then(|| !is_alive(self.process))
    }

    /// Whether it is dead, as far as can be determined; if its process is not visible, by the age of `path`,
    /// which it made.
    pub fn has_left(&self, path: &Path) -> bool {
        self.is_gone().unwrap_or_else(|| {
            let touched = path.symlink_metadata().and_then(|meta| meta.modified());
            let age = touched.map(|touched| SystemTime::now().duration_since(touched));
            age.is_ok_and(|age| age.is_ok_and(|age| age > LONG))
        })
    }
}

impl std::fmt::Display for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match &self.system {
            Some(system) => write!(f, "{system}-{}", self.process),
            None => write!(f, "{}", self.process),
        }
    }
}

fn is_hexadecimal(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether this system has a process of that number.
fn is_alive(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    process.is_some_and(|process| test_kill_process(process) != Err(Errno::SRCH))
}

/// Identity of the running kernel's boot; empty if unknown.
pub fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        id.unwrap_or_default().trim().to_owned()
    })
}

/// The system of this process: its kernel's boot and its PID namespace.
fn system() -> &'static str {
    static SYSTEM_OF_THIS: OnceLock<String> = OnceLock::new();
    SYSTEM_OF_THIS.get_or_init(|| {
        let processes = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let about = format!("{} {}", boot(), processes.display());
        blake3::hash(about.as_bytes()).to_hex()[..SYSTEM].to_owned()
    })
}

/// The folder that `file` is in.
pub fn folder_of(file: &Path) -> &Path {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A temporary name beside `target`, unique over processes, threads and hosts.
pub fn beside(target: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = now.map_or(0, |d| d.subsec_nanos());
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let maker = Maker::this();
    target.with_file_name(format!(".{name}{MARK}{maker}-{nanoseconds}-{count}"))
}

/// The final name and the maker of the temporary `name`; None for other names.
pub fn parse(name: &str) -> Option<(&str, Maker)> {
    let (of, rest) = name.strip_prefix('.')?.rsplit_once(MARK)?;
    let (rest, count) = rest.rsplit_once('-')?;
    let (maker, nanoseconds) = rest.rsplit_once('-')?;
    let is_made = !of.is_empty() && is_number(count) && is_number(nanoseconds);
    is_made.then_some((of, Maker::parse(maker)?))
}

/// Removes temporaries of dead processes in the directory `dir` whose final name `wanted` accepts.
pub fn remove_abandoned(dir: &Path, wanted: impl Fn(&str) -> bool) {
    for entry in dir.read_dir().into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let Some((of, maker)) = name.to_str().and_then(parse) else {
            continue;
        };
        if wanted(of) && maker.has_left(&path) {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // best effort: leftovers only take space
            let _ = match is_folder {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of a dead process.
    fn ended() -> u32 {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn what_is_made_is_known_again() {
        for name in ["run.json", ".index", "a.tmp-b", "big.h5"] {
            let made = beside(&Path::new("/folder.tmp-1").join(name));
            assert_eq!(made.parent(), Some(Path::new("/folder.tmp-1")));
            let made = made.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(parse(&made), Some((name, Maker::this())));
        }
        // as older versions wrote it
        let (of, maker) = parse(".run.json.tmp-1-2-3").unwrap();
        assert_eq!((of, maker.to_string().as_str()), ("run.json", "1"));
    }

    #[test]
    fn a_maker_is_gone_when_its_process_is_and_unknown_elsewhere() {
        assert_eq!(Maker::this().is_gone(), Some(false));
        let process = ended();
        let here = Maker::parse(&format!("{}-{process}", system())).unwrap();
        assert_eq!(here.is_gone(), Some(true));
        for elsewhere in [format!("00000000-{process}"), process.to_string()] {
            assert_eq!(Maker::parse(&elsewhere).unwrap().is_gone(), None);
        }
    }

    #[test]
    fn what_the_dead_left_goes_and_what_may_be_anothers_stays() {
        let dir = tempfile::tempdir().unwrap();
        let process = ended();
        let here = system();
        let name = |maker: &str| dir.path().join(format!(".a.h5.tmp-{maker}-1-2"));
        let dead = name(&format!("{here}-{process}"));
        let alive = name(&Maker::this().to_string());
        let elsewhere = name(&format!("00000000-{process}"));
        let others = dir.path().join(format!(".b.h5.tmp-{here}-{process}-1-2"));
        for path in [&dead, &alive, &elsewhere, &others] {
            std::fs::write(path, "").unwrap();
        }
        remove_abandoned(dir.path(), |name| name == "a.h5");
        assert!(!dead.exists());
        assert!(alive.exists() && elsewhere.exists() && others.exists());
    }
}
