//! Notes the git revision the sources were built at, for manifests.
//!
//! Runs only when the sources change, which is when the crate is compiled anyway.

use std::process::Command;

fn main() {
    for sources in ["build.rs", "src", "../stages/src"] {
        println!("cargo::rerun-if-changed={sources}");
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    if let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) {
        let clean = git(&["status", "--porcelain", "--", "src", "../stages/src"])
            .is_some_and(|changes| changes.is_empty());
        let changes = if clean { "" } else { "+changes" };
        println!("cargo::rustc-env=LATENT_ALIGN_REVISION={revision}{changes}");
    }
}
