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
        Self::new(trials.into_iter().map(Trial::devices), alternatives)
    }

    /// For trials with the devices `asked`, one or several each; `alternatives` lists the devices that a name leaves
    /// the choice of.
    fn new<'a>(
        asked: impl IntoIterator<Item = &'a [String]>,
        alternatives: impl Fn(&str) -> Vec<String>,
    ) -> Self {
        let mut choices = BTreeMap::new();
        for devices in asked {
            if let [name] = devices
                && !choices.contains_key(name)
            {
                choices.insert(name.clone(), alternatives(name));
            }
        }
        choices.retain(|_, devices| !devices.is_empty());
        Self {
            choices,
            running: BTreeMap::new(),
        }
    }

    /// The devices for the next process of a trial that asks for `asked`: of those that a single name leaves the
    /// choice of, the first with the fewest processes; otherwise the named ones. Counts the process on each until
    /// [`Placement::free`].
    pub fn place(&mut self, asked: &[String]) -> Vec<String> {
        let running = |name: &str| self.running.get(name).copied().unwrap_or(0);
        let left = match asked {
            [name] => self.choices.get(name),
            _ => None,
        };
        let left = left.into_iter().flatten();
        let devices = match left.min_by_key(|name| running(name)) {
            Some(device) => vec![device.clone()],
            None => asked.iter().map(|name| whole(name)).collect(),
        };
        for device in &devices {
            *self.running.entry(device.clone()).or_default() += 1;
        }
        devices
    }

    /// A process on `devices` ended.
    pub fn free(&mut self, devices: &[String]) {
        for device in devices {
            if let Some(count) = self.running.get_mut(device) {
                *count = count.saturating_sub(1);
            }
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

/// The name of a device with its index: `cuda` and `cuda:00` are counted as `cuda:0`.
fn whole(name: &str) -> String {
    let choice = name.parse::<DeviceChoice>();
    choice.map_or_else(|_| name.to_owned(), |choice| choice.to_string())
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

    fn one(name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    fn of_names(asked: &[&str], gpus: usize) -> Placement {
        let asked: Vec<Vec<String>> = asked.iter().map(|name| one(name)).collect();
        Placement::new(asked.iter().map(Vec::as_slice), machine(gpus))
    }

    fn place(placement: &mut Placement, asked: &[&str]) -> Vec<String> {
        (asked.iter())
            .flat_map(|name| placement.place(&one(name)))
            .collect()
    }

    /// Fails if all processes run on the first device, or more on one while another is idle.
    #[test]
    fn a_process_runs_on_the_device_with_the_fewest() {
        let mut placement = of_names(&["cuda"], 3);
        let placed = place(&mut placement, &["cuda"; 5]);
        assert_eq!(placed, ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]);
        // 2, 2, 1 run; after one on the last ended, it is idle
        placement.free(&one("cuda:2"));
        placement.free(&one("cuda:1"));
        let placed = place(&mut placement, &["cuda"; 3]);
        assert_eq!(placed, ["cuda:2", "cuda:1", "cuda:2"]);
    }

    #[test]
    fn a_device_with_an_index_stays_as_named_and_counts() {
        let mut placement = of_names(&["cuda", "cuda:0", "cpu"], 2);
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
        let mut placement = of_names(&["wgpu", "cuda"], 2);
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
        let mut none = of_names(&["cuda"], 0);
        assert_eq!(place(&mut none, &["cuda", "cuda"]), ["cuda:0", "cuda:0"]);
        assert!(none.devices().next().is_none() && none.described().is_empty());
    }

    /// Fails if a trial that trains on several devices loses them, or counts on one only.
    #[test]
    fn devices_that_share_a_training_stay_as_named_and_count() {
        let shared = ["cuda:0", "cuda:2"].map(str::to_owned);
        let trials = [shared.to_vec(), one("cuda")];
        let mut placement = Placement::new(trials.iter().map(Vec::as_slice), machine(3));
        assert_eq!(placement.place(&shared), shared);
        assert_eq!(place(&mut placement, &["cuda"; 2]), ["cuda:1", "cuda:0"]);
        placement.free(&shared);
        assert_eq!(place(&mut placement, &["cuda"]), ["cuda:2"]);
    }

    /// Fails if devices are looked for more than once per name: each time is a call of the driver.
    #[test]
    fn every_name_is_looked_up_once() {
        let asked = std::cell::Cell::new(0);
        let counting = |name: &str| {
            asked.set(asked.get() + 1);
            machine(2)(name)
        };
        let trials = ["cuda", "cuda", "cpu", "cpu"].map(one);
        let mut placement = Placement::new(trials.iter().map(Vec::as_slice), counting);
        place(&mut placement, &["cuda", "cpu"]);
        assert_eq!(asked.get(), 2);
    }
}
