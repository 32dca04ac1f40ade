//! What a server can be asked about uploads and data sets.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::{Json, RequestExt};
use http_body_util::BodyExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Role;
use crate::api::Problem;
use crate::api::Received;
use crate::api::data::{AuditPage, DataSetInfo, PeerAnswers, PeerAsks, UploadStatus};
use crate::audit::{CONTRADICTION, Text, WITNESS};
use crate::manifest::Manifest;
use crate::server::caller::{By, Caller, Owners, Servers};
use crate::server::jobs;
use crate::server::peers::party_of;
use crate::server::position::Position;
use crate::server::problem::Refusal;
use crate::server::state::Shared;
use crate::terms_change::SignedTerms;

type Answer<T> = Result<T, Refusal>;

/// Bytes of a body that are written at once.
const PIECE: usize = 1 << 18;

/// All requests about uploads, data sets and the audit log.
pub(crate) fn described_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(begin, under_way))
        .routes(routes!(status))
        .routes(routes!(receive))
        .routes(routes!(finish))
        .routes(routes!(agree))
        .routes(routes!(list))
        .routes(routes!(show, revoke))
        .routes(routes!(change_terms))
        .routes(routes!(audit))
}

/// Begins an upload. Its id can be used once.
#[utoipa::path(
    post,
    path = "/v1/uploads",
    request_body = Manifest,
    responses(
        (status = OK, body = UploadStatus),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = CONFLICT, body = Problem, description = "The id was used, or the name is taken."),
        (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem),
        (status = TOO_MANY_REQUESTS, body = Problem),
        (status = INSUFFICIENT_STORAGE, body = Problem)
    )
)]
async fn begin(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Owners>,
    Json(manifest): Json<Manifest>,
) -> Answer<Json<UploadStatus>> {
    let work = move |shared: &Shared| shared.data.begin(&caller, manifest, shared.free_disk());
    shared.blocking(work).await.map(Json)
}

/// The caller's uploads that are under way.
#[utoipa::path(
    get,
    path = "/v1/uploads",
    responses((status = OK, body = [UploadStatus]), (status = UNAUTHORIZED, body = Problem), (status = FORBIDDEN, body = Problem))
)]
async fn under_way(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Owners>,
) -> Answer<Json<Vec<UploadStatus>>> {
    Ok(Json(shared.blocking(move |shared| shared.data.under_way(&caller)).await?))
}

/// How far an upload of the caller is at this server.
#[utoipa::path(
    get,
    path = "/v1/uploads/{id}",
    params(("id" = String, Path, description = "Id of the upload.")),
    responses(
        (status = OK, body = UploadStatus),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem)
    )
)]
async fn status(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Owners>,
    Path(id): Path<String>,
) -> Answer<Json<UploadStatus>> {
    shared.blocking(move |shared| shared.data.status(&caller, &id)).await.map(Json)
}

/// Takes the next bytes of a share file; the answer says how many are there.
#[utoipa::path(
    put,
    path = "/v1/uploads/{id}/{file}/{offset}",
    params(
        ("id" = String, Path, description = "Id of the upload."),
        ("file" = String, Path, description = "Name of the share file."),
        ("offset" = u64, Path, maximum = 9_007_199_254_740_991.0, description = "Bytes that came before.")
    ),
    request_body(content_type = "application/octet-stream", content = String),
    responses(
        (status = OK, body = Received),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "The bytes do not begin where the share file ends."),
        (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = INSUFFICIENT_STORAGE, body = Problem)
    )
)]
async fn receive(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Owners>,
    Path((id, file, offset)): Path<(String, String, u64)>,
    request: Request,
) -> Answer<Json<Received>> {
    let mut writing =
        shared.blocking(move |shared| shared.data.write_to(&caller, &id, &file, offset)).await?;
    let mut body = request.with_limited_body().into_body();
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let frame = body.frame().await;
        let is_end = frame.is_none();
        if let Some(frame) = frame {
            // Either it is too long or the caller is gone, and then nobody reads the answer.
            let frame = frame.map_err(|_| Refusal::of_status(StatusCode::PAYLOAD_TOO_LARGE, ""))?;
            piece.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        // The caller sends no more than the server writes: the next frame is read when this is done.
        if piece.len() >= PIECE || is_end {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
            writing = shared.blocking(move |_| writing.append(&full).map(|()| writing)).await?;
        }
        if is_end {
            return Ok(Json(Received { bytes: writing.written() }));
        }
    }
}

/// Says that all share files have been sent. The server checks them, and agrees with the two others.
#[utoipa::path(
    post,
    path = "/v1/uploads/{id}/finish",
    params(("id" = String, Path, description = "Id of the upload.")),
    responses(
        (status = OK, body = UploadStatus),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "A share file is not complete.")
    )
)]
async fn finish(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Owners>,
    Path(id): Path<String>,
) -> Answer<Json<UploadStatus>> {
    let (who, upload) = (caller.clone(), id.clone());
    if let Some(turn) = shared.blocking(move |shared| shared.data.turn_to_check(&who, &upload)).await? {
        let (shared, id) = (Arc::clone(&shared), id.clone());
        // It takes longer than a request may: the caller asks how far it is.
        tokio::spawn(async move {
            let _place = shared.checking.lock().await;
            if let Err(error) = shared.blocking(move |shared| shared.data.check(&id, turn)).await {
                tracing::error!(%error, "an upload cannot be checked");
            }
        });
    }
    shared.blocking(move |shared| shared.data.status(&caller, &id)).await.map(Json)
}

/// Compares an upload with another server, which is ready.
#[utoipa::path(
    post,
    path = "/v1/peer/uploads",
    request_body = PeerAsks,
    responses(
        (status = OK, body = PeerAnswers),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = BAD_REQUEST, body = Problem),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem)
    )
)]
async fn agree(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Servers>,
    Json(question): Json<PeerAsks>,
) -> Answer<Json<PeerAnswers>> {
    let Some(peer) = party_of(&shared.config(), &caller) else {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "this is for the two other servers"));
    };
    Ok(Json(shared.blocking(move |shared| shared.data.asked(peer, &question)).await?))
}

/// The data sets that the caller may know of: an owner its own, an analyst those whose terms name it, an operator all.
#[utoipa::path(
    get,
    path = "/v1/datasets",
    responses((status = OK, body = [DataSetInfo]), (status = UNAUTHORIZED, body = Problem))
)]
async fn list(State(shared): State<Arc<Shared>>, caller: Caller) -> Answer<Json<Vec<DataSetInfo>>> {
    let uploads = shared.blocking(move |shared| shared.data.list(&caller)).await?;
    let described = |upload| shared.described(upload);
    Ok(Json(uploads.into_iter().map(described).collect()))
}

/// A data set, by its name or id.
#[utoipa::path(
    get,
    path = "/v1/datasets/{id}",
    params(("id" = String, Path, description = "Id or name of the data set.")),
    responses(
        (status = OK, body = DataSetInfo),
        (status = UNAUTHORIZED, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "Several have this name.")
    )
)]
async fn show(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<DataSetInfo>> {
    let upload = shared.blocking(move |shared| shared.data.find(&caller, &id)).await?;
    Ok(Json(shared.described(upload)))
}

/// Takes a data set back, or gives an upload up: its share files at this server are deleted.
#[utoipa::path(
    delete,
    path = "/v1/datasets/{id}",
    params(("id" = String, Path, description = "Id of the data set or upload.")),
    responses(
        (status = OK, body = UploadStatus),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "It is about to become a data set.")
    )
)]
async fn revoke(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Owners>,
    Path(id): Path<String>,
) -> Answer<Json<UploadStatus>> {
    Shared::to_the_end(async move {
        let revoked = id.clone();
        let status = shared.blocking(move |shared| shared.data.revoke(&caller, &revoked)).await?;
        jobs::data_set_revoked(&shared, &id).await?;
        Ok(Json(status))
    })
    .await
}

/// Puts new terms of a data set in place of those before. Jobs that were accepted go on.
#[utoipa::path(
    put,
    path = "/v1/datasets/{id}/terms",
    params(("id" = String, Path, description = "Id of the data set.")),
    request_body = SignedTerms,
    responses(
        (status = OK, body = DataSetInfo),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "There was a later change."),
        (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem)
    )
)]
async fn change_terms(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _: By<Owners>,
    Path(id): Path<String>,
    Json(signed): Json<SignedTerms>,
) -> Answer<Json<DataSetInfo>> {
    let upload = shared.blocking(move |shared| shared.data.change_terms(&caller, &id, signed)).await?;
    Ok(Json(shared.described(upload)))
}

/// Where to begin.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct From {
    /// Number of the first entry, from 1.
    #[serde(default)]
    #[param(value_type = u64, maximum = 9_007_199_254_740_991.0)]
    from: Position,
}

/// Entries of the audit log: to operators in full, to others the texts that are about them, their data or the logs themselves, and of the rest the hashes.
#[utoipa::path(
    get,
    path = "/v1/audit",
    params(From),
    responses((status = OK, body = AuditPage), (status = UNAUTHORIZED, body = Problem), (status = BAD_REQUEST, body = Problem))
)]
async fn audit(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Query(From { from: Position(from) }): Query<From>,
) -> Answer<Json<AuditPage>> {
    shared.blocking(move |shared| shared.data.audit_page(&caller, from)).await.map(Json)
}

impl crate::server::data::DataSets {
    /// A page of the audit log, as this person may see it.
    fn audit_page(&self, caller: &Caller, from: u64) -> Answer<AuditPage> {
        let sees_all = matches!(caller.role, Role::Operator | Role::Server);
        let key = caller.fingerprint.to_string();
        let own = if sees_all { Vec::new() } else { self.own_ids(caller)? };
        let may_see = |text: &Text| {
            let is_own = text.who.as_ref().is_some_and(|who| who.fingerprint.as_ref() == Some(&key));
            let is_public = matches!(text.what.as_str(), WITNESS | CONTRADICTION);
            sees_all
                || is_public
                || is_own
                || text.subject.as_ref().is_some_and(|subject| own.contains(subject))
        };
        let (entries, last) = self.audit.page(from, may_see)?;
        Ok(AuditPage { entries, last })
    }

    fn own_ids(&self, caller: &Caller) -> crate::Result<Vec<String>> {
        let all = self.store.read(|state| super::UPLOADS.all(state))?;
        Ok(all.into_iter().filter(|(_, upload)| upload.is_of(caller.fingerprint)).map(|(id, _)| id).collect())
    }
}
