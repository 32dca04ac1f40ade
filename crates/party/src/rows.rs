//! Shared rows in share files.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use shamisen_data::encrypted::StorageKey;
use shamisen_data::prepare;
use shamisen_mpc::Rep;
use shamisen_net::Party;
use shamisen_nn::examples::SharedRows;
use shamisen_nn::{NnError, Result};

use crate::assignment::Assignment;
use crate::event::{Cause, Failed};
use crate::source::{Folder, Memory, Source, gather, memory};

/// Which rows of a party's directory.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To train on.
    Train,
    /// To test on.
    Test,
    /// To predict for, without targets.
    Predict,
}

impl Part {
    /// Name of the share file of the features.
    pub fn features(self) -> &'static str {
        match self {
            Self::Train => prepare::Part::Train.features(),
            Self::Test => prepare::Part::Test.features(),
            Self::Predict => "features",
        }
    }

    /// Name of the share file of the targets.
    pub fn targets(self) -> Option<&'static str> {
        match self {
            Self::Train => Some(prepare::Part::Train.targets()),
            Self::Test => Some(prepare::Part::Test.targets()),
            Self::Predict => None,
        }
    }
}

/// A party's share of some rows, read as they are needed; those that are known to be needed next, in the background.
pub(crate) struct DealtRows {
    files: Arc<Files>,
    reader: Option<Reader>,
    /// Targets that were read together with the features of these rows.
    targets: Option<(Vec<u32>, Result<Rep>)>,
}

impl DealtRows {
    /// Opens the share files of some rows, which are encrypted under the key if there is one, and checks that they are those of the
    /// job.
    pub(crate) fn open(
        dir: &Path,
        part: Part,
        assignment: &Assignment,
        party: Party,
        key: Option<&StorageKey>,
    ) -> std::result::Result<Self, Failed> {
        let folder = Folder { dir, assignment, party, key };
        let features = folder.features(part)?;
        let targets = part.targets().map(|_| folder.targets(part)).transpose()?;
        if let Some(targets) = &targets
            && targets.rows() != features.rows()
        {
            let (dir, features, targets) = (dir.display(), features.rows(), targets.rows());
            let text = format!(
                "{dir} holds features of {features} rows, but targets of {targets}: use files dealt together"
            );
            return Err(Failed::new(Cause::Input, text));
        }
        Ok(Self { files: Arc::new(Files { features, targets }), reader: None, targets: None })
    }

    /// Bytes that the larger of the parties' shares of these rows have.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |source: &Source| 8 * (source.rows() * source.cols()) as u64;
        bytes(&self.files.features) + self.files.targets.as_ref().map_or(0, bytes)
    }
}

impl SharedRows for DealtRows {
    fn rows(&self) -> usize {
        self.files.features.rows()
    }

    fn prefetch(&mut self, rows: &[u32]) {
        if self.reader.is_none() {
            self.reader = Reader::start(&self.files);
        }
        if let Some(reader) = &mut self.reader {
            reader.ask(rows, &self.files);
        }
    }

    fn features(&mut self, rows: &[u32]) -> Result<Rep> {
        match self.reader.as_mut().and_then(|reader| reader.take(rows)) {
            Some(Batch { features, targets }) => {
                self.targets = Some((rows.to_vec(), targets));
                features
            }
            None => gather(&self.files.features, rows, memory(&self.files.features, rows)),
        }
    }

    fn targets(&mut self, rows: &[u32]) -> Result<Rep> {
        match self.targets.take() {
            Some((read, targets)) if read == rows => targets,
            _ => self.files.targets(rows, self.files.memory_of_targets(rows)),
        }
    }
}

/// The share files of some rows.
struct Files {
    features: Source,
    targets: Option<Source>,
}

impl Files {
    fn memory_of_targets(&self, rows: &[u32]) -> Memory {
        self.targets.as_ref().map(|targets| memory(targets, rows)).unwrap_or_default()
    }

    fn targets(&self, rows: &[u32], memory: Memory) -> Result<Rep> {
        match &self.targets {
            Some(targets) => gather(targets, rows, memory),
            None => Err(NnError::Rows("these rows have no targets".into())),
        }
    }
}

/// Rows to read, and where to: memory goes to and fro between the threads, or it would pile up in the one that drops it.
struct Request {
    rows: Vec<u32>,
    features: Memory,
    targets: Memory,
}

/// Rows that were read.
struct Batch {
    features: Result<Rep>,
    targets: Result<Rep>,
}

/// A thread that reads rows and expands their seeds. It ends when this is dropped.
struct Reader {
    requests: SyncSender<Request>,
    batches: Receiver<Batch>,
    /// What was asked for and not taken.
    pending: Option<Vec<u32>>,
}

impl Reader {
    /// `None` if the system gives no thread: rows are then read when they are needed.
    fn start(files: &Arc<Files>) -> Option<Self> {
        let (requests, receiver) = sync_channel::<Request>(1);
        let (sender, batches) = sync_channel(1);
        let files = Arc::clone(files);
        let read = move || {
            for Request { rows, features, targets } in receiver {
                let features = gather(&files.features, &rows, features);
                let batch = Batch { features, targets: files.targets(&rows, targets) };
                if sender.send(batch).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("rows".to_owned()).spawn(read).ok()?;
        Some(Self { requests, batches, pending: None })
    }

    /// Asks for rows, unless others were asked for and not taken.
    fn ask(&mut self, rows: &[u32], files: &Files) {
        if self.pending.is_some() {
            return;
        }
        let features = memory(&files.features, rows);
        let request = Request { rows: rows.to_vec(), features, targets: files.memory_of_targets(rows) };
        if self.requests.send(request).is_ok() {
            self.pending = Some(rows.to_vec());
        }
    }

    /// Waits for these rows, if they were asked for.
    fn take(&mut self, rows: &[u32]) -> Option<Batch> {
        let pending = self.pending.take()?;
        let batch = self.batches.recv().ok()?;
        (pending == rows).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use shamisen_data::shares::{ShareFile, deal, share_path};
    use shamisen_data::table::Matrix;

    use super::*;

    /// Rows of a party whose file is dealt anew, with the features 0, 1, 2, ... and targets.
    fn dealt(dir: &Path, party: usize) -> DealtRows {
        let dirs = [0, 1, 2].map(|party| dir.join(party.to_string()));
        let dirs = dirs.each_ref().map(std::path::PathBuf::as_path);
        let matrix =
            |cols: usize| Matrix::new(20, cols, (0..20 * cols).map(|at| at as f64).collect()).unwrap();
        for (name, cols) in [("a", 3), ("b", 1)] {
            deal(dirs, name, "id", &matrix(cols), 8).unwrap();
        }
        let open = |name| Source::File(ShareFile::open(&share_path(dirs[party], name), party).unwrap());
        let files = Files { features: open("a"), targets: Some(open("b")) };
        DealtRows { files: Arc::new(files), reader: None, targets: None }
    }

    fn words(share: &Rep) -> (Vec<u64>, Vec<u64>) {
        let (mine, next) = share.components();
        (mine.to_vec(), next.to_vec())
    }

    #[test]
    fn rows_are_the_same_whether_they_were_announced_or_not() {
        let dir = tempfile::tempdir().unwrap();
        for party in 0..3 {
            let mut rows = dealt(dir.path(), party);
            let batches: Vec<Vec<u32>> = vec![vec![3, 1, 7], vec![19, 0], vec![3, 1, 7], vec![5], vec![]];
            let read = |rows: &mut DealtRows, batch: &[u32]| {
                (words(&rows.features(batch).unwrap()), words(&rows.targets(batch).unwrap()))
            };
            let expected: Vec<_> = batches.iter().map(|batch| read(&mut rows, batch)).collect();
            for (at, batch) in batches.iter().enumerate() {
                assert!(read(&mut rows, batch) == expected[at], "batch {at} of party {party}");
                if let Some(next) = batches.get(at + 1) {
                    rows.prefetch(next);
                }
            }
            // Others than those that were announced, more than once, and in another order.
            rows.prefetch(&batches[0]);
            rows.prefetch(&batches[1]);
            assert!(read(&mut rows, &batches[3]) == expected[3]);
            rows.prefetch(&batches[1]);
            assert!(words(&rows.targets(&batches[0]).unwrap()) == expected[0].1);
            assert!(read(&mut rows, &batches[1]) == expected[1]);
        }
    }

    #[test]
    fn a_row_that_does_not_exist_is_an_error_also_in_the_background() {
        let dir = tempfile::tempdir().unwrap();
        let mut rows = dealt(dir.path(), 1);
        rows.prefetch(&[1, 20]);
        let message = rows.features(&[1, 20]).err().unwrap().to_string();
        assert!(message.contains("row index 20"), "{message}");
        rows.prefetch(&[2]);
        assert_eq!(rows.features(&[2]).unwrap().len(), 3);
    }
}
