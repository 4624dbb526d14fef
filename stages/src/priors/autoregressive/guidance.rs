//! Guidance of samples towards their condition: log-scale and shift of a token are combined from those under the
//! condition (c) and those without it (u). A guidance of 1 is the conditional density; w = guidance - 1.

use super::affine::Affine;
use burn::tensor::Tensor;

/// Which of the published rules is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// TarFlow's (arXiv 2412.06329): `a_c + w (a_c - a_u)`, and the same for mu.
    Extrapolation,
    /// STARFlow's (arXiv 2506.06276): the normal density proportional to `N_c^(1 + w) / N_u^w`, in closed form,
    ///
    /// ```text
    /// s = clip(sigma_c^2 / sigma_u^2, 0, 1)            q = 1 + w - w s
    /// mu' = mu_c + (w s / q) (mu_c - mu_u)             sigma' = sigma_c / sqrt(q)
    /// ```
    ///
    /// For w < 0 the product needs no clip.
    Product,
}

impl Rule {
    /// Combines the transforms `with` and `without` a condition.
    pub fn lean(self, with: &Affine, without: &Affine, guidance: f64) -> Affine {
        let w = guidance - 1.0;
        match self {
            Self::Extrapolation => {
                let out = |c: &Tensor<3>, u: &Tensor<3>| {
                    c.clone() + (c.clone() - u.clone()).mul_scalar(w)
                };
                Affine {
                    log_scale: out(&with.log_scale, &without.log_scale),
                    shift: out(&with.shift, &without.shift),
                }
            }
            Self::Product => {
                let ratio = (with.log_scale.clone() - without.log_scale.clone()).mul_scalar(2.0);
                let s = match w < 0.0 {
                    true => ratio.exp(),
                    false => ratio.clamp_max(0.0).exp(),
                };
                let q = s.clone().mul_scalar(-w).add_scalar(1.0 + w);
                let share = s.mul_scalar(w) / q.clone();
                Affine {
                    log_scale: with.log_scale.clone() - q.log().mul_scalar(0.5),
                    shift: with.shift.clone()
                        + share * (with.shift.clone() - without.shift.clone()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::{from_f64, to_f64};
    use burn::tensor::{DType, Device};

    fn number(value: f64) -> Tensor<3> {
        from_f64(vec![value], [1, 1, 1], DType::F64, &Device::flex())
    }

    fn affine(shift: f64, scale: f64) -> Affine {
        Affine {
            log_scale: number(scale.ln()),
            shift: number(shift),
        }
    }

    fn leant(rule: Rule, c: (f64, f64), u: (f64, f64), w: f64) -> [f64; 2] {
        let out = rule.lean(&affine(c.0, c.1), &affine(u.0, u.1), 1.0 + w);
        [out.shift, out.log_scale.exp()].map(|x| to_f64(x).unwrap()[0])
    }

    /// Values computed by hand from the formula; the first two equal the normalised product of densities.
    #[test]
    fn the_product_has_the_values_of_its_formula_and_is_clipped() {
        for (c, u, w, expected) in [
            ((1.0, 0.5), (0.0, 1.0), 2.0, [1.2, 0.316_228]),
            ((1.0, 0.5), (0.0, 1.0), 1.0, [1.142_857, 0.377_964]),
            ((0.3, 2.0), (-0.1, 1.0), 3.0, [1.5, 2.0]),
            ((1.0, 1.0), (0.0, 1.0), 2.0, [3.0, 1.0]),
        ] {
            let found = leant(Rule::Product, c, u, w);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    #[test]
    fn guidance_of_1_is_the_condition_and_of_0_is_none() {
        let (c, u) = ((1.0, 0.5), (-0.3, 0.8));
        for rule in [Rule::Extrapolation, Rule::Product] {
            for (w, expected) in [(0.0, c), (-1.0, u)] {
                let [shift, scale] = leant(rule, c, u, w);
                assert!((shift - expected.0).abs() < 1e-12, "{rule:?} {shift}");
                assert!((scale - expected.1).abs() < 1e-12, "{rule:?} {scale}");
            }
            let [shift, scale] = leant(rule, c, c, 2.0);
            assert!(
                (shift - c.0).abs() < 1e-12 && (scale - c.1).abs() < 1e-12,
                "{rule:?}"
            );
        }
    }
}
