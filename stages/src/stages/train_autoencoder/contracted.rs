//! What a small variance of the latents means, in words that name only what the configuration has.

use super::config::Config;
use std::fmt::Write as _;

/// Latents of less than this share of the features' variance are told of.
const SMALL: f64 = 0.5;
/// Of an autoencoder that explains less than this share of its data's variance, latents may still spread.
pub const LEARNED: f64 = 0.75;

/// Variances, means over dimensions.
#[derive(Debug, Clone, Copy)]
pub struct Variances {
    /// Of the latents.
    pub latents: f64,
    /// Of the latents before training.
    pub before: f64,
    /// Of the features.
    pub features: f64,
}

/// A warning, where the latents' variance is small: they have contracted, or were never spread.
/// `explained` is the share of the data's variance that the reconstruction explains; free points have none.
pub fn warning(variances: Variances, explained: Option<f64>, config: &Config) -> Option<String> {
    let Variances {
        latents,
        before,
        features,
    } = variances;
    if latents >= SMALL * features {
        return None;
    }
    let share = |variance: f64| format!("{:.2}", variance / features);
    let mut told = format!(
        "the latents' variance is {} of the features'",
        share(latents)
    );
    let is_held = config.regulariser.kind().weight() > 0.0;
    if latents < before && is_held {
        let _ = write!(
            told,
            ", and was {} before training: they have contracted; lower \
             train_autoencoder.regulariser.weight",
            share(before)
        );
        return Some(told);
    }
    match explained.filter(|explained| *explained < LEARNED) {
        Some(explained) => {
            let _ = write!(
                told,
                ": undertrained, the reconstruction explains {:.0} % of the data's variance; raise \
                 train_autoencoder.steps",
                100.0 * explained.max(0.0)
            );
        }
        None => {
            let _ = write!(told, " ({} before training)", share(before));
            if is_held {
                told.push_str(
                    "; whether the regulariser keeps them small, the same without it would tell \
                     (estimate_nll.unaligned)",
                );
            }
        }
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(regulariser: &str) -> Config {
        let text = format!(
            "{{\"data\": {{\"file\": \"a.h5\"}}, \"latent\": {{\"width\": 2}}, \"regulariser\": {regulariser}}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_a_fall_is_contraction_and_only_keys_that_are_there_are_named() {
        let none = config(r#"{"kind": "none"}"#);
        let held = config(r#"{"kind": "alignment", "weight": 0.1}"#);
        let variances = |latents, before| Variances {
            latents,
            before,
            features: 1.0,
        };
        for (config, found, explained, has, lacks) in [
            // a fall, and something that made it
            (
                &held,
                variances(0.1, 0.9),
                Some(0.9),
                "contracted; lower",
                "undertrained",
            ),
            (
                &held,
                variances(0.1, 0.9),
                None,
                "contracted; lower",
                "undertrained",
            ),
            // latents that have not spread yet
            (
                &held,
                variances(0.1, 0.001),
                Some(0.2),
                "undertrained",
                "contracted",
            ),
            (
                &none,
                variances(0.1, 0.001),
                Some(0.2),
                "undertrained",
                "weight",
            ),
            // trained, and small without a regulariser
            (
                &none,
                variances(0.1, 0.9),
                Some(0.9),
                "0.90 before",
                "weight",
            ),
            (
                &held,
                variances(0.1, 0.001),
                Some(0.9),
                "estimate_nll.unaligned",
                "contracted",
            ),
        ] {
            let told = warning(found, explained, config).unwrap();
            assert!(told.contains(has) && !told.contains(lacks), "{told}");
        }
        assert_eq!(warning(variances(0.6, 0.9), None, &held), None);
    }
}
