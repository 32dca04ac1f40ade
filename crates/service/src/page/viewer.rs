//! The page of a server on the machine of a person, who has a key: a server at a loopback port that passes questions on.
//!
//! Browsers do not have the keys of people, and are not good at getting them. A viewer has the key, calls the server as every
//! client does, and shows what it is told to whoever has the secret in the address that it prints:
//!
//! - The secret is in the part of the address that a browser does not send. The page exchanges it, once, for another one, which it
//!   shows with each question. There is no cookie, which programs at other ports would get.
//! - Only what the page asks for is passed on, all of it `GET`; everything else is refused before the server hears of it.
//! - Requests under other names than the own address are refused, and such that a page of somebody else has caused.
//! - The program of the page is the viewer's own: a server cannot give the browser another one.

use core::convert::Infallible;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use blake3::Hash;
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use shamisen_data::shares::random_id;
use shamisen_net::tls::Identity;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::api::Problem;
use crate::client::{CallError, Client, told};
use crate::cluster::Server;
use crate::manifest::is_id;
use crate::page::{at, is_from_elsewhere, protect};
use crate::{Result, ServiceError};

/// Longest wait for the server's answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// Longest time until the head of a request is there.
const HEAD: Duration = Duration::from_secs(30);

/// Pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Most connections of browsers at the same time.
const CONNECTIONS: usize = 32;

/// Where the page shows the secret of the address.
const ENTRANCE: &str = "/session";

/// What the page asks for, besides what is about one job.
const SHOWN: [&str; 6] =
    ["/v1/whoami", "/v1/server", "/v1/contacts", "/v1/datasets", "/v1/jobs", "/v1/audit"];

/// Shows the page of a server until the process is asked to end (SIGINT or SIGTERM).
///
/// It listens at a port of this machine, 0 for one that is free; `ready` gets the address to open in a browser, which is good for
/// once.
///
/// # Errors
///
/// If the port cannot be used.
pub fn show(server: Server, identity: Identity, port: u16, ready: impl FnOnce(&str)) -> Result<()> {
    let start = |source| ServiceError::Start { source };
    Runtime::new().map_err(start)?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(start)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(start)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listen = |source| ServiceError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let own = listener.local_addr().map_err(listen)?;
        let (entrance, session) = (secret()?, secret()?);
        let viewer = Arc::new(Viewer {
            own,
            server,
            identity,
            entrance: Mutex::new(Some(blake3::hash(entrance.as_bytes()))),
            session,
            lines: Mutex::new(Vec::new()),
        });
        ready(&format!("http://{own}/#token={entrance}"));
        select! {
            () = take(viewer, listener) => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

/// 256 random bits, in hexadecimal digits.
fn secret() -> Result<String> {
    let half = || random_id().map_err(|_| ServiceError::Randomness);
    Ok(half()? + &half()?)
}

/// Takes connections; does not end.
async fn take(viewer: Arc<Viewer>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // As when files run out.
            sleep(PAUSE).await;
            continue;
        };
        let viewer = Arc::clone(&viewer);
        tokio::spawn(async move {
            let _place = place;
            connection(viewer, stream).await;
        });
    }
}

async fn connection(viewer: Arc<Viewer>, stream: TcpStream) {
    let service = service_fn(|request| {
        let viewer = Arc::clone(&viewer);
        async move { Ok::<_, Infallible>(viewer.answer(request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    // A browser that goes away is no error.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

/// What a viewer needs to answer.
struct Viewer {
    /// Where it listens.
    own: SocketAddr,
    server: Server,
    identity: Identity,
    /// Hash of the secret in the address; none once it was used.
    entrance: Mutex<Option<Hash>>,
    /// What the page shows with each question.
    session: String,
    /// Connections to the server that nobody uses.
    lines: Mutex<Vec<Client>>,
}

impl Viewer {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let mut answer = match self.answered(request).await {
            Ok(answer) => answer,
            Err((status, text, hint)) => {
                (status, Json(Problem { error: text, hint: Some(hint) })).into_response()
            }
        };
        protect(answer.headers_mut());
        answer
    }

    async fn answered(&self, request: Request<Incoming>) -> core::result::Result<Response, Refused> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if !self.is_own(&head.headers) || is_from_elsewhere(&head.headers) {
            let text = "this address is for the page that `shamisen page` shows, and for nobody else";
            return Err(refused(StatusCode::FORBIDDEN, text, "open the address that it printed"));
        }
        if head.method == Method::POST && path == ENTRANCE {
            let token = Limited::new(body, 64).collect().await.map(Collected::to_bytes);
            return self.enter(&token.unwrap_or_default());
        }
        if head.method != Method::GET {
            return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "the page only reads", "use the commands"));
        }
        if let Some(file) = at(path) {
            return Ok(file);
        }
        if !is_shown(&head.uri) {
            let text = "the page shows nothing of this path";
            return Err(refused(StatusCode::NOT_FOUND, text, "ask the server itself, with your key"));
        }
        if !self.is_let_in(&head.headers) {
            let text = "this page was not opened with the address that `shamisen page` printed";
            return Err(refused(StatusCode::UNAUTHORIZED, text, "start it again, and open the new address"));
        }
        let question = head.uri.path_and_query().map_or(path, |whole| whole.as_str());
        self.pass_on(question).await
    }

    /// Whether a request names the address at which the viewer listens, and no other name that leads there.
    fn is_own(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| host == self.own.to_string())
    }

    /// Exchanges the secret of the address for that of a session, once.
    fn enter(&self, token: &[u8]) -> core::result::Result<Response, Refused> {
        let mut entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        // Hashes are compared in constant time.
        if entrance.as_ref().is_none_or(|hash| *hash != blake3::hash(token)) {
            let text = "this address was opened before, or is another one: it is good for once";
            return Err(refused(
                StatusCode::FORBIDDEN,
                text,
                "start `shamisen page` again, and open the new address",
            ));
        }
        *entrance = None;
        Ok(Json(json!({ "session": self.session })).into_response())
    }

    fn is_let_in(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        shown.is_some_and(|shown| blake3::hash(shown) == blake3::hash(self.session.as_bytes()))
    }

    /// Asks the server, and passes its answer on.
    async fn pass_on(&self, question: &str) -> core::result::Result<Response, Refused> {
        match self.ask(question).await {
            Ok(content) => {
                let mut answer = Response::new(Body::from(content));
                answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(answer)
            }
            Err(CallError::Refused { status, problem, .. }) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                Ok((status, Json(problem)).into_response())
            }
            Err(error) => {
                let (finding, advice) = told(&error);
                Err((StatusCode::BAD_GATEWAY, finding, advice))
            }
        }
    }

    async fn ask(&self, question: &str) -> core::result::Result<Bytes, CallError> {
        let unused = self.lines().pop();
        if let Some(mut line) = unused {
            match line.get_bytes(question).await {
                // The server closes lines that are not used for some time.
                Err(CallError::Broken { .. }) => {}
                answer => return self.keep(line, answer),
            }
        }
        let Server { address, fingerprint, .. } = &self.server;
        let mut line = Client::connect(Some(&self.identity), address, *fingerprint, DEADLINE).await?;
        let answer = line.get_bytes(question).await;
        self.keep(line, answer)
    }

    /// Keeps a line that works for the next question.
    fn keep<T>(
        &self,
        line: Client,
        answer: core::result::Result<T, CallError>,
    ) -> core::result::Result<T, CallError> {
        if matches!(answer, Ok(_) | Err(CallError::Refused { .. })) {
            self.lines().push(line);
        }
        answer
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Client>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not answered: why, and what to do.
type Refused = (StatusCode, String, String);

fn refused(status: StatusCode, text: &str, hint: &str) -> Refused {
    (status, text.to_owned(), hint.to_owned())
}

/// Whether the page asks for this.
fn is_shown(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    let is_number =
        |text: &str| !text.is_empty() && text.len() < 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    if uri.path() == "/v1/audit" {
        return query.strip_prefix("from=").is_some_and(is_number);
    }
    if !query.is_empty() {
        return false;
    }
    let Some(of_job) = uri.path().strip_prefix("/v1/jobs/") else { return SHOWN.contains(&uri.path()) };
    match of_job.split('/').collect::<Vec<_>>()[..] {
        [id] | [id, "loss"] => is_id(id),
        [id, "log", from] => is_id(id) && is_number(from),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_shown() {
        let id = "0123456789abcdef0123456789abcdef";
        for path in [
            "/v1/whoami",
            "/v1/audit?from=3",
            &format!("/v1/jobs/{id}"),
            &format!("/v1/jobs/{id}/loss"),
            &format!("/v1/jobs/{id}/log/12"),
        ] {
            assert!(is_shown(&path.parse().unwrap()), "{path}");
        }
        for path in [
            "/",
            "/metrics",
            "/openapi.json",
            "/v1/peers",
            "/v1/audit",
            "/v1/audit?from=-1",
            "/v1/audit?from=1&to=2",
            "/v1/whoami?x",
            "/v1/models",
            "/v1/jobs/",
            "/v1/jobs/..",
            "/v1/jobs/%2e%2e",
            &format!("/v1/jobs/{id}/"),
            &format!("/v1/jobs/{id}/predictions/0"),
            &format!("/v1/jobs/{id}/log/x"),
            &format!("/v1/models/{id}/share/0"),
            &format!("/v1/models/{id}/statistics/0"),
        ] {
            assert!(!is_shown(&path.parse().unwrap()), "{path}");
        }
    }
}
