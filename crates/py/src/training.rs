//! Training, under sharing and in the clear.

use std::num::NonZeroU8;
use std::ops::ControlFlow;
use std::sync::Mutex;

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use shamisen_local::estimate as local;
use shamisen_local::job::default_threads;
use shamisen_local::transport::TransportName;
use shamisen_mpc::{Lanes, Rep};
use shamisen_net::Party;
use shamisen_nn::evaluate::evaluate;
use shamisen_nn::formats::{activation_frac, target_frac};
use shamisen_nn::metrics::Metrics;
use shamisen_nn::perceptron::Perceptron;
use shamisen_nn::plan::Plan as NnPlan;
use shamisen_nn::train::{Epochs, train_epochs, useful_lanes};
use shamisen_nn::twin::{self, PlainExamples, TwinModel};

use crate::error::of_running;
use crate::model::SharedModel;
use crate::parties::run;
use crate::plan::Plan;
use crate::rows::{Dealt, DealtRows, Examples};

/// Features and targets, as arrays of Python.
type Rows<'py> = (PyReadonlyArray2<'py, f64>, PyReadonlyArray2<'py, f64>);

/// When a training ends before its last epoch, as scikit-learn does it.
#[derive(Clone, FromPyObject)]
pub(crate) struct Stopping {
    /// What the loss must fall by, or the score rise by, to count as better.
    #[pyo3(item)]
    tol: f64,
    /// Epochs in a row without that, after which the training ends.
    #[pyo3(item)]
    patience: usize,
}

/// How a training went.
#[derive(Clone, Default)]
struct Course {
    /// Score of the validation rows after each epoch.
    scores: Vec<f64>,
    best_loss: Option<f64>,
    best_score: Option<f64>,
    /// Epochs in a row that were not better.
    worse: usize,
    /// Whether the training ended for that.
    converged: bool,
}

impl Course {
    /// Takes note of an epoch. Returns whether its score is the best so far, and whether the training ends.
    fn take(&mut self, loss: f64, score: Option<f64>, stopping: &Stopping) -> (bool, ControlFlow<()>) {
        let (value, best) = match score {
            // Losses are turned around, so that more is better.
            None => (-loss, &mut self.best_loss),
            Some(score) => {
                self.scores.push(score);
                (score, &mut self.best_score)
            }
        };
        let better = best.is_none_or(|best| value > best);
        let enough = best.is_none_or(|best| value >= best + stopping.tol);
        self.worse = if enough { 0 } else { self.worse + 1 };
        if better {
            *best = Some(value);
        }
        self.converged = self.worse > stopping.patience;
        (better, if self.converged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

/// Looks at each epoch for one of the parties.
struct Watch<'a> {
    plan: &'a NnPlan,
    validation: Option<DealtRows>,
    stopping: &'a Stopping,
    course: Course,
    /// The network with the best score.
    best: Option<Rep>,
}

impl Epochs for Watch<'_> {
    fn ended(
        &mut self,
        _epoch: usize,
        loss: f64,
        network: &Perceptron,
        lanes: &mut Lanes,
    ) -> shamisen_nn::Result<ControlFlow<()>> {
        let score = match &mut self.validation {
            Some(rows) => Some(score(evaluate(self.plan, network, rows, lanes.main())?)),
            None => None,
        };
        let (better, flow) = self.course.take(loss, score, self.stopping);
        if better && score.is_some() {
            self.best = Some(network.parameters().clone());
        }
        Ok(flow)
    }
}

/// Accuracy or R2.
fn score(metrics: Metrics) -> f64 {
    match metrics {
        Metrics::Classification { accuracy, .. } => accuracy,
        Metrics::Regression { r2, .. } => r2,
    }
}

/// An estimate: mini-batches, rounds, bytes that each party sends, memory of a party in bytes, and seconds here, with a LAN and with a
/// WAN between the parties.
type Estimated = (usize, u64, [u64; 3], u64, (f64, f64, f64));

/// What a training gives: the mean loss of each epoch, the validation scores, and whether it ended before its last epoch.
type Told = (Vec<f64>, Vec<f64>, bool);

/// Trains under sharing, three parties in threads: the shared model, what is told of the training, and what it cost (rounds, bytes sent
/// by all three parties).
#[pyfunction]
#[pyo3(signature = (plan, rows, *, validation=None, stopping, start=None, threads=None, progress=None))]
pub(crate) fn train(
    py: Python<'_>,
    plan: &Plan,
    rows: Rows<'_>,
    validation: Option<Rows<'_>>,
    stopping: Stopping,
    start: Option<&SharedModel>,
    threads: Option<NonZeroU8>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(SharedModel, Told, (u64, u64))> {
    let plan = &plan.0;
    let rows = share(plan, &rows)?;
    let validation = validation.map(|rows| share(plan, &rows)).transpose()?;
    if start.is_some_and(|start| start.plan.layers != plan.layers) {
        return Err(PyValueError::new_err("a training goes on with a network of the same layers"));
    }
    let lanes =
        useful_lanes(plan, threads.unwrap_or_else(|| default_threads(plan.optimizer)).get().into()) + 1;
    let trained = run(py, lanes, progress.as_ref(), |party: Party, mut lanes, reporter| {
        let mut watch = Watch {
            plan,
            validation: validation.as_ref().map(|rows| rows.of(party)),
            stopping: &stopping,
            course: Course::default(),
            best: None,
        };
        let start = start.map(|start| start.perceptron(party));
        let before = lanes.counters().total;
        let trained = train_epochs(
            plan,
            start,
            &mut rows.of(party),
            &mut watch,
            &mut |progress, _| reporter.report(progress),
            &mut lanes,
        )?;
        let cost = lanes.counters().total.since(&before);
        let share = watch.best.unwrap_or_else(|| trained.network.parameters().clone());
        Ok((share, (trained.loss, watch.course.scores, watch.course.converged), (cost.rounds, cost.sent())))
    })?;
    let costs = trained.each_ref().map(|(_, _, cost)| *cost);
    let [(first, told, _), (second, ..), (third, ..)] = trained;
    let model = SharedModel { plan: plan.clone(), shares: [first, second, third] };
    // Some rounds have only two of the three; the one that takes part in most has as many as an estimate says.
    let rounds = costs.iter().map(|(rounds, _)| *rounds).max().unwrap_or(0);
    Ok((model, told, (rounds, costs.iter().map(|(_, sent)| sent).sum())))
}

/// Shares features and targets.
fn share(plan: &NnPlan, (features, targets): &Rows<'_>) -> PyResult<Examples> {
    let (found, wanted) =
        ([features.as_array().ncols(), targets.as_array().ncols()], [plan.features(), plan.outputs()]);
    if found != wanted || features.as_array().nrows() != targets.as_array().nrows() {
        return Err(PyValueError::new_err(format!(
            "features and targets have {found:?} columns where the plan has {wanted:?}, or not as many rows"
        )));
    }
    Ok(Examples {
        features: Dealt::new(features, activation_frac(plan))?,
        targets: Some(Dealt::new(targets, target_frac(plan))?),
    })
}

/// Trains in the clear, by the float twin: the parameters, and what is told of the training.
#[pyfunction]
#[pyo3(signature = (plan, rows, *, validation=None, stopping, start=None, progress=None))]
pub(crate) fn train_plain<'py>(
    py: Python<'py>,
    plan: &Plan,
    rows: Rows<'py>,
    validation: Option<Rows<'py>>,
    stopping: Stopping,
    start: Option<PyReadonlyArray1<'py, f64>>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray1<f64>>, Told)> {
    let plan = &plan.0;
    let start = start.map(|start| start.to_vec()).transpose()?;
    let examples = PlainExamples {
        features: rows.0.as_slice()?,
        targets: rows.1.as_slice()?,
        rows: rows.0.as_array().nrows(),
    };
    let held =
        validation.as_ref().map(|(x, y)| Ok::<_, PyErr>((x.as_slice()?, y.as_slice()?))).transpose()?;
    let batches = examples.rows.div_ceil(plan.batch_size);
    let mut course = Course::default();
    let mut best = None;
    let interrupted = Mutex::new(None);
    let model = py.detach(|| {
        let mut epoch = 0;
        let ended = |loss: f64, model: &TwinModel| {
            epoch += 1;
            let look = Python::attach(|py| {
                py.check_signals()?;
                progress
                    .as_ref()
                    .map_or(Ok(()), |tell| tell.call1(py, (epoch, batches, batches, Some(loss))).map(drop))
            });
            if let Err(error) = look {
                interrupted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).replace(error);
                return ControlFlow::Break(());
            }
            let score = held.map(|(features, targets)| {
                score(twin::evaluate(plan.task, plan.outputs(), &model.outputs(features), targets))
            });
            let (better, flow) = course.take(loss, score, &stopping);
            if better && score.is_some() {
                best = Some(model.parameters.clone());
            }
            flow
        };
        twin::train_epochs(plan, start, examples, |_, _, _| (), ended)
    });
    if let Some(error) = interrupted.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    let parameters = best.unwrap_or(model.parameters);
    Ok((PyArray1::from_vec(py, parameters), (model.loss, course.scores, course.converged)))
}

/// Estimates a training on so many rows by three parties in threads.
#[pyfunction]
#[pyo3(signature = (plan, rows, *, threads=None))]
pub(crate) fn estimate(
    py: Python<'_>,
    plan: &Plan,
    rows: usize,
    threads: Option<NonZeroU8>,
) -> PyResult<Estimated> {
    let plan = &plan.0;
    let threads = threads.unwrap_or_else(|| default_threads(plan.optimizer));
    let estimate = py
        .detach(|| local::estimate(plan, rows, threads, TransportName::Memory))
        .map_err(|failure| of_running(&failure))?;
    let seconds = (estimate.seconds, estimate.seconds_lan, estimate.seconds_wan);
    Ok((estimate.batches, estimate.rounds, estimate.bytes_sent, estimate.memory_bytes, seconds))
}

/// Outputs of a network with open parameters: logits of a classification, or numbers.
#[pyfunction]
pub(crate) fn plain_outputs<'py>(
    py: Python<'py>,
    layers: Vec<usize>,
    parameters: PyReadonlyArray1<'py, f64>,
    features: PyReadonlyArray2<'py, f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let outputs = layers.last().copied().unwrap_or_default();
    let rows = features.as_array().nrows();
    let model = TwinModel { layers, parameters: parameters.to_vec()?, loss: Vec::new() };
    let features = features.as_slice()?;
    let values = py.detach(|| model.outputs(features));
    PyArray1::from_vec(py, values).reshape([rows, outputs])
}
