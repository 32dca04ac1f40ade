//! Answers that say no: always JSON, always with a sentence.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::Problem;

/// A request that is not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    problem: Problem,
}

impl Refusal {
    /// A refusal for a reason.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, problem: Problem { error: error.into(), hint: None } }
    }

    /// The same, with what to do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// The refusal that stands for an answer which has no sentence, or one in plain text.
    pub(crate) fn of_status(status: StatusCode, text: &str) -> Self {
        let (error, hint) = match status {
            StatusCode::NOT_FOUND => {
                ("there is nothing at this path", "GET /openapi.json lists what there is in this version")
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                ("this path has another method", "GET /openapi.json lists the methods of each path")
            }
            StatusCode::PAYLOAD_TOO_LARGE => (
                "the body of the request is longer than this server takes",
                "send it in pieces; request_bytes in the [limits] of the server is the limit",
            ),
            _ => (status.canonical_reason().unwrap_or("the request failed"), ""),
        };
        let error = if hint.is_empty() && !text.is_empty() { text } else { error };
        let refusal = Self::new(status, error);
        if hint.is_empty() { refusal } else { refusal.with_hint(hint) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}
