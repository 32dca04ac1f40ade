//! Calls to a server.

use core::future::Future;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shamisen_net::NetError;
use shamisen_net::tls::{Fingerprint, Identity, https_client, refused_fingerprint};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Place;
use crate::api::Problem;

/// Media types of bodies.
const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// Longest answer that a client takes.
const MAX_ANSWER: usize = 1 << 24;

/// Why a call to a server came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no connection to the address.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// Where the server should be.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Nothing came back in time.
    #[error("{address} did not answer within {} seconds", waited.as_secs())]
    Silent {
        /// Where the server should be.
        address: String,
        /// How long the client waited.
        waited: Duration,
    },
    /// Whoever answers has another key than the pinned one.
    #[error("{address} showed the key {shown}, but {pinned} is expected")]
    WrongKey {
        /// Where the server should be.
        address: String,
        /// Fingerprint of the certificate that was shown.
        shown: Fingerprint,
        /// The pinned one.
        pinned: Fingerprint,
    },
    /// Whoever answers does not speak TLS 1.3, or broke off.
    #[error("the connection to {address} broke: {source}")]
    Broken {
        /// Where the server is.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The own key cannot be used.
    #[error(transparent)]
    Identity(#[from] NetError),
    /// The server does not want to.
    #[error("{address} refused: {}", problem.error)]
    Refused {
        /// Where the server is.
        address: String,
        /// The status of its answer.
        status: u16,
        /// Its reason.
        problem: Problem,
    },
    /// The answer is not one of this version's.
    #[error("{address} gave an answer that this version does not understand: {reason}")]
    NotUnderstood {
        /// Where the server is.
        address: String,
        /// What is odd about it.
        reason: String,
    },
}

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    address: String,
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes.
    driver: JoinHandle<()>,
    deadline: Duration,
}

impl Client {
    /// Connects to the server at an address, which must have the certificate with the pinned fingerprint.
    ///
    /// Without an identity the client is a stranger. Every call takes as long as the deadline at most.
    ///
    /// # Errors
    ///
    /// If nobody answers in time, or somebody else does.
    pub async fn connect(
        identity: Option<&Identity>,
        address: &Place,
        pinned: Fingerprint,
        deadline: Duration,
    ) -> Result<Self, CallError> {
        let stream = secured(identity, address, pinned, deadline).await?;
        let address = address.to_string();
        let handshake = http1::handshake(TokioIo::new(stream));
        let (sender, connection) =
            handshake.await.map_err(|error| broken(&address, io::Error::other(error)))?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer gets this error as well.
            drop(connection.await);
        });
        Ok(Self { address, sender, driver, deadline })
    }

    /// Asks for something.
    ///
    /// # Errors
    ///
    /// If the server refuses, or its answer does not come or is not understood.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, CallError> {
        let answer = self.call(Method::GET, path, Bytes::new()).await?;
        self.understood(&answer)
    }

    /// Asks for bytes.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn get_bytes(&mut self, path: &str) -> Result<Bytes, CallError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn post<T: DeserializeOwned>(&mut self, path: &str, body: Bytes) -> Result<T, CallError> {
        let answer = self.call(Method::POST, path, body).await?;
        self.understood(&answer)
    }

    /// Sends something as JSON.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn post_json<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        path: &str,
        question: &Q,
    ) -> Result<A, CallError> {
        self.send_json(Method::POST, path, question).await
    }

    /// Puts bytes somewhere.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn put<T: DeserializeOwned>(&mut self, path: &str, body: Bytes) -> Result<T, CallError> {
        let answer = self.call(Method::PUT, path, body).await?;
        self.understood(&answer)
    }

    /// Puts something somewhere, as JSON.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn put_json<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        path: &str,
        content: &Q,
    ) -> Result<A, CallError> {
        self.send_json(Method::PUT, path, content).await
    }

    /// Removes something.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, CallError> {
        let answer = self.call(Method::DELETE, path, Bytes::new()).await?;
        self.understood(&answer)
    }

    async fn send_json<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        content: &Q,
    ) -> Result<A, CallError> {
        let body = serde_json::to_vec(content).map_err(|error| CallError::NotUnderstood {
            address: self.address.clone(),
            reason: error.to_string(),
        })?;
        let answer = self.call_with(method, path, JSON, body.into()).await?;
        self.understood(&answer)
    }

    async fn call(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes, CallError> {
        self.call_with(method, path, BYTES, body).await
    }

    async fn call_with(
        &mut self,
        method: Method,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let address = self.address.clone();
        let not_understood = |reason: String| CallError::NotUnderstood { address: address.clone(), reason };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &address)
            .header(CONTENT_TYPE, kind)
            .body(Full::new(body))
            .map_err(|error| not_understood(error.to_string()))?;
        let exchange = async {
            let failed = |error: hyper::Error| broken(&address, io::Error::other(error));
            self.sender.ready().await.map_err(failed)?;
            let answer = self.sender.send_request(request).await.map_err(failed)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| broken(&address, io::Error::other(error)))?;
            Ok((status, body.to_bytes()))
        };
        let (status, body) = within(self.deadline, &address, exchange).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => CallError::Refused { address: address.clone(), status: status.as_u16(), problem },
            Err(_) => not_understood(odd_status(status)),
        })
    }

    fn understood<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<T, CallError> {
        serde_json::from_slice(answer).map_err(|error| CallError::NotUnderstood {
            address: self.address.clone(),
            reason: error.to_string(),
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A TLS connection to whoever has the pinned certificate.
pub(crate) async fn secured(
    identity: Option<&Identity>,
    address: &Place,
    pinned: Fingerprint,
    deadline: Duration,
) -> Result<TlsStream<TcpStream>, CallError> {
    let tls = TlsConnector::from(Arc::new(https_client(identity, pinned)?));
    let place = address.to_string();
    let connecting = async {
        let unreachable = |source| CallError::Unreachable { address: place.clone(), source };
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        // The certificate alone says who the other end is.
        let name = ServerName::try_from("server.invalid")
            .map_err(|error| broken(&place, io::Error::other(error)))?;
        tls.connect(name, stream).await.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref()).and_then(refused_fingerprint) {
                Some(shown) => CallError::WrongKey { address: place.clone(), shown, pinned },
                None => broken(&place, error),
            }
        })
    };
    within(deadline, &place, connecting).await
}

/// What comes within the deadline.
pub(crate) async fn within<T>(
    deadline: Duration,
    address: &str,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    match timeout(deadline, work).await {
        Ok(result) => result,
        Err(_) => Err(CallError::Silent { address: address.to_owned(), waited: deadline }),
    }
}

pub(crate) fn broken(address: &str, source: io::Error) -> CallError {
    CallError::Broken { address: address.to_owned(), source }
}

fn odd_status(status: StatusCode) -> String {
    format!("status {status} without a reason")
}

/// What went wrong with a call, and what to do.
pub(crate) fn told(error: &CallError) -> (String, String) {
    let advice = match error {
        CallError::Unreachable { .. } => {
            "check that the server runs, the address, and that firewalls let the port through"
        }
        CallError::Silent { .. } => {
            "a firewall may swallow the connection, or the server is overloaded: check the address and look at its log"
        }
        CallError::WrongKey { .. } => {
            "ask the operator of that server for its fingerprint and correct it; if it is the right one already, somebody else answers in its place"
        }
        CallError::Broken { .. } => {
            "check that the port is that of a Shamisen server's control plane, and look at its log"
        }
        CallError::Identity(_) => "make a new key with `shamisen keygen`",
        CallError::Refused { problem, .. } => {
            problem.hint.as_deref().unwrap_or("look at the log of that server")
        }
        CallError::NotUnderstood { .. } => {
            "install the same release at all three servers and at their clients"
        }
    };
    (error.to_string(), advice.to_owned())
}
