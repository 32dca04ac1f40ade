//! Evaluation and prediction under sharing.

use shamisen_mpc::protocol::multiply::{product, reshare};
use shamisen_mpc::protocol::open::open;
use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::soft_max::{PROBABILITY_FRAC, cross_entropy, soft_max};
use shamisen_mpc::protocol::square_root::square;
use shamisen_mpc::protocol::truncate::truncate_shared;
use shamisen_mpc::{Additive, Rep, Session};
use shamisen_ring::fixed;

use crate::error::{NnError, Result};
use crate::examples::SharedRows;
use crate::formats::{ACTIVATION_BITS, activation_frac, decode_cross_entropy};
use crate::metrics::Metrics;
use crate::perceptron::Perceptron;
use crate::plan::{Plan, Task};

/// Rows evaluated at a time.
const CHUNK: usize = 1024;
/// Fractional bits of a squared error.
const SQUARE_FRAC: u32 = 20;

/// Evaluates a network on shared rows.
///
/// Opened are: for classification the number of right rows and the sum of the cross-entropy; for regression, per target
/// column, the sum of squared errors and the targets' sum of squares about their mean; and one bit, whether all values
/// stayed in range.
///
/// # Errors
///
/// As for [`train`](crate::train::train).
pub fn evaluate(
    plan: &Plan,
    network: &Perceptron,
    rows: &mut dyn SharedRows,
    session: &mut Session,
) -> Result<Metrics> {
    let count = rows.rows();
    let columns = plan.outputs();
    let frac = activation_frac(plan);
    match plan.task {
        Task::Classification => {
            let (mut right, mut loss) = (Additive::zeros(1), Additive::zeros(1));
            for places in chunks(count) {
                let outputs = outputs(network, rows, &places, session)?;
                let targets = rows.targets(&places)?;
                let (losses, chosen) =
                    cross_entropy(&outputs, &targets, places.len(), columns, frac, ACTIVATION_BITS, session)?;
                loss.add_assign(&losses.sum());
                // The winners come class by class, the targets row by row.
                let (height, width) = (places.len(), columns);
                let targets =
                    targets.gather((0..height * width).map(move |at| at % height * width + at / height));
                right.add_assign(&product(&chosen, &targets).sum());
            }
            let mut sums = right;
            sums.extend(&loss);
            let sums = open(&reshare(sums, session)?, session)?;
            Ok(Metrics::Classification {
                accuracy: sums[0] as f64 / count as f64,
                cross_entropy: decode_cross_entropy(sums[1]) / count as f64,
            })
        }
        Task::Regression => {
            let mut total = Additive::zeros(columns);
            for places in chunks(count) {
                total.add_assign(&Additive::sum_columns(&rows.targets(&places)?, columns));
            }
            // The mean, by a reciprocal of the count as fine as the range allows.
            let mut mean = reshare(total, session)?;
            mean.scale((2.0_f64.powi(MEAN_BITS as i32) / count as f64).round() as u64);
            let mean = truncate_shared(&mean, MEAN_BITS, session)?;

            let (mut errors, mut spread) = (Additive::zeros(columns), Additive::zeros(columns));
            for places in chunks(count) {
                let mut error = outputs(network, rows, &places, session)?;
                let targets = rows.targets(&places)?;
                error.sub_assign(&targets);
                let mut deviation = targets;
                deviation.sub_assign(&mean.gather((0..deviation.len()).map(|at| at % columns)));
                for (sum, values) in [(&mut errors, &error), (&mut spread, &deviation)] {
                    let squares = square(values, session)?;
                    let squares = truncate_shared(&squares, 2 * frac - SQUARE_FRAC, session)?;
                    sum.add_assign(&Additive::sum_columns(&squares, columns));
                }
            }
            errors.extend(&spread);
            let sums = open(&reshare(errors, session)?, session)?;
            let (errors, spread) = sums.split_at(columns);
            let decode = |sum: u64| fixed::decode(sum, SQUARE_FRAC);
            // A column without variance counts 1 when met exactly and 0 otherwise.
            let r2 = |(&error, &spread): (&u64, &u64)| match (decode(error), decode(spread)) {
                (0.0, 0.0) => 1.0,
                (_, 0.0) => 0.0,
                (error, spread) => 1.0 - error / spread,
            };
            Ok(Metrics::Regression {
                r2: errors.iter().zip(spread).map(r2).sum::<f64>() / columns as f64,
                mse: errors.iter().map(|&error| decode(error)).sum::<f64>() / (columns * count) as f64,
            })
        }
    }
}

/// The numbers of so many rows, [`CHUNK`] at a time.
fn chunks(rows: usize) -> impl Iterator<Item = Vec<u32>> {
    (0..rows).step_by(CHUNK).map(move |start| (start as u32..rows.min(start + CHUNK) as u32).collect())
}

/// Bits of `1 / rows` as a fixed-point number: sums of targets stay below `2^23` times the rows.
const MEAN_BITS: u32 = 38;

/// Predicts: the shared probabilities of the classes ([`PROBABILITY_FRAC`] fractional bits), or the shared outputs
/// ([`activation_frac`] fractional bits), row by row. Nothing but the bit of the range check is opened.
///
/// # Errors
///
/// [`NnError::PredictionRange`] when a value left its range, [`NnError::Protocol`] when a peer fails.
pub fn predict(
    plan: &Plan,
    network: &Perceptron,
    rows: &mut dyn SharedRows,
    session: &mut Session,
) -> Result<Rep> {
    let mut predictions = Rep::default();
    for places in chunks(rows.rows()) {
        let outputs = outputs(network, rows, &places, session)?;
        predictions.extend(&match plan.task {
            Task::Classification => {
                let (rows, classes, frac) = (places.len(), plan.outputs(), activation_frac(plan));
                soft_max(&outputs, rows, classes, frac, ACTIVATION_BITS, session)?.probabilities
            }
            Task::Regression => outputs,
        });
    }
    Ok(predictions)
}

/// Fractional bits of a prediction.
pub fn prediction_frac(plan: &Plan) -> u32 {
    match plan.task {
        Task::Classification => PROBABILITY_FRAC,
        Task::Regression => activation_frac(plan),
    }
}

/// The network's outputs for some rows, all ranges verified.
fn outputs(
    network: &Perceptron,
    rows: &mut dyn SharedRows,
    places: &[u32],
    session: &mut Session,
) -> Result<Rep> {
    let mut checks = RangeChecks::default();
    let trace = network.forward(rows.features(places)?, places.len(), &mut checks, session)?;
    session.enter("range checks");
    if let Some(what) = checks.verify(session)? {
        return Err(NnError::PredictionRange(what));
    }
    session.enter("evaluation");
    Ok(trace.outputs)
}
