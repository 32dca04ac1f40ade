//! Answers that say no: always JSON, always with a sentence.

use std::io::ErrorKind;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use shamisen_data::DataError;

use crate::ServiceError;
use crate::api::Problem;

/// A request that is not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    problem: Problem,
    is_audited: bool,
    is_noted: bool,
}

/// A refusal that goes to the audit log, as an extension of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// What was said.
    pub(crate) reason: String,
    /// Whether it is written down whatever its status is.
    pub(crate) is_noted: bool,
}

impl Refusal {
    /// A refusal for a reason.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem { error: error.into(), hint: None },
            is_audited: false,
            is_noted: false,
        }
    }

    /// The same, with what to do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong.
    pub(crate) fn error(&self) -> &str {
        &self.problem.error
    }

    /// The same, when it is in the audit log already.
    pub(crate) fn audited(self) -> Self {
        Self { is_audited: true, ..self }
    }

    /// The same, of something that may be there and not for the caller: it is written down as what is forbidden is.
    pub(crate) fn noted(self) -> Self {
        Self { is_noted: true, ..self }
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
        let reason = self.problem.error.clone();
        let mut answer = (self.status, Json(self.problem)).into_response();
        if !self.is_audited {
            answer.extensions_mut().insert(Refused { reason, is_noted: self.is_noted });
        }
        answer
    }
}

/// What went wrong at the server: the log says what, and the caller that it is not the caller's fault.
impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        let is_full = match &error {
            ServiceError::Io { source, .. } => source.kind() == ErrorKind::StorageFull,
            ServiceError::Data(error) => matches!(error, DataError::DiskFull { .. }),
            _ => false,
        };
        tracing::error!(%error, "a request failed");
        if is_full {
            return Self::new(StatusCode::INSUFFICIENT_STORAGE, "the disk of this server is full").with_hint(
                "ask its operator for more room; what is there already stays, so that you can go on then",
            );
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "this server cannot read or write its files")
            .with_hint("ask its operator to look into its log")
    }
}

impl From<DataError> for Refusal {
    fn from(error: DataError) -> Self {
        ServiceError::from(error).into()
    }
}
