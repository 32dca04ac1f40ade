//! What the fuzz targets have in common.

use std::fs;
use std::path::{Path, PathBuf};

use shamisen_data::columns::ColumnRules;
use shamisen_data::prepare::{PrepareOptions, Source, TestSource};
use shamisen_data::scaling::{Scaling, TargetScaling};
use shamisen_data::survey::Survey;
use tempfile::TempDir;

/// A directory for one input, in memory where there is such a place.
pub struct Place(TempDir);

impl Place {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self(dir.expect("a directory can be made"))
    }

    /// Where a file of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }
}

/// Reads all rows of a table, as before a training.
pub fn read(source: Source) {
    let options = PrepareOptions {
        source,
        test: TestSource::None,
        known: None,
        columns: ColumnRules::default(),
        scaling: Scaling::Standard,
        target_scaling: TargetScaling::Standard,
        seed: 1,
        feature_limit: 16.0,
        target_limit: 16.0,
    };
    if let Ok(survey) = Survey::new(&options) {
        drop(survey.collect());
    }
}
