//! What nobody else would end: jobs that server 0 never took, predictions that are not fetched, and what a killed server has left.

use core::time::Duration;
use std::sync::Arc;

use tokio::time::sleep;

use crate::audit::Decision;
use crate::client::CallError;
use crate::job::{JobState, JobStatus, Work};
use crate::server::audit_log::Event;
use crate::server::jobs::conduct::{another, not_accepted};
use crate::server::jobs::directory;
use crate::server::jobs::order::{Order, What, carry_out};
use crate::server::jobs::record::{JOBS, JobRecord, open_jobs};
use crate::server::now;
use crate::server::peers::{Peer, both};
use crate::server::state::Shared;
use crate::{Result, ServiceError};

/// Longest time between two looks.
const LOOK: Duration = Duration::from_mins(1);

/// Clears away what a server that was killed has left; before it works. Waits for the disk.
pub(crate) fn begin(shared: &Shared) -> Result<()> {
    let records = shared.store.write(|state| {
        let mut records = JOBS.all(state)?;
        for (_, record) in &mut records {
            // As it would be kept now, whatever version has kept it.
            record.settled |= record.state.is_over() && shared.config().party.index() != 0;
            record.keep(state)?;
        }
        Ok::<_, ServiceError>(records)
    })?;
    directory::clear_all(shared, &records)
}

/// Looks for what is too old; does not end.
pub(crate) async fn keep_tidy(shared: Arc<Shared>) {
    let pause = LOOK.min(shared.config().limits.acceptance_time);
    loop {
        sleep(pause).await;
        if let Err(error) = tidy(&shared).await {
            tracing::error!(%error, "jobs that are too old cannot be looked for");
        }
    }
}

async fn tidy(shared: &Arc<Shared>) -> Result<()> {
    shared.blocking(forget_predictions).await?;
    let limit = shared.config().limits.acceptance_time.as_secs_f64();
    let is_late = |record: &JobRecord| record.state == JobState::Queued && now() - record.accepted > limit;
    let open = shared.blocking(|shared| shared.store.read(|state| open_jobs(state))).await?;
    let late: Vec<JobRecord> = open.into_iter().filter(is_late).collect();
    if late.is_empty() {
        return Ok(());
    }
    let config = shared.config();
    let peers = both(&config);
    // Server 0 itself conducts, and knows what it waits for.
    let Some(first) = peers.into_iter().find(|peer| peer.server.party.index() == 0) else { return Ok(()) };
    match Peer::connect(&config, first).await {
        Err(error) => tracing::warn!(%error, "jobs wait for server 0"),
        Ok(mut first) => {
            for record in late {
                let answer = first.get::<JobStatus>(&format!("/v1/jobs/{}", record.document.id)).await;
                if let Some(reason) = abandoned(&record, answer, shared.config().limits.acceptance_time) {
                    end(shared, record, reason).await;
                }
            }
        }
    }
    Ok(())
}

/// Why nothing becomes of a job that has waited too long, if that follows from what server 0 says of it.
fn abandoned(
    record: &JobRecord,
    answer: core::result::Result<JobStatus, CallError>,
    limit: Duration,
) -> Option<String> {
    match answer {
        Ok(there) if there.digest != record.digest => Some(another(0)),
        // It ended there before this server had accepted it.
        Ok(there) if there.state.is_over() => Some(format!("at server 0 it is {}", there.state.name())),
        Err(CallError::Refused { status: 404, .. }) => Some(not_accepted(0, limit)),
        Ok(_) | Err(_) => None,
    }
}

/// Ends a job as failed.
async fn end(shared: &Arc<Shared>, record: JobRecord, reason: String) {
    let what = What::End { state: JobState::Failed, reason: Some(reason) };
    let order = Order { digest: record.digest, what };
    if let Err(refusal) = carry_out(shared, &record.document.id, order).await {
        tracing::error!(
            job = record.document.id,
            "the job's end cannot be written down: {}",
            refusal.error()
        );
    }
}

/// Removes jobs of predictions that ended long ago, with what nobody has fetched. Waits for the disk.
///
/// There is one for each few megabytes of rows: what was done is in the audit log, and their ids stay used.
fn forget_predictions(shared: &Shared) -> Result<()> {
    let config = shared.config();
    let limit = config.limits.prediction_time.as_secs_f64();
    for (id, record) in shared.store.read(|state| JOBS.all(state))? {
        let is_old = record.ended.is_some_and(|ended| now() - ended > limit);
        if !is_old || !record.settled || !matches!(record.document.work, Work::Predict { .. }) {
            continue;
        }
        let place = directory::predictions(shared, &id);
        if place.try_exists().map_err(|error| ServiceError::io("read", &place, error))? {
            let event = Event::new("predictions.expired", &id, Decision::Noted).with_digest(&record.digest);
            shared.audit.append(event.because("nobody has fetched them in time"))?;
        }
        shared.store.write(|state| JOBS.remove(state, &id))?;
        // What a crash leaves here is of a job that is not known, and goes at the next start.
        directory::forget_job(shared, &id);
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use shamisen_data::shares::random_id;
    use shamisen_net::tls::Identity;

    use super::*;
    use crate::job::{JobDocument, Signed, Submission};
    use crate::server::caller::Caller;
    use crate::server::tests::router;
    use crate::terms::Output;
    use crate::{KeyId, Role};

    /// A record of predictions in this state, which came into it so many seconds ago.
    pub(in crate::server::jobs) fn predictions(shared: &Shared, state: JobState, seconds: f64) -> JobRecord {
        let identity = Identity::generate("analyst").unwrap();
        let key = KeyId(identity.fingerprint());
        let work = Work::Predict { model: random_id().unwrap(), rows: 1 };
        let mut document =
            JobDocument::new(random_id().unwrap(), "a".into(), [key; 3], key, Vec::new(), work);
        (document.outputs, document.predictions_to) = (vec![Output::Predictions], vec![key]);
        let submission = Submission::sign(&document, &identity).unwrap();
        let analyst = Caller { name: "a".into(), role: Role::Analyst, fingerprint: key.0 };
        let signed = Signed { document, digest: "0".repeat(64) };
        let mut record = JobRecord::new(submission, signed, &analyst, now() - seconds);
        record.state = state;
        record.ended = state.is_over().then(|| now() - seconds);
        record.settled = state.is_over();
        shared.store.write(|store| record.keep(store)).unwrap();
        record
    }

    /// Files of a job in all places in which there may be some.
    fn litter(shared: &Shared, job: &str) {
        let run = directory::of_training(shared, job, 0);
        fs::create_dir_all(&run).unwrap();
        fs::create_dir_all(shared.config().data.join("models").join(job)).unwrap();
        let place = directory::predictions(shared, job);
        for path in [
            run.join("checkpoint-1"),
            directory::rows(shared, job),
            place.clone(),
            directory::log(shared, job),
            shared.config().data.join("models").join(job).join("model.share"),
        ] {
            fs::write(path, "x").unwrap();
        }
    }

    #[test]
    fn predictions_are_forgotten() {
        let (_, shared, _dir) = router();
        let [old, new] = [90_000.0, 80_000.0].map(|age| predictions(&shared, JobState::Done, age));
        for record in [&old, &new] {
            litter(&shared, &record.document.id);
        }
        let is_there = |record: &JobRecord| {
            let id = &record.document.id;
            let known = shared.store.read(|state| JOBS.get(state, id)).unwrap().is_some();
            (known, directory::predictions(&shared, id).exists())
        };
        forget_predictions(&shared).unwrap();
        assert_eq!([&old, &new].map(is_there), [(false, false), (true, true)]);
        assert!(!directory::of_job(&shared, &old.document.id).exists());
        // Once is enough.
        let entries = shared.audit.head().seq;
        forget_predictions(&shared).unwrap();
        assert_eq!((entries, shared.audit.head().seq), (1, 1));
    }

    #[test]
    fn jobs_of_earlier_versions_are_told_apart() {
        let (_, shared, _dir) = router();
        let [over, waits] = [JobState::Done, JobState::Queued].map(|state| predictions(&shared, state, 1.0));
        let unknown = JobRecord { settled: false, ..over };
        // Without the index of those that are open.
        let keep = |record: &JobRecord| {
            shared.store.write(|state| {
                record.keep(state)?;
                JobRecord { settled: true, ..record.clone() }.keep(state)?;
                JOBS.put(state, &record.document.id, record)
            })
        };
        keep(&unknown).unwrap();
        keep(&waits).unwrap();
        let open = || shared.store.read(|state| open_jobs(state)).unwrap();
        assert!(open().is_empty());
        begin(&shared).unwrap();
        let ids: Vec<String> = open().into_iter().map(|record| record.document.id).collect();
        assert_eq!(ids, [waits.document.id]);
        let known = shared.store.read(|state| JOBS.get(state, &unknown.document.id)).unwrap().unwrap();
        assert!(known.settled);
    }

    #[test]
    fn what_a_killed_server_has_left_goes_when_it_starts() {
        let (_, shared, _dir) = router();
        let [done, failed, waits] = [JobState::Done, JobState::Failed, JobState::Queued]
            .map(|state| predictions(&shared, state, 1.0).document.id);
        let unknown = random_id().unwrap();
        for job in [&done, &failed, &waits, &unknown] {
            litter(&shared, job);
        }
        begin(&shared).unwrap();
        let left = |job: &str| {
            let jobs = shared.config().data.join("jobs").join(job);
            let entries = fs::read_dir(jobs).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            (names.join(" "), shared.config().data.join("models").join(job).exists())
        };
        assert_eq!(left(&done), ("log.jsonl predictions.share".into(), true));
        assert_eq!(left(&failed), ("log.jsonl".into(), false));
        assert_eq!(left(&waits), ("0 log.jsonl predictions.share rows.share".into(), true));
        assert_eq!(left(&unknown), (String::new(), false));
    }

    #[test]
    fn jobs_end_that_server_0_does_not_have() {
        let (_, shared, _dir) = router();
        let record = predictions(&shared, JobState::Queued, 601.0);
        let (status, limit) = (record.status(&shared.jobs), Duration::from_mins(10));
        assert_eq!(abandoned(&record, Ok(status.clone()), limit), None);
        let cancelled = JobStatus { state: JobState::Cancelled, ..status.clone() };
        assert_eq!(abandoned(&record, Ok(cancelled), limit).unwrap(), "at server 0 it is cancelled");
        let other = JobStatus { digest: "1".repeat(64), ..status };
        assert!(abandoned(&record, Ok(other), limit).unwrap().contains("another job"));
        let refused = |status| {
            let problem = serde_json::from_str("{\"error\": \"no\"}").unwrap();
            Err(CallError::Refused { address: "a".into(), status, problem })
        };
        assert!(
            abandoned(&record, refused(404), limit).unwrap().contains("did not accept the job within 600")
        );
        assert_eq!(abandoned(&record, refused(503), limit), None);
    }
}
