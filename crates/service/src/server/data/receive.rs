//! How the share files of an upload come in, are written encrypted, and are checked.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use shamisen_data::DataError;
use shamisen_data::encrypted::{EncryptedWriter, read_all};
use shamisen_data::shares::{ShareFile, share_path};

use crate::api::data::UploadStatus;
use crate::audit::Decision;
use crate::manifest::{FileSum, Manifest};
use crate::server::audit_log::Event;
use crate::server::caller::Caller;
use crate::server::data::{DataSets, State, UPLOADS, Upload, now, shown, used};
use crate::server::problem::Refusal;
use crate::{KeyId, Result, ServiceError};

type Answer<T> = core::result::Result<T, Refusal>;

/// Something of which only one at a time may be under way.
#[derive(Debug)]
pub(crate) struct Turn {
    busy: Arc<Mutex<BTreeSet<String>>>,
    what: String,
}

impl Turn {
    fn take(busy: &Arc<Mutex<BTreeSet<String>>>, what: String) -> Option<Self> {
        let taken = busy.lock().is_ok_and(|mut busy| busy.insert(what.clone()));
        taken.then(|| Self { busy: Arc::clone(busy), what })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Ok(mut busy) = self.busy.lock() {
            busy.remove(&self.what);
        }
    }
}

/// A share file to which a request writes.
#[derive(Debug)]
pub(crate) struct Writing {
    writer: EncryptedWriter,
    _turn: Turn,
}

impl Writing {
    /// Appends what came.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Answer<()> {
        self.writer.append(bytes).map_err(|error| match error {
            DataError::Length { .. } => {
                let text = "the request brings more bytes than the share file has";
                Refusal::new(StatusCode::BAD_REQUEST, text)
            }
            error => error.into(),
        })
    }

    /// Bytes of the share file that are there.
    pub(crate) fn written(&self) -> u64 {
        self.writer.written()
    }
}

impl DataSets {
    /// Begins an upload, for which there must be room.
    pub(crate) fn begin(
        &self,
        caller: &Caller,
        manifest: Manifest,
        free_disk: Option<u64>,
    ) -> Answer<UploadStatus> {
        if let Some(problem) = manifest.problem() {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, problem));
        }
        if manifest.owner != KeyId(caller.fingerprint) {
            let text =
                format!("the upload is of the owner {}, and you are {}", manifest.owner, caller.fingerprint);
            return Err(Refusal::new(StatusCode::FORBIDDEN, text).with_hint("upload with the owner's key"));
        }
        if manifest.terms.have_expired(now()) {
            let text = format!("the terms allow nothing: their last day was {}", manifest.terms.expires);
            return Err(Refusal::new(StatusCode::BAD_REQUEST, text).with_hint("give a later day as expires"));
        }
        self.check_room(&manifest, free_disk)?;
        let digest = manifest.digest()?;
        let upload = Upload {
            manifest,
            digest,
            state: State::Receiving,
            since: now().as_second(),
            trainings: 0,
            changed: None,
        };
        let id = upload.manifest.id.clone();
        self.store.write(|state| {
            self.check_others(caller, &upload.manifest, UPLOADS.all(state)?)?;
            if !state.use_id(&id, "upload")? {
                return Err(used(&id, "an upload"));
            }
            let event = Event::new("upload.begin", &id, Decision::Accepted).by(caller);
            self.audit.append(event.with_digest(&upload.digest))?;
            Ok(UPLOADS.put(state, &id, &upload)?)
        })?;
        Ok(self.status_of(&upload))
    }

    fn check_room(&self, manifest: &Manifest, free_disk: Option<u64>) -> Answer<()> {
        let (bytes, most) = (manifest.bytes(self.party.index()), self.limits.upload_bytes);
        if bytes > most {
            let text = format!("the upload has {bytes} bytes, and this server takes {most} at most");
            let hint = "upload less; upload_bytes in the [limits] of the server is the limit";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text).with_hint(hint));
        }
        match free_disk {
            Some(free) if free.saturating_sub(bytes) < self.limits.free_disk => {
                let text =
                    format!("the upload has {bytes} bytes, for which this server has no room on its disk");
                let hint = "ask its operator for more room, or revoke data sets that are not needed";
                Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, text).with_hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Refuses an upload that does not go with what its owner has at this server.
    fn check_others(&self, caller: &Caller, manifest: &Manifest, all: Vec<(String, Upload)>) -> Answer<()> {
        let own = all.into_iter().map(|(_, upload)| upload).filter(|upload| upload.is_of(caller.fingerprint));
        let live: Vec<Upload> = own.filter(|upload| upload.state.has_files()).collect();
        if let Some(other) = live.iter().find(|other| other.manifest.name == manifest.name) {
            let (name, id) = (&manifest.name, &other.manifest.id);
            let text = match other.state {
                State::Complete => format!("you have a data set {name} already"),
                _ => format!("an upload {id} of yours is under way, which is to be {name}"),
            };
            let hint = "choose another name, go on with the upload, or `shamisen revoke` what is there";
            return Err(Refusal::new(StatusCode::CONFLICT, text).with_hint(hint));
        }
        let under_way = live.iter().filter(|upload| upload.state != State::Complete).count();
        if under_way >= self.limits.uploads {
            let text = format!("{under_way} uploads of yours are under way, which is this server's limit");
            let hint =
                "let one end, or `shamisen revoke` it; uploads in the [limits] of the server is the limit";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).with_hint(hint));
        }
        if live.len() >= self.limits.data_sets {
            let text = format!("you have {} data sets, which is this server's limit", live.len());
            let hint = "revoke some; data_sets in the [limits] of the server is the limit";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).with_hint(hint));
        }
        Ok(())
    }

    /// Opens a share file of an upload to append to it; what comes has to begin where it ends.
    pub(crate) fn write_to(&self, caller: &Caller, id: &str, file: &str, offset: u64) -> Answer<Writing> {
        let upload = self.own(caller, id)?;
        if let State::Aborted { reason } = &upload.state {
            let text = format!("the upload is over: {reason}");
            return Err(Refusal::new(StatusCode::CONFLICT, text).with_hint("upload the data once more"));
        }
        let turn = Turn::take(&self.busy, format!("{id}/{}", shown(file)));
        let Some(turn) = turn.filter(|_| upload.state == State::Receiving && !self.is_checked(id)) else {
            let text = "nothing can be written to this share file now";
            let hint = "another request writes to it, or the upload is past that: ask for its state";
            return Err(Refusal::new(StatusCode::CONFLICT, text).with_hint(hint));
        };
        let sums = &upload.manifest.files[self.party.index()];
        let Some(sum) = sums.iter().find(|sum| sum.name == file) else {
            let text = format!("the upload has no share file {}", shown(file));
            return Err(Refusal::new(StatusCode::NOT_FOUND, text));
        };
        let writer = self.writer(id, sum)?;
        if writer.written() != offset {
            let text = format!(
                "{} bytes of the share file are there, and the request begins at {offset}",
                writer.written()
            );
            return Err(Refusal::new(StatusCode::CONFLICT, text)
                .with_hint("ask for the upload's state, and go on there"));
        }
        Ok(Writing { writer, _turn: turn })
    }

    /// The end of a share file, which is begun if it is not there.
    fn writer(&self, id: &str, sum: &FileSum) -> Result<EncryptedWriter> {
        let dir = self.share_dir(id);
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(ServiceError::io("create", &dir, error));
            }
            _ => {}
        }
        let path = share_path(&dir, &sum.name);
        match EncryptedWriter::resume(&path, &self.key) {
            Ok(writer) => return Ok(writer),
            // A crash can leave less than the head of a file.
            Err(DataError::WrongFormat { .. }) => {
                fs::remove_file(&path).map_err(|error| ServiceError::io("remove", &path, error))?;
            }
            Err(DataError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(EncryptedWriter::create(&path, &self.key, sum.bytes)?)
    }

    fn is_checked(&self, id: &str) -> bool {
        self.busy.lock().is_ok_and(|busy| busy.contains(id))
    }

    /// The turn to check an upload whose share files have all come; none if it is not its time.
    pub(crate) fn turn_to_check(&self, caller: &Caller, id: &str) -> Answer<Option<Turn>> {
        let upload = self.own(caller, id)?;
        if upload.state != State::Receiving {
            return Ok(None);
        }
        let status = self.status_of(&upload);
        if let Some(file) = status.files.iter().find(|file| file.received < file.bytes) {
            let text = format!(
                "{} of {} bytes of the share file {} are there",
                file.received, file.bytes, file.name
            );
            return Err(Refusal::new(StatusCode::CONFLICT, text).with_hint("send the rest first"));
        }
        Ok(Turn::take(&self.busy, id.to_owned()))
    }

    /// Checks an upload, and tells the two other servers if all is well.
    ///
    /// Share files that are not what the owner said are removed, so that they can be sent once more.
    pub(crate) fn check(&self, id: &str, turn: Turn) -> Result<()> {
        let Some(upload) = self.store.read(|state| UPLOADS.get(state, id))? else { return Ok(()) };
        if let Ok(mut problems) = self.problems.lock() {
            problems.remove(id);
        }
        for sum in &upload.manifest.files[self.party.index()] {
            if let Err(error) = self.check_sum(id, sum) {
                let path = share_path(&self.share_dir(id), &sum.name);
                fs::remove_file(&path).map_err(|error| ServiceError::io("remove", &path, error))?;
                return self
                    .note_problem(id, &format!("the share file {} did not arrive whole: {error}", sum.name));
            }
        }
        if let Err(error) = self.check_content(&upload.manifest) {
            // The hashes are right: the owner's own files do not belong together.
            return self.abort(id, "upload.unfit", &self.without_path(id, &error.to_string()));
        }
        self.promise(id)?;
        // Who asks in the meantime hears that it is being checked.
        drop(turn);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for the disk, and compares a share file with the hash that its owner gave.
    fn check_sum(&self, id: &str, sum: &FileSum) -> Result<()> {
        let path = share_path(&self.share_dir(id), &sum.name);
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|error| ServiceError::io("write", &path, error))?;
        let mut hasher = blake3::Hasher::new();
        read_all(&path, &self.key, |piece| {
            hasher.update(piece);
            Ok::<_, DataError>(())
        })?;
        if hasher.finalize().to_hex().as_str() == sum.blake3 {
            return Ok(());
        }
        Err(DataError::Damaged { path, problem: "its hash is not the one that the owner gave".into() }.into())
    }

    /// Checks that the share files are those of this party, and of the sizes that the description says.
    fn check_content(&self, manifest: &Manifest) -> core::result::Result<(), DataError> {
        let dir = self.share_dir(&manifest.id);
        let matrices = manifest.matrices();
        for sum in &manifest.files[self.party.index()] {
            let path = share_path(&dir, &sum.name);
            let file = ShareFile::open_encrypted(&path, self.party.index(), &self.key)?;
            if let Some(matrix) = matrices.iter().find(|matrix| matrix.name == sum.name) {
                matrix.check(&file, &path, &manifest.id)?;
            }
        }
        Ok(())
    }

    /// From now on the server keeps the upload, whatever happens.
    pub(super) fn promise(&self, id: &str) -> Result<()> {
        for dir in [&self.share_dir(id), &self.dir] {
            File::open(dir)
                .and_then(|dir| dir.sync_all())
                .map_err(|error| ServiceError::io("write", dir, error))?;
        }
        self.store.write(|state| {
            let Some(mut upload) = UPLOADS.get(state, id)? else { return Ok(()) };
            if upload.state != State::Receiving {
                return Ok(());
            }
            self.audit.append(Event::new("upload.ready", id, Decision::Noted).with_digest(&upload.digest))?;
            upload.enter(State::Ready { confirmed: BTreeSet::new() });
            UPLOADS.put(state, id, &upload)
        })
    }

    fn note_problem(&self, id: &str, problem: &str) -> Result<()> {
        let problem = self.without_path(id, problem);
        self.audit.append(Event::new("upload.damaged", id, Decision::Noted).because(problem.as_str()))?;
        if let Ok(mut problems) = self.problems.lock() {
            problems.insert(id.to_owned(), problem);
        }
        Ok(())
    }

    /// A message without the place of the server's files, which is nobody's business.
    fn without_path(&self, id: &str, text: &str) -> String {
        text.replace(&format!("{}/", self.share_dir(id).display()), "")
    }
}
