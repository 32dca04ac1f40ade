//! How a server takes up its data sets when it starts, and what it clears away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use jiff::Timestamp;
use shamisen_data::encrypted::StorageKey;
use tokio::sync::Notify;

use crate::audit::Decision;
use crate::config::ServerConfig;
use crate::server::audit_log::{AuditLog, Event};
use crate::server::data::{DataSets, State, UPLOADS, Upload};
use crate::server::store::{Records, Store};
use crate::{Result, ServiceError};

/// What tells the storage key of this server from others.
const KEYS: Records<String> = Records::new("keys");

/// Its place in [`KEYS`].
const STORAGE: &str = "storage";

impl DataSets {
    /// Takes up what the server has, and removes share files that belong to nothing.
    pub(crate) fn open(config: &ServerConfig, store: Arc<Store>, audit: Arc<AuditLog>) -> Result<Self> {
        let dir = config.data.join("shares");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|error| ServiceError::io("create", &dir, error))?;
        let sets = Self {
            key: storage_key(&config.storage_key, &store)?,
            store,
            audit,
            dir,
            party: config.party,
            limits: config.limits.clone(),
            busy: Arc::default(),
            problems: Mutex::new(BTreeMap::new()),
            ready: Notify::new(),
        };
        sets.remove_orphans()?;
        sets.forget_old()?;
        Ok(sets)
    }

    /// Removes directories of uploads that have no share files any more, or never were.
    fn remove_orphans(&self) -> Result<()> {
        let all = self.store.read(|state| UPLOADS.all(state))?;
        let live: BTreeSet<String> =
            all.into_iter().filter(|(_, upload)| upload.state.has_files()).map(|(id, _)| id).collect();
        let io = |error| ServiceError::io("read", &self.dir, error);
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name().to_str().is_none_or(|name| !live.contains(name)) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|error| ServiceError::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// Aborts uploads that have not gone on for the time that the configuration gives them.
    pub(crate) fn forget_old(&self) -> Result<()> {
        let all = self.store.read(|state| UPLOADS.all(state))?;
        for (id, upload) in all.into_iter().filter(|(_, upload)| upload.state == State::Receiving) {
            if !self.is_old(&id, &upload) {
                continue;
            }
            let hours = self.limits.upload_time.as_secs() / 3600;
            self.abort(&id, "upload.expired", &format!("nothing of it has come for {hours} hours"))?;
        }
        Ok(())
    }

    fn is_old(&self, id: &str, upload: &Upload) -> bool {
        let dir = self.share_dir(id);
        let files = fs::read_dir(&dir).into_iter().flatten().flatten();
        let written = files.filter_map(|file| file.metadata().ok()?.modified().ok()).max();
        let idle = written.and_then(|time| SystemTime::now().duration_since(time).ok());
        let known = Timestamp::now().as_second().saturating_sub(upload.since);
        let idle = idle.map_or(known, |idle| known.min(idle.as_secs() as i64));
        idle > self.limits.upload_time.as_secs() as i64
    }

    /// Gives up an upload that is not complete.
    pub(crate) fn abort(&self, id: &str, what: &str, reason: &str) -> Result<()> {
        let aborted = self.store.write(|state| {
            let Some(mut upload) = UPLOADS.get(state, id)? else { return Ok(false) };
            if !matches!(upload.state, State::Receiving | State::Ready { .. }) {
                return Ok(false);
            }
            self.audit
                .append(Event::new(what, id, Decision::Noted).with_digest(&upload.digest).because(reason))?;
            upload.enter(State::Aborted { reason: reason.to_owned() });
            UPLOADS.put(state, id, &upload)?;
            Ok::<_, ServiceError>(true)
        })?;
        if aborted {
            self.remove_files(id);
        }
        Ok(())
    }
}

/// Reads the storage key; a server that has never had one gets a new one.
fn storage_key(path: &Path, store: &Store) -> Result<StorageKey> {
    let known = store.read(|state| KEYS.get(state, STORAGE))?;
    let exists = path.try_exists().map_err(|error| ServiceError::io("read", path, error))?;
    let key = match (exists, &known) {
        (true, _) => StorageKey::read(path)?,
        (false, None) => StorageKey::create(path)?,
        (false, Some(_)) => {
            let problem = "the key under which this server's share files are encrypted is not there";
            return Err(ServiceError::StorageKey { path: path.to_owned(), problem });
        }
    };
    match known {
        Some(known) if known == key.check_value() => Ok(key),
        Some(_) => {
            let problem =
                "this server's share files are encrypted under another key than the one that is there";
            Err(ServiceError::StorageKey { path: path.to_owned(), problem })
        }
        None => {
            store.write(|state| KEYS.put(state, STORAGE, &key.check_value()))?;
            Ok(key)
        }
    }
}
