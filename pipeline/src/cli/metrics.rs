use crate::console::Console; use crate::store::Store;
#[derive(Debug, clap::Args)] pub struct Arguments {}
pub fn run(_: &Arguments, _: &Store, _: &Console) -> anyhow::Result<()> { Ok(()) }
