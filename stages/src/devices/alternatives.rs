//! The devices among which a configuration leaves the choice.

use super::choice::DeviceChoice;
use super::found::cuda_count;

/// The devices of this machine that `name` may mean. A kind of GPU without an index may mean any of its kind:
/// `cuda:0` and `cuda:1` for `cuda` on a machine with two (of those in `CUDA_VISIBLE_DEVICES`, since the driver
/// counts no others). `wgpu` may mean those of the same class as the first: no integrated GPU beside a discrete
/// one, and a software device only where there is no GPU. None for every other name. Opens no device.
pub fn alternatives(name: &str) -> Vec<String> {
    let (indices, choice): (Vec<usize>, fn(usize) -> DeviceChoice) = match name {
        "cuda" => ((0..cuda_count()).collect(), DeviceChoice::Cuda),
        "wgpu" => (wgpu_alike(), DeviceChoice::Wgpu),
        _ => return Vec::new(),
    };
    let choices = indices.into_iter().map(choice);
    choices.map(|choice| choice.to_string()).collect()
}

#[cfg(feature = "wgpu-untuned")]
fn wgpu_alike() -> Vec<usize> {
    super::wgpu::alike()
}

#[cfg(not(feature = "wgpu-untuned"))]
fn wgpu_alike() -> Vec<usize> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::found;

    /// Fails if a name with an index may be replaced, or a kind's list is not that of `latent-align devices`.
    #[test]
    fn only_a_kind_without_an_index_leaves_a_choice_among_its_devices() {
        for name in ["cpu", "cuda:0", "cuda:1", "wgpu:0", "remote:ws://host:3000"] {
            assert!(alternatives(name).is_empty(), "{name}");
        }
        let found = found();
        for kind in ["cuda", "wgpu"] {
            let indexed = found.iter().filter(|found| {
                found
                    .name
                    .strip_prefix(kind)
                    .is_some_and(|rest| rest.starts_with(':') && !rest.contains('N'))
            });
            let listed: Vec<&str> = indexed.map(|found| found.name.as_str()).collect();
            let left = alternatives(kind);
            assert!(left.len() <= listed.len(), "{left:?} of {listed:?}");
            assert_eq!(left.is_empty(), listed.is_empty(), "{left:?} of {listed:?}");
            assert!(left.iter().all(|name| listed.contains(&name.as_str())));
        }
    }
}
