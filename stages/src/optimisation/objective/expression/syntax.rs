//! Arithmetic expressions of the grammar
//!
//! ```text
//! S -> S + T | S * T | S / T | T
//! T -> (S) | sin(S) | exp(S) | x | 1 | 2 | 3
//! ```
//!
//! (Kusner et al. 2017), their texts and their values. A text has one derivation: a sum S is a sequence of terms T
//! with operators between them, so that each term takes two productions, its own and one of its S. Values follow
//! common notation, where `*` and `/` bind more tightly than `+`.

use std::fmt;

/// An operator between two terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Plus,
    Times,
    Over,
}

impl Operator {
    pub(super) const ALL: [Self; 3] = [Self::Plus, Self::Times, Self::Over];

    fn sign(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Times => "*",
            Self::Over => "/",
        }
    }
}

/// T.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    X,
    Number(u8),
    Of(Function, Box<Sum>),
}

/// A function of a sum in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Nothing,
    Sine,
    Exponential,
}

impl Function {
    pub(super) const ALL: [Self; 3] = [Self::Nothing, Self::Sine, Self::Exponential];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Sine => "sin",
            Self::Exponential => "exp",
        }
    }
}

/// S.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sum {
    pub(super) first: Term,
    pub(super) rest: Vec<(Operator, Term)>,
}

impl Term {
    /// The number of terms, including itself.
    pub(super) fn terms(&self) -> usize {
        match self {
            Self::X | Self::Number(_) => 1,
            Self::Of(_, sum) => 1 + sum.terms(),
        }
    }

    fn value(&self, x: f64) -> f64 {
        match self {
            Self::X => x,
            Self::Number(number) => f64::from(*number),
            Self::Of(Function::Nothing, sum) => sum.value(x),
            Self::Of(Function::Sine, sum) => sum.value(x).sin(),
            Self::Of(Function::Exponential, sum) => sum.value(x).exp(),
        }
    }
}

impl Sum {
    /// The number of terms, at any depth.
    pub(super) fn terms(&self) -> usize {
        let rest = self.rest.iter().map(|(_, term)| term.terms());
        self.first.terms() + rest.sum::<usize>()
    }

    /// The number of productions of its derivation.
    pub(super) fn productions(&self) -> usize {
        2 * self.terms()
    }

    /// Its value at `x`.
    pub(super) fn value(&self, x: f64) -> f64 {
        let (mut sum, mut product) = (0.0, self.first.value(x));
        for (operator, term) in &self.rest {
            let value = term.value(x);
            match operator {
                Operator::Plus => {
                    sum += product;
                    product = value;
                }
                Operator::Times => product *= value,
                Operator::Over => product /= value,
            }
        }
        sum + product
    }

    /// The sum with this `text`.
    ///
    /// # Errors
    /// If the text is not of the grammar, or takes more than `most` productions: what was found and expected.
    pub(super) fn parse(text: &str, most: usize) -> Result<Self, String> {
        let mut parser = Parser {
            text: text.as_bytes(),
            at: 0,
            left: most / 2,
            most,
        };
        let sum = parser.sum()?;
        match parser.at == text.len() {
            true => Ok(sum),
            false => Err(parser.expected("`+`, `*`, `/` or the end")),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::X => f.write_str("x"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Of(function, sum) => write!(f, "{}({sum})", function.name()),
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.first)?;
        let mut rest = self.rest.iter();
        rest.try_for_each(|(operator, term)| write!(f, "{}{term}", operator.sign()))
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// The number of terms left, which also bounds the depth.
    left: usize,
    most: usize,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<Sum, String> {
        let first = self.term()?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator() {
            rest.push((operator, self.term()?));
        }
        Ok(Sum { first, rest })
    }

    fn operator(&mut self) -> Option<Operator> {
        let mut all = Operator::ALL.into_iter();
        all.find(|operator| self.takes(operator.sign()))
    }

    fn term(&mut self) -> Result<Term, String> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(format!(
                "takes more than {} productions of the grammar",
                self.most
            ));
        };
        self.left = left;
        if self.takes("x") {
            return Ok(Term::X);
        }
        if let Some(number) = (1..=3).find(|number: &u8| self.takes(&number.to_string())) {
            return Ok(Term::Number(number));
        }
        let mut functions = Function::ALL.into_iter();
        let function = functions.find(|function| self.takes(&format!("{}(", function.name())));
        let function =
            function.ok_or_else(|| self.expected("`x`, `1`, `2`, `3`, `(`, `sin(` or `exp(`"))?;
        let sum = self.sum()?;
        match self.takes(")") {
            true => Ok(Term::Of(function, Box::new(sum))),
            false => Err(self.expected("`+`, `*`, `/` or `)`")),
        }
    }

    /// Consumes `word` if it comes next, and returns whether it did.
    fn takes(&mut self, word: &str) -> bool {
        let comes = self.text[self.at..].starts_with(word.as_bytes());
        self.at += if comes { word.len() } else { 0 };
        comes
    }

    fn expected(&self, what: &str) -> String {
        let rest = String::from_utf8_lossy(&self.text[self.at..]);
        let found = match rest.chars().next() {
            Some(found) => format!("`{found}`"),
            None => "the end".to_owned(),
        };
        format!("column {}: found {found}, expected {what}", self.at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_back_and_counts_its_productions() {
        for (text, productions) in [
            ("x", 2),
            ("1/3+x+sin(x*x)", 12),
            ("((x))", 6),
            ("exp(sin(2)/3)", 8),
        ] {
            let sum = Sum::parse(text, 15).unwrap();
            assert_eq!(sum.to_string(), text);
            assert_eq!(sum.productions(), productions, "{text}");
            assert!(Sum::parse(text, productions).is_ok());
            assert!(Sum::parse(text, productions - 1).is_err(), "{text}");
        }
    }

    /// Fails if a product includes the preceding sum, as the grammar's own tree would.
    #[test]
    fn products_bind_more_tightly_and_quotients_from_the_left() {
        let value = |text| Sum::parse(text, 15).unwrap().value(2.0);
        assert_eq!(value("1+2*3"), 7.0);
        assert_eq!(value("(1+2)*3"), 9.0);
        assert_eq!(value("3/2/3*x"), 1.0);
        assert_eq!(value("x*x+1/x+3"), 7.5);
        assert_eq!(value("exp(sin(x))"), 2f64.sin().exp());
    }

    #[test]
    fn what_is_no_expression_is_told_with_its_column() {
        for (text, told) in [
            (
                "",
                "column 1: found the end, expected `x`, `1`, `2`, `3`, `(`, `sin(` or `exp(`",
            ),
            (
                "x+",
                "column 3: found the end, expected `x`, `1`, `2`, `3`, `(`, `sin(` or `exp(`",
            ),
            (
                "x 1",
                "column 2: found ` `, expected `+`, `*`, `/` or the end",
            ),
            (
                "(x",
                "column 3: found the end, expected `+`, `*`, `/` or `)`",
            ),
            (
                "x-1",
                "column 2: found `-`, expected `+`, `*`, `/` or the end",
            ),
            (
                "4",
                "column 1: found `4`, expected `x`, `1`, `2`, `3`, `(`, `sin(` or `exp(`",
            ),
            (
                "é",
                "column 1: found `é`, expected `x`, `1`, `2`, `3`, `(`, `sin(` or `exp(`",
            ),
        ] {
            assert_eq!(Sum::parse(text, 15).unwrap_err(), told, "{text}");
        }
        let deep = "(".repeat(1_000_000);
        let told = Sum::parse(&deep, 15).unwrap_err();
        assert_eq!(told, "takes more than 15 productions of the grammar");
    }
}
