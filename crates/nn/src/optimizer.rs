//! Adam and gradient descent on shared parameters, all layers as one vector.
//!
//! The moments are kept as sums with growing public weights, `M = sum of d_s g_s` with `d_s` proportional to
//! `decay^-s`: a decay step then costs nothing, and the bias correction is the division by the sum of the weights.
//! Now and then the sum is truncated and the weights start anew.
//!
//! Each parameter is on its own: the vector is cut in contiguous pieces, one for each lane of the party.

mod adam;
mod moment;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use shamisen_mpc::lanes::{Lanes, pieces};
use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::truncate::{RANGE_BITS, Shift, truncate_in_pieces};
use shamisen_mpc::{Additive, Rep, RepMut, Session};
use shamisen_net::Party;

use crate::checkpoint::{Shares, push_rep, unfit};
use crate::error::{NnError, Result};
use crate::formats::{GRADIENT_BOUND, gradient_prior, roughness};
use crate::optimizer::adam::{Adam, TOLERATED_BITS, TableState, TableUse};
use crate::optimizer::moment::{Moment, Term, VELOCITY, Weights};
use crate::perceptron::Perceptron;
use crate::plan::{Optimizer, Plan};

/// The optimiser with its state, in one piece or several.
pub(crate) struct Pieces(Vec<State>);

/// The optimiser's state for a contiguous part of the parameters.
struct State {
    /// The part.
    parameters: Range<usize>,
    /// Where in it gradients are known to be below two to which power.
    priors: Vec<(Range<usize>, u32)>,
    rule: Rule,
    /// Updates since the last check are below two to this power.
    update_bits: u32,
}

enum Rule {
    Adam(Box<Adam>),
    /// Gradient descent with momentum.
    Momentum(Moment),
    /// Gradient descent without.
    Descent,
}

/// The public part of a piece's state, as a checkpoint keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum PieceState {
    Adam { step: u32, first: Weights, second: Weights, table: Option<TableState> },
    Momentum { velocity: Weights },
    Descent {},
}

/// What is public about a step of a piece, and decided before it. All that it costs follows from it.
pub(crate) struct Step {
    decided: Decided,
    /// Bits that the update's truncation drops.
    shift: u32,
    /// Gradients below two to this power need no check.
    tolerated_bits: u32,
}

enum Decided {
    Adam { first: Term, table: TableUse },
    Momentum { velocity: Term, factor: u64 },
    Descent,
}

/// Steps of one kind cost the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StepKind {
    drops: [u32; 2],
    is_fresh: bool,
    shift: u32,
    tolerated_bits: u32,
}

impl Step {
    /// What two steps that cost the same have in common.
    pub(crate) fn kind(&self) -> StepKind {
        let (drops, is_fresh) = match &self.decided {
            Decided::Adam { first, table: TableUse::New { second, .. } } => ([first.drop, second.drop], true),
            Decided::Adam { first, table: TableUse::Old { drop, .. } } => ([first.drop, *drop], false),
            Decided::Momentum { velocity, .. } => ([velocity.drop, 0], false),
            Decided::Descent => ([0, 0], false),
        };
        StepKind { drops, is_fresh, shift: self.shift, tolerated_bits: self.tolerated_bits }
    }
}

/// A gradient as the way back gives it, and its scale.
pub(crate) struct Gradient {
    /// Sum over the rows.
    pub(crate) sum: Additive,
    /// Bits to drop for the mean gradient with [`GRADIENT_FRAC`](crate::formats::GRADIENT_FRAC) fractional bits, or for the update of a rule that
    /// [moves freely](Pieces::moves_freely) with
    /// [`WEIGHT_FRAC`](crate::formats::WEIGHT_FRAC).
    pub(crate) shift: u32,
}

impl Pieces {
    /// The state before the first step, for at most so many lanes.
    pub(crate) fn new(plan: &Plan, network: &Perceptron, lanes: usize) -> Self {
        let state = |piece: Range<usize>| {
            let priors = network.inputs().filter_map(|(range, inputs)| {
                let (start, end) = (range.start.max(piece.start), range.end.min(piece.end));
                let prior = gradient_prior(inputs, plan.weight_decay);
                (start < end).then(|| (start - piece.start..end - piece.start, prior))
            });
            State::new(plan.optimizer, piece.clone(), priors.collect())
        };
        Self(pieces(plan.parameters(), lanes).into_iter().map(state).collect())
    }

    /// Moves what is public a step on, for mean gradients that are those of the loss times `nominal`: gives the step of each piece.
    pub(crate) fn decide(&mut self, learning_rate: f64, nominal: f64) -> Vec<Step> {
        self.0.iter_mut().map(|state| state.decide(learning_rate, nominal)).collect()
    }

    /// Updates the parameters in a step that was decided.
    pub(crate) fn step(
        &mut self,
        steps: &[Step],
        gradient: Gradient,
        parameters: &mut Rep,
        checks: &mut RangeChecks,
        lanes: &mut Lanes,
    ) -> Result<()> {
        let runs = parameters.runs_mut(self.0.iter().map(|state| state.parameters.len()));
        let mut work: Vec<_> = self.0.iter_mut().zip(steps).zip(runs).collect();
        if work.len() == 1
            && let Some(((all, step), parameters)) = work.pop()
        {
            return all.step(step, gradient, parameters, checks, lanes.main());
        }
        let claims = lanes.each(work, |((state, step), parameters), session| {
            let mut checks = RangeChecks::default();
            let piece = Gradient { sum: gradient.sum.slice(state.parameters.clone()), ..gradient };
            state.step(step, piece, parameters, &mut checks, session)?;
            Ok::<_, NnError>(checks)
        })?;
        for claims in claims {
            checks.absorb(claims);
        }
        Ok(())
    }

    /// The state as a checkpoint keeps it: its public part, and the shares, which are appended. Nothing waits to be claimed.
    pub(crate) fn save<'a>(&'a self, shares: &mut Vec<&'a [u64]>) -> Vec<PieceState> {
        self.0.iter().map(|state| state.save(shares)).collect()
    }

    /// Takes over the state of a checkpoint.
    pub(crate) fn restore(&mut self, pieces: &[PieceState], shares: &mut Shares) -> Result<()> {
        if pieces.len() != self.0.len() {
            return Err(unfit());
        }
        self.0.iter_mut().zip(pieces).try_for_each(|(state, kept)| state.restore(kept, shares))
    }

    /// Whether updates are gradients times the learning rate, as large as these may be.
    ///
    /// The gradients themselves are then neither kept nor checked; the parameters must be, after each step.
    pub(crate) fn moves_freely(&self) -> bool {
        self.0.iter().all(|state| matches!(state.rule, Rule::Descent))
    }

    /// A power of two below which every update since the last check stayed.
    pub(crate) fn update_bits(&mut self) -> u32 {
        self.0.iter_mut().map(|state| std::mem::take(&mut state.update_bits)).fold(0, u32::max)
    }

    /// The lowest places of the second moments' windows since the last check, of each piece.
    pub(crate) fn lowest_windows(&mut self) -> Vec<Option<u32>> {
        self.0.iter_mut().map(State::lowest_window).collect()
    }

    /// Claims that the second moments stayed inside these windows since the last check.
    pub(crate) fn claim_moments(&self, windows: &[Option<u32>], checks: &mut RangeChecks, party: Party) {
        for (state, window) in self.0.iter().zip(windows) {
            state.claim_moment(*window, checks, party);
        }
    }
}

impl State {
    fn new(optimizer: Optimizer, parameters: Range<usize>, priors: Vec<(Range<usize>, u32)>) -> Self {
        let len = parameters.len();
        let rule = match optimizer {
            Optimizer::Adam { beta1, beta2, refresh } => {
                Rule::Adam(Box::new(Adam::new((beta1, beta2), refresh, len)))
            }
            Optimizer::Sgd { momentum: 0.0 } => Rule::Descent,
            Optimizer::Sgd { momentum } => Rule::Momentum(Moment::new(momentum, VELOCITY, len)),
        };
        Self { parameters, priors, rule, update_bits: 0 }
    }

    fn save<'a>(&'a self, shares: &mut Vec<&'a [u64]>) -> PieceState {
        debug_assert_eq!(self.update_bits, 0, "a checkpoint follows a report");
        match &self.rule {
            Rule::Adam(adam) => {
                debug_assert!(adam.second.unchecked_low.is_none(), "a checkpoint follows a report");
                push_rep(shares, &adam.first.sum);
                shares.push(adam.second.sum.words());
                if adam.table.is_some() {
                    push_rep(shares, &adam.preconditioner);
                }
                PieceState::Adam {
                    step: adam.step,
                    first: adam.first.decay.weights(),
                    second: adam.second.decay.weights(),
                    table: adam.table,
                }
            }
            Rule::Momentum(velocity) => {
                push_rep(shares, &velocity.sum);
                PieceState::Momentum { velocity: velocity.decay.weights() }
            }
            Rule::Descent => PieceState::Descent {},
        }
    }

    fn restore(&mut self, kept: &PieceState, shares: &mut Shares) -> Result<()> {
        let len = self.parameters.len();
        match (&mut self.rule, *kept) {
            (Rule::Adam(adam), PieceState::Adam { step, first, second, table }) => {
                adam.step = step;
                adam.first.sum = shares.rep(len)?;
                adam.first.decay.set(first);
                adam.second.sum = shares.split(len)?;
                adam.second.decay.set(second);
                adam.table = table;
                if table.is_some() {
                    adam.preconditioner = shares.rep(len)?;
                }
            }
            (Rule::Momentum(moment), PieceState::Momentum { velocity }) => {
                moment.sum = shares.rep(len)?;
                moment.decay.set(velocity);
            }
            (Rule::Descent, PieceState::Descent {}) => {}
            _ => return Err(unfit()),
        }
        Ok(())
    }

    /// Moves what is public a step on.
    fn decide(&mut self, learning_rate: f64, nominal: f64) -> Step {
        let tolerated_bits = self.rule.tolerated_bits();
        let (decided, shift) = match &mut self.rule {
            Rule::Adam(adam) => adam.decide(learning_rate, nominal),
            Rule::Momentum(velocity) => velocity.decide(learning_rate, nominal),
            Rule::Descent => return Step { decided: Decided::Descent, shift: 0, tolerated_bits },
        };
        self.update_bits = self.update_bits.max(RANGE_BITS - shift + 1);
        Step { decided, shift, tolerated_bits }
    }

    /// Updates the parameters of this part.
    fn step(
        &mut self,
        step: &Step,
        gradient: Gradient,
        mut parameters: RepMut<'_>,
        checks: &mut RangeChecks,
        session: &mut Session,
    ) -> Result<()> {
        let values = match (&mut self.rule, &step.decided) {
            (Rule::Adam(adam), Decided::Adam { first, table }) => {
                adam.step(gradient, *first, table, step.shift, parameters, session)?
            }
            (Rule::Momentum(moment), Decided::Momentum { velocity, factor }) => {
                moment.step(gradient, *velocity, *factor, step.shift, &mut parameters, session)?
            }
            (Rule::Descent, Decided::Descent) => {
                session.enter("truncation");
                let Gradient { sum, shift } = gradient;
                truncate_in_pieces(
                    sum,
                    rough(shift),
                    |_, _| (),
                    |elements, update| parameters.sub_in(elements, update),
                    session,
                )?;
                session.enter("optimizer");
                return Ok(());
            }
            _ => unreachable!("a rule decides its own steps"),
        };
        for (range, prior) in self.priors.iter().filter(|(_, prior)| *prior > step.tolerated_bits) {
            checks.claim_part("a gradient", &values, range.clone(), GRADIENT_BOUND, *prior, session.party());
        }
        Ok(())
    }

    fn lowest_window(&mut self) -> Option<u32> {
        match &mut self.rule {
            Rule::Adam(adam) => adam.second.unchecked_low.take(),
            Rule::Momentum(_) | Rule::Descent => None,
        }
    }

    /// Claims that the second moment stayed inside this window since the last check.
    fn claim_moment(&self, low: Option<u32>, checks: &mut RangeChecks, party: Party) {
        if let (Rule::Adam(adam), Some(low)) = (&self.rule, low) {
            let (sum, bound) = adam.second.claim(low, party);
            checks.claim_split("the mean square of a gradient", &sum, bound, RANGE_BITS, party);
        }
    }
}

impl Rule {
    /// Gradients below two to this power need no check in the next step.
    fn tolerated_bits(&self) -> u32 {
        match self {
            Self::Adam(adam) if !adam.is_fresh(adam.step + 1) => TOLERATED_BITS,
            _ => 0,
        }
    }
}

/// A truncation of values whose last place matters little.
fn rough(bits: u32) -> Shift {
    Shift { bits, low: roughness(bits) }
}
