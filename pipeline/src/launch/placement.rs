//! Places the processes of trials on the devices of this machine.
//!
//! A trial whose experiment names a kind of GPU without an index, such as `device: cuda`, may run on any of that
//! kind. Artifacts do not depend on which, since the device is not part of their identity.

use crate::sweep::Trial;
use latent_align_stages::devices::{DeviceChoice, alternatives};
use std::collections::BTreeMap;

/// The devices of a sweep's trials, and the number of processes running on each.
#[derive(Debug)]
pub struct Placement {
    /// The devices that each name leaves the choice of; only names that leave one.
    choices: BTreeMap<String, Vec<String>>,
    running: BTreeMap<String, usize>,
}

impl Placement {
    /// For `trials` on the devices of this machine, which are looked for if a trial leaves the choice.
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        Self::new(trials.into_iter().map(Trial::device), alternatives)
    }

    /// For trials with the devices `asked`; `alternatives` lists the devices that a name leaves the choice of.
    fn new<'a>(
        asked: impl IntoIterator<Item = &'a str>,
        alternatives: impl Fn(&str) -> Vec<String>,
    ) -> Self {
        let mut choices = BTreeMap::new();
        for name in asked {
            if !choices.contains_key(name) {
                choices.insert(name.to_owned(), alternatives(name));
            }
        }
        choices.retain(|_, devices| !devices.is_empty());
        Self {
            choices,
            running: BTreeMap::new(),
        }
    }

    /// The device for the next process of a trial that asks for `asked`: of those that it leaves the choice of, the
    /// first with the fewest processes; otherwise the named one. Counts the process until [`Placement::free`].
    pub fn place(&mut self, asked: &str) -> String {
        let running = |name: &str| self.running.get(name).copied().unwrap_or(0);
        let left = self.choices.get(asked).into_iter().flatten();
        let device = match left.min_by_key(|name| running(name)) {
            Some(device) => device.clone(),
            // `cuda:00` is counted as `cuda:0`
            None => asked
                .parse::<DeviceChoice>()
                .map_or_else(|_| asked.to_owned(), |choice| choice.to_string()),
        };
        *self.running.entry(device.clone()).or_default() += 1;
        device
    }

    /// A process on `device` ended.
    pub fn free(&mut self, device: &str) {
        if let Some(count) = self.running.get_mut(device) {
            *count = count.saturating_sub(1);
        }
    }

    /// The devices that processes may be placed on, each once.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.choices.values().flatten().map(String::as_str)
    }

    /// A line for each name that leaves a choice.
    pub fn described(&self) -> String {
        let lines = self.choices.iter().map(|(asked, devices)| {
            let devices = devices.join(", ");
            format!("`device: {asked}`: on {devices}, whichever runs the fewest trials\n")
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with so many NVIDIA GPUs and one device of wgpu.
    fn machine(gpus: usize) -> impl Fn(&str) -> Vec<String> {
        move |name| match name {
            "cuda" => (0..gpus).map(|index| format!("cuda:{index}")).collect(),
            "wgpu" => vec!["wgpu:0".to_owned()],
            _ => Vec::new(),
        }
    }

    fn place(placement: &mut Placement, asked: &[&str]) -> Vec<String> {
        asked.iter().map(|name| placement.place(name)).collect()
    }

    /// Fails if all processes run on the first device, or more on one while another is idle.
    #[test]
    fn a_process_runs_on_the_device_with_the_fewest() {
        let mut placement = Placement::new(["cuda"], machine(3));
        let placed = place(&mut placement, &["cuda"; 5]);
        assert_eq!(placed, ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]);
        // 2, 2, 1 run; after one on the last ended, it is idle
        placement.free("cuda:2");
        placement.free("cuda:1");
        let placed = place(&mut placement, &["cuda"; 3]);
        assert_eq!(placed, ["cuda:2", "cuda:1", "cuda:2"]);
    }

    #[test]
    fn a_device_with_an_index_stays_as_named_and_counts() {
        let mut placement = Placement::new(["cuda", "cuda:0", "cpu"], machine(2));
        let placed = place(
            &mut placement,
            &["cuda:0", "cuda:00", "cuda", "cuda", "cuda", "cuda:0"],
        );
        assert_eq!(
            placed,
            ["cuda:0", "cuda:0", "cuda:1", "cuda:1", "cuda:0", "cuda:0"]
        );
        assert_eq!(place(&mut placement, &["cpu", "cpu"]), ["cpu", "cpu"]);
        let remote = "remote:ws://host:3000";
        assert_eq!(place(&mut placement, &[remote]), [remote]);
    }

    #[test]
    fn kinds_are_placed_apart_and_the_first_is_named_where_none_was_found() {
        let mut placement = Placement::new(["wgpu", "cuda"], machine(2));
        let placed = place(&mut placement, &["wgpu", "cuda", "wgpu", "cuda"]);
        assert_eq!(placed, ["wgpu:0", "cuda:0", "wgpu:0", "cuda:1"]);
        assert_eq!(
            placement.devices().collect::<Vec<_>>(),
            ["cuda:0", "cuda:1", "wgpu:0"]
        );
        assert!(
            placement
                .described()
                .contains("`device: cuda`: on cuda:0, cuda:1, whichever runs the fewest")
        );
        // the process then says why there is none
        let mut none = Placement::new(["cuda"], machine(0));
        assert_eq!(place(&mut none, &["cuda", "cuda"]), ["cuda:0", "cuda:0"]);
        assert!(none.devices().next().is_none() && none.described().is_empty());
    }

    /// Fails if devices are looked for more than once per name: each time is a call of the driver.
    #[test]
    fn every_name_is_looked_up_once() {
        let asked = std::cell::Cell::new(0);
        let counting = |name: &str| {
            asked.set(asked.get() + 1);
            machine(2)(name)
        };
        let mut placement = Placement::new(["cuda", "cuda", "cpu", "cpu"], counting);
        place(&mut placement, &["cuda", "cpu"]);
        assert_eq!(asked.get(), 2);
    }
}
