//! Values of keys that a configuration leaves out.

/// Declares a function for each key, as in `#[serde(default = "defaults::steps")]`.
macro_rules! defaults {
    ($($key:ident: $type:ty = $value:expr;)*) => {
        $(pub fn $key() -> $type { $value })*
    };
}

pub(crate) use defaults;
