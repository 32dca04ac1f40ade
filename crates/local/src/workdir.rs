//! The three directories from which the parties of one machine work, and which disappear afterwards: at once, or when a training that
//! keeps checkpoints is complete.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use shamisen_data::DataError;
use shamisen_data::dataset::DatasetDescription;
use shamisen_data::prepare::{self as data, Examples};
use shamisen_data::shares::{self, share_path};
use shamisen_data::survey::Survey;
use shamisen_data::table::Matrix;
use shamisen_net::tls::Identity;
use shamisen_nn::formats::{activation_frac, target_frac};
use shamisen_nn::plan::Plan;
use shamisen_party::Part;
use shamisen_party::assignment::{self, Assignment};
use shamisen_party::checkpoint::lock;
use shamisen_party::config::{self, PartyConfig, PeerConfig};
use shamisen_party::handover::write_secret;
use tempfile::TempDir;

use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};
use crate::link::Link;
use crate::progress::Progress;
use crate::share::{Stop, party_dirs, share_among};
use crate::store::{Staged, create_secret_dir, parent};

/// A directory with a directory for each party.
pub struct WorkDir {
    parties: [PathBuf; 3],
    place: Place,
    _protection: Protection,
}

/// Where a [`WorkDir`] is.
enum Place {
    /// In the directory for temporary files; removed when dropped.
    Temporary(TempDir),
    /// Under a hidden name beside the one that it gets; removed when dropped.
    Staged { staged: Staged, lock: File },
    /// Where the user wants it to stay until the training is complete.
    Kept { dir: PathBuf, _lock: File },
    /// Nowhere any more.
    Gone,
}

impl WorkDir {
    /// Makes the directories, which only their owner may enter.
    ///
    /// # Errors
    ///
    /// If the directory for temporary files (`TMPDIR`) does not let it.
    pub fn new() -> Result<Self> {
        let protection = Protection::new();
        let root = std::env::temp_dir();
        let failed = |error| Failure::file("create a directory in", &root, &error);
        let temporary = tempfile::Builder::new()
            .prefix("shamisen-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&root)
            .map_err(failed)?;
        let parties = [0, 1, 2].map(|party| temporary.path().join(format!("party{party}")));
        parties.iter().try_for_each(|dir| create_secret_dir(dir)).map_err(failed)?;
        Ok(Self { parties, place: Place::Temporary(temporary), _protection: protection })
    }

    /// Makes them where they outlive the process, as soon as they are [published](Self::publish).
    pub(crate) fn staged(dir: &Path) -> Result<Self> {
        let protection = Protection::new();
        let staged = Staged::new(dir)?;
        let parties = party_dirs(staged.path());
        let failed = |error| Failure::file("write", dir, &error);
        parties.iter().try_for_each(|dir| create_secret_dir(dir)).map_err(failed)?;
        let lock = exclusive(staged.path(), dir)?;
        Ok(Self { parties, place: Place::Staged { staged, lock }, _protection: protection })
    }

    /// Those of a training that was interrupted; fails while another process has them.
    pub(crate) fn kept(dir: &Path) -> Result<Self> {
        let protection = Protection::new();
        let place = Place::Kept { dir: dir.to_owned(), _lock: exclusive(dir, dir)? };
        Ok(Self { parties: party_dirs(dir), place, _protection: protection })
    }

    /// Gives staged directories their place.
    pub(crate) fn publish(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.place, Place::Gone) {
            Place::Staged { staged, lock } => {
                let dir = staged.publish()?;
                self.parties = party_dirs(&dir);
                self.place = Place::Kept { dir, _lock: lock };
            }
            place => self.place = place,
        }
        Ok(())
    }

    /// Removes what a training keeps until it is complete.
    pub(crate) fn complete(mut self) -> Result<()> {
        match std::mem::replace(&mut self.place, Place::Gone) {
            Place::Kept { dir, .. } => {
                fs::remove_dir_all(&dir).map_err(|error| Failure::file("remove", &dir, &error))
            }
            place => {
                self.place = place;
                Ok(())
            }
        }
    }

    /// Whether the directories stay if the parties do not finish.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.place, Place::Kept { .. })
    }

    /// Where the owner's own files go.
    pub(crate) fn root(&self) -> &Path {
        parent(&self.parties[0])
    }

    /// The directory of a party.
    pub fn party(&self, party: usize) -> &Path {
        &self.parties[party]
    }

    /// The file of this name in each party's directory.
    pub fn files(&self, name: &str) -> [PathBuf; 3] {
        self.parties.each_ref().map(|dir| dir.join(name))
    }

    /// Gives the public job to each party.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write_assignment(&self, assignment: &Assignment) -> Result<()> {
        self.files(assignment::FILE).iter().try_for_each(|path| {
            fs::write(path, assignment.text()).map_err(|error| Failure::file("write", path, &error))
        })
    }

    /// Shares the rows of a survey, with the number formats of the plan.
    ///
    /// # Errors
    ///
    /// If a value is too large, or a file cannot be read or written.
    pub(crate) fn share(
        &self,
        plan: &Plan,
        survey: &Survey,
        dataset: &str,
        progress: &mut dyn Progress,
    ) -> Result<DatasetDescription> {
        let parties = self.parties.each_ref().map(PathBuf::as_path);
        share_among(survey, parties, dataset, (activation_frac(plan), target_frac(plan)), progress).map_err(
            |stop| {
                match (stop, &self.place) {
                    // The name of the directory that the user knows.
                    (Stop::Data(DataError::DiskFull { .. }), Place::Staged { staged, .. }) => {
                        DataError::DiskFull { path: staged.name().to_owned() }.into()
                    }
                    (stop, _) => stop.into(),
                }
            },
        )
    }

    /// Lets each party use the files of its directory among those of a shared data set, where they are.
    ///
    /// # Errors
    ///
    /// If there is no such directory, or links cannot be made.
    pub(crate) fn link_shares(&self, dirs: &[PathBuf; 3], description: &DatasetDescription) -> Result<()> {
        let mut whole = dirs.clone();
        for (whole, dir) in whole.iter_mut().zip(dirs) {
            *whole = fs::canonicalize(dir).map_err(|error| Failure::file("read", dir, &error))?;
        }
        for part in [data::Part::Train, data::Part::Test] {
            if description.rows_of(part).is_some() {
                for name in [part.features(), part.targets()] {
                    self.link(name, &whole.each_ref().map(|dir| share_path(dir, name)))?;
                }
            }
        }
        Ok(())
    }

    /// Lets each party use its share file of a matrix where it is, given by an absolute path, as the matrix `name`.
    ///
    /// # Errors
    ///
    /// If a link cannot be made.
    pub fn link(&self, name: &str, files: &[PathBuf; 3]) -> Result<()> {
        for (party, file) in files.iter().enumerate() {
            let to = share_path(self.party(party), name);
            symlink(file, &to).map_err(|error| Failure::file("write", &to, &error))?;
        }
        Ok(())
    }

    /// Shares the rows to train and to test on.
    ///
    /// # Errors
    ///
    /// If a value is too large or a file cannot be written.
    pub fn deal(&self, plan: &Plan, dataset: &str, train: &Examples, test: Option<&Examples>) -> Result<()> {
        for (part, examples) in [(Part::Train, Some(train)), (Part::Test, test)] {
            let Some(examples) = examples else { continue };
            self.deal_matrix(part.features(), dataset, &examples.features, activation_frac(plan))?;
            if let Some(name) = part.targets() {
                self.deal_matrix(name, dataset, &examples.targets, target_frac(plan))?;
            }
        }
        Ok(())
    }

    /// Shares the features to predict for.
    ///
    /// # Errors
    ///
    /// If a value is too large or a file cannot be written.
    pub fn deal_features(&self, plan: &Plan, dataset: &str, features: &Matrix) -> Result<()> {
        self.deal_matrix(Part::Predict.features(), dataset, features, activation_frac(plan))
    }

    /// Gives each party a key of its own, the addresses of the two others, and their fingerprints.
    ///
    /// With ports, they meet at these of the loopback interface, otherwise at Unix sockets beside their directories.
    ///
    /// # Errors
    ///
    /// If a key cannot be made or a file cannot be written.
    pub fn write_configs(&self, link: &Link, ports: Option<[u16; 3]>) -> Result<()> {
        let identity = |party: usize| {
            Identity::generate(&format!("shamisen party {party}"))
                .map_err(|error| Failure::run(error.to_string()))
        };
        let identities = [identity(0)?, identity(1)?, identity(2)?];
        let address = |party: usize| match ports {
            Some(ports) => format!("127.0.0.1:{}", ports[party]),
            // From each party's directory.
            None => format!("unix:../party{party}.socket"),
        };
        for (party, own) in identities.iter().enumerate() {
            let peer = |peer: usize| PeerConfig {
                party: peer,
                address: address(peer),
                fingerprint: identities[peer].fingerprint().to_string(),
            };
            let config = PartyConfig {
                party,
                listen: address(party),
                certificate: config::CERTIFICATE_FILE.into(),
                key: config::KEY_FILE.into(),
                connect_timeout: config::connect_timeout(),
                deadline: link.deadline.as_secs_f64(),
                latency: link.is_throttled().then_some(link.latency.as_secs_f64() * 1e3),
                bandwidth: (link.bandwidth > 0.0).then_some(link.bandwidth / 1e6),
                storage_key: None,
                peers: vec![peer((party + 1) % 3), peer((party + 2) % 3)],
            };
            let text = toml::to_string(&config).map_err(|error| {
                Failure::run(format!("the configuration cannot be written as TOML: {error}"))
            })?;
            let key = own.key_pem();
            let certificate = own.certificate_pem();
            for (name, bytes) in [
                (config::FILE, text.as_bytes()),
                (config::CERTIFICATE_FILE, certificate.as_bytes()),
                (config::KEY_FILE, key.as_bytes()),
            ] {
                let path = self.party(party).join(name);
                write_secret(&path, bytes).map_err(|error| Failure::file("write", &path, &error))?;
            }
        }
        Ok(())
    }

    fn deal_matrix(&self, name: &str, dataset: &str, matrix: &Matrix, frac: u32) -> Result<()> {
        interrupt::check()?;
        let dirs = self.parties.each_ref().map(PathBuf::as_path);
        Ok(shares::deal(dirs, name, dataset, matrix, frac)?)
    }
}

/// Locks a directory for this process. Messages call it `name`.
fn exclusive(dir: &Path, name: &Path) -> Result<File> {
    match lock(dir) {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(Failure::input(format!(
            "{} is in use by another process: wait until it has ended",
            name.display()
        ))),
        Err(error) => Err(Failure::file("lock", name, &error)),
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let Place::Temporary(temporary) = std::mem::replace(&mut self.place, Place::Gone) else { return };
        let path = temporary.keep();
        // A party that was just interrupted may still create a file while the directory is being removed.
        for _ in 0..10 {
            if fs::remove_dir_all(&path).is_ok() || !path.exists() {
                return;
            }
        }
        tracing::error!("{} could not be removed: remove it by hand, it holds shares", path.display());
    }
}
