//! Inverts a block: computes tokens from noise, one at a time or several at once.

use super::affine::Affine;
use super::block::{Block, Reading};
use super::guidance::Rule;
use crate::error::Result;
use crate::priors::drawing::{Guidance, Sweeps};
use crate::tensors::to_f64;
use burn::tensor::Tensor;

/// The state of known tokens, under the condition and, for guidance, without it.
pub(super) struct Reader<'a> {
    pub block: &'a Block,
    pub plain: Reading,
    pub away: Option<Reading>,
    pub rule: Rule,
    pub guidance: Guidance,
    /// T.
    pub tokens: usize,
    /// Number of passes so far.
    pub evaluations: u64,
}

/// Called with the number of finished tokens.
type Done<'a> = &'a mut dyn FnMut(usize) -> Result<()>;

impl Reader<'_> {
    /// Computes the tokens of noise `z` [n, T, d] one at a time.
    ///
    /// # Errors
    /// Returned by `done`.
    pub fn one_by_one(&mut self, z: &Tensor<3>, n: usize, done: Done) -> Result<Tensor<3>> {
        let mut tokens: Vec<Tensor<3>> = Vec::with_capacity(self.tokens);
        for i in 0..self.tokens {
            done(i)?;
            let z = z.clone().narrow(1, i, 1);
            let token = match self.next(n, tokens.last(), i) {
                Some(affine) => affine.undo(z),
                None => z,
            };
            tokens.push(token);
        }
        Ok(Tensor::cat(tokens, 1))
    }

    /// Computes the tokens of noise `z` [n, T, d] several at once by Jacobi iteration, starting from the noise.
    ///
    /// # Errors
    /// Returned by `done`; device errors.
    pub fn in_sweeps(
        &mut self,
        z: &Tensor<3>,
        n: usize,
        sweeps: Sweeps,
        done: Done,
    ) -> Result<Tensor<3>> {
        let at_once = match sweeps.tokens {
            0 => self.tokens,
            some => some,
        };
        // the first token depends on no other
        let first = z.clone().narrow(1, 0, 1);
        let first = match self.next(n, None, 0) {
            Some(affine) => affine.undo(first),
            None => first,
        };
        let mut known = vec![first];
        let mut start = 1;
        while start < self.tokens {
            let count = at_once.min(self.tokens - start);
            let z = z.clone().narrow(1, start, count);
            let last = known.last().expect("the first at least");
            let [_, m, _] = last.dims();
            let before = last.clone().narrow(1, m - 1, 1);
            let read = |x: &Tensor<3>| match count {
                1 => before.clone(),
                _ => Tensor::cat(vec![before.clone(), x.clone().narrow(1, 0, count - 1)], 1),
            };
            let mut x = z.clone();
            // each sweep makes one more token exact
            for sweep in 1..=count {
                done(start)?;
                let next = self.guess(read(&x), start).undo(z.clone());
                let settled = sweep == count || change(&next, &x)? <= sweeps.tolerance;
                x = next;
                if settled {
                    break;
                }
            }
            // replace keys and values by those of the last iterate
            if start + count < self.tokens {
                self.after(read(&x), start);
            }
            known.push(x);
            start += count;
        }
        Ok(Tensor::cat(known, 1))
    }

    /// Log-scale and shift of token `i`, which follows `previous` or is the first.
    fn next(&mut self, n: usize, previous: Option<&Tensor<3>>, i: usize) -> Option<Affine> {
        match previous {
            Some(previous) => Some(self.after(previous.clone(), i)),
            None => {
                let with = self.block.first(n, &mut self.plain)?;
                self.count();
                let away = self
                    .away
                    .as_mut()
                    .and_then(|away| self.block.first(n, away));
                Some(self.leant(with, away, i))
            }
        }
    }

    /// Log-scale and shift of the tokens from `i` on, each after one of `tokens`, which become part of the state.
    fn after(&mut self, tokens: Tensor<3>, i: usize) -> Affine {
        self.count();
        let with = self.block.after(tokens.clone(), &mut self.plain);
        let away = self
            .away
            .as_mut()
            .map(|away| self.block.after(tokens, away));
        self.leant(with, away, i)
    }

    fn count(&mut self) {
        self.evaluations += 1 + u64::from(self.away.is_some());
    }

    /// As [`Self::after`], for tokens that are not final.
    fn guess(&mut self, tokens: Tensor<3>, i: usize) -> Affine {
        let read = self.plain.read();
        let affine = self.after(tokens, i);
        self.plain.rewind(read);
        if let Some(away) = &mut self.away {
            away.rewind(read);
        }
        affine
    }

    /// Applies guidance to the tokens from `i` on.
    fn leant(&self, with: Affine, away: Option<Affine>, i: usize) -> Affine {
        let Some(away) = away else {
            return with;
        };
        let w = self.guidance.scale - 1.0;
        let [_, count, _] = with.shift.dims();
        let most = (self.tokens - 1).max(1) as f64;
        let of_token = |token: usize| match self.guidance.rising {
            true => 1.0 + w * token as f64 / most,
            false => 1.0 + w,
        };
        match self.guidance.rising && count > 1 {
            false => self.rule.lean(&with, &away, of_token(i)),
            true => {
                let token = |k: usize| {
                    let [with, away] = [&with, &away].map(|affine| affine.narrow(k));
                    self.rule.lean(&with, &away, of_token(i + k))
                };
                Affine::cat((0..count).map(token).collect())
            }
        }
    }
}

/// The largest root mean square change of a point from `before` to `after` [n, m, d], relative to the point's own
/// RMS.
fn change(after: &Tensor<3>, before: &Tensor<3>) -> Result<f64> {
    let squares = |x: Tensor<3>| {
        let x: Tensor<2> = x.flatten(1, 2);
        x.square().sum_dim(1)
    };
    let share = squares(after.clone() - before.clone()) / squares(after.clone()).add_scalar(1e-20);
    let worst = to_f64(share.max())?[0];
    Ok(worst.sqrt())
}
