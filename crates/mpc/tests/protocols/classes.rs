//! The greatest class, soft-max and cross-entropy.

use shamisen_mpc::protocol::arg_max::arg_max;
use shamisen_mpc::protocol::log::LOG_FRAC;
use shamisen_mpc::protocol::soft_max::{PROBABILITY_FRAC, cross_entropy, soft_max};
use shamisen_testkit::{combine, combine_additive, combine_bits, deal, random_words, rng, run};

use crate::common::{SEED, assert_cost, bit, bounded, fixed, on_ring, real, uniform};
use crate::cost;

const FRAC: u32 = 14;
const INTEGER_BITS: u32 = 10;

/// Rows and classes: one element, pairs, the most that are compared all at once, groups, and groups of groups.
const SHAPES: [(usize, usize); 14] = [
    (1, 2),
    (2, 3),
    (64, 2),
    (37, 10),
    (130, 10),
    (150, 16),
    (3, 17),
    (200, 17),
    (65, 24),
    (1, 40),
    (150, 40),
    (2, 130),
    (6500, 3),
    (6400, 17),
];

/// The first of the greatest.
fn winner(row: &[u64]) -> usize {
    (0..row.len()).rev().max_by_key(|&class| row[class] as i64).expect("a row has classes")
}

#[test]
fn greatest_class() {
    let mut rng = rng(SEED);
    for (rows, classes) in SHAPES.into_iter().chain([(1, 1), (70, 1)]) {
        for width in [8, 26, 64] {
            let random = bounded(rows * classes, width - 2, &mut rng);
            // The lower bound itself is out of range.
            let random: Vec<u64> =
                random.iter().map(|&x| if x as i64 == -(1 << (width - 2)) { x + 1 } else { x }).collect();
            let few: Vec<u64> =
                random_words(rows * classes, &mut rng).iter().map(|x| (x % 3).wrapping_sub(1)).collect();
            for values in [random, few, vec![(1 << (width - 2)) - 1; rows * classes]] {
                let out = on_ring(&values, |share, session| {
                    arg_max(share, rows, classes, width, session).map(|winner| (winner.one_hot, winner.max))
                });
                assert_cost("arg_max", rows, &out, cost::arg_max(rows, classes, width));
                let one_hot = combine_bits(&out.results.each_ref().map(|(one_hot, _)| one_hot.clone()));
                let max = combine(&out.results.each_ref().map(|(_, max)| max.clone()));
                for (row, values) in values.chunks(classes).enumerate() {
                    let first = winner(values);
                    assert_eq!(max[row], values[first], "{rows} rows of {classes} classes");
                    for class in 0..classes {
                        assert_eq!(bit(&one_hot, rows, class, row), u64::from(class == first));
                    }
                }
            }
        }
    }
}

/// Logits of one row after the other: random ones, all equal, one far above the others, one far below.
fn logits(rows: usize, classes: usize) -> Vec<f64> {
    let mut rng = rng(SEED ^ (rows * classes) as u64);
    let bound = 2.0_f64.powi(INTEGER_BITS as i32) - 1.0;
    (0..rows)
        .flat_map(|row| {
            let width = if row % 5 == 0 { 100.0 } else { 8.0 };
            let random: Vec<f64> = (0..classes).map(|_| uniform(-width, width, &mut rng)).collect();
            (0..classes).map(move |class| match (row % 7, class == row % classes) {
                (4, true) | (5, false) => bound,
                (4, false) | (5, true) | (3, _) => -bound,
                _ => random[class],
            })
        })
        .collect()
}

/// `e^(z - max)` of a row and their sum.
fn powers(row: &[f64]) -> (Vec<f64>, f64) {
    let max = row.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = row.iter().map(|z| (z - max).exp()).collect();
    let sum = powers.iter().sum();
    (powers, sum)
}

#[test]
fn probabilities() {
    for (rows, classes) in SHAPES {
        let reals = logits(rows, classes);
        let out = on_ring(&fixed(&reals, FRAC), |share, session| {
            soft_max(share, rows, classes, FRAC, INTEGER_BITS, session)
        });
        assert_cost("soft_max", rows, &out, cost::soft_max(rows, classes, FRAC, INTEGER_BITS));
        let p = combine(&out.results);
        for (row, p) in reals.chunks(classes).zip(p.chunks(classes)) {
            let (powers, sum) = powers(row);
            for (power, &p) in powers.iter().zip(p) {
                let (want, got) = (power / sum, real(p, PROBABILITY_FRAC));
                assert!((want - got).abs() < want * 2e-3 + 3e-5, "{classes} classes: {got}, not {want}");
            }
        }
    }
}

#[test]
fn losses() {
    for (rows, classes) in SHAPES {
        let reals = logits(rows, classes);
        let target = |row: usize| row * 5 % classes;
        let targets: Vec<u64> =
            (0..rows * classes).map(|at| u64::from(at % classes == target(at / classes))).collect();
        let targets = deal(&targets, &mut rng(SEED));
        let values = fixed(&reals, FRAC);
        let logits = deal(&values, &mut rng(SEED ^ 1));
        let out = run(SEED, |session| {
            let me = session.party().index();
            let (loss, winner) =
                cross_entropy(&logits[me], &targets[me], rows, classes, FRAC, INTEGER_BITS, session).unwrap();
            (loss, winner.one_hot)
        });
        assert_cost("cross_entropy", rows, &out, cost::cross_entropy(rows, classes, FRAC, INTEGER_BITS));
        let one_hot = combine_bits(&out.results.each_ref().map(|(_, one_hot)| one_hot.clone()));
        let losses = combine_additive(out.results.map(|(loss, _)| loss));
        for (row, (z, loss)) in reals.chunks(classes).zip(losses).enumerate() {
            let (powers, sum) = powers(z);
            let want = sum.ln() - powers[target(row)].ln();
            let got = real(loss, LOG_FRAC);
            // Where the power underflows, the difference itself is exact.
            let want = if want.is_finite() {
                want
            } else {
                sum.ln() + 2.0 * (2.0_f64.powi(INTEGER_BITS as i32) - 1.0)
            };
            assert!((want - got).abs() < 2e-3, "{classes} classes: {got}, not {want}");
            let first = winner(&values[row * classes..(row + 1) * classes]);
            assert!((0..classes).all(|class| bit(&one_hot, rows, class, row) == u64::from(class == first)));
        }
    }
}
