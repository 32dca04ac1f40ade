//! The greatest of several classes, row by row.

use shamisen_ring::words::Words;

use crate::error::Result;
use crate::protocol::and::{and, and_planes};
use crate::protocol::compare::is_negative;
use crate::protocol::convert::to_ring;
use crate::protocol::multiply::{product, reshare};
use crate::session::Session;
use crate::share::{Additive, Bits, Rep};

/// Up to this many classes are compared each with each; more are played off in groups.
pub const ALL_PAIRS: usize = 16;
const GROUP: usize = 8;

/// The winner of each row.
pub struct Winner {
    /// One plane per class, 1 where the class is the greatest; equal values go to the lower class.
    pub one_hot: Bits,
    /// The greatest value of each row.
    pub max: Rep,
}

/// The greatest class of each row of a row-major matrix `rows x classes`, and its value, given
/// `|x| < 2^(width - 2)`.
///
/// Up to 16 classes: all pairs are compared at once and each class takes the AND of its comparisons:
/// `is_negative` of `classes (classes - 1) / 2` differences, ceil(log2(classes - 1)) rounds of AND, and 3 rounds for
/// the value. More classes are played off in groups of 8, then the winners.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn arg_max(
    shared: &Rep,
    rows: usize,
    classes: usize,
    width: u32,
    session: &mut Session,
) -> Result<Winner> {
    assert_eq!(shared.len(), rows * classes, "rows x classes values");
    assert!(rows > 0 && classes > 0, "at least one row and one class");
    if classes <= ALL_PAIRS {
        return all_pairs(shared, rows, classes, width, session);
    }
    // Every group is a row of its own; the last is filled up with the last class, which loses against itself.
    let groups = classes.div_ceil(GROUP);
    let stacked = shared.gather((0..groups).flat_map(move |group| {
        (0..rows).flat_map(move |row| {
            (0..GROUP).map(move |at| row * classes + (group * GROUP + at).min(classes - 1))
        })
    }));
    // Groups begin at whole words.
    let padded = rows.next_multiple_of(64);
    let mut aligned = Rep::default();
    for group in 0..groups {
        aligned.extend(&stacked.slice(group * rows * GROUP..(group + 1) * rows * GROUP));
        aligned.extend(&Rep::zeros((padded - rows) * GROUP));
    }
    let first = all_pairs(&aligned, padded * groups, GROUP, width, session)?;
    let finalists =
        first.max.gather((0..rows).flat_map(move |row| (0..groups).map(move |group| group * padded + row)));
    let last = arg_max(&finalists, rows, groups, width, session)?;

    let words = padded / 64;
    let mut within = Bits::zeros(0, rows);
    let mut group_of = Bits::zeros(0, rows);
    for class in 0..classes {
        let (group, at) = (class / GROUP, class % GROUP);
        let start = (at * groups + group) * words;
        within.push(&Bits {
            width: 1,
            len: rows,
            mine: Words::copy(&first.one_hot.mine[start..start + words]),
            next: Words::copy(&first.one_hot.next[start..start + words]),
        });
        group_of.push(&last.one_hot.plane(group));
    }
    Ok(Winner { one_hot: and(&within, &group_of, session)?, max: last.max })
}

fn all_pairs(shared: &Rep, rows: usize, classes: usize, width: u32, session: &mut Session) -> Result<Winner> {
    if classes == 1 {
        let one_hot = Bits::zeros(1, rows).inverted(session.party());
        return Ok(Winner { one_hot, max: shared.clone() });
    }
    let padded = rows.next_multiple_of(64);
    let column = |class: usize| {
        let mut column = shared.gather((0..rows).map(move |row| row * classes + class));
        column.extend(&Rep::zeros(padded - rows));
        column
    };
    let columns: Vec<Rep> = (0..classes).map(column).collect();
    let pairs: Vec<(usize, usize)> =
        (0..classes).flat_map(|low| (low + 1..classes).map(move |high| (low, high))).collect();
    let mut differences = Rep::default();
    for &(low, high) in &pairs {
        let mut difference = columns[low].clone();
        difference.sub_assign(&columns[high]);
        differences.extend(&difference);
    }
    let mut higher_wins = is_negative(&differences, width, session)?;
    (higher_wins.width, higher_wins.len) = (pairs.len(), rows);
    let lower_wins = higher_wins.clone().inverted(session.party());

    let mut games = Bits::zeros(0, rows);
    for class in 0..classes {
        for (game, &(low, high)) in pairs.iter().enumerate() {
            if low == class {
                games.push(&lower_wins.plane(game));
            } else if high == class {
                games.push(&higher_wins.plane(game));
            }
        }
    }
    let one_hot = and_planes(games, classes, session)?;

    let chosen = to_ring(&one_hot, session)?;
    let mut max = Additive::zeros(rows);
    for (class, column) in columns.iter().enumerate() {
        max.add_assign(&product(&chosen.slice(class * rows..(class + 1) * rows), &column.slice(0..rows)));
    }
    Ok(Winner { one_hot, max: reshare(max, session)? })
}
