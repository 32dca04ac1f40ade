//! The scaling of a table as shares: the servers can compute with it and cannot read it.
//!
//! A share file `scaling` with a row for each feature, and one for the target of a regression: the offset of the column in all
//! [units](shamisen_ring::levels), then its width, which is the inverse of the factor, or 0 for a column that is the same everywhere.

use std::path::Path;

use shamisen_ring::levels::{LEVELS, decode, encode};

use crate::error::{DataError, Result};
use crate::scaling::{Affine, Preprocessing};
use crate::shares::Dealer;

/// The name of the share files.
pub const NAME: &str = "scaling";

/// Words of a row.
pub const WORDS: usize = 2 * LEVELS;

/// The scaling of the features, and of the target of a regression behind them.
pub fn maps(preprocessing: &Preprocessing) -> Vec<Affine> {
    let features = preprocessing.offset.iter().zip(&preprocessing.factor);
    let features = features.map(|(&offset, &factor)| Affine { offset, factor });
    features.chain(preprocessing.target).collect()
}

/// Shares a scaling among three directories.
///
/// # Errors
///
/// If a number is too large for a table, and as [`Dealer::create`] and [`Dealer::finish`].
pub fn deal(dirs: [&Path; 3], dataset: &str, preprocessing: &Preprocessing) -> Result<()> {
    let maps = maps(preprocessing);
    let mut dealer = Dealer::create(dirs, NAME, dataset, (maps.len(), WORDS), 0)?;
    for map in maps {
        let words = words(map).ok_or_else(|| DataError::BadDescription {
            path: dirs[0].to_owned(),
            problem: "a statistic of the table is too large".to_owned(),
        })?;
        words.into_iter().try_for_each(|word| dealer.push_word(word))?;
    }
    dealer.finish()
}

/// A row of the share files.
fn words(map: Affine) -> Option<Vec<u64>> {
    let (offset, width) = map.offset_and_width();
    Some([encode(offset)?, encode(width)?].concat())
}

/// What a row of the share files, put together, stands for.
pub fn map(words: &[u64]) -> Affine {
    let (offset, width) = words.split_at(LEVELS.min(words.len()));
    Affine::of_width(decode(offset), decode(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalings_come_back() {
        for (offset, width) in [(0.0, 1.0), (-1e9, 1e-3), (0.3, 7.0), (5e-7, 2e-9), (8e18, 3e17), (3.5, 0.0)]
        {
            let given = Affine::of_width(offset, width);
            let found = map(&words(given).unwrap());
            assert!((found.offset - offset).abs() <= offset.abs() * 1e-15, "{offset}: {found:?}");
            assert!((found.factor - given.factor).abs() <= given.factor * 1e-14, "{width}: {found:?}");
        }
        assert_eq!(words(Affine { offset: 1e200, factor: 1.0 }), None);
    }
}
