//! Uploads and data sets at this server.
//!
//! An upload goes through these states, each of which is on the disk before anybody hears of it:
//!
//! ```text
//! receiving --> ready --> complete --> revoked
//!     |           |
//!     +-----------+--> aborted
//! ```
//!
//! *Ready* is a promise to the two other servers: all share files are here, and they stay. A server that is ready asks the others
//! ([`agree`]), and when both are ready for the same description the upload is *complete*: a data set. From then on it is so at
//! all three, even if one hears of it later. A server that is ready gives up only if another one never can be: that one has aborted it.

pub(crate) mod agree;
mod change;
mod receive;
pub(crate) mod routes;
mod start;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shamisen_data::encrypted::{EncryptedWriter, StorageKey};
use shamisen_data::shares::share_path;
use shamisen_net::Party;
use shamisen_net::tls::Fingerprint;
use tokio::sync::Notify;

use crate::api::data::{DataSetInfo, FileStatus, UploadState, UploadStatus};
use crate::audit::Decision;
use crate::config::Limits;
use crate::manifest::{Manifest, is_id};
use crate::server::audit_log::{AuditLog, Event};
use crate::server::caller::Caller;
use crate::server::problem::Refusal;
use crate::server::store::{Records, Store, Write};
use crate::terms::{Output, Task, Terms, Use};
use crate::terms_change::SignedTerms;
use crate::{KeyId, Result, Role};

/// All uploads of which the server was told, by their ids.
pub(crate) const UPLOADS: Records<Upload> = Records::new("uploads");

/// An upload, or the data set that it became.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) manifest: Manifest,
    /// Hash of the manifest.
    pub(crate) digest: String,
    pub(crate) state: State,
    /// When it came into this state, in seconds since 1970.
    pub(crate) since: i64,
    /// Trainings that were admitted.
    pub(crate) trainings: u64,
    /// The owner's last change of the terms; none if those of the manifest hold.
    #[serde(default)]
    pub(crate) changed: Option<Changed>,
}

/// Terms that hold in place of those of the manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) revision: u64,
    pub(crate) terms: Terms,
    /// As the owner has handed them in.
    pub(crate) signed: SignedTerms,
}

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Receiving,
    Ready { confirmed: BTreeSet<u8> },
    Complete,
    Aborted { reason: String },
    Revoked,
}

impl State {
    pub(crate) fn told(&self) -> UploadState {
        match self {
            Self::Receiving => UploadState::Receiving,
            Self::Ready { .. } => UploadState::Ready,
            Self::Complete => UploadState::Complete,
            Self::Aborted { .. } => UploadState::Aborted,
            Self::Revoked => UploadState::Revoked,
        }
    }

    /// Whether there are share files of it.
    fn has_files(&self) -> bool {
        matches!(self, Self::Receiving | Self::Ready { .. } | Self::Complete)
    }
}

impl Upload {
    fn is_of(&self, person: Fingerprint) -> bool {
        self.manifest.owner == KeyId(person)
    }

    /// The terms that hold.
    pub(crate) fn terms(&self) -> &Terms {
        self.changed.as_ref().map_or(&self.manifest.terms, |changed| &changed.terms)
    }

    /// How often the owner has changed them.
    fn revision(&self) -> u64 {
        self.changed.as_ref().map_or(0, |changed| changed.revision)
    }

    /// Whether somebody may know of the data set.
    fn is_visible_to(&self, caller: &Caller) -> bool {
        let knows_all = matches!(caller.role, Role::Operator | Role::Server);
        let person = caller.fingerprint;
        self.state == State::Complete && (knows_all || self.is_of(person) || self.terms().concern(person))
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.since = now().as_second();
    }
}

/// What a job wants to train on.
#[derive(Clone, Debug)]
pub(crate) struct JobRequest {
    /// Ids of the data sets.
    pub(crate) datasets: Vec<String>,
    /// Features that are used; all if there is none.
    pub(crate) columns: Vec<String>,
    pub(crate) task: Task,
    pub(crate) epochs: u64,
    /// More than one if a grid is searched.
    pub(crate) trainings: u64,
    /// Training rows in all.
    pub(crate) rows: u64,
    pub(crate) outputs: Vec<Output>,
    /// Who gets predictions, if they are an output.
    pub(crate) predictions_to: Vec<Fingerprint>,
    /// Who gets the model, if it is an output.
    pub(crate) model_to: Vec<Fingerprint>,
}

/// The share files and records of uploads and data sets. Its functions wait for the disk.
#[derive(Debug)]
pub(crate) struct DataSets {
    store: Arc<Store>,
    audit: Arc<AuditLog>,
    /// Directory with one for each upload.
    dir: PathBuf,
    key: StorageKey,
    party: Party,
    limits: Limits,
    /// Share files that are being written, and uploads that are being checked.
    busy: Arc<Mutex<BTreeSet<String>>>,
    /// What checks have found, of uploads that are receiving again.
    problems: Mutex<std::collections::BTreeMap<String, String>>,
    /// An upload is ready.
    pub(crate) ready: Notify,
}

impl DataSets {
    /// The directory of the share files of an upload.
    pub(crate) fn share_dir(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// The data sets that somebody may know of.
    pub(crate) fn list(&self, caller: &Caller) -> Result<Vec<Upload>> {
        let all = self.store.read(|state| UPLOADS.all(state))?.into_iter().map(|(_, upload)| upload);
        Ok(all.filter(|upload| upload.is_visible_to(caller)).collect())
    }

    /// The data set with a name or id, if this person may know of it.
    pub(crate) fn find(&self, caller: &Caller, reference: &str) -> core::result::Result<Upload, Refusal> {
        if is_id(reference) {
            let found = self.store.read(|state| UPLOADS.get(state, reference))?;
            return found.filter(|upload| upload.is_visible_to(caller)).ok_or_else(|| no_data_set(reference));
        }
        let mut found = self.list(caller)?.into_iter().filter(|upload| upload.manifest.name == reference);
        match (found.next(), found.next()) {
            (Some(upload), None) => Ok(upload),
            (None, _) => Err(no_data_set(reference)),
            (Some(_), Some(_)) => {
                let text = format!("several data sets are called {reference:?}");
                Err(Refusal::new(StatusCode::CONFLICT, text)
                    .with_hint("give the id that `shamisen list` shows"))
            }
        }
    }

    /// An upload of this owner.
    fn own(&self, caller: &Caller, id: &str) -> core::result::Result<Upload, Refusal> {
        let found = self.store.read(|state| UPLOADS.get(state, id))?;
        found.filter(|upload| upload.is_of(caller.fingerprint)).ok_or_else(|| no_upload(id))
    }

    /// How far an upload of this owner is.
    pub(crate) fn status(&self, caller: &Caller, id: &str) -> core::result::Result<UploadStatus, Refusal> {
        Ok(self.status_of(&self.own(caller, id)?))
    }

    /// The uploads of this owner that are under way.
    pub(crate) fn under_way(&self, caller: &Caller) -> Result<Vec<UploadStatus>> {
        let all = self.store.read(|state| UPLOADS.all(state))?.into_iter().map(|(_, upload)| upload);
        let own = all.filter(|upload| upload.is_of(caller.fingerprint));
        let under_way = own.filter(|upload| matches!(upload.state, State::Receiving | State::Ready { .. }));
        Ok(under_way.map(|upload| self.status_of(&upload)).collect())
    }

    fn status_of(&self, upload: &Upload) -> UploadStatus {
        let Manifest { id, name, files, .. } = &upload.manifest;
        let dir = self.share_dir(id);
        let is_receiving = upload.state == State::Receiving;
        let file = |sum: &crate::manifest::FileSum| {
            let received = if is_receiving { self.received(&dir, &sum.name) } else { sum.bytes };
            FileStatus { name: sum.name.clone(), bytes: sum.bytes, received }
        };
        let lock = |id: &str| self.busy.lock().is_ok_and(|busy| busy.contains(id));
        let state = if is_receiving && lock(id) { UploadState::Checking } else { upload.state.told() };
        let problem = match &upload.state {
            State::Aborted { reason } => Some(reason.clone()),
            _ => self.problems.lock().ok().and_then(|problems| problems.get(id).cloned()),
        };
        let confirmed = match &upload.state {
            State::Ready { confirmed } => confirmed.iter().copied().collect(),
            _ => Vec::new(),
        };
        let files = files[self.party.index()].iter().map(file).collect();
        UploadStatus { id: id.clone(), name: name.clone(), state, files, confirmed, problem }
    }

    /// Bytes of a share file that are there.
    fn received(&self, dir: &Path, name: &str) -> u64 {
        EncryptedWriter::resume(&share_path(dir, name), &self.key).map_or(0, |writer| writer.written())
    }

    /// Gives up an upload, or takes back a data set: nothing of it remains at this server.
    pub(crate) fn revoke(&self, caller: &Caller, id: &str) -> core::result::Result<UploadStatus, Refusal> {
        let upload = self.store.write(|state| {
            let found = UPLOADS.get(state, id)?.filter(|upload| upload.is_of(caller.fingerprint));
            let mut upload = found.ok_or_else(|| no_upload(id))?;
            let (what, next) = match upload.state {
                State::Receiving => {
                    ("upload.cancelled", State::Aborted { reason: "its owner has given it up".into() })
                }
                State::Complete => ("dataset.revoked", State::Revoked),
                State::Aborted { .. } | State::Revoked => return Ok(upload),
                State::Ready { .. } => {
                    // Perhaps another server has given it up.
                    self.ready.notify_one();
                    let text = "this upload is about to become a data set at all three servers";
                    let hint = "try again when `shamisen list` shows it";
                    return Err(Refusal::new(StatusCode::CONFLICT, text).with_hint(hint));
                }
            };
            let event = Event::new(what, id, Decision::Accepted).by(caller).with_digest(&upload.digest);
            self.audit.append(event)?;
            upload.enter(next);
            UPLOADS.put(state, id, &upload)?;
            Ok(upload)
        })?;
        self.remove_files(id);
        Ok(self.status_of(&upload))
    }

    /// Removes the share files of an upload. What cannot be removed now is removed at the next start.
    fn remove_files(&self, id: &str) {
        let dir = self.share_dir(id);
        if let Err(error) = fs::remove_dir_all(&dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(%error, dir = %dir.display(), "share files cannot be removed");
        }
    }

    /// Admits a job to its data sets, if the terms of all allow it: uses its id, and counts its trainings.
    ///
    /// What is decided goes to the audit log. After a refusal the transaction must not be kept.
    pub(crate) fn admit_in(
        &self,
        state: &Write<'_>,
        (job, digest): (&str, &str),
        caller: &Caller,
        request: &JobRequest,
    ) -> core::result::Result<Vec<Upload>, Refusal> {
        let event = |decision| {
            let what = if decision == Decision::Accepted { "job.accepted" } else { "job.refused" };
            Event::new(what, job, decision).by(caller).with_digest(digest)
        };
        match admitted(state, job, caller, request) {
            Ok(uploads) => {
                self.audit.append(event(Decision::Accepted))?;
                Ok(uploads)
            }
            Err(refusal) => {
                self.audit.refuse(false, event(Decision::Refused).because(refusal.error()))?;
                Err(refusal.audited())
            }
        }
    }
}

/// The data sets of a job that their terms allow, with its trainings counted.
fn admitted(
    state: &Write<'_>,
    job: &str,
    caller: &Caller,
    request: &JobRequest,
) -> core::result::Result<Vec<Upload>, Refusal> {
    if !is_id(job) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the id of a job has to be 32 hexadecimal digits"));
    }
    if !state.use_id(job, "job")? {
        return Err(used(job, "job"));
    }
    let ids: BTreeSet<&String> = request.datasets.iter().collect();
    if ids.is_empty() || ids.len() < request.datasets.len() {
        let text = "a job names one or more data sets, each of them once";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    let mut uploads = Vec::with_capacity(ids.len());
    for id in &request.datasets {
        let found = UPLOADS.get(state, id)?.filter(|upload| upload.is_visible_to(caller));
        uploads.push(found.ok_or_else(|| no_data_set(id))?);
    }
    let known: BTreeSet<&String> =
        uploads.iter().flat_map(|upload| &upload.manifest.schema.features).collect();
    if let Some(column) = request.columns.iter().find(|column| !known.contains(column)) {
        let text = format!("the job uses the column {column:?}, which none of its data sets has");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    for upload in &mut uploads {
        let Manifest { name, schema, .. } = &upload.manifest;
        let mut columns = schema.features.clone();
        columns.retain(|column| request.columns.is_empty() || request.columns.contains(column));
        let wanted = Use {
            analyst: caller.fingerprint,
            task: request.task,
            columns: &columns,
            epochs: request.epochs,
            trainings: request.trainings,
            rows: request.rows,
            outputs: &request.outputs,
            predictions_to: &request.predictions_to,
            model_to: &request.model_to,
        };
        upload.terms().check(&wanted, upload.trainings, now()).map_err(|breach| {
            let text = format!("the terms of the data set {name}: {breach}");
            Refusal::new(StatusCode::FORBIDDEN, text).with_hint("`shamisen terms` shows what they allow")
        })?;
        upload.trainings = upload.trainings.saturating_add(request.trainings);
    }
    for upload in &uploads {
        UPLOADS.put(state, &upload.manifest.id, upload)?;
    }
    Ok(uploads)
}

/// A data set in the words of the interface; `owner` is what the server calls its owner.
pub(crate) fn described(upload: Upload, owner: Option<&str>) -> DataSetInfo {
    let (terms, revision) = (upload.terms().clone(), upload.revision());
    let Upload { manifest, digest, trainings, changed, .. } = upload;
    let Manifest { id, name, owner: key, description, schema, preparation, terms: _, files: _ } = manifest;
    DataSetInfo {
        id,
        name,
        owner: owner.unwrap_or("somebody who is not known any more").to_owned(),
        owner_fingerprint: key.to_string(),
        task: description.task.map(Into::into),
        rows: description.rows as u64,
        test_rows: description.test_rows.unwrap_or(0) as u64,
        schema,
        preparation,
        expired: terms.have_expired(now()),
        terms,
        revision,
        terms_digest: changed.map(|changed| changed.signed.digest()),
        trainings,
        digest,
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn no_upload(id: &str) -> Refusal {
    let text = format!("there is no upload {} of yours", shown(id));
    Refusal::new(StatusCode::NOT_FOUND, text).with_hint("`shamisen list` shows what there is")
}

fn no_data_set(reference: &str) -> Refusal {
    let text = format!("there is no data set {} that you may know of", shown(reference));
    Refusal::new(StatusCode::NOT_FOUND, text).with_hint("`shamisen list` shows what there is").noted()
}

fn used(id: &str, what: &str) -> Refusal {
    let text = format!("the id {} was used before, and the id of {what} is good for once", shown(id));
    Refusal::new(StatusCode::CONFLICT, text)
        .with_hint("draw a new one; what was done with it before stays as it is")
}

/// A text of a caller in a message: not long, and without what a terminal would take for a command.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    format!("{start:?}")
}

#[cfg(test)]
mod tests;
