//! A first experiment for somebody's own files: scan them, choose, and say why in comments.
//!
//! - [`pick`]: which datasets are meant
//! - [`readings`]: what is asked for where one can be read in more than one way
//! - [`flow`], [`encode`]: what was found in them, and what is chosen for it
//! - [`experiment`]: all of it
//! - [`yaml`]: how paths and names stand in the file

mod encode;
mod experiment;
mod flow;
mod pick;
mod readings;
mod request;
mod rows;
mod yaml;

pub use experiment::starter;
pub use request::{DataAs, Request, SCHEMA};
pub use yaml::name_of;
