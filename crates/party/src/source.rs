//! Where a party's share of rows comes from: a share file, or files of several owners put together.

use std::fs;
use std::path::Path;

use shamisen_data::encrypted::StorageKey;
use shamisen_data::shares::{ShareFile, share_path};
use shamisen_data::{DataError, shared_scaling};
use shamisen_mpc::Rep;
use shamisen_net::Party;
use shamisen_nn::formats::{activation_frac, target_frac};
use shamisen_nn::{NnError, Result};
use shamisen_ring::words::Words;

use crate::assignment::Assignment;
use crate::event::{Cause, Failed};
use crate::rows::Part;
use crate::tables::{Join, Table, Tables};

/// What was opened, or why it was not.
type Opened<T> = std::result::Result<T, Failed>;

/// A party's directory, and what its share files have to be.
#[derive(Clone, Copy)]
pub(crate) struct Folder<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) assignment: &'a Assignment,
    pub(crate) party: Party,
    pub(crate) key: Option<&'a StorageKey>,
}

impl Folder<'_> {
    /// The features of a part.
    pub(crate) fn features(&self, part: Part) -> Opened<Source> {
        let plan = &self.assignment.plan;
        match &self.assignment.tables {
            Some(tables) if part != Part::Predict && !tables.makes(part, false) => {
                together(tables.join, self.features_of_owners(tables, part)?)
            }
            _ => {
                self.file(self.dir, part.features(), plan.features(), activation_frac(plan)).map(Source::File)
            }
        }
    }

    /// The targets of a part that has some.
    pub(crate) fn targets(&self, part: Part) -> Opened<Source> {
        let plan = &self.assignment.plan;
        match &self.assignment.tables {
            Some(tables) if !tables.makes(part, true) => {
                together(tables.join, self.targets_of_owners(tables, part)?)
            }
            _ => self
                .file(self.dir, part.targets().unwrap_or_default(), plan.outputs(), target_frac(plan))
                .map(Source::File),
        }
    }

    /// The features of each table that gives some, as its owner has shared them.
    pub(crate) fn features_of_owners(&self, tables: &Tables, part: Part) -> Opened<Vec<Source>> {
        let frac = activation_frac(&self.assignment.plan);
        let source = |(number, table): (usize, &Table)| {
            let dir = Tables::dir(self.dir, number);
            let file = self.file_of(&dir, part.features(), &table.dataset, (table.features, frac))?;
            let Some(columns) = &table.columns else { return Ok(Source::File(file)) };
            match columns.iter().find(|column| **column >= table.features) {
                None => Ok(Source::Some { file, columns: columns.clone() }),
                Some(column) => Err(wrong(&format!("table {number} of the job has no column {column}"))),
            }
        };
        // One that gives the target alone has no features.
        let gives = |(_, table): &(usize, &Table)| table.columns.as_ref().is_none_or(|some| !some.is_empty());
        tables.tables.iter().enumerate().filter(gives).map(source).collect()
    }

    /// The targets of each table that has them, as its owner has shared them.
    pub(crate) fn targets_of_owners(&self, tables: &Tables, part: Part) -> Opened<Vec<Source>> {
        let plan = &self.assignment.plan;
        let with_target = tables.tables.iter().enumerate().filter(|(_, table)| table.target);
        let source = |(number, table): (usize, &Table)| {
            let (dir, name) = (Tables::dir(self.dir, number), part.targets().unwrap_or_default());
            self.file_of(&dir, name, &table.dataset, (plan.outputs(), target_frac(plan))).map(Source::File)
        };
        with_target.map(source).collect()
    }

    /// The scaling of a table's columns as its owner has shared it.
    pub(crate) fn scaling(&self, number: usize, table: &Table) -> Opened<ShareFile> {
        let dir = Tables::dir(self.dir, number);
        self.file_of(&dir, shared_scaling::NAME, &table.dataset, (shared_scaling::WORDS, 0))
    }

    fn file(&self, dir: &Path, name: &str, cols: usize, frac: u32) -> Opened<ShareFile> {
        self.file_of(dir, name, &self.assignment.dataset, (cols, frac))
    }

    fn file_of(
        &self,
        dir: &Path,
        name: &str,
        dataset: &str,
        (cols, frac): (usize, u32),
    ) -> Opened<ShareFile> {
        let path = share_path(dir, name);
        // Messages name the file itself, and not a link to it.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let file = match self.key {
            Some(key) => ShareFile::open_encrypted(&path, self.party.index(), key)?,
            None => ShareFile::open(&path, self.party.index())?,
        };
        let problem = if file.dataset() != dataset {
            "is of another data set than the job"
        } else if file.cols() != cols || file.frac() != frac {
            "does not have the columns and the number format of the job"
        } else {
            return Ok(file);
        };
        let text = format!("{} {problem}: use the files that were dealt together", path.display());
        Err(Failed::new(Cause::Input, text))
    }
}

/// Tables put together.
fn together(join: Join, mut sources: Vec<Source>) -> Opened<Source> {
    if sources.len() < 2 {
        return sources.pop().ok_or_else(|| wrong("the job names no table with what it needs"));
    }
    match join {
        Join::Rows if sources.iter().any(|source| source.cols() != sources[0].cols()) => {
            Err(wrong("the tables of the job have different numbers of columns: their rows are no table"))
        }
        Join::Columns if sources.iter().any(|source| source.rows() != sources[0].rows()) => {
            Err(wrong("the tables of the job have different numbers of rows: their columns are no table"))
        }
        Join::Rows => Ok(Source::Below(sources)),
        Join::Columns => Ok(Source::Beside(sources)),
    }
}

fn wrong(text: &str) -> Failed {
    Failed::new(Cause::Input, text.to_owned())
}

/// Where rows come from.
pub(crate) enum Source {
    File(ShareFile),
    /// Some columns of a file.
    Some {
        file: ShareFile,
        columns: Vec<usize>,
    },
    /// Rows of the second behind those of the first.
    Below(Vec<Source>),
    /// Columns of the second behind those of the first.
    Beside(Vec<Source>),
}

impl Source {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::File(file) | Self::Some { file, .. } => file.rows(),
            Self::Below(sources) => sources.iter().map(Self::rows).sum(),
            Self::Beside(sources) => sources.first().map_or(0, Self::rows),
        }
    }

    pub(crate) fn cols(&self) -> usize {
        match self {
            Self::File(file) => file.cols(),
            Self::Some { columns, .. } => columns.len(),
            Self::Below(sources) => sources.first().map_or(0, Self::cols),
            Self::Beside(sources) => sources.iter().map(Self::cols).sum(),
        }
    }

    /// Writes this party's share of rows, in the order given, into `mine` and `next`.
    fn gather(&self, rows: &[u32], mine: &mut [u64], next: &mut [u64]) -> shamisen_data::Result<()> {
        match self {
            Self::File(file) => file.gather(rows, mine, next),
            Self::Some { file, columns } => {
                let wide = file.cols();
                let [mut all_mine, mut all_next] = [(); 2].map(|()| Words::scratch(rows.len() * wide));
                file.gather(rows, &mut all_mine, &mut all_next)?;
                for (all, some) in [(&all_mine, mine), (&all_next, next)] {
                    for (row, some) in all.chunks_exact(wide).zip(some.chunks_exact_mut(columns.len())) {
                        some.iter_mut().zip(columns).for_each(|(word, column)| *word = row[*column]);
                    }
                }
                Ok(())
            }
            Self::Below(sources) => {
                let cols = self.cols();
                let mut first = 0;
                for source in sources {
                    let end = first + source.rows() as u32;
                    let places: Vec<usize> =
                        (0..rows.len()).filter(|place| (first..end).contains(&rows[*place])).collect();
                    let own: Vec<u32> = places.iter().map(|place| rows[*place] - first).collect();
                    let [mut own_mine, mut own_next] = [(); 2].map(|()| Words::scratch(own.len() * cols));
                    source.gather(&own, &mut own_mine, &mut own_next)?;
                    for (own, all) in [(&own_mine, &mut *mine), (&own_next, &mut *next)] {
                        for (place, row) in places.iter().zip(own.chunks_exact(cols)) {
                            all[place * cols..(place + 1) * cols].copy_from_slice(row);
                        }
                    }
                    first = end;
                }
                match rows.iter().find(|row| **row >= first) {
                    None => Ok(()),
                    Some(_) => Err(DataError::Length {
                        operation: "gathering rows of several tables",
                        expected: first as usize,
                        found: rows.iter().max().map_or(0, |row| *row as usize + 1),
                    }),
                }
            }
            Self::Beside(sources) => {
                let cols = self.cols();
                let mut first = 0;
                for source in sources {
                    let end = first + source.cols();
                    let [mut own_mine, mut own_next] =
                        [(); 2].map(|()| Words::scratch(rows.len() * source.cols()));
                    source.gather(rows, &mut own_mine, &mut own_next)?;
                    for (own, all) in [(&own_mine, &mut *mine), (&own_next, &mut *next)] {
                        for (row, own) in all.chunks_exact_mut(cols).zip(own.chunks_exact(source.cols())) {
                            row[first..end].copy_from_slice(own);
                        }
                    }
                    first = end;
                }
                Ok(())
            }
        }
    }

    /// The share of some rows.
    pub(crate) fn share(&self, rows: &[u32]) -> Result<Rep> {
        gather(self, rows, memory(self, rows))
    }
}

/// Room for the two components of rows.
pub(crate) type Memory = [Words; 2];

/// Memory for some rows.
pub(crate) fn memory(source: &Source, rows: &[u32]) -> Memory {
    [(); 2].map(|()| Words::scratch(rows.len() * source.cols()))
}

/// Reads rows into memory for them.
pub(crate) fn gather(source: &Source, rows: &[u32], [mut mine, mut next]: Memory) -> Result<Rep> {
    source.gather(rows, &mut mine, &mut next).map_err(|error| NnError::Rows(error.into()))?;
    Ok(Rep::from_components(mine, next))
}

#[cfg(test)]
mod tests {
    use shamisen_data::shares::deal;
    use shamisen_data::table::Matrix;

    use super::*;

    /// The share files of a matrix with the numbers from `first` on.
    fn dealt(dir: &Path, name: &str, rows: usize, cols: usize, first: usize) {
        let dirs = [0, 1, 2].map(|party| dir.join(party.to_string()));
        let dirs = dirs.each_ref().map(std::path::PathBuf::as_path);
        let values = (first..first + rows * cols).map(|value| value as f64).collect();
        deal(dirs, name, "id", &Matrix::new(rows, cols, values).unwrap(), 0).unwrap();
    }

    /// What the three parties' shares of rows stand for.
    fn opened(make: impl Fn(&dyn Fn(&str) -> ShareFile) -> Source, dir: &Path, rows: &[u32]) -> Vec<u64> {
        let mut sum = Vec::new();
        for party in 0..3 {
            let file =
                |name: &str| ShareFile::open(&share_path(&dir.join(party.to_string()), name), party).unwrap();
            let share = make(&file).share(rows).unwrap();
            let (mine, _) = share.components();
            sum.resize(mine.len(), 0_u64);
            sum.iter_mut().zip(mine).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        }
        sum
    }

    #[test]
    fn tables_are_put_together_as_they_should() {
        let place = tempfile::tempdir().unwrap();
        dealt(place.path(), "a", 3, 2, 0);
        dealt(place.path(), "b", 2, 2, 100);
        dealt(place.path(), "c", 3, 3, 200);
        let below = |file: &dyn Fn(&str) -> ShareFile| {
            Source::Below(vec![Source::File(file("a")), Source::File(file("b"))])
        };
        assert_eq!(opened(below, place.path(), &[4, 0, 3, 2]), [102, 103, 0, 1, 100, 101, 4, 5]);
        let beside = |file: &dyn Fn(&str) -> ShareFile| {
            let some = Source::Some { file: file("c"), columns: vec![2, 0] };
            Source::Beside(vec![Source::File(file("a")), some])
        };
        assert_eq!(opened(beside, place.path(), &[2, 1]), [4, 5, 208, 206, 2, 3, 205, 203]);
        let open =
            |name| Source::File(ShareFile::open(&share_path(&place.path().join("1"), name), 1).unwrap());
        let message = Source::Below(vec![open("a"), open("b")]).share(&[5]).err().unwrap().to_string();
        assert!(message.contains("rows"), "{message}");
        for (join, names, part) in
            [(Join::Rows, ["a", "c"], "numbers of columns"), (Join::Columns, ["a", "b"], "numbers of rows")]
        {
            let failed = together(join, names.map(open).into()).err().unwrap();
            assert!(failed.message.contains(part), "{}", failed.message);
        }
    }
}
