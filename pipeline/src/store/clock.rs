//! Wall-clock time as people and manifests write it: `2026-11-21T22:16:31Z`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in UTC, to the second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// This moment.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::from_seconds(since.map_or(0, |d| d.as_secs()))
    }

    fn from_seconds(seconds: u64) -> Self {
        let (year, month, day) = civil(seconds / 86_400);
        let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Self(format!(
            "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z"
        ))
    }

    /// Seconds since 1970; none where the text is no moment, as in a manifest that was edited.
    pub fn seconds(&self) -> Option<u64> {
        let numbers = |text: &str, between: char| -> Option<[u64; 3]> {
            let parts = text.split(between).map(|part| part.parse().ok());
            parts.collect::<Option<Vec<u64>>>()?.try_into().ok()
        };
        let (date, time) = self.0.trim_end_matches('Z').split_once('T')?;
        let ([year, month, day], [h, m, s]) = (numbers(date, '-')?, numbers(time, ':')?);
        let sane = (1970..10_000).contains(&year) && (1..=12).contains(&month);
        let days = (sane && day >= 1).then(|| days(year, month, day))?;
        Some(days * 86_400 + h * 3600 + m * 60 + s)
    }

    /// Date and time of day with a space between, for tables.
    pub fn readable(&self) -> String {
        self.0.replace('T', " ").trim_end_matches('Z').to_owned()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in eras of 400 years that start in March
/// (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil`].
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            let moment = Timestamp::from_seconds(seconds);
            assert_eq!(moment.to_string(), text);
            assert_eq!(moment.seconds(), Some(seconds));
        }
    }

    #[test]
    fn what_is_no_moment_has_no_seconds() {
        for text in [
            "",
            "today",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "0-1-1T0:0:0Z",
        ] {
            assert_eq!(Timestamp(text.into()).seconds(), None, "{text}");
        }
    }
}
