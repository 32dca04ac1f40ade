//! The conductor: server 0 brings the three together, job by job.
//!
//! For each training it asks where the three stand, lets them start in the same try, and looks at them until all are done or one is
//! not at work any more. Then it halts the others and tries again: the parties go on from their last common checkpoint. What it
//! knows is in the records; after a new start it begins where the three stand.
//!
//! One job has the three at a time; [turns] says which.

mod line;
mod turns;

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use shamisen_data::shares::random_id;
use shamisen_party::event::{Cause, Failed};
use tokio::join;
use tokio::time::{sleep, timeout};

use crate::job::JobState;
use crate::server::jobs::log;
use crate::server::jobs::order::{Order, PartyState, Standing, What, carry_out, settled};
use crate::server::jobs::record::JobRecord;
use crate::server::now;
use crate::server::peers::both;
use crate::server::state::Shared;

use self::line::{Answer, Line, Trouble};
use self::turns::Turns;

/// Pause between two looks at the three.
const LOOK: Duration = Duration::from_millis(250);

/// Pause before a server that is away is called again.
const PAUSE: Duration = Duration::from_secs(1);

/// Pause before a server whose disk is full tries again.
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// How long the others have to notice when one is not at work any more: their reasons may tell more.
const GATHER: Duration = Duration::from_secs(3);

/// Tries without a step forward, with all three there, after which a job is given up.
const MOST_TRIES: usize = 10;

/// Conducts the jobs as long as the server runs.
pub(crate) async fn conduct(shared: Arc<Shared>) {
    let config = shared.config();
    let peers = both(&config).map(|peer| Line::new(&shared, &peer.server));
    let mut conductor = Conductor { shared: Arc::clone(&shared), peers, turns: Turns::default() };
    let mut changes = shared.jobs.changes.subscribe();
    loop {
        let mut waits = true;
        for record in conductor.pending().await {
            if conductor.advance(&record).await == Turn::Over {
                waits = false;
                break;
            }
        }
        if waits {
            // What happens at the peers is seen by looking.
            drop(timeout(PAUSE, changes.changed()).await);
        }
    }
}

/// Whether another job may have its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Something has changed: all is looked at anew.
    Over,
    /// This one waits for something that may not concern others.
    Waits,
}

/// Server 0 with its lines to the others.
struct Conductor {
    shared: Arc<Shared>,
    peers: [Line; 2],
    turns: Turns,
}

impl Conductor {
    /// Brings a job forward as far as it goes.
    async fn advance(&mut self, record: &JobRecord) -> Turn {
        if record.state.is_over() {
            return self.settle(record).await;
        }
        let mut tries = 0;
        let mut told = String::new();
        loop {
            let answers = self.order(record, &What::Look).await;
            match obstacle(&answers, self.late(record)) {
                None => {}
                Some(Obstacle::End(state, reason)) => return self.end(record, state, Some(reason)).await,
                Some(Obstacle::Wait(_)) if record.state == JobState::Queued && tries == 0 => {
                    return Turn::Waits;
                }
                Some(Obstacle::Wait(reason)) => {
                    self.wait(record, &reason, &mut told, PAUSE).await;
                    continue;
                }
            }
            let training = next_training(record, &answers);
            if training == record.document.runs() {
                return self.end(record, JobState::Done, None).await;
            }
            if record.is_training() && self.predictions_go_first().await {
                return Turn::Over;
            }
            self.turns.begins(record.is_training());
            match self.attempt(record, training).await {
                Outcome::Done => (tries, told) = (0, String::new()),
                Outcome::StepsAside => {
                    self.turns.steps_aside();
                    return Turn::Over;
                }
                Outcome::End(state, reason) => return self.end(record, state, Some(reason)).await,
                Outcome::Again { moved, reason } => {
                    tries = if moved { 1 } else { tries + 1 };
                    if tries > MOST_TRIES {
                        let reason = format!("given up after {MOST_TRIES} tries: {reason}");
                        return self.end(record, JobState::Failed, Some(reason)).await;
                    }
                    self.wait(record, &reason, &mut told, PAUSE).await;
                }
                Outcome::Waits { reason, pause } => self.wait(record, &reason, &mut told, pause).await,
            }
        }
    }

    /// Lets the three work on a training once.
    async fn attempt(&mut self, record: &JobRecord, training: usize) -> Outcome {
        let Ok(attempt) = random_id() else {
            return Outcome::End(JobState::Failed, "the system of server 0 has no randomness".to_owned());
        };
        let start = What::Start { training, attempt: attempt.clone() };
        let mut answers = self.order(record, &start).await;
        if let Some(Obstacle::Wait(reason)) = obstacle(&answers, None) {
            self.halt(record, reason.clone()).await;
            return Outcome::Waits { reason, pause: PAUSE };
        }
        let (mut moves_since, mut gathering) = (None::<Instant>, None::<Instant>);
        let mut steps_aside = false;
        loop {
            if let Some(Obstacle::End(state, reason)) = obstacle(&answers, None) {
                return Outcome::End(state, reason);
            }
            let of_this_try =
                |standing: &Standing| standing.attempt == attempt && standing.training == training;
            let known: Vec<(usize, &Standing)> = answers
                .iter()
                .enumerate()
                .filter_map(|(party, answer)| Some((party, answer.as_ref().ok()?)))
                .collect();
            let done =
                |standing: &Standing| standing.training == training && standing.party == PartyState::Finished;
            if known.len() == 3 && known.iter().all(|(_, standing)| done(standing)) {
                let results: Vec<_> = known.iter().map(|(_, standing)| &standing.results).collect();
                if results[0] == results[1] && results[1] == results[2] {
                    return Outcome::Done;
                }
                let reason =
                    "the servers disagree about the opened results: one of them did not follow the protocol";
                return Outcome::End(JobState::Failed, reason.to_owned());
            }
            let at_work =
                |standing: &Standing| of_this_try(standing) && standing.party == PartyState::Working;
            let is_aside = |standing: &Standing| {
                steps_aside && of_this_try(standing) && standing.party == PartyState::Stopped
            };
            if known.len() == 3 && known.iter().all(|(_, standing)| is_aside(standing)) {
                return Outcome::StepsAside;
            }
            // Whoever was asked to stop may take longer than others to keep its checkpoint.
            let expected = |standing: &Standing| at_work(standing) || done(standing) || is_aside(standing);
            let lost = known.iter().any(|(_, standing)| !expected(standing));
            let waits = lost || known.iter().any(|(_, standing)| is_aside(standing));
            // One that cannot be called may be at work all the same, as long as the others are.
            let alone = known.iter().all(|(_, standing)| !at_work(standing));
            let mut has_waited = || lost && gathering.get_or_insert_with(Instant::now).elapsed() > GATHER;
            if waits && (alone || has_waited()) {
                return self.give_up(record, &answers, &attempt).await;
            }
            // A training that has not moved would begin in vain again.
            if known.iter().any(|(_, standing)| of_this_try(standing) && standing.moved) {
                moves_since.get_or_insert_with(Instant::now);
            }
            let worked = moves_since.filter(|_| record.is_training() && !steps_aside);
            if worked.is_some_and(|since| self.turns.is_up(since.elapsed())) && self.predictions_wait().await
            {
                steps_aside = true;
                self.note(record, "steps aside for another job").await;
                self.shared.jobs.ask_to_stop().await;
            }
            sleep(LOOK).await;
            answers = self.order(record, &What::Look).await;
        }
    }

    /// Halts what still works, and says whether to try again.
    async fn give_up(&mut self, record: &JobRecord, answers: &[Answer; 3], attempt: &str) -> Outcome {
        let failures = answers.iter().enumerate().filter_map(|(party, answer)| {
            let standing = answer.as_ref().ok().filter(|standing| standing.attempt == attempt)?;
            Some((party, standing.failed.clone()?))
        });
        let worst = failures.min_by_key(|(_, failed)| failed.cause);
        let away = answers.iter().find_map(|answer| match answer {
            Err(Trouble::Away(reason) | Trouble::Refused(reason)) => Some(reason.clone()),
            _ => None,
        });
        let said = worst.as_ref().map(|(party, failed)| said_by(*party, failed));
        if let (Some((_, Failed { cause: Cause::Input | Cause::Range, .. })), Some(said)) = (&worst, &said) {
            return Outcome::End(JobState::Failed, said.clone());
        }
        if let (Some((_, Failed { cause: Cause::Disk, .. })), Some(reason)) = (&worst, &said) {
            let reason = reason.clone();
            self.halt(record, reason.clone()).await;
            return Outcome::Waits { reason, pause: LONG_PAUSE };
        }
        let moved = answers.iter().flatten().any(|standing| standing.attempt == attempt && standing.moved);
        let reason = away.or(said).unwrap_or_else(|| "a server was started anew".to_owned());
        self.halt(record, reason.clone()).await;
        Outcome::Again { moved, reason }
    }

    /// Ends the parties that still work.
    async fn halt(&mut self, record: &JobRecord, reason: String) {
        // One that does not hear it loses its peers, and ends by itself.
        let _ = self.order(record, &What::Halt { reason }).await;
    }

    /// Writes down how a job ended, here first, and tells the others.
    async fn end(&mut self, record: &JobRecord, state: JobState, reason: Option<String>) -> Turn {
        let id = &record.document.id;
        let order = Order { digest: record.digest.clone(), what: What::End { state, reason } };
        self.turns.ended(record.is_training());
        match carry_out(&self.shared, id, order).await {
            Ok(_) => Turn::Over,
            Err(refusal) => {
                tracing::error!(job = id, "the job's end cannot be written down: {}", refusal.error());
                sleep(PAUSE).await;
                Turn::Waits
            }
        }
    }

    /// Tells the others how a job ended.
    async fn settle(&mut self, record: &JobRecord) -> Turn {
        let end = What::End { state: record.state, reason: record.reason.clone() };
        let answers = self.order(record, &end).await;
        let knows = |answer: &Answer| match answer {
            Ok(standing) => standing.state.is_over(),
            // It never had it, or has another one: that one it ends by itself.
            Err(Trouble::Unknown | Trouble::Another) => true,
            Err(Trouble::Refused(reason)) => {
                tracing::error!(job = record.document.id, "a server does not take the job's end: {reason}");
                false
            }
            Err(Trouble::Away(_)) => false,
        };
        if !answers.iter().all(knows) {
            return Turn::Waits;
        }
        match settled(&self.shared, &record.document.id).await {
            Ok(_) => Turn::Over,
            Err(_) => Turn::Waits,
        }
    }

    /// The time in which all three had to accept a job, once it has passed.
    fn late(&self, record: &JobRecord) -> Option<Duration> {
        let limit = self.shared.config().limits.acceptance_time;
        (now() - record.accepted > limit.as_secs_f64()).then_some(limit)
    }

    /// Waits a moment, and says in the log why, if it was not said before.
    async fn wait(&self, record: &JobRecord, reason: &str, told: &mut String, pause: Duration) {
        if reason != told {
            reason.clone_into(told);
            tracing::warn!(job = record.document.id, "interrupted: {reason}");
            self.note(record, &format!("waits: {reason}")).await;
        }
        sleep(pause).await;
    }

    /// Says something in the log of a job.
    async fn note(&self, record: &JobRecord, text: &str) {
        log::add(&self.shared, &record.document.id, text).await;
    }

    /// Gives the three the same order at the same time.
    async fn order(&mut self, record: &JobRecord, what: &What) -> [Answer; 3] {
        let (id, order) = (&record.document.id, Order { digest: record.digest.clone(), what: what.clone() });
        let [next, prev] = &mut self.peers;
        let own = async {
            carry_out(&self.shared, id, order.clone()).await.map_err(|refusal| match refusal.status() {
                StatusCode::CONFLICT => Trouble::Refused(refusal.error().to_owned()),
                // As with the others, what a full disk keeps it from doing may be possible later.
                _ => Trouble::Away(format!("server 0: {}", refusal.error())),
            })
        };
        let (own, next, prev) = join!(own, next.give(id, &order), prev.give(id, &order));
        // The conductor is party 0, and its next peer party 1.
        [own, next, prev]
    }
}

/// What came of a try.
enum Outcome {
    /// All three are done with the training.
    Done,
    /// It is to be tried again; `moved` says that the training came further.
    Again { moved: bool, reason: String },
    /// All three have kept a checkpoint, and can go on from there when predictions have had their turn.
    StepsAside,
    /// It is to be tried again as often as it takes: a server is away, or has no room.
    Waits { reason: String, pause: Duration },
    /// The job is over.
    End(JobState, String),
}

/// What keeps the three from going on.
enum Obstacle {
    Wait(String),
    End(JobState, String),
}

/// What keeps the three from going on with a job, if anything does; `late` is the time in which all three had to accept it, once that has passed.
fn obstacle(answers: &[Answer; 3], late: Option<Duration>) -> Option<Obstacle> {
    let mut waits = None;
    for (party, answer) in answers.iter().enumerate() {
        match answer {
            Ok(Standing { state: state @ (JobState::Cancelled | JobState::Failed), reason, .. }) => {
                return Some(Obstacle::End(*state, reason.clone().unwrap_or_default()));
            }
            Ok(Standing { ready: false, .. }) if let Some(limit) = late => {
                let reason =
                    format!("server {party} did not get the rows within {} seconds", limit.as_secs());
                return Some(Obstacle::End(JobState::Failed, reason));
            }
            Ok(Standing { ready: false, .. }) => waits = Some(format!("server {party} has not got the rows")),
            Ok(_) => {}
            Err(Trouble::Unknown) if let Some(limit) = late => {
                return Some(Obstacle::End(JobState::Failed, not_accepted(party, limit)));
            }
            Err(Trouble::Unknown) => waits = Some(format!("server {party} has not accepted the job")),
            Err(Trouble::Another) => return Some(Obstacle::End(JobState::Failed, another(party))),
            Err(Trouble::Refused(reason)) => {
                return Some(Obstacle::End(JobState::Failed, format!("server {party}: {reason}")));
            }
            Err(Trouble::Away(reason)) => waits = Some(reason.clone()),
        }
    }
    waits.map(Obstacle::Wait)
}

/// Why a job ends that a server did not take in time.
pub(super) fn not_accepted(party: usize, limit: Duration) -> String {
    format!("server {party} did not accept the job within {} seconds", limit.as_secs())
}

/// Why a job ends of which the servers have different documents.
pub(super) fn another(party: usize) -> String {
    format!("server {party} was given another job under this id")
}

/// The first training that is not done at all three.
fn next_training(record: &JobRecord, answers: &[Answer; 3]) -> usize {
    let done = |answer: &Answer| match answer {
        Ok(standing) => standing.training + usize::from(standing.party == PartyState::Finished),
        Err(_) => 0,
    };
    answers.iter().map(done).min().unwrap_or(0).min(record.document.runs())
}

/// A party's reason, with its number where the reason does not have it.
fn said_by(party: usize, failed: &Failed) -> String {
    let text = match &failed.hint {
        Some(hint) => format!("{} ({hint})", failed.message),
        None => failed.message.clone(),
    };
    if matches!(failed.cause, Cause::Range | Cause::Died) { text } else { format!("party {party}: {text}") }
}
