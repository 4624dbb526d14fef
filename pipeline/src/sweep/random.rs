//! Random values, each a function of only seed, key and number.

use super::file::Distribution;
use serde_json::{Number, Value};

/// The number of digits of a drawn value: enough for any axis, and short enough to read.
const DIGITS: i32 = 4;

/// Draw `number` of `key`.
pub fn draw(distribution: &Distribution, seed: u64, key: &str, number: u64) -> Value {
    let share = share(seed, key, number);
    match distribution {
        Distribution::Uniform(bounds) => between(bounds, |[low, high]| low + share * (high - low)),
        Distribution::LogUniform(bounds) => {
            between(bounds, |[low, high]| low * (high / low).powf(share))
        }
        Distribution::Choice(values) => {
            let at = (share * values.len() as f64) as usize;
            values[at.min(values.len() - 1)].clone()
        }
    }
}

/// An integer if both bounds are, else rounded to a few digits.
fn between(bounds: &[Number; 2], value: impl Fn([f64; 2]) -> f64) -> Value {
    let [low, high] = bounds.each_ref().map(|b| b.as_f64().unwrap_or(f64::NAN));
    if let [Some(least), Some(most)] = bounds.each_ref().map(Number::as_i64) {
        // Every integer has an interval of its own, the ends included.
        let drawn = value([low, high + 1.0]).floor() as i64;
        return drawn.clamp(least, most).into();
    }
    let drawn = value([low, high]);
    let rounded = rounded(drawn).clamp(low, high);
    Number::from_f64(rounded).map_or(Value::Null, Value::Number)
}

fn rounded(value: f64) -> f64 {
    let text = format!("{value:.*e}", DIGITS as usize - 1);
    text.parse().unwrap_or(value)
}

/// A number in [0, 1): the first 53 bits of a hash.
fn share(seed: u64, key: &str, number: u64) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(key.as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn numbers(low: Value, high: Value) -> [Number; 2] {
        [low, high].map(|v| v.as_number().unwrap().clone())
    }

    fn draws(distribution: &Distribution) -> Vec<f64> {
        let drawn = (0..4000).map(|i| draw(distribution, 7, "a.b", i));
        drawn.map(|v| v.as_f64().unwrap()).collect()
    }

    /// The Kolmogorov distance of `values` from the uniform distribution on [0, 1].
    fn kolmogorov(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        let distances = values.iter().enumerate();
        distances
            .map(|(i, v)| (v - (i as f64 + 0.5) / count).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn draws_follow_their_distribution() {
        // 1.63 / sqrt(n) is the 99 % quantile of the distance.
        let bound = 1.63 / 4000f64.sqrt();
        let even = draws(&Distribution::Uniform(numbers(json!(2.0), json!(4.0))));
        assert!(kolmogorov(even.iter().map(|v| (v - 2.0) / 2.0).collect()) < bound);
        let log = draws(&Distribution::LogUniform(numbers(json!(1e-5), json!(1e-1))));
        assert!(kolmogorov(log.iter().map(|v| (v.log10() + 5.0) / 4.0).collect()) < bound);
    }

    #[test]
    fn whole_numbers_are_drawn_between_whole_numbers_and_the_ends_count() {
        let drawn = draws(&Distribution::Uniform(numbers(json!(1), json!(4))));
        for value in [1.0, 2.0, 3.0, 4.0] {
            let share = drawn.iter().filter(|v| **v == value).count() as f64 / 4000.0;
            assert!((share - 0.25).abs() < 0.03, "{value}: {share}");
        }
    }

    #[test]
    fn choices_are_equally_likely() {
        let choice = Distribution::Choice(vec![json!("a"), json!(null), json!({"kind": "b"})]);
        for value in [json!("a"), json!(null), json!({"kind": "b"})] {
            let hits = (0..3000).filter(|i| draw(&choice, 0, "k", *i) == value);
            assert!((hits.count() as f64 / 3000.0 - 1.0 / 3.0).abs() < 0.04);
        }
    }

    #[test]
    fn a_draw_depends_on_seed_key_and_number_alone() {
        let axis = Distribution::Uniform(numbers(json!(0.0), json!(1.0)));
        assert_eq!(draw(&axis, 1, "a", 5), draw(&axis, 1, "a", 5));
        assert_ne!(draw(&axis, 1, "a", 5), draw(&axis, 2, "a", 5));
        assert_ne!(draw(&axis, 1, "a", 5), draw(&axis, 1, "b", 5));
        assert_ne!(draw(&axis, 1, "a", 5), draw(&axis, 1, "a", 6));
        let text = draw(&axis, 1, "a", 5).to_string();
        assert!(text.trim_start_matches("0.").len() <= 5, "{text}");
    }
}
