//! Importance-weighted likelihoods (Burda et al. 2016, arXiv 1509.00519).

/// The importance-weighted NLL in nats of a row with the given log-weights
/// `log p(x|z) + log p(z) - log q(z|x)` of S draws z ~ q: the mean over groups of `samples` draws of
/// `-(logsumexp - ln samples)`. One sample is the negative ELBO; more can only lower it.
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
    use crate::training::Streams;
    use std::f64::consts::TAU;

    #[test]
    fn a_linear_gaussian_model_reaches_its_evidence_from_above() {
        // z ~ N(0, 1), x | z ~ N(z, 0.5^2), so x ~ N(0, 1.25); q is not the posterior
        let normal = |x: f64, mean: f64, variance: f64| {
            -0.5 * ((x - mean).powi(2) / variance + (TAU * variance).ln())
        };
        let (x, mean, variance) = (1.2, 0.6, 0.6);
        let weights: Vec<f64> = (Streams::new(1).normal("z", 0, 1 << 16).into_iter())
            .map(|e| {
                let z = mean + f64::sqrt(variance) * f64::from(e);
                normal(x, z, 0.25) + normal(z, 0.0, 1.0) - normal(z, mean, variance)
            })
            .collect();
        let evidence = -normal(x, 0.0, 1.25);
        let mut last = f64::INFINITY;
        for samples in [1, 4, 16, 256, 4096] {
            let nll = importance_weighted_nll(&weights, samples);
            assert!(nll < last, "{samples}: {nll} {last}");
            last = nll;
        }
        assert!((last - evidence).abs() < 2e-3, "{last} {evidence}");
        // -ELBO = evidence + KL(q || posterior), the posterior N(0.96, 0.2)
        let kl = 0.5 * (0.6 / 0.2 + 0.36f64.powi(2) / 0.2 - 1.0 + (0.2f64 / 0.6).ln());
        let elbo = importance_weighted_nll(&weights, 1);
        assert!((elbo - evidence - kl).abs() < 0.03, "{elbo}");
    }
}
