//! How an owner's machine uploads the shares of a table to the three servers.
//!
//! Each server is told of the upload and sent its share files, in pieces, from where it has them; what breaks off is tried again for
//! a while, and after that by the next start. The data set exists when all three say so.

use core::cell::Cell;
use core::time::Duration;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hyper::body::Bytes;
use shamisen_data::shares::share_path;
use shamisen_net::tls::Identity;
use tokio::time::sleep;

use crate::api::Received;
use crate::api::data::{UploadState, UploadStatus};
use crate::client::{CallError, Client, told};
use crate::cluster::{Cluster, Server};
use crate::consult::runtime;
use crate::manifest::{FileSum, Manifest};
use crate::{Result, ServiceError};

/// Bytes that are sent in a request: what every server takes.
const PIECE: u64 = 1 << 22;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_mins(2);

/// How often a server is asked to check share files that are all there.
const ATTEMPTS: u32 = 5;

/// First pause before something is tried again, and the longest one.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// How an upload goes.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever uploads says all of it")]
pub struct Upload<'a> {
    /// What is uploaded.
    pub manifest: &'a Manifest,
    /// The directories with the share files of parties 0, 1 and 2.
    pub dirs: &'a [PathBuf; 3],
    /// How long a server may fail, or another one be waited for, without anything going on.
    pub patience: Duration,
}

impl Upload<'_> {
    /// Uploads, and waits until the data set exists; `observe` is told how many bytes the three servers have of all.
    ///
    /// # Errors
    ///
    /// If a server refuses, or cannot be reached for too long; if a share file cannot be read. Called again, it goes on.
    pub fn run(&self, cluster: &Cluster, identity: &Identity, observe: impl Fn(u64, u64)) -> Result<()> {
        let total = (0..3).map(|party| self.manifest.bytes(party)).sum();
        let counts = [Cell::new(0), Cell::new(0), Cell::new(0)];
        let show = || observe(counts.iter().map(Cell::get).sum(), total);
        let [first, second, third] = &cluster.servers;
        let sender =
            |server| Sender { upload: self, identity, server, client: None, idle: Idle::new(self.patience) };
        let (mut first, mut second, mut third) = (sender(first), sender(second), sender(third));
        runtime()?.block_on(async {
            // No byte is sent before all three are willing.
            tokio::try_join!(first.begin(), second.begin(), third.begin())?;
            tokio::try_join!(
                first.send(&counts[0], &show),
                second.send(&counts[1], &show),
                third.send(&counts[2], &show)
            )?;
            tokio::try_join!(first.complete(), second.complete(), third.complete())?;
            Ok(())
        })
    }
}

/// Since when nothing has gone on.
struct Idle {
    since: Instant,
    pause: Duration,
    patience: Duration,
}

impl Idle {
    fn new(patience: Duration) -> Self {
        Self { since: Instant::now(), pause: PAUSES[0], patience }
    }

    fn over(&mut self) {
        *self = Self::new(self.patience);
    }

    /// Waits a moment; false if that was done for too long.
    async fn wait(&mut self) -> bool {
        if self.since.elapsed() > self.patience {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (2 * self.pause).min(PAUSES[1]);
        true
    }
}

/// The part of an upload that goes to one server.
struct Sender<'a> {
    upload: &'a Upload<'a>,
    identity: &'a Identity,
    server: &'a Server,
    client: Option<Client>,
    idle: Idle,
}

impl Sender<'_> {
    /// Tells the server of the upload, if it does not know of it.
    async fn begin(&mut self) -> Result<()> {
        loop {
            match self.try_to_begin().await {
                Ok(()) => {
                    self.idle.over();
                    return Ok(());
                }
                Err(error) => self.bear(error).await?,
            }
        }
    }

    async fn try_to_begin(&mut self) -> core::result::Result<(), CallError> {
        match self.status().await {
            Err(CallError::Refused { status: 404, .. }) => {
                let manifest = self.upload.manifest;
                let _: UploadStatus = self.client().await?.post_json("/v1/uploads", manifest).await?;
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Sends what the server does not have, and waits until it has checked all of it.
    async fn send(&mut self, count: &Cell<u64>, show: &impl Fn()) -> Result<()> {
        let mut is_repaired = false;
        let mut attempts = 0;
        loop {
            let status = match self.status().await {
                Ok(status) => status,
                Err(error) => {
                    self.bear(error).await?;
                    continue;
                }
            };
            count.set(status.files.iter().map(|file| file.received).sum());
            show();
            match status.state {
                UploadState::Receiving => {
                    if let Some(problem) = status.problem {
                        // Once is an accident.
                        if is_repaired && status.files.iter().any(|file| file.received < file.bytes) {
                            return Err(self.gone(&problem));
                        }
                        is_repaired = true;
                    }
                    if attempts == ATTEMPTS {
                        return Err(
                            self.gone("it has all share files, and does not accept them: its log says why")
                        );
                    }
                    attempts += u32::from(status.files.iter().all(|file| file.received == file.bytes));
                    if let Err(failure) = self.send_files(&status.files, count, show).await {
                        match failure {
                            Failure::Call(error) => self.bear(error).await?,
                            Failure::Other(error) => return Err(error),
                        }
                    }
                }
                UploadState::Checking => {
                    self.idle.over();
                    sleep(PAUSES[0]).await;
                }
                UploadState::Ready | UploadState::Complete => return Ok(()),
                UploadState::Aborted | UploadState::Revoked | UploadState::Unknown => {
                    return Err(self.gone(status.problem.as_deref().unwrap_or("it was revoked")));
                }
            }
        }
    }

    async fn send_files(
        &mut self,
        there: &[crate::api::data::FileStatus],
        count: &Cell<u64>,
        show: &impl Fn(),
    ) -> core::result::Result<(), Failure> {
        let party = self.server.party.index();
        let manifest = self.upload.manifest;
        for sum in &manifest.files[party] {
            let mut sent = there.iter().find(|file| file.name == sum.name).map_or(0, |file| file.received);
            let path = share_path(&self.upload.dirs[party], &sum.name);
            while sent < sum.bytes {
                let piece = read_piece(&path, sent, sum).map_err(Failure::Other)?;
                let place = format!("/v1/uploads/{}/{}/{sent}", manifest.id, sum.name);
                let received: Received = self.client().await?.put(&place, piece).await?;
                if received.bytes <= sent {
                    return Err(Failure::Other(
                        self.gone("it takes no more bytes of a share file that is not complete"),
                    ));
                }
                count.set(count.get() + (received.bytes - sent));
                show();
                sent = received.bytes;
                self.idle.over();
            }
        }
        let finish = format!("/v1/uploads/{}/finish", manifest.id);
        let _: UploadStatus = self.client().await?.post(&finish, Bytes::new()).await?;
        Ok(())
    }

    /// Waits until the server says that the data set exists.
    async fn complete(&mut self) -> Result<()> {
        loop {
            match self.status().await {
                Ok(status) => match status.state {
                    UploadState::Complete => return Ok(()),
                    UploadState::Ready => {
                        if !self.idle.wait().await {
                            let text = format!(
                                "server {} has the upload, and has not heard of the two others that they have it\nhint: run `shamisen doctor`; the servers go on by themselves, and the same command once more waits for them",
                                self.server.party.index()
                            );
                            return Err(ServiceError::Upload { text });
                        }
                    }
                    _ => return Err(self.gone(status.problem.as_deref().unwrap_or("it was given up"))),
                },
                Err(error) => self.bear(error).await?,
            }
        }
    }

    async fn status(&mut self) -> core::result::Result<UploadStatus, CallError> {
        let path = format!("/v1/uploads/{}", self.upload.manifest.id);
        self.client().await?.get(&path).await
    }

    async fn client(&mut self) -> core::result::Result<&mut Client, CallError> {
        let client = if let Some(client) = self.client.take() {
            client
        } else {
            let Server { address, fingerprint, .. } = self.server;
            Client::connect(Some(self.identity), address, *fingerprint, DEADLINE).await?
        };
        Ok(self.client.insert(client))
    }

    /// Waits a moment after a failure that may pass; the others are for the owner to hear of.
    async fn bear(&mut self, error: CallError) -> Result<()> {
        // Whatever it was, a new connection does no harm.
        self.client = None;
        let may_pass = match &error {
            CallError::Unreachable { .. } | CallError::Silent { .. } | CallError::Broken { .. } => true,
            // Something of the last connection is still being written, or the server ends.
            CallError::Refused { status, .. } => matches!(status, 409 | 503),
            _ => false,
        };
        let is_stuck = matches!(&error, CallError::Refused { status: 409, .. })
            && self.idle.since.elapsed() > Duration::from_secs(5);
        if may_pass && !is_stuck && self.idle.wait().await {
            return Ok(());
        }
        let (finding, advice) = told(&error);
        let text = format!("server {}: {finding}\nhint: {advice}", self.server.party.index());
        Err(ServiceError::Upload { text })
    }

    fn gone(&self, problem: &str) -> ServiceError {
        ServiceError::UploadGone { party: self.server.party.index(), problem: problem.to_owned() }
    }
}

/// Why something could not be sent.
enum Failure {
    Call(CallError),
    Other(ServiceError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

fn read_piece(path: &Path, from: u64, sum: &FileSum) -> Result<Bytes> {
    let mut piece = vec![0; (sum.bytes - from).min(PIECE) as usize];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut piece, from));
    read.map_err(|error| ServiceError::io("read", path, error))?;
    Ok(piece.into())
}

/// The length and hash of each of these share files of a party.
///
/// # Errors
///
/// If one cannot be read.
pub fn sums(dir: &Path, names: &[&str]) -> Result<Vec<FileSum>> {
    let sum = |name: &&str| {
        let path = share_path(dir, name);
        let io = |error| ServiceError::io("read", &path, error);
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(&path).map_err(io)?).map_err(io)?;
        let (bytes, blake3) = (hasher.count(), hasher.finalize().to_hex().to_string());
        Ok(FileSum { name: (*name).to_owned(), bytes, blake3 })
    };
    names.iter().map(sum).collect()
}
