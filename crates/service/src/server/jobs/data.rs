//! What a job needs of a data set.

use std::path::PathBuf;

use axum::http::StatusCode;
use shamisen_data::dataset::DatasetDescription;

use crate::server::data::{State, UPLOADS};
use crate::server::problem::Refusal;
use crate::server::state::Shared;

/// A data set that this server has a share of.
pub(super) struct Data {
    pub(super) description: DatasetDescription,
    /// Directory of the share files, which are encrypted under the server's storage key.
    pub(super) dir: PathBuf,
}

/// The data set with an id, if it is complete and was not taken back. Waits for the disk.
pub(super) fn find(shared: &Shared, id: &str) -> Result<Data, Refusal> {
    let found = shared.store.read(|state| UPLOADS.get(state, id))?;
    match found.filter(|upload| upload.state == State::Complete) {
        Some(upload) => Ok(Data { description: upload.manifest.description, dir: shared.data.share_dir(id) }),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("there is no data set {id} at this server"))
            .with_hint("`shamisen list` shows what there is")),
    }
}
