//! The order of names with numbers.

use std::cmp::Ordering;

/// Compares texts with the numbers in them as numbers, so that `part-2` comes before `part-10`.
pub fn by_numbers(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a, b);
    loop {
        let (digits, others) = (digits(x), digits(y));
        let order = match (digits.is_empty(), others.is_empty()) {
            (false, false) => {
                let (one, other) = (
                    digits.trim_start_matches('0'),
                    others.trim_start_matches('0'),
                );
                let order = one.len().cmp(&other.len()).then_with(|| one.cmp(other));
                (x, y) = (&x[digits.len()..], &y[others.len()..]);
                order
            }
            _ => match (x.chars().next(), y.chars().next()) {
                (None, None) => return a.cmp(b),
                (one, other) => {
                    x = &x[one.map_or(0, char::len_utf8)..];
                    y = &y[other.map_or(0, char::len_utf8)..];
                    one.cmp(&other)
                }
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The digits that `text` starts with.
fn digits(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    &text[..end]
}
