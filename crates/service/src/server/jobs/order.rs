//! What the conductor of the jobs wants of a server, and where the server stands.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shamisen_party::event::Failed;
use utoipa::ToSchema;

use crate::audit::{Decision, JOB_ENDED};
use crate::job::{JobState, Work as JobWork};
use crate::server::audit_log::Event;
use crate::server::jobs::process::Running;
use crate::server::jobs::record::{JOBS, JobRecord};
use crate::server::jobs::{Phase, Work, directory, log};
use crate::server::now;
use crate::server::problem::Refusal;
use crate::server::state::Shared;
use crate::terms::Output;

/// An order of the conductor, about a job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// Hash of the job's document, as the conductor has it.
    pub(super) digest: String,
    pub(super) what: What,
}

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum What {
    /// Nothing but to say where the server stands.
    Look,
    /// Work on a training, unless this try is already under way.
    Start { training: usize, attempt: String },
    /// End the party, if it works.
    Halt { reason: String },
    /// Nothing more becomes of the job.
    End { state: JobState, reason: Option<String> },
}

/// Where a server stands with a job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Standing {
    pub(super) state: JobState,
    pub(super) reason: Option<String>,
    /// Whether all is there that the job needs.
    pub(super) ready: bool,
    /// Number of the training that its party is about.
    pub(super) training: usize,
    /// The try in which that is.
    pub(super) attempt: String,
    /// How far the party is.
    pub(super) party: PartyState,
    /// Whether it has come further in this try.
    pub(super) moved: bool,
    /// Why it gave up.
    #[schema(value_type = Option<Object>)]
    pub(super) failed: Option<Failed>,
    /// Hash of the opened results, the same at all three.
    pub(super) results: Option<String>,
}

/// How far a party is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PartyState {
    Idle,
    Working,
    Finished,
    Stopped,
    Failed,
}

/// Does what the conductor wants.
pub(super) async fn carry_out(shared: &Arc<Shared>, id: &str, order: Order) -> Result<Standing, Refusal> {
    let record = record(shared, id).await?;
    if record.digest != order.digest {
        let text = format!("the job {id} is another one here: its document has the hash {}", record.digest);
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, text));
    }
    match order.what {
        What::Look => standing(shared, record).await,
        What::Start { training, attempt } => begin(shared, record, training, attempt).await,
        What::Halt { reason } => halt(shared, record, &reason).await,
        What::End { state, reason } => finish(shared, record, state, reason).await,
    }
}

/// The record of a job.
pub(super) async fn record(shared: &Arc<Shared>, id: &str) -> Result<JobRecord, Refusal> {
    let key = id.to_owned();
    let found = shared.blocking(move |shared| shared.store.read(|state| JOBS.get(state, &key))).await?;
    found.ok_or_else(|| no_job(id))
}

/// There is no such job, or none that the caller may know of.
pub(super) fn no_job(id: &str) -> Refusal {
    let start: String = id.chars().take(80).collect();
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no job {} at this server", start.escape_debug()))
        .with_hint("`shamisen jobs` lists yours")
        .noted()
}

/// Changes the record of a job that is not over, and returns it; one that is over stays as it is.
pub(super) async fn change(
    shared: &Arc<Shared>,
    id: &str,
    edit: impl FnOnce(&mut JobRecord) + Send + 'static,
) -> Result<JobRecord, Refusal> {
    let unless_over = |record: &mut JobRecord| {
        if !record.state.is_over() {
            edit(record);
        }
    };
    rewrite(shared, id, unless_over).await
}

/// Notes that all three servers know how a job ended.
pub(super) async fn settled(shared: &Arc<Shared>, id: &str) -> Result<JobRecord, Refusal> {
    rewrite(shared, id, |record| record.settled = true).await
}

async fn rewrite(
    shared: &Arc<Shared>,
    id: &str,
    edit: impl FnOnce(&mut JobRecord) + Send + 'static,
) -> Result<JobRecord, Refusal> {
    let key = id.to_owned();
    let work = move |shared: &Shared| {
        shared.store.write(|state| {
            let Some(mut record) = JOBS.get(state, &key)? else {
                return Err(Refusal::new(StatusCode::NOT_FOUND, "the job is gone"));
            };
            edit(&mut record);
            record.keep(state)?;
            Ok(record)
        })
    };
    let changed = shared.blocking(work).await?;
    shared.jobs.changed();
    Ok(changed)
}

async fn begin(
    shared: &Arc<Shared>,
    record: JobRecord,
    training: usize,
    attempt: String,
) -> Result<Standing, Refusal> {
    let mut running = shared.jobs.running.lock().await;
    // It may have ended while others had the lock.
    let record = self::record(shared, &record.document.id).await?;
    if record.state.is_over() {
        return standing(shared, record).await;
    }
    let same =
        |work: &Work| work.job == record.document.id && work.training == training && work.attempt == attempt;
    if shared.jobs.work().as_ref().is_some_and(same) {
        return standing(shared, record).await;
    }
    if let Some(other) = running.take() {
        other.kill().await;
    }
    let id = record.document.id.clone();
    let signed = record.signed();
    let lets_loss = record.document.outputs.contains(&Output::Loss);
    // Those before this one are done at all three.
    let done = read_results(shared, &record, training).await?;
    let record = change(shared, &id, move |record| {
        record.state = JobState::Running;
        record.started.get_or_insert_with(now);
        record.results = done;
    })
    .await?;
    let prepared = shared.blocking(move |shared| directory::prepare(shared, &signed, training)).await;
    // That a data set or model is not there any more must not read as if the job were not.
    let gone = |refusal: Refusal| match refusal.status() {
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Refusal::new(StatusCode::CONFLICT, refusal.error()),
        _ => refusal,
    };
    let dir = prepared.map_err(gone)?;
    log::add(shared, &id, &format!("training {training} begins or goes on")).await;
    let work =
        Work { job: id, training, attempt, phase: Phase::Working, rescaled: None, step: None, loss: None };
    *running = Some(Running::start(shared, work, dir, lets_loss));
    drop(running);
    shared.jobs.changed();
    standing(shared, record).await
}

/// What came out of the trainings before this one.
async fn read_results(
    shared: &Arc<Shared>,
    record: &JobRecord,
    trainings: usize,
) -> Result<Vec<crate::job::TrainingResult>, Refusal> {
    let record = record.clone();
    let work = move |shared: &Shared| {
        let dir = |number| directory::of_training(shared, &record.document.id, number);
        let outcome = |number| {
            directory::outcome(&dir(number)).ok_or_else(|| {
                Refusal::new(StatusCode::CONFLICT, format!("training {number} is not done at this server"))
            })
        };
        (0..trainings).map(|number| Ok(record.result(&outcome(number)?))).collect()
    };
    shared.blocking(work).await
}

async fn halt(shared: &Arc<Shared>, record: JobRecord, reason: &str) -> Result<Standing, Refusal> {
    let id = &record.document.id;
    let mut running = shared.jobs.running.lock().await;
    let is_current = shared.jobs.work().as_ref().is_some_and(|work| work.job == *id);
    if is_current && let Some(party) = running.take() {
        party.kill().await;
        log::add(shared, id, &format!("interrupted: {reason}")).await;
    }
    drop(running);
    standing(shared, record).await
}

async fn finish(
    shared: &Arc<Shared>,
    record: JobRecord,
    state: JobState,
    reason: Option<String>,
) -> Result<Standing, Refusal> {
    let (id, trainings) = (record.document.id.clone(), record.document.runs());
    let mut running = shared.jobs.running.lock().await;
    // It may have ended while others had the lock, and stays what it was then.
    let record = self::record(shared, &id).await?;
    if record.state.is_over() || !state.is_over() {
        return standing(shared, record).await;
    }
    let is_current = shared.jobs.work().as_ref().is_some_and(|work| work.job == id);
    if is_current && let Some(party) = running.take() {
        party.kill().await;
    }
    let results =
        if state == JobState::Done { Some(read_results(shared, &record, trainings).await?) } else { None };
    if state == JobState::Done {
        let document = record.document.clone();
        shared.blocking(move |shared| directory::keep_results(shared, &document)).await?;
    }
    let text = match &reason {
        Some(reason) => format!("{}: {reason}", state.name()),
        None => state.name().to_owned(),
    };
    let (job, digest) = (id.clone(), record.digest.clone());
    let write_down = move |shared: &Shared| {
        let event = Event::new(JOB_ENDED, &job, Decision::Accepted);
        shared.audit.append(event.with_digest(&digest).because(state.name()))
    };
    shared.blocking(write_down).await?;
    let settled = shared.config().party.index() != 0;
    let record = change(shared, &id, move |record| {
        record.state = state;
        record.settled = settled;
        record.reason = reason;
        record.ended = Some(now());
        record.results = results.unwrap_or_else(|| record.results.clone());
    })
    .await?;
    log::add(shared, &id, &text).await;
    tracing::info!(job = id, "{text}");
    let over = record.clone();
    let clear = move |shared: &Shared| {
        directory::clear(shared, &over);
        Ok::<_, Refusal>(())
    };
    shared.blocking(clear).await?;
    drop(running);
    standing(shared, record).await
}

/// Somebody does not want a job any more.
pub(super) async fn cancel(shared: &Arc<Shared>, id: &str, reason: String) -> Result<JobRecord, Refusal> {
    let found = record(shared, id).await?;
    let was_over = found.state.is_over();
    finish(shared, found, JobState::Cancelled, Some(reason)).await?;
    let found = record(shared, id).await?;
    if was_over || found.state != JobState::Cancelled {
        let text = format!("the job {id} is over: it is {}", found.state.name());
        return Err(Refusal::new(StatusCode::CONFLICT, text));
    }
    Ok(found)
}

/// Ends the jobs on a data set that its owner has taken back, and removes what came of it: the shares of models, and of predictions
/// of these.
pub(crate) async fn data_set_revoked(shared: &Arc<Shared>, dataset: &str) -> Result<(), Refusal> {
    let records = shared.blocking(|shared| shared.store.read(|state| JOBS.all(state))).await?;
    let trained: BTreeSet<&String> = records
        .iter()
        .filter_map(|(id, record)| record.document.datasets.iter().any(|id| id == dataset).then_some(id))
        .collect();
    let concerned = |id: &String, record: &JobRecord| match &record.document.work {
        JobWork::Train { .. } => trained.contains(id),
        JobWork::Predict { model, .. } => trained.contains(model),
    };
    let (mut over, mut rest) = (Vec::new(), Vec::new());
    for (id, record) in records.iter().filter(|(id, record)| concerned(id, record)) {
        if record.state.is_over() { over.push(id.clone()) } else { rest.push((id, record)) }
    }
    for (id, record) in rest {
        let reason = "its data set was taken back".to_owned();
        finish(shared, record.clone(), JobState::Cancelled, Some(reason)).await?;
        over.push(id.clone());
    }
    shared.blocking(move |shared| over.iter().try_for_each(|id| directory::forget(shared, id))).await?;
    Ok(())
}

async fn standing(shared: &Arc<Shared>, record: JobRecord) -> Result<Standing, Refusal> {
    let work = shared.jobs.work().clone().filter(|work| work.job == record.document.id);
    let training = work.as_ref().map_or(record.results.len(), |work| work.training);
    let job = record.document.id.clone();
    let find = move |shared: &Shared| {
        Ok::<_, Refusal>(directory::outcome(&directory::of_training(shared, &job, training)))
    };
    let outcome = shared.blocking(find).await?;
    let results = outcome.map(|outcome| {
        let opened = serde_json::to_string(&(&outcome.loss, &outcome.metrics));
        blake3::hash(opened.unwrap_or_default().as_bytes()).to_hex().to_string()
    });
    let (party, failed) = match work.as_ref().map(|work| &work.phase) {
        Some(Phase::Working) => (PartyState::Working, None),
        Some(Phase::Stopped) => (PartyState::Stopped, None),
        Some(Phase::Failed(failed)) => (PartyState::Failed, Some(failed.clone())),
        // After a new start the server knows it from the disk.
        Some(Phase::Finished) | None if results.is_some() => (PartyState::Finished, None),
        Some(Phase::Finished) | None => (PartyState::Idle, None),
    };
    Ok(Standing {
        state: record.state,
        reason: record.reason,
        ready: record.ready,
        training,
        attempt: work.as_ref().map_or_else(String::new, |work| work.attempt.clone()),
        party,
        moved: work.is_some_and(|work| work.step.is_some()),
        failed,
        results,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::jobs::record::open_jobs;
    use crate::server::jobs::tidy::tests::predictions;
    use crate::server::tests::router;

    #[tokio::test]
    async fn what_has_ended_stays_as_it_ended() {
        let (_, shared, _dir) = router();
        let seen = predictions(&shared, JobState::Running, 1.0);
        let id = seen.document.id.clone();
        let end = async |state| finish(&shared, seen.clone(), state, None).await.unwrap().state;
        assert_eq!(end(JobState::Failed).await, JobState::Failed);
        // Whoever saw it running, and waited meanwhile, changes nothing any more.
        assert_eq!(end(JobState::Cancelled).await, JobState::Failed);
        let begun = begin(&shared, seen.clone(), 0, "1".to_owned()).await.unwrap();
        assert_eq!((begun.state, begun.party), (JobState::Failed, PartyState::Idle));
        let kept = change(&shared, &id, |record| record.state = JobState::Running).await.unwrap();
        assert_eq!(kept.state, JobState::Failed);
        // Nobody has to be told by server 2.
        assert!(kept.settled && shared.store.read(|state| open_jobs(state)).unwrap().is_empty());
        assert!(cancel(&shared, &id, String::new()).await.unwrap_err().error().contains("is over"));
    }
}
