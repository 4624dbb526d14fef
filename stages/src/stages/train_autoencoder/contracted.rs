//! Warnings about a small variance of latents, in words that mention only what is configured.

use super::config::Config;
use std::fmt::Write as _;

/// Share of the features' variance below which a warning is given.
const SMALL: f64 = 0.5;
/// Explained variance of the data below which an autoencoder is considered undertrained, so that its
/// latents may still spread.
pub const LEARNED: f64 = 0.75;

/// Variances, means over dimensions.
#[derive(Debug, Clone, Copy)]
pub struct Variances {
    pub latents: f64,
    pub before: f64,
    pub features: f64,
}

/// A warning if the latents' variance is small: they have contracted, or were never spread. `explained` is
/// the share of the data's variance explained by the reconstruction; None for free points.
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
                    "; compare with a run without the regulariser (estimate_nll.unaligned) to see \
                     whether it keeps them small",
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
            // a fall, and a cause for it
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
