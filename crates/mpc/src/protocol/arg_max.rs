//! The greatest of several classes, row by row.

use std::iter;

use shamisen_net::Party;
use shamisen_ring::words::Words;

use crate::error::Result;
use crate::protocol::and::{and, and_planes};
use crate::protocol::compare::Sign;
use crate::protocol::convert::to_ring;
use crate::protocol::lookup::{Index, Query, look_up_in};
use crate::protocol::multiply::{multiply, product, reshare};
use crate::protocol::split::Split;
use crate::protocol::split_bits::SplitBits;
use crate::roles::cuts;
use crate::session::Session;
use crate::share::{Additive, Bits, Rep};

/// Up to this many classes are compared each with each; more are played off in groups.
const ALL_PAIRS: usize = 16;
const GROUP: usize = 8;

/// The winner of each row.
pub struct Winner {
    /// One number for each class and row, class by class: 1 where the class is the greatest of the row, otherwise 0. Equal
    /// values go to the lower class.
    pub one_hot: Rep,
    /// The greatest value of each row.
    pub max: Additive,
}

/// The greatest class of each row of a row-major matrix `rows x classes`, and its value, given
/// `|x| < 2^(width - 2)`.
///
/// Up to 16 classes: all pairs are compared at once, and each class but the last learns by a look-up whether it has won all
/// its games; the last class is what is left. `is_negative` of `classes (classes - 1) / 2` differences, the last AND for both classes
/// of a pair; then 2 rounds for 2 classes and for 4 to 11, 3 for 3, and 4 above. More classes are played off in groups of 8, then
/// the winners: 1 round for each value that goes on, and 1 round and 24 bytes a class to bring the two together.
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
    if classes <= ALL_PAIRS {
        return all_pairs(shared, rows, classes, width, session);
    }
    let (first, finalists) = groups(shared, rows, classes, width, session)?;
    let count = classes.div_ceil(GROUP);
    let last = arg_max(&finalists, rows, count, width, session)?;
    // A class wins when it wins its group and the group wins.
    let places = (0..classes).flat_map(|class| (0..rows).map(move |row| (class, row)));
    let within = places.clone().map(|(class, row)| (class % GROUP * count + class / GROUP) * rows + row);
    let of_group = places.map(|(class, row)| class / GROUP * rows + row);
    let one_hot = multiply(&first.gather(within), &last.one_hot.gather(of_group), session)?;
    Ok(Winner { one_hot, max: last.max })
}

/// The greatest value of each row; as [`arg_max`], without the last round for more than 16 classes.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn row_max(
    shared: &Rep,
    rows: usize,
    classes: usize,
    width: u32,
    session: &mut Session,
) -> Result<Additive> {
    if classes <= ALL_PAIRS {
        return Ok(all_pairs(shared, rows, classes, width, session)?.max);
    }
    let (_, finalists) = groups(shared, rows, classes, width, session)?;
    row_max(&finalists, rows, classes.div_ceil(GROUP), width, session)
}

/// Plays off groups of 8 classes: the winners within each, class by class and group by group, and the greatest value of
/// each row and group, row-major.
fn groups(
    shared: &Rep,
    rows: usize,
    classes: usize,
    width: u32,
    session: &mut Session,
) -> Result<(Rep, Rep)> {
    assert_eq!(shared.len(), rows * classes, "rows x classes values");
    // Every group is a row of its own; the last is filled up with the last class, which loses against itself.
    let count = classes.div_ceil(GROUP);
    let stacked = shared.gather((0..count).flat_map(move |group| {
        (0..rows).flat_map(move |row| {
            (0..GROUP).map(move |at| row * classes + (group * GROUP + at).min(classes - 1))
        })
    }));
    let winner = all_pairs(&stacked, rows * count, GROUP, width, session)?;
    let max = reshare(winner.max, session)?;
    let finalists =
        max.gather((0..rows).flat_map(move |row| (0..count).map(move |group| group * rows + row)));
    Ok((winner.one_hot, finalists))
}

fn all_pairs(shared: &Rep, rows: usize, classes: usize, width: u32, session: &mut Session) -> Result<Winner> {
    assert_eq!(shared.len(), rows * classes, "rows x classes values");
    assert!(rows > 0 && classes > 0, "at least one row and one class");
    // Columns begin at whole words of a bit plane.
    let padded = rows.next_multiple_of(64);
    let column = |class: usize| {
        let mut column = shared.gather((0..rows).map(move |row| row * classes + class));
        column.extend(&Rep::zeros(padded - rows));
        column
    };
    let columns: Vec<Rep> = (0..classes).map(column).collect();
    let last = classes - 1;
    let mut max = columns[last].slice(0..rows).to_additive();
    let mut of_last = Rep::from_public(&vec![1; rows], session.party());
    if classes == 1 {
        return Ok(Winner { one_hot: of_last, max });
    }

    let mut differences = Rep::default();
    for low in 0..classes {
        for high in &columns[low + 1..] {
            let mut difference = columns[low].clone();
            difference.sub_assign(high);
            differences.extend(&difference);
        }
    }
    let party = session.party();
    let higher_wins = Sign::of(&mut Split::of(&differences, party), 0, width, session)?;
    let chosen = all_won(games(&higher_wins, padded, classes, party), session)?;

    let mut one_hot = Rep::default();
    for class in 0..last {
        let chosen = chosen.slice(class * padded..class * padded + rows);
        let mut above_last = columns[class].slice(0..rows);
        above_last.sub_assign(&columns[last].slice(0..rows));
        max.add_assign(&product(&chosen, &above_last));
        of_last.sub_assign(&chosen);
        one_hot.extend(&chosen);
    }
    one_hot.extend(&of_last);
    Ok(Winner { one_hot, max })
}

/// The games of each class but the last, one element for each class and row: bit t is its game against the t-th other one.
fn games(higher_wins: &Sign, padded: usize, classes: usize, party: Party) -> Sign {
    let words = padded / 64;
    let gather = |of_lower: &Bits, of_higher: &Bits| {
        let mut games = Bits::zeros(0, padded * (classes - 1));
        games.width = classes - 1;
        for opponent in 0..classes - 1 {
            for class in 0..classes - 1 {
                let other = if opponent < class { opponent } else { opponent + 1 };
                let (low, high) = (class.min(other), class.max(other));
                let from = if class == low { of_lower } else { of_higher };
                // Pairs are numbered by their lower class, then by the higher one.
                let pair = low * (2 * classes - low - 1) / 2 + high - low - 1;
                let place = pair * words..(pair + 1) * words;
                games.mine.extend_from_slice(&from.mine[place.clone()]);
                games.next.extend_from_slice(&from.next[place]);
            }
        }
        games
    };
    let lower_wins = higher_wins.plain.clone().inverted(party);
    Sign {
        plain: gather(&lower_wins, &higher_wins.plain),
        product: higher_wins.product.as_ref().map(|factors| factors.each_ref().map(|x| gather(x, x))),
    }
}

/// Whether all bits of an element are 1, as a number 0 or 1.
///
/// One or two bits are joined by AND and converted. More are the index of a table whose last entry is 1, filled up with ones to
/// 4 bits; from 11 to 20, one round of ANDs halves them first.
fn all_won(games: Sign, session: &mut Session) -> Result<Rep> {
    let (width, len) = (games.plain.width, games.plain.len);
    if width <= 2 {
        return to_ring(&and_planes(games.replicated(session)?, 1, session)?, session);
    }
    let mut index = if width <= 10 {
        games.split(cuts(len), session)
    } else {
        let games = games.replicated(session)?;
        let half = width / 2;
        let mut joined = and(&games.planes(0..half), &games.planes(half..2 * half), session)?;
        joined.push(&games.planes(2 * half..width));
        SplitBits::of(&joined, cuts(len), session.party())
    };
    index.push_ones(4_usize.saturating_sub(index.width()), session.party());
    let bits = index.width() as u32;
    let table: Words = iter::repeat_n(0, (1 << bits) - 1).chain([1]).collect();
    let query = Query { low: 0, bits, tables: &[&table] };
    Ok(look_up_in(Index::Bits(&mut index), &[query], session)?.swap_remove(0).swap_remove(0))
}
