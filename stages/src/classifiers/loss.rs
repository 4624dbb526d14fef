//! Classification losses.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// `-log softmax(logits)[class]` in nats, mean over rows `[1]`; `logits` [B, K], one-hot `targets` [B,
/// K].
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let [rows, _] = logits.dims();
    let picked = (log_softmax(logits, 1) * targets).sum();
    picked.div_scalar(-(rows as f64))
}

/// The share of rows whose largest logit is that of their class `[1]`; shapes as in
/// [`cross_entropy`].
pub fn accuracy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let right = logits.argmax(1).equal(targets.argmax(1)); // [B, 1]
    right.float().mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{from_f32, scalar};
    use burn::tensor::Device;

    #[test]
    fn cross_entropy_is_minus_the_log_of_the_softmax() {
        let device = Device::flex();
        // softmax: (1/4, 1/4, 1/2) and (1, 0, 0) up to 1e-40
        let logits = vec![0.0, 0.0, 2f32.ln(), 100.0, 0.0, 0.0];
        let logits: Tensor<2> = from_f32(logits, [2, 3], &device);
        for (targets, loss, share) in [
            ([0.0, 0.0, 1.0, 1.0, 0.0, 0.0], 2f64.ln() / 2.0, 1.0),
            ([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], 4f64.ln() / 2.0, 0.5),
            ([0.0, 1.0, 0.0, 0.0, 1.0, 0.0], 4f64.ln() / 2.0 + 50.0, 0.0),
        ] {
            let targets: Tensor<2> = from_f32(targets.to_vec(), [2, 3], &device);
            let found = scalar(cross_entropy(logits.clone(), targets.clone())).unwrap();
            assert!((found - loss).abs() < 1e-5, "{found} {loss}");
            assert_eq!(scalar(accuracy(logits.clone(), targets)).unwrap(), share);
        }
    }
}
