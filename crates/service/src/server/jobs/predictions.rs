//! Predictions: the rows come from whoever asks, and the predictions go there, each server's share apart.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use shamisen_data::encrypted::{EncryptedWriter, StorageKey};
use shamisen_data::shares::ShareFile;
use shamisen_nn::formats::activation_frac;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Problem;
use crate::audit::Decision;
use crate::job::{JobState, JobStatus, ModelInfo, Signed, Work};
use crate::server::audit_log::Event;
use crate::server::caller::Caller;
use crate::server::jobs::order::change;
use crate::server::jobs::pieces::piece_of_file;
use crate::server::jobs::record::JobRecord;
use crate::server::jobs::routes::visible;
use crate::server::jobs::{data, directory, models};
use crate::server::position::Position;
use crate::server::problem::Refusal;
use crate::server::state::Shared;
use crate::server::store::Write;
use crate::terms::Output;
use crate::{KeyId, ServiceError};

/// The requests about predictions, each with its description.
pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(take_rows)).routes(routes!(share)).routes(routes!(forget))
}

/// Whether somebody may have predictions of a model, for so many rows.
pub(super) fn check(shared: &Shared, model: &str, rows: usize, caller: &Caller) -> Result<(), Refusal> {
    let info = models::find(shared, model)?;
    if !info.predictions_to.contains(&KeyId(caller.fingerprint)) {
        let text = format!("predictions of the model {} are not for {}", info.name, caller.name);
        return Err(Refusal::new(StatusCode::FORBIDDEN, text)
            .with_hint("those whom its job names with --predictions-to may have them"));
    }
    check_receiver(shared, &info, KeyId(caller.fingerprint))?;
    let (bytes, most) = (bytes(&info, rows), shared.config().limits.prediction_bytes);
    if bytes > most {
        let text = format!("rows and predictions have {bytes} bytes, and this server takes {most} for a job");
        let hint =
            "ask for fewer rows at a time; prediction_bytes in the [limits] of the server is the limit";
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text).with_hint(hint));
    }
    Ok(())
}

/// Bytes that a server keeps of so many rows and their predictions: two words of each number, at most.
fn bytes(model: &ModelInfo, rows: usize) -> u64 {
    let numbers = rows.saturating_mul(model.plan.features() + model.plan.outputs());
    (numbers as u64).saturating_mul(16)
}

/// Refuses an analyst who, by the terms that hold now, gets no predictions of a model.
pub(super) fn check_receiver(shared: &Shared, model: &ModelInfo, analyst: KeyId) -> Result<(), Refusal> {
    let mut datasets = model.datasets.iter();
    datasets.try_for_each(|id| data::check_receiver(shared, id, Output::Predictions, analyst))
}

/// Admits predictions, which [`check`] allows: uses the id of their job.
pub(super) fn admit(
    shared: &Shared,
    state: &Write<'_>,
    job: &Signed,
    caller: &Caller,
) -> Result<(), Refusal> {
    let id = &job.document.id;
    if !state.use_id(id, "job")? {
        let text = format!("the id {id} was used before, and the id of a job is good for once");
        return Err(Refusal::new(StatusCode::CONFLICT, text).with_hint("draw a new one"));
    }
    let event = Event::new("job.accepted", id, Decision::Accepted);
    Ok(shared.audit.append(event.by(caller).with_digest(&job.digest))?)
}

/// Takes this server's share of the rows to predict for.
#[utoipa::path(
    put,
    path = "/v1/jobs/{id}/rows",
    params(("id" = String, Path, description = "The job.")),
    request_body(content_type = "application/octet-stream", description = "A share file, as `shamisen share` writes them."),
    responses(
        (status = OK, body = JobStatus),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem),
        (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = INSUFFICIENT_STORAGE, body = Problem)
    )
)]
async fn take_rows(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
    rows: Bytes,
) -> Result<Json<JobStatus>, Refusal> {
    let record = own(&shared, &caller, &id).await?;
    if record.state != JobState::Queued || record.ready {
        let text = format!("the job {id} takes no rows any more");
        return Err(Refusal::new(StatusCode::CONFLICT, text));
    }
    shared.blocking(move |shared| keep_rows(shared, &record, &rows)).await?;
    let record = change(&shared, &id, |record| record.ready = true).await?;
    if record.state.is_over() {
        // It was cancelled meanwhile.
        let job = id.clone();
        shared.blocking(move |shared| directory::remove(&directory::rows(shared, &job))).await?;
    }
    Ok(Json(record.status(&shared.jobs)))
}

/// Keeps the rows of a job, encrypted, if they are what it says.
fn keep_rows(shared: &Shared, record: &JobRecord, bytes: &[u8]) -> Result<(), Refusal> {
    let Work::Predict { model, rows } = &record.document.work else {
        return Err(Refusal::new(StatusCode::CONFLICT, "the job takes no rows"));
    };
    let plan = models::find(shared, model)?.plan;
    let path = directory::rows(shared, &record.document.id);
    let key = StorageKey::read(&shared.config().storage_key).map_err(ServiceError::from)?;
    directory::remove(&path)?;
    let write = || {
        let mut writer = EncryptedWriter::create(&path, &key, bytes.len() as u64)?;
        writer.append(bytes)?;
        writer.sync()
    };
    write().map_err(ServiceError::from)?;
    let wrong = |reason: String| {
        // What is no share of these rows is not kept.
        drop(directory::remove(&path));
        Refusal::new(StatusCode::BAD_REQUEST, format!("these are not the rows of the job: {reason}"))
    };
    let file = ShareFile::open_encrypted(&path, shared.config().party.index(), &key)
        .map_err(|error| wrong(error.to_string()))?;
    let found = (file.rows(), file.cols(), file.frac(), file.dataset());
    if found != (*rows, plan.features(), activation_frac(&plan), &record.document.id) {
        return Err(wrong("rows, columns, number format or id are others".to_owned()));
    }
    Ok(())
}

/// A piece of this server's share of predictions, for the one who asked for them.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/predictions/{from}",
    params(("id" = String, Path, description = "The job."), ("from" = u64, Path, maximum = 9_007_199_254_740_991.0, description = "The first byte.")),
    responses(
        (status = OK, content_type = "application/octet-stream", description = "At most 4 MiB."),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem)
    )
)]
async fn share(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((id, Position(from))): Path<(String, Position)>,
) -> Result<impl IntoResponse, Refusal> {
    let record = own(&shared, &caller, &id).await?;
    if record.state != JobState::Done {
        let text =
            format!("the job {id} is {}: its predictions are there when it is done", record.state.name());
        return Err(Refusal::new(StatusCode::CONFLICT, text));
    }
    let work = move |shared: &Shared| {
        if !directory::predictions(shared, &id).exists() {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "these predictions are not kept any more"));
        }
        if let Work::Predict { model, .. } = &record.document.work {
            check_receiver(shared, &models::find(shared, model)?, record.document.analyst)?;
        }
        Ok(piece_of_file(shared, &directory::predictions(shared, &id), from)?)
    };
    shared.blocking(work).await
}

/// Removes this server's share of predictions, which the one who asked for them has got.
#[utoipa::path(
    delete,
    path = "/v1/jobs/{id}/predictions",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = OK, body = JobStatus),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem)
    )
)]
async fn forget(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<JobStatus>, Refusal> {
    let record = own(&shared, &caller, &id).await?;
    shared.blocking(move |shared| directory::remove(&directory::predictions(shared, &id))).await?;
    Ok(Json(record.status(&shared.jobs)))
}

/// A job of the caller.
async fn own(shared: &Arc<Shared>, caller: &Caller, id: &str) -> Result<JobRecord, Refusal> {
    let record = visible(shared, caller, id).await?;
    if record.is_of(caller.fingerprint) {
        return Ok(record);
    }
    Err(Refusal::new(StatusCode::FORBIDDEN, "rows and predictions of a job are for its analyst alone"))
}
