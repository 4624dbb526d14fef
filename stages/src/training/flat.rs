//! The parameters of a module as one flat vector, so that an optimiser's step on a GPU is a few kernels instead of
//! a few per parameter.

use crate::error::Result;
use crate::fused::{flex_ref, is_fused};
use crate::tensors::from_f32;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor};
use std::ops::Range;

/// Elements. A part of a vector in device memory is a view only if it begins and ends at a multiple of the device's
/// alignment, 256 bytes at most; otherwise it is copied.
const ALIGNED: usize = 64;

/// Tensors that one kernel concatenates: devices limit the number of buffers of a kernel.
const AT_ONCE: usize = 7;

/// Where each parameter is in a flat vector. Parameters are identified by their order in the module.
pub(super) struct Layout {
    /// In the module's order.
    parameters: Vec<Parameter>,
    /// Parameters by their position: first those of an aligned size, so that as many as possible are views.
    ascending: Vec<usize>,
    /// Elements of a flat vector: of all parameters, and padding to an aligned length.
    length: usize,
    dtype: DType,
    /// Without autodiff.
    pub(super) device: Device,
}

struct Parameter {
    dims: Vec<usize>,
    range: Range<usize>,
}

impl Layout {
    /// The layout of the floating-point parameters of `module`, which have one element type and one device.
    pub(super) fn of<M: Module>(module: &M) -> Self {
        struct Look(Vec<Vec<usize>>, Option<(DType, Device)>);
        impl ModuleVisitor for Look {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let values = param.val();
                self.0.push(values.dims().to_vec());
                self.1 = Some((values.dtype(), values.device().inner()));
            }
        }
        let mut look = Look(Vec::new(), None);
        module.visit(&mut look);
        let (dtype, device) = look.1.expect("a module with parameters");
        let sizes: Vec<usize> = look.0.iter().map(|dims| dims.iter().product()).collect();
        let mut ascending: Vec<usize> = (0..sizes.len()).collect();
        ascending.sort_by_key(|&i| !sizes[i].is_multiple_of(ALIGNED)); // stable
        let mut starts = vec![0; sizes.len()];
        let mut end = 0;
        for &i in &ascending {
            starts[i] = end;
            end += sizes[i];
        }
        let parameters = (look.0.into_iter().zip(starts.into_iter().zip(sizes)))
            .map(|(dims, (start, size))| Parameter {
                dims,
                range: start..start + size,
            })
            .collect();
        Self {
            parameters,
            ascending,
            length: end.next_multiple_of(ALIGNED),
            dtype,
            device,
        }
    }

    /// The parameters' ranges in a flat vector, in the module's order.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.parameters
            .iter()
            .map(|parameter| parameter.range.clone())
    }

    /// A vector of the values that `read` returns for each parameter, in the module's order.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn filled(
        &self,
        mut read: impl FnMut(usize, Range<usize>) -> Result<Vec<f32>>,
    ) -> Result<Tensor<1>> {
        let mut values = vec![0.0; self.length];
        for (i, range) in self.ranges().enumerate() {
            values[range.clone()].copy_from_slice(&read(i, range)?);
        }
        Ok(from_f32(values, [self.length], &self.device))
    }

    /// The parts of a flat vector that belong to the `chosen` parameters, in the module's order.
    pub(super) fn chosen<'a>(
        &self,
        mut rest: &'a mut [f32],
        chosen: &[bool],
    ) -> Vec<&'a mut [f32]> {
        let mut parts: Vec<Option<&mut [f32]>> = chosen.iter().map(|_| None).collect();
        for &i in &self.ascending {
            let (part, after) = rest.split_at_mut(self.parameters[i].range.len());
            (parts[i], rest) = (chosen[i].then_some(part), after);
        }
        parts.into_iter().flatten().collect()
    }

    /// The vector `new`, but `old` where a parameter is not `chosen`.
    pub(super) fn merge(&self, new: Tensor<1>, old: Tensor<1>, chosen: &[bool]) -> Tensor<1> {
        let part = |(range, &chosen): (Range<usize>, &bool)| {
            let of = if chosen { &new } else { &old };
            Some(of.clone().slice(range))
        };
        self.join(self.ranges().zip(chosen).map(part).collect())
    }

    fn zeros_of(&self, count: usize) -> Tensor<1> {
        Tensor::zeros([count], (&self.device, self.dtype))
    }

    /// Joins values of the parameters, each flat, in the module's order, into one vector; zeros for None.
    pub(super) fn join(&self, mut parts: Vec<Option<Tensor<1>>>) -> Tensor<1> {
        let mut vectors: Vec<Tensor<1>> = (self.ascending.iter())
            .map(|&i| {
                (parts[i].take()).unwrap_or_else(|| self.zeros_of(self.parameters[i].range.len()))
            })
            .collect();
        let used: usize = self.ranges().map(|range| range.len()).sum();
        if used < self.length {
            vectors.push(self.zeros_of(self.length - used));
        }
        while vectors.len() > 1 {
            let joined = |group: &[Tensor<1>]| match group {
                [one] => one.clone(),
                several => Tensor::cat(several.to_vec(), 0),
            };
            vectors = vectors.chunks(AT_ONCE).map(joined).collect();
        }
        vectors.remove(0)
    }

    /// The weights of `module` as one vector, without autodiff.
    pub(super) fn weights<M: Module>(&self, module: &M) -> Tensor<1> {
        struct Look(Vec<Option<Tensor<1>>>);
        impl ModuleVisitor for Look {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.push(Some(flat(without_autodiff(param.val()))));
            }
        }
        let mut look = Look(Vec::new());
        module.visit(&mut look);
        self.join(look.0)
    }

    /// The parts of a vector in the module's order, for [`Self::put`]: views where the device allows it, copies on the
    /// CPU, since its fused operations would copy a view each time.
    pub(super) fn parts(&self, vector: Tensor<1>) -> Vec<Option<Tensor<1>>> {
        self.chosen_parts(vector, &vec![true; self.parameters.len()])
    }

    /// As [`Self::parts`], of the parameters that are `chosen`.
    pub(super) fn chosen_parts(
        &self,
        vector: Tensor<1>,
        chosen: &[bool],
    ) -> Vec<Option<Tensor<1>>> {
        let ranges = self.ranges().zip(chosen);
        let ranges = ranges.map(|(range, chosen)| chosen.then_some(range));
        if !is_fused(&vector) {
            let part = |range| vector.clone().slice(range);
            return ranges.map(|range| range.map(part)).collect();
        }
        flex_ref(vector, |values| {
            let part = |range: Range<usize>| {
                let count = range.len();
                from_f32(values[range].to_vec(), [count], &self.device)
            };
            ranges.map(|range| range.map(part)).collect()
        })
    }

    /// Takes the parameters that are `chosen` out of `module`, each flat, without autodiff. They have no other owner,
    /// so that they can be changed in place. [`Self::put`] puts them back.
    pub(super) fn take<M: Module>(
        &self,
        module: M,
        chosen: impl Iterator<Item = bool>,
    ) -> (M, Vec<Option<Tensor<1>>>) {
        struct Take<I>(I, Vec<Option<Tensor<1>>>);
        impl<I: Iterator<Item = bool>> ModuleMapper for Take<I> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                if !self.0.next().expect("one for each parameter") {
                    self.1.push(None);
                    return param;
                }
                let (id, weights, mapper) = param.consume();
                let nothing = Tensor::empty([0; D], &weights.device());
                self.1.push(Some(flat(without_autodiff(weights))));
                Param::from_mapped_value(id, nothing, mapper)
            }
        }
        let mut take = Take(chosen, Vec::new());
        let module = module.map(&mut take);
        (module, take.1)
    }

    /// `module` with `parts` as its parameters, each flat, in its order, tracked by autodiff if the module is; None
    /// leaves a parameter as it is.
    pub(super) fn put<M: Module>(&self, module: M, parts: Vec<Option<Tensor<1>>>) -> M {
        struct Put<I>(I);
        impl<'a, I: Iterator<Item = (&'a Parameter, Option<Tensor<1>>)>> ModuleMapper for Put<I> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let (place, part) = self.0.next().expect("one for each parameter");
                let Some(part) = part else {
                    return param;
                };
                let dims: [usize; D] = place.dims[..].try_into().expect("of the same rank");
                let values = part.reshape(dims);
                param.map(|old| match old.device().is_autodiff() {
                    true => Tensor::from_inner(values).require_grad(),
                    false => values,
                })
            }
        }
        module.map(&mut Put(self.parameters.iter().zip(parts)))
    }
}

/// The gradient of each parameter that has one, flat, in the module's order, removed from `gradients`.
pub(super) fn gradients<M: Module>(
    module: &M,
    gradients: &mut Gradients,
) -> Vec<Option<Tensor<1>>> {
    struct Take<'a>(&'a mut Gradients, Vec<Option<Tensor<1>>>);
    impl ModuleVisitor for Take<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(param.val().grad_remove(self.0).map(flat));
        }
    }
    let mut take = Take(gradients, Vec::new());
    module.visit(&mut take);
    take.1
}

/// Flattens a tensor.
fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}

/// Detaches a tensor from the graph.
pub(super) fn without_autodiff<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    match tensor.device().is_autodiff() {
        true => tensor.inner(),
        false => tensor,
    }
}
