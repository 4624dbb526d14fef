//! Whether a lock taken by one host is seen by other hosts on the same file system.

use std::path::Path;

/// File systems that only one host mounts at a time.
const OF_ONE_HOST: [&str; 17] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "tmpfs", "ramfs",
    "overlay", "vfat", "exfat", "ntfs3", "fuseblk", "aufs",
];
/// Shared file systems with locks between hosts, with any mount options.
const SHARING: [&str; 4] = ["gpfs", "ceph", "ocfs2", "gfs2"];

/// Whether locks on files in `folder` are seen by every host that can see the files; false if unknown.
pub fn locks_are_seen_by_all_hosts(folder: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    of_mounts(&mounts, &folder)
}

/// The same for file systems mounted as in `mounts`, in the format of `/proc/self/mountinfo` (proc(5)):
/// `36 35 98:0 /root /place options optional... - type source options`.
fn of_mounts(mounts: &str, folder: &Path) -> bool {
    let mut longest = 0;
    let mut seen = false;
    for line in mounts.lines() {
        let Some((head, tail)) = line.split_once(" - ") else {
            continue;
        };
        let (head, tail): (Vec<&str>, Vec<&str>) =
            (head.split(' ').collect(), tail.split(' ').collect());
        let (Some(place), Some(kind)) = (head.get(4), tail.first()) else {
            continue;
        };
        let place = unescaped(place);
        // of stacked mounts, the last is on top
        if folder.starts_with(&place) && place.len() >= longest {
            longest = place.len();
            let options = [head.get(5), tail.get(2)].into_iter().flatten();
            seen = are_seen(
                kind,
                &options.flat_map(|o| o.split(',')).collect::<Vec<_>>(),
            );
        }
    }
    seen
}

fn are_seen(kind: &str, options: &[&str]) -> bool {
    let has = |option: &str| options.contains(&option);
    match kind {
        // flock(2): NFS clients pass locks on since Linux 2.6.12 unless configured otherwise (nfs(5))
        "nfs" | "nfs4" => {
            let local = options.iter().find_map(|o| o.strip_prefix("local_lock="));
            !has("nolock") && local.is_none_or(|local| local == "none" || local == "posix")
        }
        // the alternatives are `localflock` and `noflock` (mount.lustre(8))
        "lustre" => has("flock"),
        "cifs" | "smb3" => !has("nobrl"),
        kind => OF_ONE_HOST.contains(&kind) || SHARING.contains(&kind),
    }
}

/// A path of `/proc/self/mountinfo`, in which spaces and backslashes are octal escapes.
fn unescaped(text: &str) -> String {
    let codes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    codes.iter().fold(text.to_owned(), |text, (code, sign)| {
        text.replace(code, sign)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:50 / /home rw shared:2 - nfs4 server:/home rw,vers=4.2,local_lock=none
41 22 0:51 / /old rw - nfs server:/old rw,vers=3,nolock,local_lock=all
42 22 0:52 / /scratch rw shared:3 - lustre a@tcp:/fs rw,flock
43 22 0:53 / /scratch/fast\\040one rw shared:3 - lustre a@tcp:/fs rw,localflock
44 22 0:54 / /remote rw - fuse.sshfs user@host: rw
45 44 8:2 / /remote rw - xfs /dev/sdb rw
46 22 0:55 / /share rw - 9p share rw
";

    #[test]
    fn locks_are_trusted_where_all_hosts_see_them() {
        for (folder, seen) in [
            ("/tmp/artifacts", true),
            ("/home/me/artifacts", true),
            ("/homework", true),
            ("/old/artifacts", false),
            ("/scratch/artifacts", true),
            ("/scratch/fast one/artifacts", false),
            ("/remote/artifacts", true),
            ("/share/artifacts", false),
        ] {
            assert_eq!(of_mounts(MOUNTS, Path::new(folder)), seen, "{folder}");
        }
        assert!(!of_mounts("", Path::new("/tmp")));
    }

    #[test]
    fn those_of_this_machines_temporary_files_are() {
        let dir = tempfile::tempdir().unwrap();
        assert!(locks_are_seen_by_all_hosts(dir.path()));
    }
}
