//! Fixed-point formats and the ranges in which every value is kept.
//!
//! A range check ([`RangeChecks`](shamisen_mpc::protocol::range::RangeChecks)) lets `|x| < 2^(bound - 1)` pass and
//! guarantees `|x| < 2^(bound + 1)`. The formats below are such that, with the guaranteed ranges of its factors, no sum
//! of products reaches `2^62`, where truncation would fail:
//!
//! | value | fractional bits | passes below | guaranteed below |
//! |---|---|---|---|
//! | feature, activation, output | 14, less for wide layers | 512 | 2048 |
//! | weight | 20 | 16 | 64 |
//! | bias | 20 | 512 | 2048 |
//! | back-propagated error of a row | 18 | 32 | 128 |
//! | gradient, mean over the mini-batch | 18 | 32 | 128 |
//!
//! A layer's sum has at most `n 2^(25 + 26)` for `n` inputs and 14 fractional bits, so `n <= 2^11`; wider layers take a
//! bit off the activations for every doubling.

use shamisen_mpc::protocol::log::LOG_FRAC;
use shamisen_mpc::protocol::truncate::RANGE_BITS;
use shamisen_ring::fixed;

use crate::error::{NnError, Result};
use crate::plan::{Optimizer, Plan, Task};

/// Fractional bits of weights and biases.
pub const WEIGHT_FRAC: u32 = 20;
/// Fractional bits of the back-propagated error of one row.
pub const DELTA_FRAC: u32 = 18;
/// Fractional bits of a gradient.
pub const GRADIENT_FRAC: u32 = 18;

/// Features and regression targets must be below `2^FEATURE_BITS`.
pub const FEATURE_BITS: u32 = 9;

/// Range checks and the loss are done together after this many mini-batches, more often in the first ones.
pub const CHECK_EVERY: usize = 16;

/// Integer bits of an activation after a passed check.
pub(crate) const ACTIVATION_BITS: u32 = 11;

/// Bounds for the range checks: `|x| < 2^(bound - 1)` passes.
pub(crate) const WEIGHT_BOUND: u32 = WEIGHT_FRAC + 5;
pub(crate) const BIAS_BOUND: u32 = WEIGHT_FRAC + FEATURE_BITS + 1;
pub(crate) const DELTA_BOUND: u32 = DELTA_FRAC + 6;
pub(crate) const GRADIENT_BOUND: u32 = GRADIENT_FRAC + 6;
/// An activation is below this.
const ACTIVATION_LIMIT: f64 = 1.5 * (1 << (FEATURE_BITS + 1)) as f64;
/// A back-propagated error of a row is below this.
pub(crate) const DELTA_LIMIT: f64 = 1.5 * (1 << (DELTA_BOUND - DELTA_FRAC)) as f64;
/// A weight is below this when its check has passed.
pub(crate) const WEIGHT_LIMIT: f64 = 1.5 * (1 << (WEIGHT_BOUND - WEIGHT_FRAC)) as f64;
/// A bias is below this, also some steps of plain descent later.
pub(crate) const BIAS_LIMIT: f64 = (1 << ACTIVATION_BITS) as f64;
/// A bias is below this when its check has passed.
pub(crate) const CHECKED_BIAS_LIMIT: f64 = 1.5 * (1 << (BIAS_BOUND - WEIGHT_FRAC)) as f64;

/// Low bits that the parties drop each for itself before a truncation: what that adds to its error is below `2^-6` units.
pub(crate) fn roughness(bits: u32) -> u32 {
    bits.saturating_sub(7)
}

/// What a layer multiplies its weights with is at most this: features, or activations.
pub(crate) fn input_limit(plan: &Plan, layer: usize) -> f64 {
    if layer == 0 { f64::from(1 << plan.feature_bits) } else { ACTIVATION_LIMIT }
}

/// What is known of a mean gradient beforehand, where a layer's inputs are at most so large: it is below two to this power. It is
/// the mean of inputs times back-propagated errors, whose ranges are checked at the same time, and the weight decay.
pub(crate) fn gradient_prior(inputs: f64, weight_decay: f64) -> u32 {
    GRADIENT_FRAC + (inputs * DELTA_LIMIT + weight_decay * WEIGHT_LIMIT).log2().ceil() as u32
}

/// Largest mini-batch.
pub const MAX_BATCH: usize = 2048;
/// Most steps between two refreshes of Adam's preconditioner: a square then weighs at most as much as so many.
const MAX_REFRESH: u32 = 256;
const MAX_WIDTH: usize = 1 << 15;
const BASE_FRAC: u32 = 14;
const BASE_WIDTH: usize = 1 << 11;

/// Fractional bits of features and activations in this plan.
pub fn activation_frac(plan: &Plan) -> u32 {
    width_frac(plan.layers.iter().copied().max().unwrap_or(1))
}

/// The same for a plan whose widest layer has so many units.
pub fn width_frac(widest: usize) -> u32 {
    BASE_FRAC.saturating_sub(widest.div_ceil(BASE_WIDTH).next_power_of_two().trailing_zeros())
}

/// The bound of the range check on activations.
pub(crate) fn activation_bound(frac: u32) -> u32 {
    frac + FEATURE_BITS + 1
}

/// What is known of the outputs of a layer with so many inputs beforehand, when these and the weights are below their limits: they
/// are below two to this power, with what the biases and the rounding add.
pub(crate) fn output_prior(frac: u32, fan_in: usize, inputs: f64, weights: f64) -> u32 {
    let most = fan_in as f64 * inputs * weights + BIAS_LIMIT;
    (frac + most.log2().ceil() as u32 + 1).min(RANGE_BITS - WEIGHT_FRAC)
}

/// As [`output_prior`], of the error that a layer of so many units hands back.
pub(crate) fn delta_prior(units: usize, weights: f64) -> u32 {
    let most = units as f64 * DELTA_LIMIT * weights;
    (DELTA_FRAC + most.log2().ceil() as u32 + 1).min(RANGE_BITS - WEIGHT_FRAC)
}

/// How large the weights of a layer may be at most, so that no sum of products leaves its range; `hands_back` says that errors go
/// back through it.
pub(crate) fn largest_weight(frac: u32, fan_in: usize, units: usize, inputs: f64, hands_back: bool) -> f64 {
    // Half a bit is left for what is added to the sums.
    let range = |frac: u32| (f64::from(RANGE_BITS - frac) - 0.5).exp2();
    let forward = (range(frac + WEIGHT_FRAC) - BIAS_LIMIT) / (fan_in as f64 * inputs);
    if hands_back {
        forward.min(range(DELTA_FRAC + WEIGHT_FRAC) / (units as f64 * DELTA_LIMIT))
    } else {
        forward
    }
}

/// A sum of cross-entropies that was opened.
pub(crate) fn decode_cross_entropy(sum: u64) -> f64 {
    // Where all is certain, the error of an exponential is more than the loss.
    fixed::decode(sum, LOG_FRAC).max(0.0)
}

/// Fractional bits in which targets are shared: 0 and 1 for classes, an activation's format for numbers.
pub fn target_frac(plan: &Plan) -> u32 {
    match plan.task {
        Task::Classification => 0,
        Task::Regression => activation_frac(plan),
    }
}

/// Whether the plan can be carried out.
///
/// # Errors
///
/// [`NnError::Plan`] with a sentence that says what to change.
pub fn check(plan: &Plan) -> Result<()> {
    let refuse = |sentence: String| Err(NnError::Plan(sentence));
    if plan.layers.len() < 2 || plan.layers.contains(&0) {
        return refuse(format!(
            "the layers {:?} are no network: every layer needs at least one unit",
            plan.layers
        ));
    }
    if let Some(width) = plan.layers.iter().find(|&&width| width > MAX_WIDTH) {
        return refuse(format!(
            "a layer of {width} units is too wide: at most {MAX_WIDTH} keep sums in range"
        ));
    }
    if let Some(width) = plan.layers.iter().skip(2).find(|&&width| width > BASE_WIDTH) {
        return refuse(format!(
            "a layer of {width} units is too wide for back-propagation: after the first hidden layer at most \
             {BASE_WIDTH} keep sums in range"
        ));
    }
    if plan.task == Task::Classification && plan.outputs() < 2 {
        return refuse("classification needs at least two classes".into());
    }
    if plan.batch_size == 0 || plan.batch_size > MAX_BATCH {
        return refuse(format!("the batch size is {}, it must be 1 to {MAX_BATCH}", plan.batch_size));
    }
    if plan.epochs == 0 {
        return refuse("the number of epochs is 0, at least one is needed".into());
    }
    if !(plan.learning_rate > 1e-7 && plan.learning_rate <= 1.0) {
        return refuse(format!(
            "the learning rate is {}, it must be above 1e-7 and at most 1",
            plan.learning_rate
        ));
    }
    if !(0.0..=1.0).contains(&plan.weight_decay) {
        return refuse(format!("the weight decay is {}, it must be 0 to 1", plan.weight_decay));
    }
    if plan.feature_bits > FEATURE_BITS {
        return refuse(format!(
            "features of up to 2^{} leave the fixed-point range: scale them",
            plan.feature_bits
        ));
    }
    if plan.target_bits > FEATURE_BITS {
        return refuse(format!(
            "targets of up to 2^{} leave the fixed-point range; standardise the target",
            plan.target_bits
        ));
    }
    let moment_decay = |decay: f64| decay == 0.0 || (0.5..=0.99).contains(&decay);
    match plan.optimizer {
        Optimizer::Adam { beta1, beta2, refresh } => {
            if !moment_decay(beta1) || !(0.9..=0.9995).contains(&beta2) || beta1 * beta1 >= beta2 {
                return refuse(format!(
                    "Adam's decays are {beta1} and {beta2}; the first must be 0 or 0.5 to 0.99, the second 0.9 to \
                     0.9995 and above the square of the first"
                ));
            }
            if !(1..=MAX_REFRESH).contains(&refresh) {
                return refuse(format!(
                    "the preconditioner is refreshed every {refresh} steps, it must be every 1 (exact Adam) to \
                     {MAX_REFRESH}"
                ));
            }
        }
        Optimizer::Sgd { momentum } => {
            if !moment_decay(momentum) {
                return refuse(format!("the momentum is {momentum}, it must be 0 or 0.5 to 0.99"));
            }
        }
    }
    Ok(())
}
