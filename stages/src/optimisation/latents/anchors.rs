//! The choice of evaluations as centres of regions.

use rand::RngExt;
use rand_pcg::Pcg64;

/// `count` distinct indices of `values`, which are to be maximised: sampled by the softmax of the values scaled to
/// [0, 1] over `temperature`, or the largest ones if that is 0.
pub(super) fn anchors(
    values: &[f64],
    count: usize,
    temperature: f64,
    rng: &mut Pcg64,
) -> Vec<usize> {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = if most > least { most - least } else { 1.0 };
    // Gumbel top-k: the largest value / temperature + Gumbel noise is a draw of the softmax, the following ones are
    // draws without replacement
    let mut keys: Vec<(usize, f64)> = (values.iter().enumerate())
        .map(|(place, value)| {
            let scaled = (value - least) / range;
            let uniform: f64 = rng.random::<f64>().max(f64::MIN_POSITIVE);
            let gumbel = -(-uniform.ln()).ln();
            let key = match temperature > 0.0 {
                true => scaled / temperature + gumbel,
                false => scaled,
            };
            (place, key)
        })
        .collect();
    keys.sort_by(|a, b| b.1.total_cmp(&a.1));
    keys.into_iter()
        .take(count)
        .map(|(place, _)| place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;

    #[test]
    fn anchors_are_drawn_by_the_softmax_without_one_twice() {
        let mut rng = Streams::new(1).at("anchors", 0);
        let values = [-7.0, 3.0, 2.0, 3.0];
        assert_eq!(anchors(&values, 3, 0.0, &mut rng), [1, 3, 2]);
        let mut all = anchors(&values, 9, 0.5, &mut rng);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        // scaled 0, 1, 0.9, 1: the first is drawn with probability exp(0) over the sum
        let drawn = 4000;
        let first = (0..drawn).filter(|_| anchors(&values, 1, 0.5, &mut rng) == [0]);
        let share = first.count() as f64 / f64::from(drawn);
        let weights = [0.0, 1.0, 0.9, 1.0].map(|scaled: f64| (scaled / 0.5).exp());
        let expected = weights[0] / weights.iter().sum::<f64>();
        assert!((share - expected).abs() < 0.012, "{share} {expected}");
    }
}
