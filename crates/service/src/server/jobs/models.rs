//! The models that a server has a share of: those of jobs that are done and let predictions or the model out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use shamisen_data::encrypted::{StorageKey, read_part};
use shamisen_data::shared_scaling;
use shamisen_data::shares::{ShareFile, share_path};
use shamisen_nn::plan::Task;
use shamisen_party::handover::{bytes_of, statistics_words};
use shamisen_party::tables::Join;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Problem;
use crate::audit::Decision;
use crate::job::{JobDocument, JobState, JobTable, ModelInfo, TrainingResult, plan};
use crate::server::audit_log::Event;
use crate::server::caller::Caller;
use crate::server::data::UPLOADS;
use crate::server::jobs::pieces::{piece, piece_of_file};
use crate::server::jobs::record::{JOBS, JobRecord};
use crate::server::jobs::{data, directory};
use crate::server::position::Position;
use crate::server::problem::Refusal;
use crate::server::state::Shared;
use crate::terms::Output;
use crate::{KeyId, Role, ServiceError};

/// The requests about models, each with its description.
pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(share)).routes(routes!(statistics))
}

/// The models of which the caller may have something, the latest first; all models for operators and servers.
#[utoipa::path(get, path = "/v1/models", responses((status = OK, body = [ModelInfo]), (status = UNAUTHORIZED, body = Problem)))]
async fn list(State(shared): State<Arc<Shared>>, caller: Caller) -> Result<Json<Vec<ModelInfo>>, Refusal> {
    let work = move |shared: &Shared| {
        let records = shared.store.read(|state| JOBS.all(state))?;
        let mut records: Vec<JobRecord> = records.into_iter().map(|(_, record)| record).collect();
        let is_there = |id: &String| data::find(shared, id).is_ok();
        records.retain(|record| {
            has_model(record) && concerns(record, &caller) && record.document.datasets.iter().all(is_there)
        });
        records.sort_by(|one, other| other.accepted.total_cmp(&one.accepted));
        let described = |record: &JobRecord| {
            let info = described(shared, record);
            // One of which a file is gone does not hide the others.
            info.inspect_err(|refusal| tracing::error!(job = record.document.id, "{}", refusal.error())).ok()
        };
        Ok::<_, Refusal>(records.iter().filter_map(described).collect())
    };
    shared.blocking(work).await.map(Json)
}

/// A piece of this server's share of a model, for those who get it in the clear.
#[utoipa::path(
    get,
    path = "/v1/models/{id}/share/{from}",
    params(("id" = String, Path, description = "The model."), ("from" = u64, Path, maximum = 9_007_199_254_740_991.0, description = "The first byte.")),
    responses(
        (status = OK, content_type = "application/octet-stream", description = "At most 4 MiB."),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem)
    )
)]
async fn share(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((id, Position(from))): Path<(String, Position)>,
) -> Result<impl IntoResponse, Refusal> {
    let work = move |shared: &Shared| {
        let record = of_concern(shared, &id, &caller)?;
        if !record.document.model_to.contains(&KeyId(caller.fingerprint)) {
            let text = format!("the model {} is not for {}", record.document.name, caller.name);
            return Err(Refusal::new(StatusCode::FORBIDDEN, text)
                .with_hint("those whom its job names with --model-to may have it"));
        }
        for dataset in &record.document.datasets {
            data::check_receiver(shared, dataset, Output::Model, KeyId(caller.fingerprint))?;
        }
        let piece = piece_of_file(shared, &directory::model_share(shared, &id), from)?;
        note_first(shared, "model.sent", &record, &caller, from)?;
        Ok::<_, Refusal>(piece)
    };
    shared.blocking(work).await
}

/// A piece of this server's share of the statistics by which a model's inputs are scaled, for those who get predictions or the model.
#[utoipa::path(
    get,
    path = "/v1/models/{id}/statistics/{from}",
    params(("id" = String, Path, description = "The model."), ("from" = u64, Path, maximum = 9_007_199_254_740_991.0, description = "The first byte.")),
    responses(
        (status = OK, content_type = "application/octet-stream", description = "At most 4 MiB."),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem)
    )
)]
async fn statistics(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path((id, Position(from))): Path<(String, Position)>,
) -> Result<impl IntoResponse, Refusal> {
    let work = move |shared: &Shared| {
        let record = of_concern(shared, &id, &caller)?;
        let (document, key) = (&record.document, KeyId(caller.fingerprint));
        if !document.predictions_to.contains(&key) && !document.model_to.contains(&key) {
            let text =
                format!("the model {} gives {} nothing, and so no statistics", document.name, caller.name);
            return Err(Refusal::new(StatusCode::FORBIDDEN, text)
                .with_hint("those whom its job names with --predictions-to or --model-to may have them"));
        }
        // Whoever still gets one of the two needs them.
        let gets = |output, receivers: &[KeyId]| {
            let allowed = |id| data::check_receiver(shared, id, output, key);
            receivers.contains(&key).then(|| document.datasets.iter().try_for_each(|id| allowed(id)))
        };
        let answers =
            [gets(Output::Predictions, &document.predictions_to), gets(Output::Model, &document.model_to)];
        let mut answers = answers.into_iter().flatten();
        if let Some(Err(refusal)) = answers.next()
            && answers.all(|answer| answer.is_err())
        {
            return Err(refusal);
        }
        let share = statistics_share(shared, document)?;
        note_first(shared, "statistics.sent", &record, &caller, from)?;
        Ok::<_, Refusal>(piece(share, from))
    };
    shared.blocking(work).await
}

/// Writes down that something of a model is sent, with its first piece.
fn note_first(
    shared: &Shared,
    what: &'static str,
    record: &JobRecord,
    caller: &Caller,
    from: u64,
) -> Result<(), Refusal> {
    if from == 0 {
        let event = Event::new(what, &record.document.id, Decision::Accepted);
        shared.audit.append(event.by(caller).with_digest(&record.digest))?;
    }
    Ok(())
}

/// The job that has left a model with this id, if the caller may know of it.
fn of_concern(shared: &Shared, id: &str, caller: &Caller) -> Result<JobRecord, Refusal> {
    let record = shared.store.read(|state| JOBS.get(state, id))?;
    record.filter(|record| has_model(record) && concerns(record, caller)).ok_or_else(|| no_model(id))
}

/// Whether a share of a model is kept of the job.
fn has_model(record: &JobRecord) -> bool {
    record.state == JobState::Done && record.document.keeps_model()
}

/// Whether somebody may know of the model of a job.
fn concerns(record: &JobRecord, caller: &Caller) -> bool {
    let key = KeyId(caller.fingerprint);
    let document = &record.document;
    matches!(caller.role, Role::Operator | Role::Server)
        || document.analyst == key
        || document.predictions_to.contains(&key)
        || document.model_to.contains(&key)
}

/// The model with an id, if it is there and the data that it was trained on were not taken back. Waits for the disk.
pub(super) fn find(shared: &Shared, id: &str) -> Result<ModelInfo, Refusal> {
    let record = shared.store.read(|state| JOBS.get(state, id))?.filter(has_model);
    let record = record.ok_or_else(|| no_model(id))?;
    for dataset in &record.document.datasets {
        data::find(shared, dataset)?;
    }
    described(shared, &record)
}

fn no_model(id: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no model {id} that you may know of"))
        .with_hint("`shamisen models` shows what there is")
        .noted()
}

/// The model of a job in the words of the interface.
fn described(shared: &Shared, record: &JobRecord) -> Result<ModelInfo, Refusal> {
    let document = &record.document;
    let broken =
        || ServiceError::Start { source: std::io::Error::other("a job is done without its data set") };
    let manifests = document.datasets.iter().map(|id| {
        let upload = shared.store.read(|state| UPLOADS.get(state, id))?.ok_or_else(broken)?;
        Ok(upload.manifest)
    });
    let manifests = manifests.collect::<Result<Vec<_>, Refusal>>()?;
    let table = JobTable::new(document, &manifests).map_err(|_| broken())?;
    let data = &table.description;
    let plan =
        document.settings().first().and_then(|setting| plan(setting, &table).ok()).ok_or_else(broken)?;
    let pooled = table.tables.pooled.any();
    let scaled = data.features + usize::from(plan.task == Task::Regression);
    Ok(ModelInfo {
        id: document.id.clone(),
        name: document.name.clone(),
        analyst: record.analyst.clone(),
        datasets: document.datasets.clone(),
        rows: data.rows,
        test_rows: data.test_rows,
        schema: table.schema,
        scaling: table.scaling,
        pooled,
        plan,
        result: record.results.first().cloned().unwrap_or_else(TrainingResult::default),
        predictions_to: document.predictions_to.clone(),
        model_to: document.model_to.clone(),
        share_bytes: directory::model_bytes(shared, &document.id)?,
        statistics_bytes: 16 * (scaled * statistics_words(pooled)) as u64,
    })
}

/// This server's share of the statistics by which the inputs of a model are scaled, and of the target of a regression. Waits for the
/// disk.
fn statistics_share(shared: &Shared, document: &JobDocument) -> Result<Vec<u8>, Refusal> {
    let (table, data) = data::table(shared, document)?;
    let key = StorageKey::read(&shared.config().storage_key).map_err(ServiceError::from)?;
    if table.tables.pooled.any() {
        let place = directory::pooled_statistics(shared, &document.id);
        return Ok(read_part(&place, &key, 0, usize::MAX).map_err(ServiceError::from)?);
    }
    let (mut all_mine, mut all_next) = (Vec::new(), Vec::new());
    let mut target = None;
    // Rows that are not rescaled are as they are at all owners.
    let count = if table.tables.join == Join::Rows { 1 } else { data.len() };
    for (number, found) in data.iter().enumerate().take(count) {
        let path = share_path(&found.dir, shared_scaling::NAME);
        let rows = table.scaling_rows(number);
        let mut words = [(); 2].map(|()| vec![0; rows.len() * shared_scaling::WORDS]);
        let [mine, next] = &mut words;
        ShareFile::open_encrypted(&path, shared.config().party.index(), &key)
            .and_then(|file| file.gather(&rows, mine, next))
            .map_err(ServiceError::from)?;
        // The target comes behind all features.
        let features = rows.iter().filter(|row| (**row as usize) < table.tables.tables[number].features);
        let end = features.count() * shared_scaling::WORDS;
        if end < mine.len() {
            target = Some([mine.split_off(end), next.split_off(end)]);
        }
        all_mine.append(mine);
        all_next.append(next);
    }
    if let Some([mine, next]) = target {
        all_mine.extend(mine);
        all_next.extend(next);
    }
    Ok(bytes_of(&all_mine, &all_next))
}
