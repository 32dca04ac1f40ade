//! What all requests of a server have in common.

use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::body::Bytes;
use shamisen_net::tls::{Fingerprint, https_server};
use tokio::sync::Mutex;

use crate::api::SPEED_BYTES;
use crate::api::data::DataSetInfo;
use crate::config::ServerConfig;
use crate::server::audit_log::AuditLog;
use crate::server::caller::{Known, Visitor};
use crate::server::contacts::Contacts;
use crate::server::data::{DataSets, Upload, described};
use crate::server::jobs::Jobs;
use crate::server::metrics::Metrics;
use crate::server::store::Store;
use crate::{Result, ServiceError};

/// A configuration, and whom it names.
#[derive(Debug)]
struct Present {
    config: Arc<ServerConfig>,
    known: Known,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The configuration, and whom it names: both change when its file is read again.
    present: RwLock<Arc<Present>>,
    pub(crate) metrics: Metrics,
    pub(crate) jobs: Jobs,
    /// What is known of the peers.
    pub(crate) contacts: Contacts,
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
        let present = Present { known: Known::new(&config), config: Arc::new(config) };
        Ok(Self {
            present: RwLock::new(Arc::new(present)),
            metrics: Metrics::new(),
            jobs: Jobs::new(),
            contacts: Contacts::default(),
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
        })
    }

    /// The configuration as it was last read. Whoever needs it to stay the same for some time keeps what is returned.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.present().config)
    }

    /// Whoever is at the other end of a connection on which this key was shown.
    pub(crate) fn visitor(&self, key: Option<Fingerprint>) -> Visitor {
        self.present().known.visitor(key)
    }

    /// Takes a configuration in place of the present one.
    pub(super) fn replace(&self, config: ServerConfig) {
        let present = Arc::new(Present { known: Known::new(&config), config: Arc::new(config) });
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = present;
    }

    fn present(&self) -> Arc<Present> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
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

    /// Does work to its end, even if the one who asked for it hangs up: what is begun would be left half done.
    pub(crate) async fn to_the_end<T: Send + 'static, E: From<ServiceError> + Send + 'static>(
        work: impl Future<Output = core::result::Result<T, E>> + Send + 'static,
    ) -> core::result::Result<T, E> {
        let done = tokio::spawn(work).await;
        done.unwrap_or_else(|error| Err(ServiceError::Start { source: io::Error::other(error) }.into()))
    }

    /// A data set in the words of the interface.
    pub(crate) fn described(&self, upload: Upload) -> DataSetInfo {
        let present = self.present();
        let owner = present.known.name_of(upload.manifest.owner.0);
        described(upload, owner)
    }

    /// Free disk space in bytes, if the system tells.
    pub(crate) fn free_disk(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.config().data).ok()?;
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
