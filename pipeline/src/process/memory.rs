//! Memory use of the process.

/// The peak resident set size of this process so far in MiB, if available (Linux).
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_grows_with_what_is_touched() {
        let before = super::peak_mib().unwrap();
        let block = vec![1u8; 200 << 20];
        std::hint::black_box(&block);
        assert!(super::peak_mib().unwrap() >= before.max(200.0));
    }
}
