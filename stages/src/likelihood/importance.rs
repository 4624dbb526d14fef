//! Importance-weighted likelihoods (Burda et al. 2016, arXiv 1509.00519).

/// The importance-weighted NLL in nats of a row with the given log-weights
/// `log p(x|z) + log p(z) - log q(z|x)` of S draws z ~ q: the mean over groups of `samples` draws of
/// `-(logsumexp - ln samples)`. From one sample its expectation is the negative ELBO, from more it is
/// lower, and never below the NLL. Of the same log-weights in larger groups it is lower whatever they are:
/// to compare numbers of samples, each needs log-weights of its own.
pub fn importance_weighted_nll(log_weights: &[f64], samples: usize) -> f64 {
    let groups = log_weights.chunks_exact(samples);
    let count = groups.len() as f64;
    let of_group = |group: &[f64]| {
        let most = group.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = group.iter().map(|w| (w - most).exp()).sum();
        (samples as f64).ln() - most - sum.ln()
    };
    groups.map(of_group).sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use std::f64::consts::TAU;

    #[test]
    fn a_linear_gaussian_model_reaches_its_evidence_from_above() {
        // z ~ N(0, 1), x | z ~ N(z, 0.5^2), so x ~ N(0, 1.25); q is not the posterior
        let normal = |x: f64, mean: f64, variance: f64| {
            -0.5 * ((x - mean).powi(2) / variance + (TAU * variance).ln())
        };
        let (x, mean, variance) = (1.2, 0.6, 0.6);
        let estimate = |samples: usize| {
            let streams = Streams::new(samples as u64);
            let weights: Vec<f64> = (streams.normal("z", 0, 1 << 16).into_iter())
                .map(|e| {
                    let z = mean + f64::sqrt(variance) * f64::from(e);
                    normal(x, z, 0.25) + normal(z, 0.0, 1.0) - normal(z, mean, variance)
                })
                .collect();
            importance_weighted_nll(&weights, samples)
        };
        let evidence = -normal(x, 0.0, 1.25);
        let found = [1, 4, 16, 4096].map(estimate);
        assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
        assert!((found[3] - evidence).abs() < 5e-3, "{found:?} {evidence}");
        // -ELBO = evidence + KL(q || posterior), the posterior N(0.96, 0.2)
        let kl = 0.5 * (0.6 / 0.2 + 0.36f64.powi(2) / 0.2 - 1.0 + (0.2f64 / 0.6).ln());
        let (elbo, expected) = (found[0], evidence + kl);
        assert!((elbo - expected).abs() < 0.03, "{elbo} {expected}");
    }
}
