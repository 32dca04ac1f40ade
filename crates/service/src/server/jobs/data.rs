//! What a job needs of a data set.

use std::path::PathBuf;

use axum::http::StatusCode;
use jiff::Timestamp;

use crate::KeyId;
use crate::job::{JobDocument, JobTable};
use crate::manifest::Manifest;
use crate::server::data::{State, UPLOADS, Upload};
use crate::server::problem::Refusal;
use crate::server::state::Shared;
use crate::terms::Output;

/// A data set that this server has a share of.
pub(super) struct Data {
    pub(super) manifest: Manifest,
    /// Directory of the share files, which are encrypted under the server's storage key.
    pub(super) dir: PathBuf,
}

/// Refuses somebody who, by the terms that hold now, does not get predictions or models that the data set was used for.
pub(super) fn check_receiver(shared: &Shared, id: &str, output: Output, who: KeyId) -> Result<(), Refusal> {
    let upload = complete(shared, id)?;
    let (name, terms) = (&upload.manifest.name, upload.terms());
    let text = if terms.have_expired(Timestamp::now()) {
        format!(
            "the terms of the data set {name} allow nothing any more: their last day was {}",
            terms.expires
        )
    } else if terms.receivers(output).contains(&who) {
        return Ok(());
    } else {
        format!("the terms of the data set {name} do not let {who} have it: {output}")
    };
    Err(Refusal::new(StatusCode::FORBIDDEN, text).with_hint("ask its owner for other terms"))
}

/// The data set with an id, if it is complete and was not taken back. Waits for the disk.
pub(super) fn find(shared: &Shared, id: &str) -> Result<Data, Refusal> {
    let upload = complete(shared, id)?;
    Ok(Data { manifest: upload.manifest, dir: shared.data.share_dir(id) })
}

fn complete(shared: &Shared, id: &str) -> Result<Upload, Refusal> {
    let found = shared.store.read(|state| UPLOADS.get(state, id))?;
    found.filter(|upload| upload.state == State::Complete).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, format!("there is no data set {id} at this server"))
            .with_hint("`shamisen list` shows what there is")
    })
}

/// The table of a training, and its data sets.
pub(super) fn table(shared: &Shared, document: &JobDocument) -> Result<(JobTable, Vec<Data>), Refusal> {
    let data: Vec<Data> = document.datasets.iter().map(|id| find(shared, id)).collect::<Result<_, _>>()?;
    let manifests: Vec<Manifest> = data.iter().map(|data| data.manifest.clone()).collect();
    let table = JobTable::new(document, &manifests)
        .map_err(|reason| Refusal::new(StatusCode::BAD_REQUEST, reason))?;
    Ok((table, data))
}
