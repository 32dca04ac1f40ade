//! Rows that are shared among three parties of one process.

use std::sync::Arc;

use numpy::PyReadonlyArray2;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use shamisen_mpc::Rep;
use shamisen_net::Party;
use shamisen_nn::examples::SharedRows;
use shamisen_nn::{NnError, Result};
use shamisen_ring::fixed;
use shamisen_ring::prg::Prg;
use shamisen_ring::words::Words;

/// The only stream that is used of a seed, which serves one matrix.
const STREAM: u64 = 0;

/// A matrix in three components, `x = x0 + x1 + x2`: `x0` and `x1` are streams of seeds from the operating system, `x2` is what is
/// left.
pub(crate) struct Dealt {
    streams: [Prg; 2],
    rest: Vec<u64>,
    columns: usize,
}

impl Dealt {
    /// Shares fixed-point numbers.
    pub(crate) fn new(matrix: &PyReadonlyArray2<'_, f64>, frac: u32) -> PyResult<Arc<Self>> {
        let columns = matrix.as_array().ncols();
        let values = matrix.as_slice()?;
        let encoded: Option<Vec<u64>> = values.iter().map(|&value| fixed::encode(value, frac)).collect();
        let words = encoded.ok_or_else(|| {
            PyValueError::new_err(
                "a number is not finite, or too large for the fixed-point numbers: scale the data",
            )
        })?;
        Self::deal(words, columns)
    }

    /// Shares words.
    pub(crate) fn deal(mut words: Vec<u64>, columns: usize) -> PyResult<Arc<Self>> {
        let mut seeds = [0; 32];
        getrandom::fill(&mut seeds).map_err(|error| {
            PyOSError::new_err(format!("the operating system gave no randomness: {error}"))
        })?;
        let stream = |at: usize| Prg::new(&std::array::from_fn(|byte| seeds[at * 16 + byte]));
        let streams = [stream(0), stream(1)];
        for stream in &streams {
            stream.sub_into(STREAM, 0, &mut words);
        }
        Ok(Arc::new(Self { streams, rest: words, columns }))
    }

    /// A party's share of everything.
    pub(crate) fn share(&self, party: Party) -> Rep {
        self.gather(std::iter::once(0..self.rest.len()), self.rest.len(), party)
    }

    fn rows(&self) -> usize {
        self.rest.len() / self.columns
    }

    /// A party's share of some rows.
    fn of_rows(&self, rows: &[u32], party: Party) -> Rep {
        let words = |run: &[u32]| {
            let first = run[0] as usize * self.columns;
            first..first + run.len() * self.columns
        };
        // Rows that follow each other are expanded at once.
        let runs = rows.chunk_by(|&a, &b| a.checked_add(1) == Some(b)).map(words);
        self.gather(runs, rows.len() * self.columns, party)
    }

    fn gather(&self, runs: impl Iterator<Item = std::ops::Range<usize>>, len: usize, party: Party) -> Rep {
        let [mut mine, mut next] = [(); 2].map(|()| Words::scratch(len));
        let mut at = 0;
        for run in runs {
            let place = at..at + run.len();
            self.component(party, run.clone(), &mut mine[place.clone()]);
            self.component(party.next(), run, &mut next[place.clone()]);
            at = place.end;
        }
        Rep::from_components(mine, next)
    }

    fn component(&self, index: Party, words: std::ops::Range<usize>, out: &mut [u64]) {
        match self.streams.get(index.index()) {
            Some(stream) => stream.fill(STREAM, words.start as u64, out),
            None => out.copy_from_slice(&self.rest[words]),
        }
    }
}

/// Features and targets of the same rows.
#[derive(Clone)]
pub(crate) struct Examples {
    pub(crate) features: Arc<Dealt>,
    pub(crate) targets: Option<Arc<Dealt>>,
}

impl Examples {
    /// A party's shares of them.
    pub(crate) fn of(&self, party: Party) -> DealtRows {
        DealtRows { examples: self.clone(), party }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.features.rows()
    }
}

/// What a party reads of its shares of some examples.
pub(crate) struct DealtRows {
    examples: Examples,
    party: Party,
}

impl SharedRows for DealtRows {
    fn rows(&self) -> usize {
        self.examples.rows()
    }

    fn features(&mut self, rows: &[u32]) -> Result<Rep> {
        Ok(self.examples.features.of_rows(rows, self.party))
    }

    fn targets(&mut self, rows: &[u32]) -> Result<Rep> {
        match &self.examples.targets {
            Some(targets) => Ok(targets.of_rows(rows, self.party)),
            None => Err(NnError::Rows("these rows have no targets".into())),
        }
    }
}
