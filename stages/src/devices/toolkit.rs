//! The run-time compiler of NVIDIA kernels. It comes with a CUDA toolkit, not with the driver; without
//! it the first kernel would fail in the middle of a stage.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Queries of a machine.
pub trait Has {
    /// `CUDA_PATH`, if set.
    fn cuda_path(&self) -> Option<PathBuf>;
    /// Whether the file exists.
    fn file(&self, path: &Path) -> bool;
    /// Whether the directory exists.
    fn folder(&self, path: &Path) -> bool;
    /// Whether the linker finds a library of that name.
    fn library(&self, name: &str) -> bool;
}

/// This machine.
pub struct Machine;

impl Has for Machine {
    fn cuda_path(&self) -> Option<PathBuf> {
        std::env::var_os("CUDA_PATH").map(PathBuf::from)
    }

    fn file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn library(&self, name: &str) -> bool {
        // The linker loads this very program with the library, lists what it loaded, and runs nothing of it; a program
        // that ignores the variable only says its version.
        let listed = Command::new("/proc/self/exe")
            .arg("--version")
            .env("LD_TRACE_LOADED_OBJECTS", "1")
            .env("LD_PRELOAD", name)
            .output();
        listed.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(name))
    }
}

/// Search path of CubeCL for `LIBDEVICE` without `CUDA_PATH`.
const ROOTS: [&str; 4] = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda", "/usr"];
/// The library linked into PTX for `exp`, `sin` and the like.
const LIBDEVICE: &str = "nvvm/libdevice/libdevice.10.bc";
/// CubeCL looks for headers in the first of these that exists if `CUDA_PATH` is not set.
const HEADER_ROOTS: [&str; 2] = ["/usr/local/cuda", "/opt/cuda"];
/// If this exists, CubeCL also looks for headers in `/usr`.
const NVCC: &str = "/usr/bin/nvcc";
/// A header that C++ kernels include.
const HEADER: &str = "include/cuda_fp16.h";
/// Names under which CubeCL looks for their compiler.
const NVRTC: [&str; 4] = [
    "libnvrtc.so",
    "libnvrtc.so.13",
    "libnvrtc.so.12",
    "libnvrtc.so.11",
];

/// Describes what the back end of this build lacks on `machine`; None if it is complete.
#[cfg_attr(
    not(feature = "cuda"),
    expect(dead_code, reason = "tests ask for each")
)]
pub fn missing(machine: &impl Has) -> Option<String> {
    if cfg!(feature = "cuda-cpp") {
        without_nvrtc(machine)
    } else {
        without_libdevice(machine)
    }
}

/// For kernels compiled by LLVM.
fn without_libdevice(machine: &impl Has) -> Option<String> {
    absent(machine, LIBDEVICE, ROOTS.map(PathBuf::from).to_vec())
}

/// For kernels compiled by NVRTC.
fn without_nvrtc(machine: &impl Has) -> Option<String> {
    if !NVRTC.iter().any(|name| machine.library(name)) {
        return Some(format!(
            "NVRTC, which compiles its kernels, was not found ({}); install the CUDA toolkit and name the \
             folder of the library in LD_LIBRARY_PATH, or use `device: cpu`",
            NVRTC.join(", ")
        ));
    }
    let roots = HEADER_ROOTS.map(PathBuf::from);
    let found = (roots.iter().find(|root| machine.folder(root)).cloned())
        .or_else(|| machine.file(Path::new(NVCC)).then(|| "/usr".into()));
    absent(
        machine,
        HEADER,
        found.map_or(roots.to_vec(), |root| vec![root]),
    )
}

/// The message if neither `CUDA_PATH` nor, if that is not set, any of `usual` has `file`.
fn absent(machine: &impl Has, file: &str, usual: Vec<PathBuf>) -> Option<String> {
    let set = machine.cuda_path();
    let roots = set.clone().map_or(usual, |path| vec![path]);
    if roots.iter().any(|root| machine.file(&root.join(file))) {
        return None;
    }
    let looked: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
    Some(format!(
        "`{file}` of a CUDA toolkit, which its kernels are compiled with, was not found in {}{}; install \
         the toolkit, set CUDA_PATH to its folder, or use `device: cpu`",
        looked.join(", "),
        if set.is_some() { " (CUDA_PATH)" } else { "" }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these files and libraries.
    struct Given<'a>(Option<&'a str>, &'a [&'a str]);

    impl Has for Given<'_> {
        fn cuda_path(&self) -> Option<PathBuf> {
            self.0.map(PathBuf::from)
        }
        fn file(&self, path: &Path) -> bool {
            self.1.iter().any(|file| Path::new(file) == path)
        }
        fn folder(&self, path: &Path) -> bool {
            self.1.iter().any(|file| Path::new(file).starts_with(path))
        }
        fn library(&self, name: &str) -> bool {
            self.1.contains(&name)
        }
    }

    #[test]
    fn a_machine_with_a_toolkit_misses_nothing() {
        let usual = Given(None, &["/opt/cuda/nvvm/libdevice/libdevice.10.bc"]);
        assert_eq!(without_libdevice(&usual), None);
        let own = ["/own/include/cuda_fp16.h", "libnvrtc.so.13"];
        assert_eq!(without_nvrtc(&Given(Some("/own"), &own)), None);
        let debian = ["/usr/bin/nvcc", "/usr/include/cuda_fp16.h", "libnvrtc.so"];
        assert_eq!(without_nvrtc(&Given(None, &debian)), None);
        // of glibc, and loaded by no program
        assert!(Machine.library("libBrokenLocale.so.1"));
        assert!(!Machine.library("libnvrtc.so.0"));
    }

    #[test]
    fn what_is_missing_is_named_with_where_it_was_looked_for() {
        let says = |found: Option<String>, words: &[&str]| {
            let found = found.expect("something is missing");
            for word in words {
                assert!(found.contains(word), "{found}");
            }
            assert!(!found.contains('\n'), "{found}");
        };
        let libdevice = "libdevice.10.bc";
        let nothing = Given(None, &[]);
        says(
            without_libdevice(&nothing),
            &[libdevice, "/usr/local/cuda", "CUDA_PATH"],
        );
        says(without_nvrtc(&nothing), &["NVRTC", "libnvrtc.so.13"]);
        // CUDA_PATH takes precedence
        let elsewhere = Given(
            Some("/own"),
            &["/usr/nvvm/libdevice/libdevice.10.bc", "libnvrtc.so"],
        );
        says(
            without_libdevice(&elsewhere),
            &[libdevice, "/own (CUDA_PATH)"],
        );
        says(without_nvrtc(&elsewhere), &["cuda_fp16.h"]);
        // headers are taken from the first existing directory, and from /usr if nvcc is there
        let bare = [
            "/usr/local/cuda/bin/nvcc",
            "/opt/cuda/include/cuda_fp16.h",
            "libnvrtc.so",
        ];
        says(without_nvrtc(&Given(None, &bare)), &["/usr/local/cuda;"]);
        let stray = ["/usr/include/cuda_fp16.h", "libnvrtc.so"];
        says(
            without_nvrtc(&Given(None, &stray)),
            &["/usr/local/cuda, /opt/cuda;"],
        );
    }
}
