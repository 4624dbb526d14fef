//! Initial weights from a stateless stream, so that they depend only on the seed and not on the device's generator.

use crate::random::Streams;
use crate::tensors::from_f32;
use burn::module::{Module, ModuleMapper, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Initialises every weight matrix and kernel uniformly on +-sqrt(1 / fan_in) (PyTorch's default) and every bias to
/// zero. Normalisation layers keep their ones and zeros.
pub fn initialise<M: Module>(module: M, streams: Streams) -> M {
    initialised(module, streams, false)
}

/// As [`initialise`], with random biases, as in PyTorch. A narrow input needs them: without biases, all units that
/// read a single number x have their kink at x = 0, and a layer norm after them leaves only the sign of x.
pub fn initialise_with_biases<M: Module>(module: M, streams: Streams) -> M {
    initialised(module, streams, true)
}

fn initialised<M: Module>(module: M, streams: Streams, biases: bool) -> M {
    let module = module.map(&mut Initialise {
        streams,
        biases,
        bound: 0.0,
        path: Vec::new(),
        layers: Vec::new(),
        drawn: 0,
    });
    module.set_require_grad(true) // mapping the weights has cleared it
}

struct Initialise {
    streams: Streams,
    /// Whether biases are random.
    biases: bool,
    /// Bound of the last weights, used for the bias that follows them.
    bound: f32,
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
            return match (name, self.biases) {
                ("bias", false) => param.map(|tensor| tensor.zeros_like()),
                ("bias", true) => {
                    let rng = self.streams.at("initial biases", self.drawn);
                    param.map(|tensor| uniform(tensor, self.bound, rng))
                }
                _ => param,
            };
        }
        self.drawn += 1;
        let rng = self.streams.at("initial weights", self.drawn);
        let transposed = self
            .layers
            .last()
            .is_some_and(|layer| layer.contains("Linear") || layer.contains("Transpose"));
        param.map(|tensor| {
            let dims = tensor.dims();
            // Linear is [in, out], a kernel [out, in, ...], a transposed kernel [in, out, ...].
            let inputs = if transposed { dims[0] } else { dims[1] };
            let fan_in = inputs * dims[2..].iter().product::<usize>();
            self.bound = (1.0 / fan_in as f32).sqrt();
            uniform(tensor, self.bound, rng)
        })
    }
}

/// A tensor of the shape of `tensor`, uniform on +-bound.
fn uniform<const D: usize>(tensor: Tensor<D>, bound: f32, mut rng: Pcg64) -> Tensor<D> {
    let dims = tensor.dims();
    let drawn = (0..dims.iter().product()).map(|_| rng.random_range(-bound..bound));
    from_f32(drawn.collect(), dims, &tensor.device())
}

/// Sets weights and bias of a layer to zero: a residual network that ends in it starts as the identity.
pub fn zero(layer: &mut Linear) {
    layer.weight = layer.weight.clone().map(|weight| weight.zeros_like());
    layer.bias = layer
        .bias
        .take()
        .map(|bias| bias.map(|bias| bias.zeros_like()));
}

/// Adds N(0, scale^2) to every parameter, for tests: zero initialisation would make most of them vacuous.
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
