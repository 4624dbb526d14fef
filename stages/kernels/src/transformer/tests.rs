//! Parts and lanes; values and gradients are checked against Burn's autodiff beside the operations that use this.

use super::layer::TransformerLayer;
use super::rotation::Rotation;
use crate::attention::Attention;
use crate::tests::numbers;

/// A layer's weights, over 4 channels and 6 inside, and the attention over points of `tokens`.
fn layer(weights: &[Vec<f32>; 12], tokens: usize) -> TransformerLayer<'_> {
    let attention = Attention {
        tokens,
        heads: 1,
        head_width: 4,
        temperature: 1.0,
    };
    TransformerLayer::new(weights.each_ref().map(Vec::as_slice), attention, 1e-6)
}

fn weights() -> [Vec<f32>; 12] {
    let counts = [4, 4, 48, 12, 16, 4, 4, 4, 24, 6, 24, 4];
    std::array::from_fn(|i| numbers(counts[i], i))
}

/// Red where a part reads or writes another's rows, or the sums of a lane are left out.
#[test]
fn points_together_are_those_alone() {
    let (points, tokens) = if cfg!(miri) { (9, 20) } else { (37, 15) };
    let (weights, of_point) = (weights(), tokens * 4);
    let layer = layer(&weights, tokens);
    let (h, dout) = (
        numbers(points * of_point, 20),
        numbers(points * of_point, 21),
    );
    let (out, kept) = layer.forward_keeping(&h);
    assert_eq!(out, layer.forward(&h));
    let (dh, together) = layer.gradient(&h, &kept, &dout, true);
    let mut sums: [Vec<f64>; 12] = weights.each_ref().map(|of| vec![0.0; of.len()]);
    for (point, (h, dout)) in h.chunks(of_point).zip(dout.chunks(of_point)).enumerate() {
        let (alone, kept) = layer.forward_keeping(h);
        assert_eq!(alone, out[point * of_point..][..of_point]);
        let (of_h, gradient) = layer.gradient(h, &kept, dout, true);
        assert_eq!(of_h, dh[point * of_point..][..of_point]);
        for (sums, found) in sums.iter_mut().zip(gradient.unwrap()) {
            for (sum, x) in sums.iter_mut().zip(found) {
                *sum += f64::from(x);
            }
        }
    }
    for (sums, found) in sums.iter().zip(together.unwrap()) {
        assert_eq!(sums.len(), found.len());
        for (sum, found) in sums.iter().zip(found) {
            assert!((sum - f64::from(found)).abs() < 2e-3, "{sum} {found}");
        }
    }
}

/// Red where queries turn another way than keys, or are not turned back: attention depends on the distance between
/// tokens, and turning keeps lengths.
#[test]
fn turning_back_undoes_turning() {
    let of = Attention {
        tokens: 3,
        heads: 2,
        head_width: 4,
        temperature: 1.0,
    };
    let angles: Vec<f32> = numbers(6, 1);
    let [cosines, sines] = [f32::cos, f32::sin].map(|f| angles.iter().map(|&x| f(x)).collect());
    let (cosines, sines): (Vec<f32>, Vec<f32>) = (cosines, sines);
    let rotation = Rotation {
        cosines: &cosines,
        sines: &sines,
    };
    let qkv = numbers(2 * 3 * 24, 2);
    let mut turned = qkv.clone();
    rotation.turn(of, &mut turned);
    for (before, after) in qkv.chunks(8).zip(turned.chunks(8)).skip(2).step_by(3) {
        assert_eq!(before, after, "values stay");
    }
    assert!((turned[0] - (qkv[0] * cosines[0] - qkv[2] * sines[0])).abs() < 1e-6);
    rotation.turn_back(of, &mut turned);
    for (before, after) in qkv.iter().zip(&turned) {
        assert!((before - after).abs() < 1e-6, "{before} {after}");
    }
}
