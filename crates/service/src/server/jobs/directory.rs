//! The directory from which a party works on a training, and what stays of it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use shamisen_data::encrypted::{self, StorageKey};
use shamisen_data::model::write_description;
use shamisen_data::sealed;
use shamisen_data::shares::share_path;
use shamisen_party::assignment::{self, Assignment};
use shamisen_party::config::{self, PartyConfig, PeerConfig};
use shamisen_party::event::Outcome;
use shamisen_party::handover::write_secret;
use shamisen_party::tables::Tables;
use shamisen_party::{MODEL_SHARE_FILE, PREDICTIONS_FILE, Part as Rows, STATISTICS_FILE};

use crate::config::{PeerServer, ServerConfig};
use crate::job::{JobDocument, JobState, Signed, Work, prediction, training};
use crate::keys::{CERTIFICATE_FILE, KEY_FILE};
use crate::server::jobs::record::JobRecord;
use crate::server::jobs::{data, models, predictions};
use crate::server::problem::Refusal;
use crate::server::state::Shared;
use crate::{Result, ServiceError};

/// What a training gave, in its directory.
const OUTCOME_FILE: &str = "outcome.json";

const OUTCOME_FORMAT: &str = "shamisen-outcome-1";

/// Longest wait of a party for another one in seconds; a lost peer is noticed by then.
const DEADLINE: f64 = 60.0;

/// Where a server keeps what belongs to a job.
pub(super) fn of_job(shared: &Shared, job: &str) -> PathBuf {
    shared.config().data.join("jobs").join(job)
}

/// The log of a job.
pub(super) fn log(shared: &Shared, job: &str) -> PathBuf {
    of_job(shared, job).join("log.jsonl")
}

/// The losses of a job, as far as it lets them out.
pub(super) fn losses(shared: &Shared, job: &str) -> PathBuf {
    of_job(shared, job).join("losses.jsonl")
}

/// Where the party of a server works on a training.
pub(super) fn of_training(shared: &Shared, job: &str, number: usize) -> PathBuf {
    of_job(shared, job).join(number.to_string())
}

/// Where a server keeps what belongs to the model of a job.
fn of_model(shared: &Shared, job: &str) -> PathBuf {
    shared.config().data.join("models").join(job)
}

/// Makes a directory that nobody else may enter, with those above it.
pub(super) fn create(dir: &Path) -> Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    created.map_err(|error| ServiceError::io("create", dir, error))
}

/// Puts together what the party needs for a run of a job. Checkpoints of an earlier try stay, what it gave does not.
pub(super) fn prepare(
    shared: &Shared,
    job: &Signed,
    number: usize,
) -> core::result::Result<PathBuf, Refusal> {
    let dir = of_training(shared, &job.document.id, number);
    create(&dir)?;
    remove(&dir.join(OUTCOME_FILE))?;
    let assignment = match &job.document.work {
        Work::Train { .. } => prepare_training(shared, job, number, &dir)?,
        Work::Predict { model, .. } => prepare_prediction(shared, job, model, &dir)?,
    };
    let config = party_config(&shared.config())?;
    for (name, text) in [(assignment::FILE, assignment.text()), (config::FILE, config)] {
        let path = dir.join(name);
        write_secret(&path, text.as_bytes()).map_err(|error| ServiceError::io("write", &path, error))?;
    }
    Ok(dir)
}

/// Links directories in the party's directory to the share files of the data sets.
fn prepare_training(
    shared: &Shared,
    job: &Signed,
    number: usize,
    dir: &Path,
) -> core::result::Result<Assignment, Refusal> {
    let (table, data) = data::table(shared, &job.document)?;
    let assignment = training(job, number, &table, shared.config().limits.lanes)
        .map_err(|reason| Refusal::new(StatusCode::CONFLICT, reason))?;
    for (number, found) in data.iter().enumerate() {
        let own = Tables::dir(dir, number);
        create(&own)?;
        for sum in &found.manifest.files[shared.config().party.index()] {
            link(&share_path(&found.dir, &sum.name), &share_path(&own, &sum.name))?;
        }
    }
    Ok(assignment)
}

/// Links the party's directory to the shares of the model and of the rows.
fn prepare_prediction(
    shared: &Shared,
    job: &Signed,
    model: &str,
    dir: &Path,
) -> core::result::Result<Assignment, Refusal> {
    let info = models::find(shared, model)?;
    // The terms may have changed since the job was accepted.
    predictions::check_receiver(shared, &info, job.document.analyst)?;
    let description = info
        .description(serde_json::Value::Null)
        .map_err(|error| ServiceError::Start { source: io::Error::from(error) })?;
    write_description(dir, &description).map_err(ServiceError::from)?;
    link(&model_share(shared, model), &dir.join(MODEL_SHARE_FILE))?;
    link(&rows(shared, &job.document.id), &share_path(dir, Rows::Predict.features()))?;
    Ok(prediction(job, info.plan))
}

/// Where the rows of predictions are until they are over.
pub(super) fn rows(shared: &Shared, job: &str) -> PathBuf {
    share_path(&of_job(shared, job), "rows")
}

/// Where predictions are until they are fetched.
pub(super) fn predictions(shared: &Shared, job: &str) -> PathBuf {
    of_job(shared, job).join(PREDICTIONS_FILE)
}

/// Lets `to` stand for a file.
fn link(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    symlink(absolute(from)?, to).map_err(|error| ServiceError::io("write", to, error))
}

/// How the party meets its peers: at the data planes of the three servers, with the keys of the servers.
fn party_config(server: &ServerConfig) -> Result<String> {
    let peer = |peer: &PeerServer| PeerConfig {
        party: peer.server.party.index(),
        address: peer.data_address.to_string(),
        fingerprint: peer.server.fingerprint.to_string(),
    };
    let config = PartyConfig {
        party: server.party.index(),
        listen: server.data_listen.to_string(),
        certificate: absolute(&server.key.join(CERTIFICATE_FILE))?,
        key: absolute(&server.key.join(KEY_FILE))?,
        connect_timeout: config::connect_timeout(),
        deadline: DEADLINE,
        latency: None,
        bandwidth: None,
        peers: vec![peer(&server.peers.next), peer(&server.peers.prev)],
        storage_key: Some(absolute(&server.storage_key)?),
    };
    toml::to_string(&config).map_err(|error| ServiceError::Start { source: io::Error::other(error) })
}

/// Keeps what a training gave, so that the server knows it after a new start.
pub(super) fn keep_outcome(dir: &Path, outcome: &Outcome) -> shamisen_data::Result<()> {
    sealed::write(&dir.join(OUTCOME_FILE), OUTCOME_FORMAT, outcome)
}

/// What a training gave, if it is done.
pub(super) fn outcome(dir: &Path) -> Option<Outcome> {
    sealed::read(&dir.join(OUTCOME_FILE), OUTCOME_FORMAT).ok()
}

/// Keeps what a job that is done leaves at this server: a share of its model, or of predictions.
///
/// Nothing is lost if the server ends in the middle: then it is done again.
pub(super) fn keep_results(shared: &Shared, document: &JobDocument) -> Result<()> {
    let run = of_training(shared, &document.id, 0);
    match &document.work {
        Work::Train { .. } if !document.keeps_model() => Ok(()),
        Work::Train { .. } => {
            let id = &document.id;
            create(&of_model(shared, id))?;
            let statistics = run.join(STATISTICS_FILE);
            if statistics.exists() {
                keep(&statistics, &pooled_statistics(shared, id))?;
            }
            keep(&run.join(MODEL_SHARE_FILE), &model_share(shared, id))
        }
        Work::Predict { .. } => keep(&run.join(PREDICTIONS_FILE), &predictions(shared, &document.id)),
    }
}

/// Moves what a party has left, encrypted and whole, to where it stays.
fn keep(source: &Path, place: &Path) -> Result<()> {
    if place.exists() {
        return Ok(());
    }
    let moved = fs::rename(source, place)
        .and_then(|()| place.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()));
    moved.map_err(|error| ServiceError::io("write", place, error))
}

/// Length of the share of the model of a job in bytes.
pub(super) fn model_bytes(shared: &Shared, job: &str) -> Result<u64> {
    let key = StorageKey::read(&shared.config().storage_key)?;
    Ok(encrypted::length(&model_share(shared, job), &key)?)
}

/// Where a server keeps its share of the pooled statistics of a job.
pub(super) fn pooled_statistics(shared: &Shared, job: &str) -> PathBuf {
    of_model(shared, job).join(STATISTICS_FILE)
}

/// Where a server keeps its share of the model of a job.
pub(super) fn model_share(shared: &Shared, job: &str) -> PathBuf {
    of_model(shared, job).join(MODEL_SHARE_FILE)
}

/// Removes what the runs of a job that is over have left: checkpoints, and keys with them, and rows. Of one that is not
/// done, no share of a model or of predictions stays.
pub(super) fn clear(shared: &Shared, record: &JobRecord) {
    let job = &record.document.id;
    let removed = remove(&rows(shared, job)).and_then(|()| {
        if record.state == JobState::Done { Ok(()) } else { remove(&predictions(shared, job)) }
    });
    if let Err(error) = removed {
        tracing::error!(job, %error, "what a job has left cannot be removed");
    }
    for number in 0..record.document.runs() {
        remove_all(&of_training(shared, job, number));
    }
    if record.state != JobState::Done {
        remove_all(&of_model(shared, job));
    }
}

/// Removes what came of a job whose data are taken back: its share of a model, or of predictions.
pub(super) fn forget(shared: &Shared, job: &str) -> Result<()> {
    remove_all(&of_model(shared, job));
    remove(&predictions(shared, job))
}

/// Removes all that belongs to a job that is forgotten.
pub(super) fn forget_job(shared: &Shared, job: &str) {
    remove_all(&of_job(shared, job));
}

/// Removes what a server that was killed has left of jobs: of those that it has not accepted, and of those that are over.
pub(super) fn clear_all(shared: &Shared, records: &[(String, JobRecord)]) -> Result<()> {
    for place in ["jobs", "models"].map(|name| shared.config().data.join(name)) {
        let entries = match fs::read_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| ServiceError::io("read", &place, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| ServiceError::io("read", &place, error))?;
            let is_of = |(id, _): &&(String, JobRecord)| entry.file_name().to_str() == Some(id);
            match records.iter().find(is_of) {
                None => remove_all(&entry.path()),
                Some((_, record)) if record.state.is_over() => clear(shared, record),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Removes a directory, if it is there.
fn remove_all(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(%error, "{} cannot be removed: remove it by hand", dir.display());
        }
        _ => {}
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ServiceError::io("remove", path, error)),
        _ => Ok(()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| ServiceError::io("find", path, error))
}
