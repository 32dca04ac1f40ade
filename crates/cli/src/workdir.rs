//! The three directories from which the parties of one machine work, and which disappear afterwards.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use shamisen_data::dataset::DatasetDescription;
use shamisen_data::prepare::{self as data, Examples};
use shamisen_data::shares::{self, share_path};
use shamisen_data::survey::Survey;
use shamisen_data::table::Matrix;
use shamisen_net::tls::Identity;
use shamisen_nn::formats::{activation_frac, target_frac};
use shamisen_nn::plan::Plan;
use tempfile::TempDir;

use crate::assignment::{self, Assignment};
use crate::config::{self, PartyConfig, PeerConfig};
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};
use crate::link::Link;
use crate::rows::Part;
use crate::share::share_among;
use crate::store::{create_secret_dir, write_secret};

/// A temporary directory with a directory for each party; removed when dropped.
pub struct WorkDir {
    parties: [PathBuf; 3],
    temporary: Option<TempDir>,
    _protection: Protection,
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
        Ok(Self { parties, temporary: Some(temporary), _protection: protection })
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
    pub(crate) fn share(&self, plan: &Plan, survey: &Survey, dataset: &str) -> Result<DatasetDescription> {
        let parties = self.parties.each_ref().map(PathBuf::as_path);
        Ok(share_among(survey, parties, dataset, (activation_frac(plan), target_frac(plan)))?)
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
    pub(crate) fn link(&self, name: &str, files: &[PathBuf; 3]) -> Result<()> {
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

impl Drop for WorkDir {
    fn drop(&mut self) {
        let Some(temporary) = self.temporary.take() else { return };
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
