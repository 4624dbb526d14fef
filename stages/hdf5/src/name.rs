//! Names of datasets.

/// `name` with one leading slash.
pub fn absolute(name: &str) -> String {
    format!("/{}", name.trim_matches('/'))
}
