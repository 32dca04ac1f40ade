//! Rows of several owners, each scaled by itself, rescaled by the statistics of all rows: what the three do before a training on
//! them begins.
//!
//! The rescaled rows are shared anew, under seeds, and each party keeps its share files in its directory as long as the training
//! lasts. What was sent about them must not be sent again with other shares of the same rows: whoever goes on from a checkpoint
//! uses the files that were there when it was kept, and whoever begins anew makes new ones.

use shamisen_data::scaling::OUTLIER_LIMIT;
use shamisen_data::shares::{PartyWriter, ShareFile, ShareForm, share_path};
use shamisen_mpc::protocol::pool::{Rescaling, pool};
use shamisen_mpc::protocol::reseed::{Seeds, reseed};
use shamisen_mpc::protocol::tell::tell;
use shamisen_mpc::{Rep, Session};
use shamisen_nn::formats::activation_frac;

use crate::assignment::{Score, Work};
use crate::event::Failed;
use crate::handover::write_share;
use crate::rows::Part;
use crate::source::{Folder, Source};

/// Name of a party's share of the statistics of all rows, in its directory.
pub const STATISTICS_FILE: &str = "statistics.share";

/// Numbers that are rescaled at a time, about.
const CHUNK: usize = 1 << 17;

/// What the owners have shared.
pub(crate) struct Owned {
    scalings: Vec<Rep>,
    rows: Vec<u64>,
    /// What is to be rescaled: the name of the new share file, and the rows of each owner.
    matrices: Vec<Matrix>,
    /// Numbers in all of them.
    numbers: usize,
}

struct Matrix {
    name: &'static str,
    sources: Vec<Source>,
    is_target: bool,
}

impl Owned {
    /// Opens the owners' files, if the job rescales something of them.
    pub(crate) fn open(folder: &Folder<'_>) -> Result<Option<Self>, Failed> {
        let Some(tables) = folder.assignment.tables.as_ref().filter(|tables| tables.pooled.any()) else {
            return Ok(None);
        };
        let Work::Train { score, .. } = &folder.assignment.work else { return Ok(None) };
        let parts: &[Part] =
            if *score == Score::TestRows { &[Part::Train, Part::Test] } else { &[Part::Train] };
        let mut matrices = Vec::new();
        for part in parts {
            if tables.makes(*part, false) {
                let sources = folder.features_of_owners(tables, *part)?;
                matrices.push(Matrix { name: part.features(), sources, is_target: false });
            }
            if tables.makes(*part, true) {
                let sources = folder.targets_of_owners(tables, *part)?;
                matrices.push(Matrix { name: part.targets().unwrap_or_default(), sources, is_target: true });
            }
        }
        let mut scalings = Vec::with_capacity(tables.tables.len());
        for (number, table) in tables.tables.iter().enumerate() {
            let file = folder.scaling(number, table)?;
            let mut rows: Vec<u32> = match &table.columns {
                Some(columns) => columns.iter().map(|column| *column as u32).collect(),
                None => (0..table.features as u32).collect(),
            };
            // Behind those of the features there is that of the target of a regression.
            rows.extend(table.features as u32..file.rows() as u32);
            scalings.push(share_of(&file, &rows)?);
        }
        let numbers = |matrix: &Matrix| -> usize {
            matrix.sources.iter().map(|source| source.rows() * source.cols()).sum()
        };
        let numbers = matrices.iter().map(numbers).sum();
        let rows = tables.tables.iter().map(|table| table.rows as u64).collect();
        Ok(Some(Self { scalings, rows, matrices, numbers }))
    }

    /// Bytes that the larger of the parties' shares have.
    pub(crate) fn bytes(&self) -> u64 {
        8 * self.numbers as u64
    }

    /// Rescales all rows, and keeps this party's shares of them and of the statistics; when it returns, all three have theirs on the
    /// disk. `observe` is told the part that is done, now and then.
    pub(crate) fn rescale(
        &self,
        folder: &Folder<'_>,
        observe: &mut dyn FnMut(f64),
        session: &mut Session,
    ) -> Result<(), Failed> {
        let owners: Vec<(&Rep, u64)> = self.scalings.iter().zip(self.rows.iter().copied()).collect();
        let pooled = pool(&owners, session)?;
        write_share(&folder.dir.join(STATISTICS_FILE), &pooled.statistics, folder.key)?;
        let mut done = 0;
        let mut count = |numbers: usize| {
            done += numbers;
            observe(done as f64 / self.numbers.max(1) as f64);
        };
        for matrix in &self.matrices {
            tracing::info!("{} of {} owners are rescaled", matrix.name, owners.len());
            matrix.rescale(&pooled.rescaling, folder, &mut count, session)?;
        }
        tell(&[1], session)?;
        Ok(())
    }
}

impl Matrix {
    fn rescale(
        &self,
        rescaling: &[Rescaling],
        folder: &Folder<'_>,
        count: &mut dyn FnMut(usize),
        session: &mut Session,
    ) -> Result<(), Failed> {
        let frac = activation_frac(&folder.assignment.plan);
        let rows = self.sources.iter().map(Source::rows).sum();
        let cols = self.sources.first().map_or(0, Source::cols);
        let party = folder.party.index();
        let form = ShareForm { party, dataset: &folder.assignment.dataset, rows, cols, frac };
        let seeds = Seeds::draw(session);
        let path = share_path(folder.dir, self.name);
        let mut file =
            PartyWriter::create(&path, &form, [seeds.mine.as_ref(), seeds.next.as_ref()], folder.key)?;
        let mut first = 0;
        for (source, map) in self.sources.iter().zip(rescaling) {
            let columns = if self.is_target { map.columns() - cols..map.columns() } else { 0..cols };
            let map = map.of(columns);
            let (height, at_once) = (source.rows(), (CHUNK / cols.max(1)).max(1));
            for start in (0..height).step_by(at_once) {
                let places: Vec<u32> = (start as u32..height.min(start + at_once) as u32).collect();
                let own = source.share(&places)?;
                let scaled = if self.is_target {
                    map.apply(&own, frac, session)?
                } else {
                    map.apply_clipped(&own, frac, OUTLIER_LIMIT as u32, session)?
                };
                if let Some(words) = reseed(&scaled, &seeds, first, session)? {
                    file.push(&words)?;
                }
                first += scaled.len() as u64;
                count(scaled.len());
            }
        }
        Ok(file.finish()?)
    }
}

/// This party's share of some rows of a file.
pub(crate) fn share_of(file: &ShareFile, rows: &[u32]) -> Result<Rep, Failed> {
    let words = rows.len() * file.cols();
    let (mut mine, mut next) = (vec![0; words], vec![0; words]);
    file.gather(rows, &mut mine, &mut next)?;
    Ok(Rep::from_components(mine, next))
}
