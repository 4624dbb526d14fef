//! Frozen modules on their device, without autodiff and, if gradients are needed, with it.

use super::field::VelocityField;
use super::prior::Placement;
use crate::tensors::cast;
use burn::module::Module;
use burn::tensor::Device;

/// A frozen module, or a field in closed form, on its device.
#[derive(Debug, Clone)]
pub(super) struct Placed<M> {
    /// Without autodiff.
    pub plain: M,
    /// With autodiff and frozen weights.
    pub tracked: Option<M>,
}

impl<M: Module> Placed<M> {
    /// `module`, which is on the weights' device of `place`.
    pub fn new(module: M, place: &Placement) -> Self {
        let module = cast(module, place.dtype).no_grad();
        match place.gradients {
            true => Self {
                plain: module.valid(),
                tracked: Some(module),
            },
            false => Self {
                plain: module,
                tracked: None,
            },
        }
    }

    /// A trained module without autodiff.
    pub fn plain(module: M) -> Self {
        Self {
            plain: module,
            tracked: None,
        }
    }
}

impl<V: VelocityField> Placed<V> {
    /// Calls `make` for each device that `place` needs.
    pub fn made(place: &Placement, make: impl Fn(&Device) -> V) -> Self {
        Self {
            plain: make(&place.device),
            tracked: place.gradients.then(|| make(&place.weights_device())),
        }
    }

    /// The field with autodiff, if loaded.
    pub fn tracked_field(&self) -> Option<&dyn VelocityField> {
        self.tracked.as_ref().map(|field| field as _)
    }
}
