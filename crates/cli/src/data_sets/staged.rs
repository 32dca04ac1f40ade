//! The shares of a table on its owner's machine, until the three servers have them.
//!
//! The directory holds all three shares, as the directory of `share` does, and the description of the upload. It is
//! beside the table and for its owner's eyes, as the table is; it is removed when the data set exists.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shamisen_data::prepare::TestSource;
use shamisen_data::scaling::Preprocessing;
use shamisen_data::sql::Database;
use shamisen_data::{model, npz, sealed, shared_scaling};
use shamisen_local::share::{party_dirs, share_table};
use shamisen_service::KeyId;
use shamisen_service::manifest::{Manifest, Preparation, Schema};
use shamisen_service::put::sums;
use shamisen_service::terms::Terms;

use crate::args::SharingFlags;
use crate::data_sets::args::PutArguments;
use crate::failure::{Failure, Result};
use crate::progress::Screen;

/// The description of the upload, in the directory; what is there before it is written is not complete.
const UPLOAD_FILE: &str = "upload.json";

const FORMAT: &str = "shamisen-upload-1";

/// The directory of the shares, in the directory.
const SHARES: &str = "shares";

/// An upload whose shares are ready to be sent.
#[derive(Debug)]
pub(crate) struct StagedUpload {
    dir: PathBuf,
    pub(crate) manifest: Manifest,
    /// Whether they were made by an earlier start.
    pub(crate) is_old: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// Hash of what it was made from.
    made_from: String,
    manifest: Manifest,
}

impl StagedUpload {
    /// Takes up the upload that an earlier start of the same command has left, or makes a new one.
    pub(crate) fn prepare(arguments: &PutArguments, owner: KeyId, terms: Terms) -> Result<Self> {
        let dir = place(arguments);
        let made_from = made_from(arguments, owner, &terms)?;
        let upload = dir.join(UPLOAD_FILE);
        if upload.exists() {
            let Content { made_from: found, manifest } = sealed::read(&upload, FORMAT)?;
            if found != made_from {
                return Err(Failure::input(format!(
                    "{} holds an upload that was begun with other choices, or before the table was changed\nhint: remove that directory to begin anew, and `shamisen revoke {}` what the servers have of it",
                    dir.display(),
                    arguments.name
                )));
            }
            return Ok(Self { dir, manifest, is_old: true });
        }
        clear(&dir)?;
        let manifest = share(arguments, &dir, owner, terms)?;
        sealed::write(&upload, FORMAT, &Content { made_from, manifest: manifest.clone() })?;
        Ok(Self { dir, manifest, is_old: false })
    }

    /// The directories of the three servers' share files.
    pub(crate) fn party_dirs(&self) -> [PathBuf; 3] {
        party_dirs(&self.dir.join(SHARES))
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the shares, which are not needed any more.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.dir).map_err(|error| Failure::file("remove", &self.dir, &error))
    }
}

fn place(arguments: &PutArguments) -> PathBuf {
    arguments.staging.clone().unwrap_or_else(|| {
        let source = arguments.data.first().or(arguments.sharing.images.as_ref());
        let beside = source.map_or(Path::new("."), |path| shamisen_local::store::parent(path));
        beside.join(format!(".shamisen-put-{}", arguments.name))
    })
}

/// Makes the directory, or removes what a start that was killed has left in it, and nothing else.
fn clear(dir: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
        Err(error) => return Err(Failure::file("create", dir, &error)),
    }
    let read = |error| Failure::file("read", dir, &error);
    for entry in fs::read_dir(dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let removed = if name == SHARES || name.starts_with(".shamisen-") {
            fs::remove_dir_all(&path)
        } else if name.starts_with(&format!(".{UPLOAD_FILE}.")) {
            fs::remove_file(&path)
        } else {
            return Err(Failure::input(format!(
                "{} holds other things than an upload: name a new directory",
                dir.display()
            )));
        };
        removed.map_err(|error| Failure::file("remove", &path, &error))?;
    }
    Ok(())
}

fn share(arguments: &PutArguments, dir: &Path, owner: KeyId, terms: Terms) -> Result<Manifest> {
    let shares = dir.join(SHARES);
    let fields = arguments.sharing.fields(&arguments.data);
    let options = if arguments.no_target { fields.features()? } else { fields.table()? };
    let description = share_table(&options, arguments.sharing.widest_layer, &shares, &mut Screen::default())?;
    let statistics = shares.join(model::PREPROCESSING_FILE);
    let preprocessing = Preprocessing::read(&statistics)?;
    let dirs = party_dirs(&shares);
    shared_scaling::deal(dirs.each_ref().map(PathBuf::as_path), &description.id, &preprocessing)?;
    let schema = Schema {
        features: preprocessing.feature_names,
        target: preprocessing.target_name,
        classes: preprocessing.classes,
    };
    let preparation = Preparation {
        scaling: options.scaling,
        target_scaling: options.target_scaling,
        seed: matches!(options.test, TestSource::Fraction(_)).then_some(options.seed),
    };
    let names = Manifest::file_names(&description);
    let [first, second, third] = dirs;
    let manifest = Manifest {
        id: description.id.clone(),
        name: arguments.name.clone(),
        owner,
        schema,
        preparation,
        terms,
        files: [sums(&first, &names)?, sums(&second, &names)?, sums(&third, &names)?],
        description,
    };
    match manifest.problem() {
        None => Ok(manifest),
        Some(problem) => Err(Failure::input(format!("this table cannot be uploaded: {problem}"))),
    }
}

/// A hash of all on which the upload depends: the choices, the terms, and the state of the files.
fn made_from(arguments: &PutArguments, owner: KeyId, terms: &Terms) -> Result<String> {
    let mut files = Vec::new();
    let named = arguments.data.iter().chain(&arguments.sharing.test).cloned();
    let images = arguments.sharing.images.as_deref().map_or_else(|| Ok(vec![]), below)?;
    for path in named.chain(images) {
        let file = npz::file_of(&path);
        let failed = |error| Failure::file("read", &file, &error);
        let metadata = fs::metadata(&file).map_err(failed)?;
        // Behind the name of an archive there may be those of arrays.
        let arrays = path.file_name().map(ToOwned::to_owned);
        files.push((
            fs::canonicalize(&file).map_err(failed)?,
            arrays,
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        ));
    }
    let SharingFlags {
        images,
        image_size,
        sql,
        database,
        target,
        task,
        test,
        test_fraction,
        categorical,
        date,
        missing,
        scaling,
        target_scaling,
        seed,
        widest_layer,
    } = &arguments.sharing;
    let columns = (
        arguments.no_target,
        images.is_some(),
        image_size,
        sql,
        database.as_ref().map(Database::shown),
        categorical,
        date,
        missing,
    );
    let choices =
        (target, task, test.len(), test_fraction, columns, scaling, target_scaling, seed, widest_layer);
    let all = (&arguments.name, choices, owner, terms, files);
    let json = serde_json::to_vec(&all).map_err(|error| Failure::run(error.to_string()))?;
    Ok(blake3::hash(&json).to_hex().to_string())
}

/// All files in a directory and its sub-directories, in the order of their names.
fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = |error| Failure::file("read", dir, &error);
    let mut entries = fs::read_dir(dir).map_err(read)?.collect::<std::io::Result<Vec<_>>>().map_err(read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.path();
        if path.is_dir() { files.extend(below(&path)?) } else { files.push(path) }
    }
    Ok(files)
}
