//! The training loop under sharing.

mod descent;
pub(crate) mod pass;
pub(crate) mod trainer;

use std::ops::ControlFlow;

use shamisen_mpc::Lanes;
use shamisen_mpc::lanes::pieces;
use shamisen_mpc::protocol::tell::tell;

use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::error::{NnError, Result};
use crate::examples::SharedRows;
use crate::formats::{CHECK_EVERY, check};
use crate::order::BatchOrder;
use crate::perceptron::Perceptron;
use crate::plan::Plan;
use crate::train::trainer::Trainer;

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Current epoch, from 1.
    pub epoch: usize,
    /// Mini-batches of this epoch that are done.
    pub batch: usize,
    /// Mini-batches of an epoch.
    pub batches: usize,
    /// Mean loss of the rows since the last report, where it was opened in this mini-batch.
    pub loss: Option<f64>,
}

/// What training gives.
pub struct Trained {
    /// The network, its parameters shared.
    pub network: Perceptron,
    /// Mean training loss of each epoch, as each mini-batch had it before its update.
    pub loss: Vec<f64>,
}

/// How a training with checkpoints ended.
///
/// This enum is complete.
pub enum Ended {
    /// With its last mini-batch.
    Trained(Trained),
    /// Because a party wanted to stop; it goes on from the checkpoint that was kept here.
    Stopped {
        /// Epoch, from 1.
        epoch: usize,
        /// Mini-batches of this epoch that are done.
        batch: usize,
    },
}

/// What somebody does at the end of each epoch of a training, the same at all three parties.
pub trait Epochs {
    /// Takes note of an epoch, counted from 1, with its mean loss and the network as it is now, and says whether the training goes
    /// on. It may run protocols.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from that; the training then ends with it.
    fn ended(
        &mut self,
        epoch: usize,
        loss: f64,
        network: &Perceptron,
        lanes: &mut Lanes,
    ) -> Result<ControlFlow<()>>;
}

/// Lanes of a party that a training by this plan can use together, of so many that there may be.
///
/// With one lane more than that, range checks go on aside.
pub fn useful_lanes(plan: &Plan, lanes: usize) -> usize {
    pieces(plan.parameters(), lanes).len()
}

/// Trains a network by the plan on shared rows.
///
/// Opened are: the mean loss after every 16 mini-batches (more often in the first 16) and at the end of an epoch, and
/// with it one bit, whether all values stayed in range.
///
/// # Errors
///
/// [`NnError::Plan`] for a plan that cannot be carried out, [`NnError::Range`] when a value left its range,
/// [`NnError::Rows`] when rows cannot be read, [`NnError::Protocol`] when a peer fails.
///
/// The observer sees the lanes' counters as they are after each mini-batch; its own time is booked as `other`.
///
/// The rows of a mini-batch, the parameters in the optimiser's step and the range checks are cut in pieces for the lanes. The last
/// of several lanes is kept aside for range checks that nobody waits for yet.
pub fn train(
    plan: &Plan,
    rows: &mut dyn SharedRows,
    observer: &mut dyn FnMut(Progress, &Lanes),
    lanes: &mut Lanes,
) -> Result<Trained> {
    let run = Run { plan, start: None, checkpoints: None, epochs: None };
    run.trained(rows, observer, lanes)
}

/// As [`train`], from a network with the layers of the plan, or from the initial weights, and with
/// somebody who looks at each epoch and may end the training with it.
///
/// The optimiser begins anew.
///
/// # Errors
///
/// As [`train`], and whatever `epochs` fails with.
pub fn train_epochs(
    plan: &Plan,
    start: Option<Perceptron>,
    rows: &mut dyn SharedRows,
    epochs: &mut dyn Epochs,
    observer: &mut dyn FnMut(Progress, &Lanes),
    lanes: &mut Lanes,
) -> Result<Trained> {
    let run = Run { plan, start, checkpoints: None, epochs: Some(epochs) };
    run.trained(rows, observer, lanes)
}

/// As [`train`], from a network with the layers of the plan.
///
/// The optimiser begins anew.
///
/// # Errors
///
/// As [`train`].
pub fn train_from(
    plan: &Plan,
    network: Perceptron,
    rows: &mut dyn SharedRows,
    observer: &mut dyn FnMut(Progress, &Lanes),
    lanes: &mut Lanes,
) -> Result<Trained> {
    let run = Run { plan, start: Some(network), checkpoints: None, epochs: None };
    run.trained(rows, observer, lanes)
}

/// As [`train`], with checkpoints, from one of them or from the beginning, where a network may be given; the same at all three parties.
///
/// At each report the parties tell each other whether one of them wants to stop (one round, 16 bytes each), and renew the keys of
/// all lanes. What comes after a checkpoint is therefore the same word for word, whether the training goes on or begins again there.
///
/// The checkpoint of 0 mini-batches is taken before the first one.
///
/// # Errors
///
/// As [`train`], and [`NnError::Checkpoint`] for a checkpoint that cannot be kept or does not fit.
pub fn train_with_checkpoints(
    plan: &Plan,
    network: Option<Perceptron>,
    rows: &mut dyn SharedRows,
    (checkpoints, start): (&mut dyn Checkpoints, Option<Checkpoint>),
    observer: &mut dyn FnMut(Progress, &Lanes),
    lanes: &mut Lanes,
) -> Result<Ended> {
    let run = Run { plan, start: network, checkpoints: Some((checkpoints, start)), epochs: None };
    run.ended(rows, observer, lanes)
}

/// What a training begins with, and who takes part in it.
struct Run<'a> {
    plan: &'a Plan,
    start: Option<Perceptron>,
    checkpoints: Option<(&'a mut dyn Checkpoints, Option<Checkpoint>)>,
    epochs: Option<&'a mut dyn Epochs>,
}

impl Run<'_> {
    /// The training of which no checkpoints are kept.
    fn trained(
        self,
        rows: &mut dyn SharedRows,
        observer: &mut dyn FnMut(Progress, &Lanes),
        lanes: &mut Lanes,
    ) -> Result<Trained> {
        match self.ended(rows, observer, lanes)? {
            Ended::Trained(trained) => Ok(trained),
            Ended::Stopped { .. } => unreachable!("nobody can ask for it"),
        }
    }

    fn ended(
        self,
        rows: &mut dyn SharedRows,
        observer: &mut dyn FnMut(Progress, &Lanes),
        lanes: &mut Lanes,
    ) -> Result<Ended> {
        let Run { plan, start, checkpoints, mut epochs } = self;
        check(plan)?;
        if rows.rows() < plan.batch_size {
            return Err(NnError::Plan(format!(
                "the batch size is {}, but there are only {} training rows",
                plan.batch_size,
                rows.rows()
            )));
        }
        lanes.keep_aside();
        let mut trainer = Trainer::new(plan, start, lanes);
        let order = BatchOrder::new(plan.seed, rows.rows(), plan.batch_size);
        let batches = order.batches();
        let (mut checkpoints, start) = checkpoints.unzip();
        if let Some(start) = start.flatten() {
            trainer.restore(start, batches, lanes)?;
        } else if let Some(checkpoints) = &mut checkpoints {
            lanes.main().enter("checkpoints");
            trainer.checkpoint(&mut **checkpoints, true, lanes)?;
        }
        let first = trainer.done;
        let mut upcoming =
            (first / batches..plan.epochs).flat_map(|epoch| order.epoch(epoch)).skip(first % batches);
        let mut next = upcoming.next();
        while let Some(places) = next.take() {
            lanes.main().enter("data");
            let (features, targets) = (rows.features(&places)?, rows.targets(&places)?);
            next = upcoming.next();
            if let Some(next) = &next {
                rows.prefetch(next);
            }
            let (epoch, batch) = (trainer.done / batches + 1, trainer.done % batches + 1);
            let decided = trainer.decide(places.len());
            trainer.mini_batch(&decided, features, targets, lanes)?;
            let done = trainer.done;
            lanes.main().enter("range checks");
            trainer.checks.settle_aside(lanes)?;
            let mut loss = None;
            let mut stop = false;
            if is_reported(done, batch == batches) {
                let reported = trainer.unreported.rows as f64;
                let report = trainer.decide_report();
                let total = trainer.report(&report, epoch, batch, lanes)?;
                loss = Some(total / reported);
                trainer.loss_sum += total;
                if batch == batches {
                    trainer.loss.push(std::mem::take(&mut trainer.loss_sum) / rows.rows() as f64);
                }
                if let Some(checkpoints) = &mut checkpoints {
                    lanes.main().enter("checkpoints");
                    stop = tell(&[u64::from(checkpoints.wants_to_stop())], lanes.main())?.concat() != [0; 3];
                    let wanted = stop || checkpoints.is_due(done, batch == batches);
                    trainer.checkpoint(&mut **checkpoints, wanted, lanes)?;
                }
            }
            lanes.main().enter("other");
            observer(Progress { epoch, batch, batches, loss }, lanes);
            if stop {
                return Ok(Ended::Stopped { epoch, batch });
            }
            if batch == batches
                && let (Some(epochs), Some(&loss)) = (&mut epochs, trainer.loss.last())
            {
                lanes.main().enter("evaluation");
                if epochs.ended(epoch, loss, &trainer.network, lanes)?.is_break() {
                    break;
                }
            }
        }
        Ok(Ended::Trained(Trained { network: trainer.network, loss: trainer.loss }))
    }
}

/// Whether ranges are verified and the loss is opened after so many mini-batches, at the end of an epoch or not.
pub(crate) fn is_reported(done: usize, end_of_epoch: bool) -> bool {
    end_of_epoch || done.is_multiple_of(CHECK_EVERY) || (done < CHECK_EVERY && done.is_power_of_two())
}
