//! What all requests of a server have in common.

use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use hyper::body::Bytes;
use shamisen_net::tls::https_server;
use tokio::sync::Mutex;

use crate::api::SPEED_BYTES;
use crate::api::data::DataSetInfo;
use crate::config::ServerConfig;
use crate::server::audit_log::AuditLog;
use crate::server::caller::Known;
use crate::server::data::{DataSets, Upload, described};
use crate::server::jobs::Jobs;
use crate::server::metrics::Metrics;
use crate::server::store::Store;
use crate::{Result, ServiceError};

/// A running server.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) known: Known,
    pub(crate) metrics: Metrics,
    pub(crate) jobs: Jobs,
    /// The description of the interface.
    pub(crate) openapi: String,
    /// What a test of the bandwidth sends.
    pub(crate) zeros: Bytes,
    /// Settings of both planes.
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// Held while the peers are examined, so that measurements do not disturb each other.
    pub(crate) examining: Mutex<()>,
    /// What the server remembers.
    pub(crate) store: Arc<Store>,
    /// Who asked for what, and what was decided.
    pub(crate) audit: Arc<AuditLog>,
    /// Uploads and data sets.
    pub(crate) data: DataSets,
    /// Held while an upload is checked, which reads all of it.
    pub(crate) checking: Mutex<()>,
    /// Held while somebody listens at the port of the data plane.
    pub(crate) data_port: Arc<Mutex<()>>,
    /// What the numbers of requests begin with, to tell apart those of different starts.
    start: String,
    requests: AtomicU64,
    /// Keeps other servers out of the directory.
    _lock: File,
}

impl Shared {
    /// A server that has its data directory for itself.
    pub(crate) fn new(config: ServerConfig, openapi: String) -> Result<Self> {
        let dir = &config.data;
        let lock = take(dir)?;
        let tls = https_server(&config.identity)
            .map_err(|source| ServiceError::Start { source: io::Error::other(source) })?;
        let store = Arc::new(Store::open(dir)?);
        let audit = Arc::new(AuditLog::open(dir, config.party.index() as u8)?);
        let data = DataSets::open(&config, Arc::clone(&store), Arc::clone(&audit))?;
        let start = getrandom::u32().map_err(|_| ServiceError::Randomness)?;
        Ok(Self {
            known: Known::new(&config),
            metrics: Metrics::new(),
            jobs: Jobs::new(),
            openapi,
            zeros: vec![0; SPEED_BYTES].into(),
            tls: Arc::new(tls),
            examining: Mutex::new(()),
            store,
            audit,
            data,
            checking: Mutex::new(()),
            data_port: Arc::default(),
            start: format!("{start:08x}"),
            requests: AtomicU64::new(1),
            _lock: lock,
            config,
        })
    }

    /// The number of a new request.
    pub(crate) fn next_request(&self) -> String {
        format!("{}-{}", self.start, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Does work that waits for the disk, where it keeps nobody else waiting.
    pub(crate) async fn blocking<T: Send + 'static, E: From<ServiceError> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> core::result::Result<T, E> + Send + 'static,
    ) -> core::result::Result<T, E> {
        let shared = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|error| Err(ServiceError::Start { source: io::Error::other(error) }.into()))
    }

    /// A data set in the words of the interface.
    pub(crate) fn described(&self, upload: Upload) -> DataSetInfo {
        let owner = self.known.name_of(upload.manifest.owner.0);
        described(upload, owner)
    }

    /// Free disk space in bytes, if the system tells.
    pub(crate) fn free_disk(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.config.data).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Makes the data directory, if it is not there, and locks it.
fn take(dir: &Path) -> Result<File> {
    let create = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    create.map_err(|error| ServiceError::io("create", dir, error))?;
    let path = dir.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| ServiceError::io("write", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServiceError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(ServiceError::io("lock", &path, error)),
    }
}
