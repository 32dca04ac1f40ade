//! What an analyst does at the three servers: hands in jobs, watches and cancels them.

use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::time::Instant;

use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use shamisen_net::tls::Identity;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::api::WhoAmI;
use crate::api::data::DataSetInfo;
use crate::client::{CallError, Client, told};
use crate::cluster::{Cluster, Server};
use crate::consult::{explained, runtime};
use crate::job::{JobDocument, JobState, JobStatus, LogEntry, LogPage, Submission};
use crate::manifest::{check_name, is_id};
use crate::{Cause, KeyId, Result, ServiceError, Stop};

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Pause between two questions whether to wait any longer.
const ASK: Duration = Duration::from_millis(50);

/// Longest time to cancel a job of one who waits no longer.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Pause between two looks at a job.
const LOOK: Duration = Duration::from_millis(300);

/// How long no server may answer while a job is watched.
const PATIENCE: Duration = Duration::from_mins(2);

/// Asks whether to wait any longer.
type Patience = Box<dyn Fn() -> core::result::Result<(), Stop> + Send + Sync>;

/// Somebody with a key at the three servers.
pub struct Analyst {
    cluster: Cluster,
    identity: Identity,
    runtime: Runtime,
    deadline: Duration,
    patience: Patience,
}

impl Analyst {
    /// Somebody with this key at these servers; nothing is called yet.
    ///
    /// # Errors
    ///
    /// If the system does not let it begin.
    pub fn new(cluster: Cluster, identity: Identity) -> Result<Self> {
        Ok(Self { cluster, identity, runtime: runtime()?, deadline: DEADLINE, patience: Box::new(|| Ok(())) })
    }

    /// The same, who waits for each answer for so long at most.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same, who asks again and again during every wait whether to wait any longer. If not, what waits fails at once with
    /// [`ServiceError::Stopped`].
    #[must_use]
    pub fn with_patience(
        self,
        patience: impl Fn() -> core::result::Result<(), Stop> + Send + Sync + 'static,
    ) -> Self {
        Self { patience: Box::new(patience), ..self }
    }

    /// The own fingerprint.
    pub fn key(&self) -> KeyId {
        KeyId(self.identity.fingerprint())
    }

    /// Fingerprints of the three servers, by their numbers.
    pub fn servers(&self) -> [KeyId; 3] {
        self.cluster.servers.each_ref().map(|server| KeyId(server.fingerprint))
    }

    /// As whom the servers know this person.
    ///
    /// # Errors
    ///
    /// If they do not, or none answers.
    pub fn who_am_i(&self) -> Result<WhoAmI> {
        self.wait(self.ask_any("/v1/whoami"))
    }

    /// The data sets of which this person may know.
    ///
    /// # Errors
    ///
    /// If no server answers.
    pub fn data_sets(&self) -> Result<Vec<DataSetInfo>> {
        self.wait(self.ask_any("/v1/datasets"))
    }

    /// The data set with a name or id.
    ///
    /// # Errors
    ///
    /// If there is none of which this person may know, or no server answers.
    pub fn data_set(&self, reference: &str) -> Result<DataSetInfo> {
        if !is_id(reference) {
            check_name(reference)?;
        }
        self.wait(self.ask_any(&format!("/v1/datasets/{reference}")))
    }

    /// Signs a job and hands it in to all three servers.
    ///
    /// # Errors
    ///
    /// If one of them cannot be reached or refuses. Then it is cancelled at those that took it.
    pub fn submit(&self, document: &JobDocument) -> Result<JobStatus> {
        let unsigned = |source| ServiceError::Key { dir: "the key".into(), source };
        let submission = Submission::sign(document, &self.identity).map_err(unsigned)?;
        let submitted = self.wait(async {
            let mut answers = Vec::with_capacity(3);
            for server in &self.cluster.servers {
                answers.push(self.submit_to(server, &submission).await);
            }
            let mut refusals = Vec::new();
            let mut taken = Vec::new();
            for (server, answer) in self.cluster.servers.iter().zip(answers) {
                match answer {
                    Ok(status) => taken.push((server, status)),
                    Err(error) => refusals.push((server, error)),
                }
            }
            if refusals.is_empty()
                && let Some((_, status)) = taken.pop()
            {
                return Ok(status);
            }
            for (server, status) in taken {
                // If it cannot be reached, the job ends by itself since the others do not have it.
                let path = format!("/v1/jobs/{}/cancel", status.id);
                drop(self.post::<JobStatus>(server, &path).await);
            }
            Err(together(&refusals))
        });
        if matches!(submitted, Err(ServiceError::Stopped(_))) {
            self.give_up(&document.id);
        }
        submitted
    }

    /// The own jobs, the latest first; an operator gets all.
    ///
    /// # Errors
    ///
    /// If no server answers.
    pub fn jobs(&self) -> Result<Vec<JobStatus>> {
        self.wait(self.ask_any("/v1/jobs"))
    }

    /// The job with an id, the beginning of an id, or a name; the latest one of that name.
    ///
    /// # Errors
    ///
    /// If there is none, or no server answers.
    pub fn find(&self, reference: &str) -> Result<JobStatus> {
        let mut jobs = self.jobs()?.into_iter();
        let named = |job: &JobStatus| job.name == reference || job.id.starts_with(reference);
        jobs.find(named).ok_or_else(|| ServiceError::Answers {
            reason: format!("there is no job {reference:?} of yours\nhint: `shamisen jobs` lists them"),
            cause: Cause::Unknown,
        })
    }

    /// Watches a job until it is over; `seen` gets every change, and may end it. The results of the three servers are compared.
    ///
    /// # Errors
    ///
    /// If no server answers for minutes, they disagree about the results, or `seen` does not want to see more.
    pub fn watch(
        &self,
        id: &str,
        mut seen: impl FnMut(&JobStatus) -> core::result::Result<(), Stop>,
    ) -> Result<JobStatus> {
        let path = format!("/v1/jobs/{id}");
        self.wait(async {
            let mut last: Option<JobStatus> = None;
            let mut answered = Instant::now();
            loop {
                match self.ask_any::<JobStatus>(&path).await {
                    Ok(status) => {
                        answered = Instant::now();
                        if last.as_ref() != Some(&status) {
                            seen(&status).map_err(ServiceError::Stopped)?;
                        }
                        if status.state.is_over() {
                            return self.compared(&path, status).await;
                        }
                        last = Some(status);
                    }
                    Err(error) if answered.elapsed() > PATIENCE => return Err(error),
                    Err(_) => {}
                }
                sleep(LOOK).await;
            }
        })
    }

    /// Cancels a job at all three servers.
    ///
    /// # Errors
    ///
    /// If none of them does it.
    pub fn cancel(&self, id: &str) -> Result<JobStatus> {
        self.wait(self.cancel_anywhere(id))
    }

    /// Cancels a job of one who waits no longer, if a server hears of it within seconds.
    pub fn give_up(&self, id: &str) {
        let cancelled = async { timeout(GIVE_UP, self.cancel_anywhere(id)).await };
        // Nobody waits for what comes of it.
        drop(self.runtime.block_on(cancelled));
    }

    /// What happened to a job, each entry with the number of its server, in the order of the servers' clocks.
    ///
    /// # Errors
    ///
    /// If a server does not answer.
    pub fn log(&self, id: &str) -> Result<Vec<(usize, LogEntry)>> {
        self.wait(async {
            let mut entries = Vec::new();
            for server in &self.cluster.servers {
                let mut client = self.client(server).await.map_err(|error| called(server, &error))?;
                let mut from = 0;
                loop {
                    let path = format!("/v1/jobs/{id}/log/{from}");
                    let page: LogPage = client.get(&path).await.map_err(|error| called(server, &error))?;
                    if page.entries.is_empty() {
                        break;
                    }
                    from = page.next;
                    entries.extend(page.entries.into_iter().map(|entry| (server.party.index(), entry)));
                }
            }
            entries.sort_by(|(_, one), (_, other)| one.time.total_cmp(&other.time));
            Ok(entries)
        })
    }

    async fn cancel_anywhere(&self, id: &str) -> Result<JobStatus> {
        let path = format!("/v1/jobs/{id}/cancel");
        let (mut cancelled, mut refusals) = (None, Vec::new());
        // Server 0 tells the others, but not one that is about to accept it.
        for server in &self.cluster.servers {
            match self.post(server, &path).await {
                Ok(status) => cancelled = cancelled.or(Some(status)),
                Err(error) => refusals.push((server, error)),
            }
        }
        cancelled.ok_or_else(|| together(&refusals))
    }

    /// The status of a job that is over, if the three say the same of what came out.
    async fn compared(&self, path: &str, status: JobStatus) -> Result<JobStatus> {
        if status.state != JobState::Done {
            return Ok(status);
        }
        let figures = |status: &JobStatus| -> Vec<_> {
            let figures = status
                .results
                .iter()
                .map(|result| crate::job::TrainingResult { seconds: 0.0, ..result.clone() });
            figures.collect()
        };
        for server in &self.cluster.servers {
            let asked = Instant::now();
            let other: JobStatus = loop {
                let client = self.client(server).await;
                let answer = match client {
                    Ok(mut client) => client.get::<JobStatus>(path).await,
                    Err(error) => Err(error),
                };
                match answer {
                    Ok(other) if other.state == JobState::Done => break other,
                    Err(error) if asked.elapsed() > PATIENCE => return Err(called(server, &error)),
                    // It learns it in a moment.
                    _ if asked.elapsed() <= PATIENCE => {}
                    _ => return Err(disagree(server)),
                }
                sleep(LOOK).await;
            };
            if figures(&other) != figures(&status) {
                return Err(disagree(server));
            }
        }
        Ok(status)
    }

    /// Waits for an answer.
    pub(crate) fn wait<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                answer = answer => answer,
                stop = self.out_of_patience() => Err(ServiceError::Stopped(stop)),
            }
        })
    }

    async fn out_of_patience(&self) -> Stop {
        loop {
            if let Err(stop) = (self.patience)() {
                return stop;
            }
            sleep(ASK).await;
        }
    }

    /// The three servers.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Bytes of a server.
    pub(crate) async fn bytes(&self, server: &Server, path: &str) -> Result<Bytes> {
        let mut client = self.client(server).await.map_err(|error| called(server, &error))?;
        client.get_bytes(path).await.map_err(|error| called(server, &error))
    }

    /// Gives a server bytes for a job.
    pub(crate) async fn put(&self, server: &Server, path: &str, bytes: Bytes) -> Result<JobStatus> {
        let mut client = self.client(server).await.map_err(|error| called(server, &error))?;
        client.put(path, bytes).await.map_err(|error| called(server, &error))
    }

    /// Removes something of a job at a server.
    pub(crate) async fn delete(&self, server: &Server, path: &str) -> Result<JobStatus> {
        let mut client = self.client(server).await.map_err(|error| called(server, &error))?;
        client.delete(path).await.map_err(|error| called(server, &error))
    }

    /// What the first server that answers says.
    pub(crate) async fn ask_any<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let mut errors = Vec::new();
        for server in &self.cluster.servers {
            let answer = match self.client(server).await {
                Ok(mut client) => client.get(path).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => errors.push((server, error)),
            }
        }
        Err(together(&errors))
    }

    async fn submit_to(
        &self,
        server: &Server,
        submission: &Submission,
    ) -> core::result::Result<JobStatus, CallError> {
        self.client(server).await?.post_json("/v1/jobs", submission).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        server: &Server,
        path: &str,
    ) -> core::result::Result<T, CallError> {
        self.client(server).await?.post(path, Bytes::new()).await
    }

    async fn client(&self, server: &Server) -> core::result::Result<Client, CallError> {
        Client::connect(Some(&self.identity), &server.address, server.fingerprint, self.deadline).await
    }
}

impl fmt::Debug for Analyst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, identity, deadline, runtime: _, patience: _ } = self;
        let mut shown = f.debug_struct("Analyst");
        shown.field("cluster", cluster).field("identity", identity).field("deadline", deadline);
        shown.finish_non_exhaustive()
    }
}

fn called(server: &Server, error: &CallError) -> ServiceError {
    ServiceError::Answers { reason: explained(server.party.index(), error), cause: error.into() }
}

fn disagree(server: &Server) -> ServiceError {
    ServiceError::Answers {
        reason: format!(
            "server {} says something else about what came out: one of them does not follow the protocol",
            server.party.index()
        ),
        cause: Cause::Fault,
    }
}

/// One error from those of several servers: the same reason is said once.
fn together(errors: &[(&Server, CallError)]) -> ServiceError {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for (server, error) in errors {
        let (finding, advice) = match error {
            CallError::Refused { problem, .. } => (problem.error.clone(), problem.hint.clone()),
            error => {
                let (finding, advice) = told(error);
                (finding, Some(advice))
            }
        };
        let reason = advice.map_or_else(|| finding.clone(), |advice| format!("{finding}\nhint: {advice}"));
        let name = format!("server {}", server.party.index());
        match reasons.iter_mut().find(|(said, _)| *said == reason) {
            Some((_, servers)) => servers.push(name),
            None => reasons.push((reason, vec![name])),
        }
    }
    let reasons = reasons.into_iter().map(|(reason, servers)| format!("{}: {reason}", servers.join(", ")));
    let cause = errors.iter().map(|(_, error)| error.into()).max().unwrap_or(Cause::Fault);
    ServiceError::Answers { reason: reasons.collect::<Vec<_>>().join("; "), cause }
}
