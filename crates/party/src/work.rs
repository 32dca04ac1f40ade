//! One party: it opens its own directory, meets its two peers, and does its part of the job.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shamisen_data::encrypted::StorageKey;
use shamisen_data::model::{DESCRIPTION_FILE, read_description, read_party_share, write_party_share};
use shamisen_mpc::{Lanes, Rep};
use shamisen_net::throttled::Throttled;
use shamisen_net::tls::TlsTransport;
use shamisen_net::{Party, Transport};
use shamisen_nn::evaluate::{evaluate, predict};
use shamisen_nn::formats::CHECK_EVERY;
use shamisen_nn::perceptron::Perceptron;
use shamisen_nn::train::{Ended, Progress, train, train_from, train_with_checkpoints};

use crate::assignment::{Assignment, Score, Work};
use crate::checkpoint::Kept;
use crate::config::PartyConfig;
use crate::event::{Cause, Cost, Event, Failed, Outcome, Steady, Step};
use crate::handover::write_share;
use crate::meter::Metered;
use crate::pool::Owned;
use crate::rows::{DealtRows, Part};
use crate::source::Folder;

/// Name of a party's share of a model, in its directory.
pub const MODEL_SHARE_FILE: &str = "model.share";

/// Name of a party's share of the model that a training begins with, in its directory; the model is described beside it.
pub const START_SHARE_FILE: &str = "start.share";

/// Name of a party's share of predictions, in its directory.
pub const PREDICTIONS_FILE: &str = "predictions.share";

/// Least time between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Bytes of share files that a party on a slow disk checks in a second.
const CHECKED_PER_SECOND: f64 = 50e6;

/// How a party's part ended.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is done.
    Finished,
    /// The three have stopped where one of them was asked to, and can go on from there.
    Stopped {
        /// Epoch, from 1.
        epoch: usize,
        /// Mini-batches of this epoch that are done.
        batch: usize,
    },
}

/// A party's directory with all that is needed to meet its peers.
pub struct PartyDir {
    dir: PathBuf,
    config: PartyConfig,
    assignment: Assignment,
    /// Hash of the assignment.
    job: [u8; 32],
    party: Party,
}

impl PartyDir {
    /// Reads the party's configuration and its job.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read, or makes no sense.
    pub fn open(dir: &Path) -> Result<Self, Failed> {
        let config = PartyConfig::read(dir)?;
        let (assignment, job) = Assignment::read(dir)?;
        let party = config.party()?;
        Ok(Self { dir: dir.to_owned(), config, assignment, job, party })
    }

    /// What the three compute together.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// Meets the two peers and does the party's part.
    ///
    /// If the job keeps checkpoints, it goes on from those in its directory; and when `stop` says so at one of the three, all of
    /// them keep one and stop.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from doing its part.
    pub fn run(&self, stop: &dyn Fn() -> bool, emit: &mut dyn FnMut(Event)) -> Result<End, Failed> {
        let Self { dir, config, assignment, job, party } = self;
        // Files are checked before the peers are made to wait.
        let key = config.storage_key.as_ref().map(|path| StorageKey::read(&dir.join(path))).transpose()?;
        let key = key.as_ref();
        let kept = Kept::open(dir, assignment, job, *party, key, stop, emit)?;
        let inputs = Inputs::open(dir, assignment, *party, key)?;
        let mut tls = config.tls(dir, assignment.lanes(), *job)?;
        tls.connect_timeout += inputs.time_to_check();
        let lanes = TlsTransport::connect(&tls)?;
        tracing::info!("{party} is connected with both peers");
        let latency = Duration::try_from_secs_f64(config.latency.unwrap_or(0.0) / 1e3).map_err(|_| {
            Failed::new(Cause::Input, "the latency in party.toml makes no sense: give milliseconds")
        })?;
        let lanes = match (config.latency, config.bandwidth) {
            (None, None) => boxed(lanes),
            (_, bandwidth) => boxed(Throttled::lanes(lanes, latency, bandwidth.unwrap_or(0.0) * 1e6)),
        };
        inputs.work(dir, assignment, kept, key, lanes, emit)
    }
}

/// Transports of any kind.
pub fn boxed<T: Transport + 'static>(transports: Vec<T>) -> Vec<Box<dyn Transport>> {
    transports.into_iter().map(|transport| -> Box<dyn Transport> { Box::new(transport) }).collect()
}

/// Does the part of `party`, whose directory is `dir`, over open transports, one for each lane of the job.
///
/// Checkpoints and `stop` are as for [`PartyDir::run`].
///
/// # Errors
///
/// Whatever keeps it from doing its part.
pub fn work(
    dir: &Path,
    party: Party,
    lanes: Vec<Box<dyn Transport>>,
    stop: &dyn Fn() -> bool,
    emit: &mut dyn FnMut(Event),
) -> Result<End, Failed> {
    let (assignment, hash) = Assignment::read(dir)?;
    let kept = Kept::open(dir, &assignment, &hash, party, None, stop, emit)?;
    let inputs = Inputs::open(dir, &assignment, party, None)?;
    inputs.work(dir, &assignment, kept, None, lanes, emit)
}

/// A party's shares of what goes in.
enum Inputs {
    Train {
        train: Box<DealtRows>,
        test: Option<Box<DealtRows>>,
        /// Of the network that it begins with, if there is one.
        start: Option<Rep>,
    },
    /// Rows of several owners that are rescaled before the training begins.
    Pool {
        owned: Box<Owned>,
        key: Option<StorageKey>,
    },
    Predict {
        features: Box<DealtRows>,
        parameters: Rep,
    },
}

impl Inputs {
    fn open(
        dir: &Path,
        assignment: &Assignment,
        party: Party,
        key: Option<&StorageKey>,
    ) -> Result<Self, Failed> {
        match &assignment.work {
            Work::Train { score, start, .. } => {
                let folder = Folder { dir, assignment, party, key };
                if let Some(owned) = Owned::open(&folder)? {
                    return Ok(Self::Pool { owned: Box::new(owned), key: key.cloned() });
                }
                let open = |part| DealtRows::open(dir, part, assignment, party, key).map(Box::new);
                let test = match score {
                    Score::TestRows => Some(open(Part::Test)?),
                    Score::TrainingRows => None,
                };
                let start = start
                    .as_ref()
                    .map(|id| parameters(dir, START_SHARE_FILE, Some(id), assignment, party, key));
                Ok(Self::Train { train: open(Part::Train)?, test, start: start.transpose()? })
            }
            Work::Predict => {
                let parameters = parameters(dir, MODEL_SHARE_FILE, None, assignment, party, key)?;
                let features = Box::new(DealtRows::open(dir, Part::Predict, assignment, party, key)?);
                Ok(Self::Predict { features, parameters })
            }
        }
    }

    /// How long a peer may still check its share files when this party has done so: party 0 has next to nothing to check.
    fn time_to_check(&self) -> Duration {
        let bytes = match self {
            Self::Train { train, test, .. } => train.bytes() + test.as_ref().map_or(0, |test| test.bytes()),
            Self::Pool { owned, .. } => owned.bytes(),
            Self::Predict { features, .. } => features.bytes(),
        };
        Duration::from_secs_f64(bytes as f64 / CHECKED_PER_SECOND)
    }

    /// With rows as the training takes them: rescaled, if they are of several owners and nothing is to go on from.
    fn rescaled(
        self,
        dir: &Path,
        assignment: &Assignment,
        begins: bool,
        lanes: &mut Lanes,
        emit: &mut dyn FnMut(Event),
    ) -> Result<Self, Failed> {
        let Self::Pool { owned, key } = self else { return Ok(self) };
        let (party, key) = (lanes.party(), key.as_ref());
        let Work::Train { score, .. } = &assignment.work else {
            unreachable!("rows are pooled for a training")
        };
        if begins {
            lanes.main().enter("pooling");
            let mut told: Option<Instant> = None;
            let mut observe = |part| {
                if part >= 1.0 || told.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
                    told = Some(Instant::now());
                    emit(Event::Rescaled { part });
                }
            };
            owned.rescale(&Folder { dir, assignment, party, key }, &mut observe, lanes.main())?;
            lanes.main().enter("other");
        }
        let open = |part| DealtRows::open(dir, part, assignment, party, key).map(Box::new);
        let test = if *score == Score::TestRows { Some(open(Part::Test)?) } else { None };
        Ok(Self::Train { train: open(Part::Train)?, test, start: None })
    }

    fn work(
        self,
        dir: &Path,
        assignment: &Assignment,
        mut kept: Option<Kept<'_>>,
        key: Option<&StorageKey>,
        lanes: Vec<Box<dyn Transport>>,
        emit: &mut dyn FnMut(Event),
    ) -> Result<End, Failed> {
        let sent = Arc::new(AtomicU64::new(0));
        let metered = lanes.into_iter().map(|lane| Metered::new(lane, &sent)).collect();
        let mut lanes = Lanes::open(boxed(metered))?;
        let start = kept.as_ref().map(|kept| kept.agree(&mut lanes)).transpose()?.flatten();
        emit(Event::Connected);
        let plan = &assignment.plan;
        let started = Instant::now();
        lanes.main().enter("other");
        let before = lanes.counters();
        let mut outcome = Outcome::default();
        match (self.rescaled(dir, assignment, start.is_none(), &mut lanes, emit)?, &assignment.work) {
            (Self::Train { mut train, test, start: network }, Work::Train { model, .. }) => {
                let network = network.map(|parameters| Perceptron::from_parameters(plan, parameters));
                let mut reported: Option<Instant> = None;
                let (mut done, mut warm) = (0, None);
                let mut observe = |progress: Progress, lanes: &Lanes| {
                    done += 1;
                    if done == CHECK_EVERY {
                        warm = Some((Instant::now(), lanes.counters()));
                    }
                    let due = reported.is_none_or(|last| last.elapsed() >= REPORT_EVERY);
                    if due || progress.loss.is_some() || progress.batch == progress.batches {
                        reported = Some(Instant::now());
                        let bytes_sent = sent.load(Ordering::Relaxed);
                        emit(Event::Progress(step(progress, bytes_sent)));
                    }
                };
                outcome.resumed_from = start.as_ref().map(|start| start.state.done as u64);
                let (rows, observe) = (&mut *train, &mut observe);
                let ended = match (&mut kept, network) {
                    (Some(kept), network) => {
                        train_with_checkpoints(plan, network, rows, (kept, start), observe, &mut lanes)?
                    }
                    (None, Some(network)) => {
                        Ended::Trained(train_from(plan, network, rows, observe, &mut lanes)?)
                    }
                    (None, None) => Ended::Trained(self::train(plan, rows, observe, &mut lanes)?),
                };
                let trained = match ended {
                    Ended::Trained(trained) => trained,
                    Ended::Stopped { epoch, batch } => {
                        emit(Event::Stopped { epoch, batch });
                        return Ok(End::Stopped { epoch, batch });
                    }
                };
                lanes.main().enter("evaluation");
                outcome.seconds = started.elapsed().as_secs_f64();
                let now = lanes.counters();
                outcome.cost = Cost::between(&before, &now);
                outcome.steady = warm.filter(|_| done > CHECK_EVERY).map(|(start, warm)| Steady {
                    batches: done - CHECK_EVERY,
                    seconds: start.elapsed().as_secs_f64(),
                    cost: Cost::between(&warm, &now),
                });
                outcome.loss = trained.loss;
                let mut scored = test.unwrap_or(train);
                outcome.metrics = Some(evaluate(plan, &trained.network, &mut *scored, lanes.main())?);
                if let Some(id) = model {
                    let (mine, next) = trained.network.parameters().components();
                    let path = dir.join(MODEL_SHARE_FILE);
                    write_party_share(&path, id, lanes.party().index(), [mine, next], key)?;
                }
            }
            (Self::Predict { mut features, parameters }, _) => {
                let network = Perceptron::from_parameters(plan, parameters);
                let predictions = predict(plan, &network, &mut *features, lanes.main())?;
                lanes.main().enter("other");
                outcome.seconds = started.elapsed().as_secs_f64();
                outcome.cost = Cost::between(&before, &lanes.counters());
                write_share(&dir.join(PREDICTIONS_FILE), &predictions, key)?;
            }
            (Self::Pool { .. }, _) => unreachable!("rows of several owners are rescaled"),
            (Self::Train { .. }, Work::Predict) => {
                unreachable!("inputs are opened for the work of the same job")
            }
        }
        outcome.cost.peak_rss_bytes = peak_rss_bytes();
        emit(Event::Finished(Box::new(outcome)));
        Ok(End::Finished)
    }
}

/// A party's share of all parameters of a model that is described in its directory: of the one with this id, if there has to be
/// one.
fn parameters(
    dir: &Path,
    name: &str,
    id: Option<&String>,
    assignment: &Assignment,
    party: Party,
    key: Option<&StorageKey>,
) -> Result<Rep, Failed> {
    let description = read_description(dir)?;
    let other = |what: &str| {
        let text = format!("{DESCRIPTION_FILE} and the job have different {what}");
        Err(Failed::new(Cause::Input, text))
    };
    if id.is_some_and(|id| *id != description.id) {
        return other("ids of the model that the training begins with");
    }
    let (mine, next) = read_party_share(&dir.join(name), &description, party.index(), key)?;
    if mine.len() != assignment.plan.parameters() {
        return other("numbers of parameters");
    }
    Ok(Rep::from_components(mine, next))
}

fn step(progress: Progress, bytes_sent: u64) -> Step {
    let Progress { epoch, batch, batches, loss, .. } = progress;
    Step { epoch, batch, batches, loss: loss.filter(|loss| loss.is_finite()), bytes_sent }
}

/// The largest resident memory of this process so far; 0 where the system does not tell.
fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
