//! What compiles kernels for NVIDIA GPUs while the program runs: it comes with a CUDA toolkit, not with
//! the driver, and without it the first kernel would fail in the middle of a stage.

use std::ffi::CString;
use std::path::{Path, PathBuf};

/// What a machine is asked.
pub trait Has {
    /// `CUDA_PATH`, where it is set.
    fn cuda_path(&self) -> Option<PathBuf>;
    /// Whether there is such a file.
    fn file(&self, path: &Path) -> bool;
    /// Whether there is such a folder.
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
        let Ok(name) = CString::new(name) else {
            return false;
        };
        // SAFETY: the name ends with a zero. Loading runs the library's constructors, as using it does.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
        !handle.is_null()
    }
}

/// Where CubeCL looks for `LIBDEVICE` without `CUDA_PATH`: in each, until it is found.
const ROOTS: [&str; 4] = ["/usr/local/cuda", "/opt/cuda", "/usr/lib/cuda", "/usr"];
/// What PTX is linked with for `exp`, `sin` and the like.
const LIBDEVICE: &str = "nvvm/libdevice/libdevice.10.bc";
/// Where CubeCL looks for headers without `CUDA_PATH`: in the first that is there.
const HEADER_ROOTS: [&str; 2] = ["/usr/local/cuda", "/opt/cuda"];
/// And in `/usr`, where this is.
const NVCC: &str = "/usr/bin/nvcc";
/// What kernels in C++ include.
const HEADER: &str = "include/cuda_fp16.h";
/// What compiles them, as CubeCL looks for it.
const NVRTC: [&str; 4] = [
    "libnvrtc.so",
    "libnvrtc.so.13",
    "libnvrtc.so.12",
    "libnvrtc.so.11",
];

/// What the back end of this build misses on `machine`, in words; nothing where all is there.
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

/// Of kernels that LLVM compiles.
fn without_libdevice(machine: &impl Has) -> Option<String> {
    absent(machine, LIBDEVICE, ROOTS.map(PathBuf::from).to_vec())
}

/// Of kernels that NVRTC compiles.
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

/// What is said where neither `CUDA_PATH` nor, if that is not set, any of `usual` has `file`.
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

    /// A machine that has these files and libraries.
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
        assert!(Machine.library("libc.so.6"));
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
        // CUDA_PATH decides where it is set
        let elsewhere = Given(
            Some("/own"),
            &["/usr/nvvm/libdevice/libdevice.10.bc", "libnvrtc.so"],
        );
        says(
            without_libdevice(&elsewhere),
            &[libdevice, "/own (CUDA_PATH)"],
        );
        says(without_nvrtc(&elsewhere), &["cuda_fp16.h"]);
        // headers are taken from the first folder that is there, and from /usr where nvcc is
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
