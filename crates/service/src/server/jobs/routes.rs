//! What a server can be asked about jobs.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Problem, VERSION};
use crate::job::{JobDocument, JobState, JobStatus, LogPage, LossPoint, Signed, Submission, Work, plan};
use crate::server::caller::{Askers, By, Caller, Servers};
use crate::server::data::JobRequest;
use crate::server::jobs::order::{Order, Standing, cancel as cancel_here, carry_out, no_job, record};
use crate::server::jobs::record::{JOBS, JobRecord, open_jobs};
use crate::server::jobs::{data, directory, log, losses, models, predictions};
use crate::server::now;
use crate::server::position::Position;
use crate::server::problem::Refusal;
use crate::server::state::Shared;
use crate::terms::Task;
use crate::{KeyId, Role, ServiceError};

type Answer<T> = Result<Json<T>, Refusal>;

/// Most jobs that are told of at once, the latest ones.
const MOST_LISTED: usize = 1000;

/// The requests about jobs, each with its description.
pub(crate) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .routes(routes!(show))
        .routes(routes!(log_of))
        .routes(routes!(losses_of))
        .routes(routes!(cancel))
        .routes(routes!(order))
        .merge(models::routes())
        .merge(predictions::routes())
}

/// Takes a job, if its analyst has signed it and this server agrees.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    request_body = Submission,
    responses(
        (status = OK, body = JobStatus),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "The id was used, or versions or servers differ."),
        (status = PAYLOAD_TOO_LARGE, body = Problem, description = "The network, or rows and predictions, are larger than this server takes."),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem),
        (status = TOO_MANY_REQUESTS, body = Problem),
        (status = INSUFFICIENT_STORAGE, body = Problem)
    )
)]
async fn submit(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Askers>,
    Json(submission): Json<Submission>,
) -> Answer<JobStatus> {
    let signed = submission.open().map_err(|reason| Refusal::new(StatusCode::BAD_REQUEST, reason))?;
    check(&shared, &signed.document, &caller)?;
    let id = signed.document.id.clone();
    let record = shared.blocking(move |shared| accept(shared, submission, signed, &caller)).await?;
    tracing::info!(job = id, digest = record.digest, analyst = record.analyst, "accepted");
    log::add(&shared, &id, &format!("accepted, with the hash {}", record.digest)).await;
    shared.jobs.changed();
    Ok(Json(record.status(&shared.jobs)))
}

/// Whether the document is one of its submitter, for these servers and this version.
fn check(shared: &Shared, document: &JobDocument, caller: &Caller) -> Result<(), Refusal> {
    if document.analyst.0 != caller.fingerprint {
        let text = format!("the job is one of {}, and {} hands it in", document.analyst, caller.fingerprint);
        return Err(Refusal::new(StatusCode::FORBIDDEN, text).with_hint("hand in your own jobs"));
    }
    if matches!(document.work, Work::Train { .. }) && caller.role != Role::Analyst {
        let text = format!(
            "{} is known as {}, and trainings are for the role analyst alone",
            caller.name, caller.role
        );
        return Err(Refusal::new(StatusCode::FORBIDDEN, text).with_hint("use a key with that role"));
    }
    if document.software != VERSION {
        let text =
            format!("the job is for version {}, and this server has version {VERSION}", document.software);
        return Err(
            Refusal::new(StatusCode::CONFLICT, text).with_hint("use the version that the servers have")
        );
    }
    let config = shared.config();
    let mut servers = [KeyId(config.identity.fingerprint()); 3];
    for peer in [&config.peers.next, &config.peers.prev] {
        servers[peer.server.party.index()] = KeyId(peer.server.fingerprint);
    }
    if document.servers != servers {
        let text = "the job is for other servers than these three, or in another order";
        return Err(Refusal::new(StatusCode::CONFLICT, text)
            .with_hint("compare your cluster file with what the operators gave you"));
    }
    Ok(())
}

/// Keeps a new job, if it can be carried out, its analyst does not have too many, and the terms of its data allow it.
fn accept(
    shared: &Shared,
    submission: Submission,
    signed: Signed,
    caller: &Caller,
) -> Result<JobRecord, Refusal> {
    let request = request(shared, &signed.document, caller)?;
    if let Work::Predict { model, rows } = &signed.document.work {
        predictions::check(shared, model, *rows, caller)?;
    }
    let most = shared.config().limits.jobs_per_person;
    shared.store.write(|state| {
        let open = open_jobs(state)?.into_iter();
        let waiting = open.filter(|job| job.is_of(caller.fingerprint) && !job.state.is_over());
        if waiting.count() >= most {
            let text = format!("{} has {most} jobs that are not over, which is this server's limit", caller.name);
            let hint = "wait until one is over, or cancel one; jobs_per_person in the [limits] of the server is the limit";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).with_hint(hint));
        }
        let (id, digest) = (signed.document.id.clone(), signed.digest.clone());
        match &signed.document.work {
            Work::Train { .. } => drop(shared.data.admit_in(state, (&id, &digest), caller, &request)?),
            Work::Predict { .. } => predictions::admit(shared, state, &signed, caller)?,
        }
        // One that was refused leaves nothing behind.
        directory::create(&directory::of_job(shared, &id))?;
        let record = JobRecord::new(submission, signed, caller, now());
        record.keep(state)?;
        Ok(record)
    })
}

/// What the job wants of its data, if it can be carried out on them.
fn request(shared: &Shared, document: &JobDocument, caller: &Caller) -> Result<JobRequest, Refusal> {
    // Nothing is said about data sets of which the caller must not know.
    for id in &document.datasets {
        shared.data.find(caller, id)?;
    }
    let (mut rows, mut task, mut columns) = (0, Task::Classification, Vec::new());
    if let Work::Train { settings, .. } = &document.work {
        let (table, _) = data::table(shared, document)?;
        for setting in settings {
            let plan =
                plan(setting, &table).map_err(|reason| Refusal::new(StatusCode::BAD_REQUEST, reason))?;
            let (parameters, most) = (plan.parameters(), shared.config().limits.model_parameters);
            if parameters > most {
                let text =
                    format!("the network has {parameters} parameters, and this server takes {most} at most");
                let hint = "take narrower or fewer layers; model_parameters in the [limits] of the server is the limit";
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text).with_hint(hint));
            }
        }
        (rows, task) = (table.description.rows as u64, table.task.into());
        columns = table.schema.features;
    }
    Ok(JobRequest {
        datasets: document.datasets.clone(),
        columns,
        task,
        epochs: document.settings().iter().map(|setting| setting.epochs as u64).max().unwrap_or(0),
        trainings: document.runs() as u64,
        rows,
        outputs: document.outputs.clone(),
        predictions_to: document.predictions_to.iter().map(|key| key.0).collect(),
        model_to: document.model_to.iter().map(|key| key.0).collect(),
    })
}

/// The caller's jobs, the latest first; all jobs for operators and servers.
#[utoipa::path(get, path = "/v1/jobs", responses((status = OK, body = [JobStatus]), (status = UNAUTHORIZED, body = Problem)))]
async fn list(State(shared): State<Arc<Shared>>, caller: Caller) -> Answer<Vec<JobStatus>> {
    let records = shared.blocking(|shared| shared.store.read(|state| JOBS.all(state))).await?;
    let mut own: Vec<JobRecord> =
        records.into_iter().map(|(_, record)| record).filter(|record| record.concerns(&caller)).collect();
    own.sort_by(|one, other| other.accepted.total_cmp(&one.accepted));
    own.truncate(MOST_LISTED);
    Ok(Json(own.iter().map(|record| record.status(&shared.jobs)).collect()))
}

/// How far a job is.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = OK, body = JobStatus),
        (status = UNAUTHORIZED, body = Problem),
        (status = NOT_FOUND, body = Problem)
    )
)]
async fn show(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<JobStatus> {
    let record = visible(&shared, &caller, &id).await?;
    Ok(Json(record.status(&shared.jobs)))
}

/// What happened to a job, from a place on.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/log/{from}",
    params(("id" = String, Path, description = "The job."), ("from" = u64, Path, maximum = 9_007_199_254_740_991.0, description = "0, or `next` of the part before.")),
    responses(
        (status = OK, body = LogPage),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = NOT_FOUND, body = Problem)
    )
)]
async fn log_of(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((id, Position(from))): Path<(String, Position)>,
) -> Answer<LogPage> {
    let record = visible(&shared, &caller, &id).await?;
    let path = directory::log(&shared, &record.document.id);
    let read =
        move |_: &Shared| log::page(&path, from).map_err(|error| ServiceError::io("read", &path, error));
    Ok(Json(shared.blocking(read).await?))
}

/// The loss of a job each time that it was opened, if the job lets it out: at most some hundred points.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/loss",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = OK, body = [LossPoint]),
        (status = UNAUTHORIZED, body = Problem),
        (status = NOT_FOUND, body = Problem)
    )
)]
async fn losses_of(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<Vec<LossPoint>> {
    let record = visible(&shared, &caller, &id).await?;
    let path = directory::losses(&shared, &record.document.id);
    let read = move |_: &Shared| losses::read(&path).map_err(|error| ServiceError::io("read", &path, error));
    Ok(Json(shared.blocking(read).await?))
}

/// Ends a job that its analyst, or an operator, does not want any more.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/cancel",
    params(("id" = String, Path, description = "The job.")),
    responses(
        (status = OK, body = JobStatus),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "It is over.")
    )
)]
async fn cancel(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<JobStatus> {
    let record = visible(&shared, &caller, &id).await?;
    if !record.is_of(caller.fingerprint) && caller.role != Role::Operator {
        let text = "a job is cancelled by its analyst or an operator";
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    }
    if record.state == JobState::Cancelled {
        return Ok(Json(record.status(&shared.jobs)));
    }
    Shared::to_the_end(async move {
        let record = cancel_here(&shared, &id, format!("by {}", caller.name)).await?;
        Ok(Json(record.status(&shared.jobs)))
    })
    .await
}

/// Takes an order of server 0, and says where this server stands.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/order",
    params(("id" = String, Path, description = "The job.")),
    request_body = Order,
    responses(
        (status = OK, body = Standing),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem),
        (status = PRECONDITION_FAILED, body = Problem, description = "The job is another one here."),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem),
        (status = INSUFFICIENT_STORAGE, body = Problem)
    )
)]
async fn order(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Servers>,
    Path(id): Path<String>,
    Json(order): Json<Order>,
) -> Answer<Standing> {
    let config = shared.config();
    let peers = [&config.peers.next, &config.peers.prev];
    let conducts =
        |key| peers.iter().any(|peer| peer.server.party.index() == 0 && peer.server.fingerprint == key);
    if !conducts(caller.fingerprint) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "orders are given by server 0 alone"));
    }
    Shared::to_the_end(async move { carry_out(&shared, &id, order).await.map(Json) }).await
}

/// A job that the caller may know of. One that does not concern the caller is as good as none.
pub(super) async fn visible(shared: &Arc<Shared>, caller: &Caller, id: &str) -> Result<JobRecord, Refusal> {
    match record(shared, id).await {
        Ok(record) if record.concerns(caller) => Ok(record),
        Ok(_) => Err(no_job(id)),
        Err(refusal) => Err(refusal),
    }
}
