//! Wall-clock time as in manifests: `2026-11-21T22:16:31Z`.

use chrono::{DateTime, NaiveDateTime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::SystemTime;

const FORM: &str = "%Y-%m-%dT%H:%M:%SZ";

/// A time in UTC with a resolution of one second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// The current time.
    pub fn now() -> Self {
        let since = SystemTime::UNIX_EPOCH.elapsed();
        Self::from_seconds(since.map_or(0, |d| d.as_secs()))
    }

    fn from_seconds(seconds: u64) -> Self {
        let moment = i64::try_from(seconds).ok();
        let moment = moment.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        Self(moment.unwrap_or_default().format(FORM).to_string())
    }

    /// Seconds since 1970; none if the text is not a time, as in a manifest that was edited.
    pub fn seconds(&self) -> Option<u64> {
        let moment = NaiveDateTime::parse_from_str(&self.0, FORM).ok()?;
        u64::try_from(moment.and_utc().timestamp()).ok()
    }

    /// Date and time separated by a space, for tables.
    pub fn readable(&self) -> String {
        self.0.replace('T', " ").trim_end_matches('Z').to_owned()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
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
