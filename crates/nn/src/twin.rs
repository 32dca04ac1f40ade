//! The float twin: the same training on plain data in double precision.
//!
//! It follows the plan, the initial weights and the mini-batch order of a secure run but shares no code with
//! the protocols, so it is the reference their results are checked against.

use std::ops::ControlFlow;

use ndarray::{Array2, ArrayRef1, ArrayRef2, ArrayView1, ArrayView2, Axis};

use crate::init::initial_parameters;
use crate::metrics::Metrics;
use crate::order::BatchOrder;
use crate::plan::{Optimizer, Plan, Task};

/// Adam's guard against division by zero, as published.
const EPSILON: f64 = 1e-8;

/// Adam computes its preconditioner anew in each of the first steps, whatever `refresh` says.
const FRESH_STEPS: u64 = 10;

/// Examples in the clear.
#[derive(Clone, Copy, Debug)]
pub struct PlainExamples<'a> {
    /// Features, row-major.
    pub features: &'a [f64],
    /// Targets, row-major: one-hot rows for classification, real columns for regression.
    pub targets: &'a [f64],
    /// Number of examples.
    pub rows: usize,
}

/// A model trained in the clear.
#[derive(Clone, Debug, PartialEq)]
pub struct TwinModel {
    /// Widths of all layers, the input's first.
    pub layers: Vec<usize>,
    /// Weights and biases in the order of [`initial_parameters`].
    pub parameters: Vec<f64>,
    /// Mean loss over the examples of each epoch, every mini-batch measured before its update, without the L2
    /// penalty.
    pub loss: Vec<f64>,
}

impl TwinModel {
    /// Outputs for row-major `features`, row-major: logits for classification, predictions for regression.
    ///
    /// # Panics
    ///
    /// When the number of features is not a multiple of the width of the input layer.
    pub fn outputs(&self, features: &[f64]) -> Vec<f64> {
        let width = self.layers[0];
        assert_eq!(features.len() % width, 0, "outputs: features of whole rows");
        let input = matrix(features, features.len() / width, width);
        let layers = Layers::of(&self.layers, &self.parameters);
        let hidden = layers.hidden(&input);
        layers.output(hidden.last().map_or(&input, |a| a)).into_iter().collect()
    }
}

/// Trains a network on plain data; `progress` receives epoch, batch (both from 0) and the loss of that batch.
///
/// The loss of a classification is the cross-entropy of the soft-max, that of a regression half the squared
/// error summed over the target columns; both are means over the rows of the batch. Hidden layers apply
/// `ReLU`.
///
/// # Panics
///
/// When the lengths of features and targets do not fit `rows` and the widths of the plan, when the plan has
/// fewer than two layers or a batch size of 0, and when there are no rows or more than `u32::MAX`.
pub fn train(plan: &Plan, examples: PlainExamples<'_>, progress: impl FnMut(usize, usize, f64)) -> TwinModel {
    train_epochs(plan, None, examples, progress, |_, _| ControlFlow::Continue(()))
}

/// As [`train`], from given parameters or the initial ones; `ended` receives the mean loss and the model at the end of each epoch,
/// and says whether the training goes on.
///
/// # Panics
///
/// As [`train`], and when there are not as many parameters as the plan has.
pub fn train_epochs(
    plan: &Plan,
    start: Option<Vec<f64>>,
    examples: PlainExamples<'_>,
    mut progress: impl FnMut(usize, usize, f64),
    mut ended: impl FnMut(f64, &TwinModel) -> ControlFlow<()>,
) -> TwinModel {
    assert!(plan.layers.len() >= 2, "train: a network has an input and an output layer");
    assert!(examples.rows > 0, "train: at least one row");
    let features = matrix(examples.features, examples.rows, plan.features());
    let targets = matrix(examples.targets, examples.rows, plan.outputs());

    let order = BatchOrder::new(plan.seed, examples.rows, plan.batch_size);
    let parameters = start.unwrap_or_else(|| initial_parameters(plan));
    assert_eq!(parameters.len(), plan.parameters(), "train: as many parameters as the plan has");
    let mut optimizer = OptimizerState::new(plan);
    let loss = Vec::with_capacity(plan.epochs);
    let mut model = TwinModel { layers: plan.layers.clone(), parameters, loss };
    for epoch in 0..plan.epochs {
        let mut sum = 0.0;
        for (batch, rows) in order.epoch(epoch).enumerate() {
            let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
            let (x, y) = (features.select(Axis(0), &rows), targets.select(Axis(0), &rows));
            let (batch_loss, gradient) = loss_and_gradient(plan, &model.parameters, &x, &y);
            optimizer.step(&mut model.parameters, &gradient);
            sum += batch_loss * rows.len() as f64;
            progress(epoch, batch, batch_loss);
        }
        let mean = sum / examples.rows as f64;
        model.loss.push(mean);
        if ended(mean, &model).is_break() {
            break;
        }
    }
    model
}

/// Compares row-major outputs with row-major targets of the same shape.
///
/// # Panics
///
/// When the two lengths differ, are 0, or are not a multiple of `columns`.
pub fn evaluate(task: Task, columns: usize, outputs: &[f64], targets: &[f64]) -> Metrics {
    assert!(!outputs.is_empty(), "evaluate: at least one row");
    let rows = outputs.len() / columns;
    let (outputs, targets) = (matrix(outputs, rows, columns), matrix(targets, rows, columns));
    match task {
        Task::Classification => {
            let pairs = || outputs.rows().into_iter().zip(targets.rows());
            let hits = pairs().filter(|(z, y)| arg_max(z) == arg_max(y)).count();
            let cross_entropy = pairs().map(|(z, y)| cross_entropy(&z, &y)).sum::<f64>();
            Metrics::Classification {
                accuracy: hits as f64 / rows as f64,
                cross_entropy: cross_entropy / rows as f64,
            }
        }
        Task::Regression => {
            let squares = (&outputs - &targets).mapv(|e| e * e);
            let r2 = |column: usize| {
                let y = targets.column(column);
                let mean = y.sum() / rows as f64;
                let total = y.mapv(|value| (value - mean).powi(2)).sum();
                let rest = squares.column(column).sum();
                match (total > 0.0, rest > 0.0) {
                    (true, _) => 1.0 - rest / total,
                    (false, true) => 0.0,
                    (false, false) => 1.0,
                }
            };
            Metrics::Regression {
                mse: squares.sum() / squares.len() as f64,
                r2: (0..columns).map(r2).sum::<f64>() / columns as f64,
            }
        }
    }
}

/// The loss of a batch without the L2 penalty, and its gradient with it, in the order of the parameters.
fn loss_and_gradient(
    plan: &Plan,
    parameters: &[f64],
    features: &ArrayRef2<f64>,
    targets: &ArrayRef2<f64>,
) -> (f64, Vec<f64>) {
    let rows = features.nrows() as f64;
    let layers = Layers::of(&plan.layers, parameters);
    let hidden = layers.hidden(features);
    let outputs = layers.output(hidden.last().map_or(features, |a| a));

    // Soft-max with cross-entropy, and the identity with half the squared error, have the same gradient at
    // the output: prediction minus target.
    let (loss, error) = match plan.task {
        Task::Classification => {
            let pairs = outputs.rows().into_iter().zip(targets.rows());
            let loss = pairs.map(|(z, y)| cross_entropy(&z, &y)).sum::<f64>();
            (loss, soft_max(outputs) - targets)
        }
        Task::Regression => {
            let error = outputs - targets;
            (0.5 * error.mapv(|e| e * e).sum(), error)
        }
    };
    let (loss, mut delta) = (loss / rows, error / rows);

    let mut gradient = vec![0.0; parameters.len()];
    let mut rest = gradient.as_mut_slice();
    for (layer, (weights, _)) in layers.0.iter().enumerate().rev() {
        let input = layer.checked_sub(1).map_or(features, |below| &hidden[below]);
        let mut of_weights = input.t().dot(&delta);
        of_weights.scaled_add(plan.weight_decay, weights);
        rest = put_back(rest, delta.sum_axis(Axis(0)));
        rest = put_back(rest, of_weights);
        if layer > 0 {
            delta = delta.dot(&weights.t());
            // The activation is positive exactly where the ReLU let its argument through.
            delta.zip_mut_with(input, |d, &a| *d = if a > 0.0 { *d } else { 0.0 });
        }
    }
    (loss, gradient)
}

/// Views of the weights and biases of every layer.
struct Layers<'a>(Vec<(ArrayView2<'a, f64>, ArrayView1<'a, f64>)>);

impl<'a> Layers<'a> {
    fn of(widths: &[usize], mut parameters: &'a [f64]) -> Self {
        let mut layers = Vec::with_capacity(widths.len() - 1);
        for pair in widths.windows(2) {
            let (weights, rest) = parameters.split_at(pair[0] * pair[1]);
            let (biases, rest) = rest.split_at(pair[1]);
            layers.push((matrix(weights, pair[0], pair[1]), ArrayView1::from(biases)));
            parameters = rest;
        }
        assert!(parameters.is_empty(), "parameters: as many as the layers need");
        Self(layers)
    }

    /// Activations of the hidden layers, the first one's first.
    fn hidden(&self, features: &ArrayRef2<f64>) -> Vec<Array2<f64>> {
        let mut activations: Vec<Array2<f64>> = Vec::with_capacity(self.0.len());
        for (weights, biases) in &self.0[..self.0.len() - 1] {
            let input = activations.last().map_or(features, |a| a);
            activations.push((input.dot(weights) + biases).mapv_into(|z| z.max(0.0)));
        }
        activations
    }

    /// Outputs of the last layer for the activations of the one below it.
    fn output(&self, input: &ArrayRef2<f64>) -> Array2<f64> {
        let (weights, biases) = &self.0[self.0.len() - 1];
        input.dot(weights) + biases
    }
}

/// What an optimiser carries from one step to the next.
enum OptimizerState {
    Adam {
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        refresh: u64,
        steps: u64,
        /// The step of the last refresh.
        fresh: u64,
        mean: Vec<f64>,
        square: Vec<f64>,
        /// `1 / (sqrt(v) + epsilon)` with the corrected `v` of the last refresh.
        preconditioner: Vec<f64>,
    },
    Sgd {
        learning_rate: f64,
        momentum: f64,
        velocity: Vec<f64>,
    },
}

impl OptimizerState {
    fn new(plan: &Plan) -> Self {
        let zeros = || vec![0.0; plan.parameters()];
        match plan.optimizer {
            Optimizer::Adam { beta1, beta2, refresh } => Self::Adam {
                learning_rate: plan.learning_rate,
                beta1,
                beta2,
                refresh: u64::from(refresh.max(1)),
                steps: 0,
                fresh: 0,
                mean: zeros(),
                square: zeros(),
                preconditioner: zeros(),
            },
            Optimizer::Sgd { momentum } => {
                Self::Sgd { learning_rate: plan.learning_rate, momentum, velocity: zeros() }
            }
        }
    }

    fn step(&mut self, parameters: &mut [f64], gradient: &[f64]) {
        match self {
            Self::Adam {
                learning_rate,
                beta1,
                beta2,
                refresh,
                steps,
                fresh,
                mean,
                square,
                preconditioner,
            } => {
                *steps += 1;
                for (m, &g) in mean.iter_mut().zip(gradient) {
                    *m = *beta1 * *m + (1.0 - *beta1) * g;
                }
                if *steps <= FRESH_STEPS || steps.is_multiple_of(*refresh) {
                    let kept = beta2.powf((*steps - *fresh) as f64);
                    *fresh = *steps;
                    for (v, &g) in square.iter_mut().zip(gradient) {
                        *v = kept * *v + (1.0 - kept) * g * g;
                    }
                    let correction = 1.0 - beta2.powf(*steps as f64);
                    for (p, &v) in preconditioner.iter_mut().zip(&*square) {
                        *p = 1.0 / ((v / correction).sqrt() + EPSILON);
                    }
                }
                let rate = *learning_rate / (1.0 - beta1.powf(*steps as f64));
                for ((w, &m), &p) in parameters.iter_mut().zip(&*mean).zip(&*preconditioner) {
                    *w -= rate * m * p;
                }
            }
            Self::Sgd { learning_rate, momentum, velocity } => {
                for ((w, u), &g) in parameters.iter_mut().zip(velocity).zip(gradient) {
                    *u = *momentum * *u + g;
                    *w -= *learning_rate * *u;
                }
            }
        }
    }
}

/// Soft-max of every row.
fn soft_max(mut logits: Array2<f64>) -> Array2<f64> {
    for mut row in logits.rows_mut() {
        let max = row.fold(f64::NEG_INFINITY, |max, &z| max.max(z));
        row.mapv_inplace(|z| (z - max).exp());
        row /= row.sum();
    }
    logits
}

/// Cross-entropy of the soft-max of one row of logits, in nats.
fn cross_entropy(logits: &ArrayRef1<f64>, target: &ArrayRef1<f64>) -> f64 {
    let max = logits.fold(f64::NEG_INFINITY, |max, &z| max.max(z));
    let log_sum = max + logits.mapv(|z| (z - max).exp()).sum().ln();
    logits.iter().zip(target).map(|(z, y)| y * (log_sum - z)).sum()
}

/// Index of the largest element, the first of equals.
fn arg_max(row: &ArrayRef1<f64>) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// A row-major slice as a matrix.
fn matrix(values: &[f64], rows: usize, columns: usize) -> ArrayView2<'_, f64> {
    assert_eq!(values.len(), rows * columns, "matrix of {rows} rows and {columns} columns");
    ArrayView2::from_shape((rows, columns), values).expect("the length was checked above")
}

/// Copies `values` to the end of `place` and returns what is before them.
fn put_back(
    place: &mut [f64],
    values: impl IntoIterator<Item = f64, IntoIter: ExactSizeIterator>,
) -> &mut [f64] {
    let values = values.into_iter();
    let (before, end) = place.split_at_mut(place.len() - values.len());
    for (to, value) in end.iter_mut().zip(values) {
        *to = value;
    }
    before
}

#[cfg(test)]
mod tests;
