//! Random expressions, and variations of expressions that are expressions again.

use super::syntax::{Function, Operator, Sum, Term};
use rand::RngExt;
use rand_pcg::Pcg64;

/// The number of attempts at a variation that takes too many productions.
const TRIES: usize = 20;

/// A random sum with equally likely productions, conditioned on at most `most` of them.
pub(super) fn draw(most: usize, rng: &mut Pcg64) -> Sum {
    loop {
        let mut left = most / 2;
        if let Some(sum) = sum(&mut left, rng) {
            return sum;
        }
    }
}

/// A sum of at most `left` terms; none if it became longer.
fn sum(left: &mut usize, rng: &mut Pcg64) -> Option<Sum> {
    let mut operators = Vec::new();
    // S -> S + T | S * T | S / T | T
    loop {
        *left = left.checked_sub(1)?;
        match rng.random_range(0..4) {
            3 => break,
            operator => operators.push(Operator::ALL[operator]),
        }
    }
    let first = term(left, rng)?;
    let rest: Option<Vec<_>> = (operators.into_iter())
        .map(|operator| Some((operator, term(left, rng)?)))
        .collect();
    Some(Sum { first, rest: rest? })
}

/// A term, which is already counted, with its contents.
fn term(left: &mut usize, rng: &mut Pcg64) -> Option<Term> {
    // T -> (S) | sin(S) | exp(S) | x | 1 | 2 | 3
    Some(match rng.random_range(0..7) {
        3 => Term::X,
        number @ 4..7 => Term::Number(number as u8 - 3),
        function => Term::Of(Function::ALL[function], Box::new(sum(left, rng)?)),
    })
}

/// `sum` with one of its terms, or an operator, resampled; `sum` itself if that takes too many productions.
pub(super) fn mutate(sum: &Sum, most: usize, rng: &mut Pcg64) -> Sum {
    for _ in 0..TRIES {
        let mut changed = sum.clone();
        match rng.random_range(0..5) {
            0 => redraw_operator(&mut changed, rng),
            1 => lengthen(&mut changed, rng),
            2 => shorten(&mut changed, rng),
            3 => *pick_term(&mut changed, rng) = leaf(rng),
            _ => {
                let mut left = (most / 2).saturating_sub(1);
                if let Some(drawn) = term(&mut left, rng) {
                    *pick_term(&mut changed, rng) = drawn;
                }
            }
        }
        if changed.productions() <= most && changed != *sum {
            return changed;
        }
    }
    sum.clone()
}

/// `one` with one of its terms replaced by a term of `other`; `one` itself if that takes too many productions.
pub(super) fn cross(one: &Sum, other: &Sum, most: usize, rng: &mut Pcg64) -> Sum {
    for _ in 0..TRIES {
        let (mut child, mut donor) = (one.clone(), other.clone());
        match rng.random() {
            true => *pick_term(&mut child, rng) = pick_term(&mut donor, rng).clone(),
            false => *pick_sum(&mut child, rng) = pick_sum(&mut donor, rng).clone(),
        }
        if child.productions() <= most {
            return child;
        }
    }
    one.clone()
}

/// Resamples an operator of one of its sums, if it has any.
fn redraw_operator(sum: &mut Sum, rng: &mut Pcg64) {
    let sum = pick_sum(sum, rng);
    if !sum.rest.is_empty() {
        let place = rng.random_range(0..sum.rest.len());
        sum.rest[place].0 = Operator::ALL[rng.random_range(0..3)];
    }
}

/// Adds a leaf to one of its sums.
fn lengthen(sum: &mut Sum, rng: &mut Pcg64) {
    let sum = pick_sum(sum, rng);
    let place = rng.random_range(0..=sum.rest.len());
    let operator = Operator::ALL[rng.random_range(0..3)];
    sum.rest.insert(place, (operator, leaf(rng)));
}

fn leaf(rng: &mut Pcg64) -> Term {
    match rng.random_range(0..4) {
        0 => Term::X,
        number => Term::Number(number),
    }
}

/// Removes a term from one of its sums, if it has several.
fn shorten(sum: &mut Sum, rng: &mut Pcg64) {
    let sum = pick_sum(sum, rng);
    if !sum.rest.is_empty() {
        let (_, next) = sum.rest.remove(rng.random_range(0..sum.rest.len()));
        if rng.random() {
            sum.first = next;
        }
    }
}

/// A random term of `sum`, at any depth.
fn pick_term<'a>(sum: &'a mut Sum, rng: &mut Pcg64) -> &'a mut Term {
    let place = rng.random_range(0..sum.terms());
    term_at(sum, place)
}

/// A random sum in `sum`, which may be itself.
fn pick_sum<'a>(sum: &'a mut Sum, rng: &mut Pcg64) -> &'a mut Sum {
    let place = rng.random_range(0..sums(sum));
    sum_at(sum, place)
}

fn terms_of(sum: &mut Sum) -> impl Iterator<Item = &mut Term> {
    std::iter::once(&mut sum.first).chain(sum.rest.iter_mut().map(|(_, term)| term))
}

fn sums(sum: &Sum) -> usize {
    let rest = sum.rest.iter().map(|(_, term)| term);
    let terms = std::iter::once(&sum.first).chain(rest);
    let inner = terms.map(|term| match term {
        Term::Of(_, sum) => sums(sum),
        Term::X | Term::Number(_) => 0,
    });
    1 + inner.sum::<usize>()
}

/// The term at index `place` in pre-order.
fn term_at(sum: &mut Sum, mut place: usize) -> &mut Term {
    for term in terms_of(sum) {
        let size = term.terms();
        if place == 0 {
            return term;
        }
        if place < size
            && let Term::Of(_, inner) = term
        {
            return term_at(inner, place - 1);
        }
        place -= size;
    }
    unreachable!("a place is below the number of terms")
}

/// The sum at index `place` in pre-order.
fn sum_at(sum: &mut Sum, place: usize) -> &mut Sum {
    let Some(mut place) = place.checked_sub(1) else {
        return sum;
    };
    for term in terms_of(sum) {
        if let Term::Of(_, inner) = term {
            let size = sums(inner);
            if place < size {
                return sum_at(inner, place);
            }
            place -= size;
        }
    }
    unreachable!("a place is below the number of sums")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Streams;
    use std::collections::BTreeSet;

    /// With at most two terms there are 4 leaves, 48 pairs of them, and three functions of a leaf: pairs are the
    /// second to last production of a sum (1/4 each), leaves 1/7 each. Fails if a production is missing or
    /// favoured.
    #[test]
    fn small_expressions_are_drawn_as_often_as_their_derivations_say() {
        let mut rng = Streams::new(3).at("draws", 0);
        let draws = 40_000;
        let (mut leaves, mut pairs, mut seen) = (0, 0, BTreeSet::new());
        for _ in 0..draws {
            let sum = draw(4, &mut rng);
            match (sum.terms(), sum.rest.len()) {
                (1, 0) => leaves += 1,
                (2, 1) => pairs += 1,
                (2, 0) => {}
                other => panic!("{other:?}"),
            }
            seen.insert(sum.to_string());
        }
        assert_eq!(seen.len(), 4 + 3 * 16 + 3 * 4);
        // 1/4 4/7; 3/4 1/4 (4/7)^2; 1/4 3/7 1/4 4/7
        let [leaf, pair, function] = [1.0 / 7.0, 3.0 / 49.0, 3.0 / 196.0];
        let all = leaf + pair + function;
        for (count, share) in [(leaves, leaf / all), (pairs, pair / all)] {
            let expected = share * f64::from(draws);
            let error = (f64::from(count) - expected) / (expected * (1.0 - share)).sqrt();
            assert!(error.abs() < 4.0, "{count} of {expected}");
        }
    }

    /// Fails if a variation violates the grammar or the length limit, or never reaches some position of an
    /// expression.
    #[test]
    fn variations_are_expressions_of_the_grammar() {
        let mut rng = Streams::new(4).at("draws", 0);
        let parent = Sum::parse("1/3+sin(x*(2))", 15).unwrap();
        let mut mutants = BTreeSet::new();
        for _ in 0..2000 {
            let (one, other) = (draw(15, &mut rng), draw(15, &mut rng));
            for child in [
                mutate(&one, 15, &mut rng),
                cross(&one, &other, 15, &mut rng),
            ] {
                let text = child.to_string();
                assert_eq!(Sum::parse(&text, 15).unwrap(), child, "{text}");
            }
            mutants.insert(mutate(&parent, 15, &mut rng).to_string());
        }
        for near in [
            "1*3+sin(x*(2))",
            "1/3+sin(x*(3))",
            "1/3+sin(x*2)",
            "1/3",
            "1/3+x",
            "1/3+sin(x*(2+x))",
        ] {
            assert!(mutants.contains(near), "{near} of {}", mutants.len());
        }
        let one = Sum::parse("x", 15).unwrap();
        let children: BTreeSet<String> = (0..200)
            .map(|_| cross(&one, &parent, 15, &mut rng).to_string())
            .collect();
        for child in ["1/3+sin(x*(2))", "sin(x*(2))", "x*(2)", "(2)", "3"] {
            assert!(children.contains(child), "{child} of {children:?}");
        }
    }
}
