//! Selection of one of several devices of a kind.

use crate::error::{Error, Result};

/// The device of `index` among `found` of `kind`.
///
/// # Errors
/// A device error for an index out of range; `none` is its message if nothing was found at all.
pub fn pick<T>(kind: &str, index: usize, mut found: Vec<T>, none: &str) -> Result<T> {
    let count = found.len();
    if index < count {
        return Ok(found.swap_remove(index));
    }
    Err(Error::Device(if count == 0 {
        format!("device `{kind}`: {none}; use `device: cpu`")
    } else {
        format!("device `{kind}:{index}`: found {count} of them, expected an index below {count}")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_picks_among_what_was_found() {
        let error = |index, found| {
            pick("cuda", index, found, "no GPU")
                .unwrap_err()
                .to_string()
        };
        assert_eq!(pick("cuda", 1, vec!['a', 'b'], "no GPU").unwrap(), 'b');
        assert!(error(2, vec!['a', 'b']).contains("found 2 of them, expected an index below 2"));
        assert!(error(0, vec![]).contains("no GPU"));
    }
}
