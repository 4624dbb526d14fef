//! Detection of values that are not finite, which end a training with an error.

use crate::error::{Error, Result};

/// Checks `value`, the figure `what` after `step`, such as `the held-out loss`.
///
/// # Errors
/// [`Error::Diverged`] if it is NaN or infinite.
pub fn finite(value: f64, what: &str, step: u64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::Diverged {
        step,
        what: format!("{what} is {value}"),
    })
}

/// `found`, unless one of `checks` failed earlier.
///
/// # Errors
/// The earliest divergence; `found`'s if several are of the same step.
pub fn unless_before<T, const N: usize>(checks: [Result<()>; N], found: Result<T>) -> Result<T> {
    let failed = checks.into_iter().filter_map(Result::err);
    match (failed.reduce(Error::earlier), found) {
        (None, found) => found,
        (Some(error), Ok(_)) => Err(error),
        (Some(error), Err(later)) => Err(error.earlier(later)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64, what: &str) -> Error {
        Error::Diverged {
            step,
            what: what.to_owned(),
        }
    }

    #[test]
    fn a_figure_that_is_not_finite_is_a_divergence_and_no_number() {
        assert_eq!(finite(0.5, "the held-out loss", 3).unwrap(), 0.5);
        let failed = finite(f64::NAN, "the held-out loss", 3).unwrap_err();
        assert!(
            failed
                .to_string()
                .starts_with("the held-out loss is NaN after step 3")
        );
    }

    #[test]
    fn the_first_failure_is_told_and_of_one_step_the_loss() {
        let told = |gradient: Result<()>, loss: Result<f64>| {
            unless_before([Ok(()), gradient], loss)
                .unwrap_err()
                .to_string()
        };
        assert!(told(Err(at(4, "gradient")), Ok(1.0)).starts_with("gradient"));
        assert!(told(Err(at(4, "gradient")), Err(at(5, "loss"))).starts_with("gradient"));
        assert!(told(Err(at(5, "gradient")), Err(at(5, "loss"))).starts_with("loss"));
        assert!(told(Ok(()), Err(at(5, "loss"))).starts_with("loss"));
        assert_eq!(unless_before([Ok(())], Ok(1.0)).unwrap(), 1.0);
    }
}
