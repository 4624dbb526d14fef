//! Semantic errors of a configuration, collected so that the user sees all of them at once.

mod memory;

use crate::error::{Error, Result};
use latent_align_hdf5::temporary::folder_of;
use serde::Serialize;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

/// How often a computation holds its points: values, noise, intermediate results.
const COPIES: usize = 8;

/// A list of problems under a key of the configuration.
#[derive(Debug, Default)]
pub struct Problems {
    path: Vec<String>,
    found: Vec<String>,
}

impl Problems {
    /// No problems so far, at the root of the configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the section `key` with `check`.
    pub fn section(&mut self, key: &str, check: impl FnOnce(&mut Self)) {
        self.path.push(key.to_owned());
        check(self);
        self.path.pop();
    }

    /// Reports a problem with `key` unless `holds`: what was found, and what is expected.
    pub fn require(&mut self, holds: bool, key: &str, found: impl Display, expected: &str) {
        if !holds {
            let mut path = self.path.clone();
            path.push(key.to_owned());
            let path = path.join(".");
            self.found
                .push(format!("{path}: found {found}, expected {expected}"));
        }
    }

    /// Reports a problem with `key`: what was found, and what is expected.
    pub fn add(&mut self, key: &str, found: impl Display, expected: &str) {
        self.require(false, key, found, expected);
    }

    /// Reports a value of `key` below `least`.
    pub fn at_least<T: PartialOrd + Display>(&mut self, key: &str, value: T, least: T) {
        let expected = format!("at least {least}");
        self.require(value >= least, key, value, &expected);
    }

    /// Reports a value of `key` outside of `range`.
    pub fn within<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: T,
        range: RangeInclusive<T>,
    ) {
        let expected = format!("{} to {}", range.start(), range.end());
        self.require(range.contains(&value), key, value, &expected);
    }

    /// Reports a `count` of points under `key` that does not fit into the free memory of this machine, if each has
    /// `width` numbers, which a computation holds eight times. Unknown free memory is not checked.
    pub fn fits(&mut self, key: &str, count: usize, width: usize) {
        let Some(free) = memory::free() else { return };
        let each = width.max(1) as f64 * (COPIES * 4) as f64;
        self.has_room(key, (count, each), (free as f64, "memory", ""));
    }

    /// Reports a `count` of rows under `key` that does not fit beside the file `path`, if each has `width` numbers of
    /// 4 bytes. Unknown free space is not checked.
    pub fn fits_on_disk(&mut self, key: &str, count: usize, width: usize, path: &Path) {
        let folder = folder_of(path);
        let Ok(disk) = rustix::fs::statvfs(folder) else {
            return;
        };
        let free = disk.f_bavail as f64 * disk.f_frsize as f64;
        let place = format!(" in {}", folder.display());
        let each = width.max(1) as f64 * 4.0;
        self.has_room(key, (count, each), (free, "disk", &place));
    }

    /// Reports a `count` under `key` of which `each` takes so many bytes, if there are not as many `free` at `place`.
    fn has_room(
        &mut self,
        key: &str,
        (count, each): (usize, f64),
        (free, of, place): (f64, &str, &str),
    ) {
        let needed = count as f64 * each;
        let gib = |bytes: f64| bytes / f64::from(1 << 30);
        self.require(
            needed <= free,
            key,
            format!("{count}, which need about {:.1} GiB of {of}", gib(needed)),
            &format!(
                "at most {:.0}, for which the {:.1} GiB that are free{place} suffice",
                (free / each).floor(),
                gib(free)
            ),
        );
    }

    /// Reports a value of `key` that is not positive and finite.
    pub fn positive(&mut self, key: &str, value: f64, such_as: &str) {
        let holds = value > 0.0 && value.is_finite();
        let expected = format!("a positive number such as {such_as}");
        self.require(holds, key, value, &expected);
    }

    /// Reports a value of `key` that is negative or not finite.
    pub fn not_negative(&mut self, key: &str, value: f64, such_as: &str) {
        let holds = value >= 0.0 && value.is_finite();
        let expected = format!("zero or a positive number such as {such_as}");
        self.require(holds, key, value, &expected);
    }

    /// Reports a value of `key` that is not in [0, 1).
    pub fn share(&mut self, key: &str, value: f64, such_as: &str) {
        let expected = format!("a number in [0, 1) such as {such_as}");
        self.require((0.0..1.0).contains(&value), key, value, &expected);
    }

    /// All problems, one per line.
    pub fn messages(&self) -> &[String] {
        &self.found
    }

    /// As [`Self::into_result`], prefixed with the file `path`, whose header was checked.
    ///
    /// # Errors
    /// As [`Self::into_result`].
    pub fn in_file(self, path: &Path) -> Result<()> {
        self.into_result()
            .map_err(|e| e.under(&path.display().to_string()))
    }

    /// Returns the problems as one error.
    ///
    /// # Errors
    /// An input error with every problem, one per line, if there is any.
    pub fn into_result(self) -> Result<()> {
        if self.found.is_empty() {
            Ok(())
        } else {
            Err(Error::input(self.found.join("\n")))
        }
    }
}

/// The name of an internally tagged configuration, as in `kind: NAME`.
///
/// # Panics
/// If it does not serialise with a `kind`.
pub fn kind_of(config: &impl Serialize) -> String {
    let value = serde_json::to_value(config).expect("plain data serialises");
    let kind = value.get("kind").and_then(|kind| kind.as_str());
    kind.expect("an internally tagged enum").to_owned()
}

/// "`a`, `b` or `c`".
pub fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match quoted.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bounds are inclusive where the message says so, and NaN is in no range.
    /// Fails if a size is only found out of memory once it is taken.
    #[test]
    fn more_points_than_memory_holds_are_refused_with_what_fits() {
        let mut problems = Problems::new();
        problems.fits("points", 1000, 100);
        assert!(problems.messages().is_empty());
        problems.fits("points", 100_000_000_000, 16);
        problems.fits("width", usize::MAX, usize::MAX);
        let messages = problems.messages();
        assert_eq!(messages.len(), 2);
        let found =
            "points: found 100000000000, which need about 47683.7 GiB of memory, expected at most ";
        assert!(messages[0].starts_with(found), "{messages:?}");
    }

    #[test]
    fn what_is_in_range_is_not_noted_and_what_is_not_says_what_was_expected() {
        let mut problems = Problems::new();
        problems.section("good", |p| {
            p.at_least("steps", 1, 1);
            p.within("width", 1, 1..=8);
            p.within("width", 8, 1..=8);
            p.positive("rate", f64::MIN_POSITIVE, "1e-3");
            p.not_negative("weight", 0.0, "0.01");
            p.share("ema", 0.0, "0.999");
        });
        assert_eq!(problems.messages(), [""; 0]);
        problems.section("bad", |p| {
            p.at_least("steps", 0, 1);
            p.within("width", 0, 1..=8);
            p.within("width", 9, 1..=8);
            for value in [0.0, f64::INFINITY, f64::NAN] {
                p.positive("rate", value, "1e-3");
            }
            for value in [-0.5, f64::INFINITY, f64::NAN] {
                p.not_negative("weight", value, "0.01");
            }
            for value in [-0.5, 1.0, f64::NAN] {
                p.share("ema", value, "0.999");
            }
            p.add("file", "x.h5", "no file");
        });
        let expected = [
            "steps: found 0, expected at least 1",
            "width: found 0, expected 1 to 8",
            "width: found 9, expected 1 to 8",
            "rate: found 0, expected a positive number such as 1e-3",
            "rate: found inf, expected a positive number such as 1e-3",
            "rate: found NaN, expected a positive number such as 1e-3",
            "weight: found -0.5, expected zero or a positive number such as 0.01",
            "weight: found inf, expected zero or a positive number such as 0.01",
            "weight: found NaN, expected zero or a positive number such as 0.01",
            "ema: found -0.5, expected a number in [0, 1) such as 0.999",
            "ema: found 1, expected a number in [0, 1) such as 0.999",
            "ema: found NaN, expected a number in [0, 1) such as 0.999",
            "file: found x.h5, expected no file",
        ];
        let expected = expected.map(|line| format!("bad.{line}"));
        assert_eq!(problems.messages(), expected);
    }
}
