//! `put`: shares a table on its owner's machine, and uploads the shares to the three servers.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use shamisen_service::KeyId;
use shamisen_service::manifest::check_name;
use shamisen_service::put::Upload;
use shamisen_service::terms::Terms;

use crate::data_sets::Asker;
use crate::data_sets::args::PutArguments;
use crate::data_sets::staged::StagedUpload;
use crate::failure::Result;
use crate::interrupt;
use crate::progress::Sending;
use crate::summary::{bytes, counted, seconds};

/// Carries out `put`.
pub(crate) fn run(arguments: &PutArguments) -> Result<()> {
    check_name(&arguments.name)?;
    let terms = Terms::read(&arguments.terms)?;
    let asker = Asker::read(&arguments.servers)?;
    interrupt::install();
    let started = Instant::now();
    let staged = StagedUpload::prepare(arguments, KeyId(asker.identity.fingerprint()), terms)?;
    if staged.is_old {
        tracing::info!(dir = %staged.dir().display(), "goes on with an upload that was begun before");
    }
    let (manifest, dirs) = (&staged.manifest, staged.party_dirs());
    let upload = Upload { manifest, dirs: &dirs, patience: Duration::from_secs(arguments.patience) };
    let display = RefCell::new(Sending::new());
    let sent = upload.run(&asker.cluster, &asker.identity, |sent, all| display.borrow_mut().show(sent, all));
    drop(display);
    if let Err(error) = sent {
        let gone = matches!(error, shamisen_service::ServiceError::UploadGone { .. });
        let dir = staged.dir().display();
        return Err(crate::failure::Failure::run(if gone {
            format!("{error}\nhint: remove {dir}, and run the same command again to begin anew")
        } else if error.to_string().contains("\nhint: ") {
            format!("{error}; then run the same command again, which goes on (its shares are in {dir})")
        } else {
            format!("{error}\nhint: run the same command again, which goes on (its shares are in {dir})")
        }));
    }
    let sizes: u64 = (0..3).map(|party| manifest.bytes(party)).sum();
    let description = &manifest.description;
    let text = format!(
        "data set       {} ({})\n\
         shared         {}, {}, {}\n\
         uploaded       {} to three servers, in {}\n",
        manifest.name,
        manifest.id,
        counted(description.rows, "training row"),
        description.test_rows.map_or_else(|| "no test rows".to_owned(), |rows| counted(rows, "test row")),
        counted(description.features, "feature"),
        bytes(sizes as f64),
        seconds(started.elapsed().as_secs_f64()),
    );
    staged.remove()?;
    crate::print(&text)
}
