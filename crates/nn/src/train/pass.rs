//! The way there and back for some rows, and their loss.

use shamisen_mpc::protocol::multiply::reshare;
use shamisen_mpc::protocol::open::open;
use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::soft_max::{Form, LossTerms, soft_max_as};
use shamisen_mpc::protocol::square_root::square;
use shamisen_mpc::protocol::truncate::truncate_shared;
use shamisen_mpc::{Additive, Rep, Session};
use shamisen_ring::fixed::{self, Factor};

use crate::error::Result;
use crate::formats::{
    ACTIVATION_BITS, DELTA_BOUND, DELTA_FRAC, activation_frac, decode_cross_entropy, target_frac,
};
use crate::perceptron::{Perceptron, Trace};
use crate::plan::{Plan, Task};

/// Fractional bits of a squared error.
const SQUARE_FRAC: u32 = 20;

/// What the way there and back gives for some rows.
pub(super) struct Pass {
    /// Sum over the rows.
    pub(super) gradient: Additive,
    pub(super) checks: RangeChecks,
    pub(super) unreported: Unreported,
}

/// What the loss of the rows that are not reported yet is made of.
#[derive(Clone, Default)]
pub(crate) struct Unreported {
    /// For classification.
    terms: LossTerms,
    /// For regression.
    residuals: Rep,
    pub(crate) rows: usize,
}

impl Pass {
    /// The way there and back for some rows. The errors are multiplied by the factor.
    pub(super) fn run(
        plan: &Plan,
        network: &Perceptron,
        factor: Factor,
        features: Rep,
        targets: Rep,
        session: &mut Session,
    ) -> Result<Self> {
        let rows = features.len() / plan.features();
        let mut checks = RangeChecks::default();
        let mut unreported = Unreported { rows, ..Unreported::default() };
        let trace = network.forward(features, rows, &mut checks, session)?;
        let delta =
            output_delta(plan, network, factor, &trace, targets, &mut checks, &mut unreported, session)?;
        let gradient = network.backward(trace, delta, &mut checks, session)?;
        Ok(Self { gradient, checks, unreported })
    }
}

impl Unreported {
    pub(crate) fn extend(&mut self, other: &Self) {
        self.terms.extend(&other.terms);
        self.residuals.extend(&other.residuals);
        self.rows += other.rows;
    }
}

/// Derivative of the loss with respect to the outputs, times the factor and `2^-target_bits`.
#[expect(clippy::too_many_arguments, reason = "what goes in, and where its claims and its loss go")]
fn output_delta(
    plan: &Plan,
    network: &Perceptron,
    factor: Factor,
    Trace { outputs, .. }: &Trace,
    targets: Rep,
    checks: &mut RangeChecks,
    unreported: &mut Unreported,
    session: &mut Session,
) -> Result<Rep> {
    let frac = network.activation_frac();
    match plan.task {
        Task::Classification => {
            session.enter("soft-max");
            let soft_max = soft_max_as(
                Form { factor, frac: DELTA_FRAC },
                outputs,
                unreported.rows,
                network.outputs(),
                frac,
                ACTIVATION_BITS,
                session,
            )?;
            let (mut delta, terms) = soft_max.into_loss_terms(outputs, &targets);
            unreported.terms.extend(&terms);
            let mut one_hot = targets;
            one_hot.scale(factor.numerator() << (DELTA_FRAC - factor.bits()));
            delta.sub_assign(&one_hot);
            Ok(delta)
        }
        Task::Regression => {
            let mut delta = outputs.clone();
            delta.sub_assign(&targets);
            unreported.residuals.extend(&delta);
            let (up, down) = (DELTA_FRAC - frac, plan.target_bits + factor.bits());
            delta.scale(factor.numerator() << up.saturating_sub(down));
            if down > up {
                session.enter("truncation");
                delta = truncate_shared(&delta, down - up, session)?;
            }
            let prior = DELTA_FRAC + ACTIVATION_BITS + 1;
            checks.claim("the error of the output layer", &delta, DELTA_BOUND, prior, session.party());
            Ok(delta)
        }
    }
}

/// Opens the sum of the losses of some rows.
pub(super) fn loss_sum(plan: &Plan, unreported: Unreported, session: &mut Session) -> Result<f64> {
    let frac = activation_frac(plan);
    match plan.task {
        Task::Classification => {
            let loss = unreported.terms.cross_entropy(plan.outputs(), frac, session)?;
            let sum = open(&reshare(loss.sum(), session)?, session)?;
            Ok(decode_cross_entropy(sum[0]))
        }
        Task::Regression => {
            debug_assert_eq!(target_frac(plan), frac);
            let squares = square(&unreported.residuals, session)?;
            let squares = truncate_shared(&squares, 2 * frac - SQUARE_FRAC, session)?;
            let sum = open(&reshare(squares.to_additive().sum(), session)?, session)?;
            Ok(fixed::decode(sum[0], SQUARE_FRAC) / 2.0)
        }
    }
}

/// Halvings of the loss, so that errors of targets up to `2^target_bits` stay in range.
pub(super) fn loss_bits(plan: &Plan) -> i32 {
    match plan.task {
        Task::Classification => 0,
        Task::Regression => plan.target_bits as i32,
    }
}
