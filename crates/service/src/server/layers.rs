//! What happens around every request.

use std::sync::Arc;
use std::time::Instant;

use axum::body::to_bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, ORIGIN};
use axum::http::{HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::Role;
use crate::audit::{Decision, Who};
use crate::page::is_from_elsewhere;
use crate::server::audit_log::Event;
use crate::server::caller::Visitor;
use crate::server::problem::{Refusal, Refused};
use crate::server::state::Shared;

/// The one path that anybody may ask for.
pub(crate) const HEALTH: &str = "/health";

/// Name of the header with the number under which a request is in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest plain text of an error that is kept.
const LONGEST_TEXT: usize = 4096;

/// Gives each request a number, and logs and counts it; bodies are never logged.
pub(crate) async fn observe(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = shared.next_request();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let visitor = request.extensions().get::<Visitor>().cloned();
    let caller = visitor.as_ref().and_then(|visitor| visitor.caller.clone());
    let mut answer = next.run(request).await;
    let is_server = caller.as_ref().is_some_and(|caller| caller.role == Role::Server);
    if let Some(refused) = refusal(&method, &answer, is_server) {
        write_down(&shared, visitor.as_ref(), format!("{method} {route}"), refused).await;
    }
    let (status, time) = (answer.status(), start.elapsed());
    shared.metrics.answered(&route, status.as_u16(), time);
    let person = caller.as_ref().map_or("a stranger", |caller| &caller.name);
    tracing::info!(
        request = id,
        person,
        %method,
        route,
        status = status.as_u16(),
        milliseconds = time.as_millis() as u64,
        "answered"
    );
    if let Ok(value) = HeaderValue::try_from(&id) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    if caller.is_none() {
        // The place of a stranger is needed for others.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Why a request was refused, if that is for the audit log: whoever may not ask for something, or asks for what is somebody
/// else's, and what should have changed something. That a server does not have what another one asks about is no refusal.
fn refusal(method: &Method, answer: &Response, is_server: bool) -> Option<String> {
    let status = answer.status();
    if is_server && status == StatusCode::NOT_FOUND {
        return None;
    }
    let is_forbidden = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let would_change = *method != Method::GET && status.is_client_error();
    let refused = answer.extensions().get::<Refused>()?;
    (is_forbidden || would_change || refused.is_noted).then(|| refused.reason.clone())
}

/// Writes a refusal into the audit log.
async fn write_down(shared: &Arc<Shared>, visitor: Option<&Visitor>, what: String, reason: String) {
    let who = visitor.map(Who::from);
    let is_stranger = visitor.is_none_or(|visitor| visitor.caller.is_none());
    let written = shared.blocking(move |shared| {
        let event = Event::new("request.refused", &what, Decision::Refused).because(reason);
        shared.audit.refuse(is_stranger, Event { who, ..event })
    });
    if let Err(error) = written.await {
        tracing::error!(%error, "a refusal is not in the audit log");
    }
}

/// Turns every error into JSON with a sentence.
pub(crate) async fn explain(request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let status = answer.status();
    let is_json = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let text = to_bytes(answer.into_body(), LONGEST_TEXT).await.unwrap_or_default();
    Refusal::of_status(status, &String::from_utf8_lossy(&text)).into_response()
}

/// Refuses strangers everything but [`HEALTH`].
pub(crate) async fn admit(request: Request, next: Next) -> Response {
    if request.uri().path() != HEALTH {
        let known = match request.extensions().get::<Visitor>() {
            Some(visitor) => visitor.known().map(|_| ()),
            None => Visitor { key: None, caller: None }.known().map(|_| ()),
        };
        if let Err(refusal) = known {
            return refusal.into_response();
        }
    }
    next.run(request).await
}

/// Refuses what a browser with somebody's key is asked to do by a page of somebody else, and all that would change something.
pub(crate) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_of_browser = headers.contains_key("sec-fetch-site") || headers.contains_key(ORIGIN);
    let would_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_from_elsewhere(headers) || (is_of_browser && would_change) {
        let text = "a browser may read here, for this server's own page, and do nothing else";
        let hint = "use the commands of the program `shamisen`";
        return Refusal::new(StatusCode::FORBIDDEN, text).with_hint(hint).into_response();
    }
    next.run(request).await
}

/// Ends requests that take too long.
pub(crate) async fn limit_time(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let limit = shared.config().limits.request_time;
    match timeout(limit, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the request took longer than {} seconds, which is this server's limit", limit.as_secs()),
        )
        .with_hint("try again; request_seconds in the [limits] of the server is the limit")
        .into_response(),
    }
}
