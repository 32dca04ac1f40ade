//! Sums that decay: vectors with growing public weights.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use shamisen_mpc::protocol::truncate::{truncate_in_pieces, truncate_shared};
use shamisen_mpc::{Rep, RepMut, Session};

use crate::error::Result;
use crate::formats::{GRADIENT_FRAC, WEIGHT_FRAC};
use crate::optimizer::{Decided, Gradient, rough};

/// Of the velocity of gradient descent.
pub(super) const VELOCITY: Growth = Growth { base: 8.0, span: 8.0 };

/// How the public weights of a moment's terms grow: they start at two to `base` and are kept below two to `base + span`.
#[derive(Clone, Copy)]
pub(super) struct Growth {
    pub(super) base: f64,
    pub(super) span: f64,
}

/// How far the public weights of a sum have grown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weights {
    exponent: f64,
    sum: f64,
}

/// How a sum takes in a vector.
#[derive(Clone, Copy)]
pub(super) struct Term {
    /// The sum starts anew.
    pub(super) anew: bool,
    /// Low bits that the sum gives up before.
    pub(super) drop: u32,
    /// The weight of the vector.
    pub(super) weight: u64,
}

/// Public weights proportional to `decay^-s` for the terms of a sum, so that the sum decays without being touched.
pub(super) struct Decay {
    /// What a term keeps of its weight in a step.
    rate: f64,
    growth: Growth,
    /// Logarithm of the current weight, above the base.
    exponent: f64,
    pub(super) weight_sum: f64,
}

impl Decay {
    pub(super) fn new(rate: f64, growth: Growth) -> Self {
        Self { rate, growth, exponent: 0.0, weight_sum: 0.0 }
    }

    pub(super) fn weights(&self) -> Weights {
        Weights { exponent: self.exponent, sum: self.weight_sum }
    }

    pub(super) fn set(&mut self, weights: Weights) {
        (self.exponent, self.weight_sum) = (weights.exponent, weights.sum);
    }

    /// Some steps of decay. Returns the bits that the sum must give up, so that the weights can start anew.
    fn pass(&mut self, steps: u32) -> u32 {
        if self.weight_sum == 0.0 {
            return 0;
        }
        self.exponent -= f64::from(steps) * self.rate.log2();
        if self.exponent < self.growth.span {
            return 0;
        }
        let bits = self.exponent.floor() as u32;
        self.exponent -= f64::from(bits);
        self.weight_sum /= 2.0_f64.powi(bits as i32);
        bits
    }

    /// The current weight of a term that stands for several.
    fn weight(&self, share: f64) -> u64 {
        (2.0_f64.powf(self.growth.base + self.exponent) * share).round() as u64
    }

    /// How the sum takes in a vector that stands for several, after some steps of decay.
    pub(super) fn term(&mut self, steps: u32, share: f64) -> Term {
        let anew = self.rate == 0.0;
        let drop = if anew { 0 } else { self.pass(steps) };
        let weight = self.weight(share);
        self.weight_sum = if anew { 0.0 } else { self.weight_sum } + weight as f64;
        Term { anew, drop, weight }
    }
}

/// A decaying sum of vectors, `sum of d_s x_s`.
pub(super) struct Moment {
    pub(super) sum: Rep,
    pub(super) decay: Decay,
}

impl Moment {
    pub(super) fn new(decay: f64, growth: Growth, len: usize) -> Self {
        Self { sum: Rep::zeros(len), decay: Decay::new(decay, growth) }
    }

    /// Moves what is public a step of gradient descent on, with this as the velocity.
    pub(super) fn decide(&mut self, learning_rate: f64, nominal: f64) -> (Decided, u32) {
        let velocity = self.decay.term(1, 1.0);
        let factor = learning_rate * f64::from(1 << (WEIGHT_FRAC - GRADIENT_FRAC))
            / (nominal * self.decay.weight(1.0) as f64);
        // 2^14 at most, times a velocity below 2^(25 + 16) / (1 - 0.99), stays in range.
        let shift = 13 - factor.log2().floor() as i32;
        let shift = shift.clamp(1, 60) as u32;
        let factor = (factor * 2.0_f64.powi(shift as i32)).round() as u64;
        (Decided::Momentum { velocity, factor }, shift)
    }

    /// Makes room for the next vector.
    pub(super) fn make_room(&mut self, term: Term, session: &mut Session) -> Result<()> {
        if term.anew {
            self.sum = Rep::zeros(self.sum.len());
        } else if term.drop > 0 {
            self.sum = truncate_shared(&self.sum, term.drop, session)?;
        }
        Ok(())
    }

    /// A step of gradient descent with this as the velocity. Returns the mean gradient.
    pub(super) fn step(
        &mut self,
        gradient: Gradient,
        velocity: Term,
        factor: u64,
        update_shift: u32,
        parameters: &mut RepMut<'_>,
        session: &mut Session,
    ) -> Result<Rep> {
        session.enter("optimizer");
        self.make_room(velocity, session)?;
        session.enter("truncation");
        let Gradient { sum, shift } = gradient;
        let take =
            |elements: Range<usize>, values: &Rep| self.sum.add_scaled_in(elements, values, velocity.weight);
        let values = truncate_in_pieces(sum, rough(shift), |_, _| (), take, session)?;
        session.enter("optimizer");
        let mut update = self.sum.clone();
        update.scale(factor);
        let update = truncate_shared(&update, update_shift, session)?;
        parameters.sub_in(0..update.len(), &update);
        Ok(values)
    }
}
