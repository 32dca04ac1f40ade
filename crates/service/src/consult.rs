//! Questions to all three servers at once.

use core::time::Duration;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shamisen_net::tls::Identity;
use tokio::runtime::{Builder, Runtime};

use crate::api::data::AuditPage;
use crate::audit::{Account, Chain, Entry, compare};
use crate::client::{CallError, Client, told};
use crate::cluster::{Cluster, Server};
use crate::{Result, ServiceError};

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Longest line of an audit log.
const LONGEST_LINE: usize = 1 << 16;

/// What the three servers answered, or why they did not.
pub type Answers<T> = [core::result::Result<T, CallError>; 3];

/// Asks all three servers for the same.
///
/// # Errors
///
/// If the operating system does not let it begin.
pub fn get<T: DeserializeOwned>(cluster: &Cluster, identity: &Identity, path: &str) -> Result<Answers<T>> {
    each(cluster, identity, &async |client| client.get(path).await)
}

/// Has all three servers remove the same.
///
/// # Errors
///
/// If the operating system does not let it begin.
pub fn delete<T: DeserializeOwned>(cluster: &Cluster, identity: &Identity, path: &str) -> Result<Answers<T>> {
    each(cluster, identity, &async |client| client.delete(path).await)
}

/// Gives all three servers the same, as JSON.
///
/// # Errors
///
/// If the operating system does not let it begin.
pub fn put<Q: Serialize, T: DeserializeOwned>(
    cluster: &Cluster,
    identity: &Identity,
    path: &str,
    content: &Q,
) -> Result<Answers<T>> {
    each(cluster, identity, &async |client| client.put_json(path, content).await)
}

fn each<T>(
    cluster: &Cluster,
    identity: &Identity,
    call: &impl AsyncFn(&mut Client) -> core::result::Result<T, CallError>,
) -> Result<Answers<T>> {
    let one = async |server: &Server| {
        let mut client =
            Client::connect(Some(identity), &server.address, server.fingerprint, DEADLINE).await?;
        call(&mut client).await
    };
    let [first, second, third] = &cluster.servers;
    Ok(runtime()?.block_on(async { tokio::join!(one(first), one(second), one(third)) }).into())
}

/// Why a server did not answer as it should, with what to do about it.
pub fn explained(party: usize, error: &CallError) -> String {
    let (finding, advice) = told(error);
    format!("server {party}: {finding}\nhint: {advice}")
}

/// What was found in the audit logs of three servers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Audit {
    /// What each log says, or what is wrong with it.
    pub logs: [core::result::Result<Account, String>; 3],
    /// What does not agree.
    pub contradictions: Vec<String>,
}

impl Audit {
    /// Whether all logs are whole and agree.
    pub fn is_well(&self) -> bool {
        self.contradictions.is_empty() && self.logs.iter().all(core::result::Result::is_ok)
    }
}

/// Reads the audit logs of the three servers, checks their chains, and compares them.
///
/// # Errors
///
/// If the operating system does not let it begin.
pub fn audit(cluster: &Cluster, identity: &Identity) -> Result<Audit> {
    let mut readers = [LogReader::default(), LogReader::default(), LogReader::default()];
    runtime()?.block_on(async {
        // The second time for what came while the others were read, which the first ones may know of.
        for is_due in [true, false] {
            let read = readers.iter_mut().zip(&cluster.servers);
            for (reader, server) in read {
                reader.read(identity, server, is_due).await;
            }
        }
    });
    let logs = readers.map(|reader| match reader.problem {
        None => Ok(reader.account),
        Some(problem) => Err(problem),
    });
    let contradictions = match &logs {
        [Ok(first), Ok(second), Ok(third)] => compare(&[first.clone(), second.clone(), third.clone()]),
        _ => Vec::new(),
    };
    Ok(Audit { logs, contradictions })
}

/// Checks the chain of an audit log in a file, as a server keeps it.
///
/// # Errors
///
/// If it cannot be read, or is not what it was.
pub fn audit_file(path: &Path) -> Result<Account> {
    let io = |error| ServiceError::io("read", path, error);
    let mut reader = LogReader::default();
    let wrong = |problem: String| ServiceError::Config { path: path.to_owned(), line: None, reason: problem };
    for line in BufReader::new(File::open(path).map_err(io)?).lines() {
        let line = line.map_err(io)?;
        let entry = Some(&line)
            .filter(|line| line.len() <= LONGEST_LINE)
            .and_then(|line| serde_json::from_str(line).ok());
        let Some(entry) = entry else {
            return Err(wrong(format!("entry {} cannot be read", reader.chain.seq() + 1)));
        };
        reader.take(&entry, true).map_err(wrong)?;
    }
    Ok(reader.account)
}

/// Follows the log of a server.
#[derive(Default)]
struct LogReader {
    chain: Chain,
    account: Account,
    problem: Option<String>,
}

impl LogReader {
    async fn read(&mut self, identity: &Identity, server: &Server, is_due: bool) {
        if self.problem.is_none()
            && let Err(problem) = self.try_to_read(identity, server, is_due).await
        {
            self.problem = Some(problem);
        }
    }

    async fn try_to_read(
        &mut self,
        identity: &Identity,
        server: &Server,
        is_due: bool,
    ) -> core::result::Result<(), String> {
        let explain = |error: &CallError| told(error).0;
        let client = Client::connect(Some(identity), &server.address, server.fingerprint, DEADLINE).await;
        let mut client = client.map_err(|error| explain(&error))?;
        loop {
            let path = format!("/v1/audit?from={}", self.chain.seq() + 1);
            let page: AuditPage = client.get(&path).await.map_err(|error| explain(&error))?;
            for entry in &page.entries {
                self.take(entry, is_due)?;
            }
            if page.entries.is_empty() && page.last > self.chain.seq() {
                return Err(format!(
                    "the log ends at entry {}, and should have {}",
                    self.chain.seq(),
                    page.last
                ));
            }
            // What is added while it is read is for the second time.
            if page.entries.is_empty() || page.last <= self.chain.seq() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, entry: &Entry, is_due: bool) -> core::result::Result<(), String> {
        let text = self.chain.follow(entry).map_err(|fault| fault.to_string())?;
        self.account.take(&self.chain, text, is_due);
        Ok(())
    }
}

/// Where a client waits for answers.
pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().map_err(|source| ServiceError::Start { source })
}
