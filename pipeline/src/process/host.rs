//! The machine that this process runs on.

pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "unknown".into(), |n| n.trim().to_owned())
}
