//! No regulariser.

use super::kind::{Given, Regulariser, RegulariserKind};
use crate::error::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// No regulariser: only the reconstruction is trained.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl RegulariserKind for Nothing {
    fn weight(&self) -> f64 {
        0.0
    }

    fn follows_flow(&self) -> bool {
        false
    }

    fn begin<'a>(&'a self, _: Given<'a>) -> Result<Option<Box<dyn Regulariser + 'a>>> {
        Ok(None)
    }
}
