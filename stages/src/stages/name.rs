//! Names of stages.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

macro_rules! names {
    ($($(#[$doc:meta])* $section:ident: $stage:ident = $name:literal $(leaves $leaves:literal)?,)*) => {
        /// A stage, ordered by when it runs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Stage {
            $($(#[$doc])* $stage,)*
        }

        /// The names of all stages.
        static NAMES: [&str; Stage::ALL.len()] = [$($name),*];

        impl Stage {
            /// In the order in which they run.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$stage),*];

            /// Name of its folder.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$stage => $name,)* }
            }

            /// Name of its section in a configuration.
            pub const fn section(self) -> &'static str {
                match self { $(Self::$stage => stringify!($section),)* }
            }

            /// The HDF5 files in its artifact that other stages may read; None if there are none.
            pub fn leaves(self) -> Option<&'static str> {
                let files: &[&str] = match self { $(Self::$stage => &[$($leaves)?],)* };
                files.first().copied()
            }
        }
    };
}

with_stages!(names);

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Serialised by name in every format, so that stored data stays readable when the list grows.
impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Stage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let found = Self::ALL.into_iter().find(|stage| stage.name() == name);
        found.ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if an entry of the list has a wrong name.
    #[test]
    fn folder_and_section_have_one_name() {
        for stage in Stage::ALL {
            assert_eq!(stage.name().replace('-', "_"), stage.section());
            let written = serde_json::to_value(stage).unwrap();
            assert_eq!(written, stage.name());
            assert_eq!(serde_json::from_value::<Stage>(written).unwrap(), stage);
        }
    }
}
