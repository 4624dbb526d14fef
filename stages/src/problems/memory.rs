//! How much memory is free for this process: that of the machine, or of the control group (a container or a Slurm
//! job) that it runs in, whichever is less.

use std::path::Path;

/// Bytes of memory that are free for this process, if the system says so.
pub fn free() -> Option<u64> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| available(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let group = of_groups(Path::new("/sys/fs/cgroup"), &groups);
    [machine, group].into_iter().flatten().min()
}

fn read(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

/// Bytes available according to `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// The least that is free in the memory groups of `/proc/self/cgroup` and in those around them, mounted at `root`; a
/// container sees its own group there without its name.
fn of_groups(root: &Path, groups: &str) -> Option<u64> {
    let groups = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let version = match controllers {
            "" => &VERSION_2,
            _ if controllers.split(',').any(|c| c == "memory") => &VERSION_1,
            _ => return None,
        };
        Some((version, path.trim_start_matches('/')))
    });
    let folders = groups.flat_map(|(version, path)| {
        let top = root.join(version.mount);
        let around: Vec<_> = Path::new(path)
            .ancestors()
            .map(|group| (version, top.join(group)))
            .collect();
        around
    });
    folders
        .filter_map(|(version, folder)| version.free(&folder))
        .min()
}

/// The names of the files of a control group.
struct Version {
    mount: &'static str,
    limit: &'static str,
    used: &'static str,
    /// The parts of `memory.stat` that are cached files, which the system drops when memory runs short.
    cached: [&'static str; 2],
}

const VERSION_1: Version = Version {
    mount: "memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cached: ["total_inactive_file", "total_active_file"],
};

const VERSION_2: Version = Version {
    mount: "",
    limit: "memory.max",
    used: "memory.current",
    cached: ["inactive_file", "active_file"],
};

impl Version {
    /// Bytes that are free in the group `folder`; none without a limit.
    fn free(&self, folder: &Path) -> Option<u64> {
        let number = |name: &str| read(&folder.join(name))?.trim().parse::<u64>().ok();
        let limit = number(self.limit)?;
        let used = number(self.used)?;
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().filter_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            let is_cache = self.cached.contains(&name);
            is_cache.then(|| bytes.trim().parse::<u64>().ok())?
        });
        Some(limit.saturating_sub(used.saturating_sub(cached.sum())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read_in_bytes() {
        let text = "MemTotal:       24684084 kB\nMemFree: 1 kB\nMemAvailable:       2048 kB\n";
        assert_eq!(available(text), Some(2 << 20));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }

    /// Detects: a limit of the group around that is overlooked, and cached files counted as used.
    #[test]
    fn the_tightest_group_decides() {
        let root = tempfile::tempdir().unwrap();
        let write = |folder: &str, files: &[(&str, &str)]| {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            for (name, text) in files {
                std::fs::write(folder.join(name), text).unwrap();
            }
        };
        write(
            "a/b",
            &[("memory.max", "max\n"), ("memory.current", "70\n")],
        );
        write(
            "a",
            &[
                ("memory.max", "100\n"),
                ("memory.current", "80\n"),
                ("memory.stat", "anon 60\ninactive_file 15\nactive_file 5\n"),
            ],
        );
        assert_eq!(of_groups(root.path(), "0::/a/b\n"), Some(40));
        write(
            "memory/job",
            &[
                ("memory.limit_in_bytes", "50\n"),
                ("memory.usage_in_bytes", "45\n"),
            ],
        );
        let both = "4:cpu,memory:/job\n3:cpuset:/\n0::/a/b\n";
        assert_eq!(of_groups(root.path(), both), Some(5));
        assert_eq!(of_groups(root.path(), "0::/elsewhere\n"), None);
    }
}
