//! Initial weights drawn from a stateless stream, so that they depend on the seed alone and not on
//! the device's generator.

use crate::random::Streams;
use crate::tensors::from_f32;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use rand::RngExt;

/// The module with every weight matrix and kernel drawn uniformly on +-sqrt(1 / fan_in) (PyTorch's
/// default) and every bias set to zero. Normalisation layers keep their ones and zeros.
pub fn initialise<M: Module>(module: M, streams: Streams) -> M {
    let module = module.map(&mut Initialise {
        streams,
        path: Vec::new(),
        layers: Vec::new(),
        drawn: 0,
    });
    module.set_require_grad(true) // mapping the weights has dropped it
}

struct Initialise {
    streams: Streams,
    path: Vec<String>,
    layers: Vec<String>,
    drawn: u64,
}

impl ModuleMapper for Initialise {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.layers.push(container.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
        self.layers.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.last().map_or("", String::as_str);
        if D == 1 {
            return if name == "bias" {
                param.map(|tensor| tensor.zeros_like())
            } else {
                param
            };
        }
        self.drawn += 1;
        let mut rng = self.streams.at("initial weights", self.drawn);
        let transposed = self
            .layers
            .last()
            .is_some_and(|layer| layer.contains("Linear") || layer.contains("Transpose"));
        param.map(|tensor| {
            let dims = tensor.dims();
            // Linear is [in, out], a kernel [out, in, ...], a transposed kernel [in, out, ...].
            let inputs = if transposed { dims[0] } else { dims[1] };
            let fan_in = inputs * dims[2..].iter().product::<usize>();
            let bound = (1.0 / fan_in as f32).sqrt();
            let values = (0..dims.iter().product())
                .map(|_| rng.random_range(-bound..bound))
                .collect();
            from_f32(values, dims, &tensor.device())
        })
    }
}

/// The module with N(0, scale^2) added to every parameter. Tests start here: zero initialisation
/// would make most of them vacuous.
#[cfg(test)]
pub fn perturb<M: Module>(module: M, scale: f64, streams: Streams) -> M {
    struct Perturb(f64, Streams, u64);
    impl ModuleMapper for Perturb {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.2 += 1;
            param.map(|tensor| {
                let dims = tensor.dims();
                let noise = self.1.normal("perturb", self.2, dims.iter().product());
                let device = tensor.device();
                tensor + from_f32(noise, dims, &device).mul_scalar(self.0)
            })
        }
    }
    module.map(&mut Perturb(scale, streams, 0))
}
