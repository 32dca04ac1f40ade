//! `revoke`: an owner takes a data set back, or gives an upload up.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use shamisen_service::api::data::{DataSetInfo, UploadStatus};
use shamisen_service::client::CallError;
use shamisen_service::consult::{self, Answers};
use shamisen_service::manifest::is_id;

use crate::data_sets::args::DataSetArguments;
use crate::data_sets::{Asker, encoded};
use crate::failure::{Failure, Result};
use crate::interrupt;

/// How long servers may take to agree that an upload is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Carries out `revoke`.
pub(crate) fn run(arguments: &DataSetArguments) -> Result<()> {
    interrupt::install();
    let asker = Asker::read(&arguments.servers)?;
    let name = encoded(&arguments.data_set)?;
    let id = if is_id(name) { name.to_owned() } else { id_of(&asker, name)? };
    let answers = delete(&asker, &id)?;
    let mut missing = Vec::new();
    for (party, answer) in answers.iter().enumerate() {
        match answer {
            // A server that was never told of it has nothing to delete.
            Ok(_) | Err(CallError::Refused { status: 404, .. }) => {}
            Err(error) => missing.push(consult::explained(party, error)),
        }
    }
    let found = answers.iter().filter(|answer| answer.is_ok()).count();
    match missing.first() {
        None if found == 0 => Err(Failure::input(format!("there is no data set or upload {id} of yours"))),
        None => crate::print(&format!(
            "revoked        {name} ({id}): its shares are deleted at all three servers\n"
        )),
        Some(problem) => Err(Failure::run(format!(
            "{found} of three servers have deleted {name} ({id}); {problem}; then `shamisen revoke {id}` once more"
        ))),
    }
}

/// Has all three servers delete it. One that is ready for an upload hears first that the others have given it up.
fn delete(asker: &Asker, id: &str) -> Result<Answers<UploadStatus>> {
    let path = format!("/v1/datasets/{id}");
    let start = Instant::now();
    loop {
        let answers = consult::delete(&asker.cluster, &asker.identity, &path)?;
        let is_open = |answer: &core::result::Result<_, CallError>| {
            matches!(answer, Err(CallError::Refused { status: 409, .. }))
        };
        if !answers.iter().any(is_open) || start.elapsed() > PATIENCE {
            return Ok(answers);
        }
        thread::sleep(PAUSE);
    }
}

/// The id under which any of the servers that answer knows a data set or an upload of this name.
fn id_of(asker: &Asker, name: &str) -> Result<String> {
    let sets = consult::get::<Vec<DataSetInfo>>(&asker.cluster, &asker.identity, "/v1/datasets")?;
    let uploads = consult::get::<Vec<UploadStatus>>(&asker.cluster, &asker.identity, "/v1/uploads")?;
    let own = asker.identity.fingerprint().to_string();
    let mut ids = BTreeSet::new();
    for set in sets.iter().flatten().flatten().filter(|set| set.name == name && set.owner_fingerprint == own)
    {
        ids.insert(set.id.clone());
    }
    for upload in uploads.iter().flatten().flatten().filter(|upload| upload.name == name) {
        ids.insert(upload.id.clone());
    }
    match (ids.len(), ids.pop_first()) {
        (1, Some(id)) => Ok(id),
        (0, _) | (_, None) => {
            for (party, answer) in uploads.iter().enumerate() {
                if let Err(error) = answer {
                    return Err(Failure::run(consult::explained(party, error)));
                }
            }
            Err(Failure::input(format!(
                "there is no data set or upload {name:?} of yours: `shamisen list` shows what there is"
            )))
        }
        _ => Err(Failure::input(format!(
            "the servers know several {name:?}: give the id that `shamisen list` shows"
        ))),
    }
}
