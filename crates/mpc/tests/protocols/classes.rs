//! The greatest class, soft-max and cross-entropy.

use shamisen_mpc::Rep;
use shamisen_mpc::protocol::arg_max::{arg_max, row_max};
use shamisen_mpc::protocol::log::LOG_FRAC;
use shamisen_mpc::protocol::soft_max::{LossTerms, PROBABILITY_FRAC, cross_entropy, soft_max};
use shamisen_testkit::{combine, combine_additive, deal, random_words, rng, run};

use crate::common::{SEED, assert_cost, bounded, fixed, on_ring, real, uniform};
use crate::cost::{self, Cost};

const FRAC: u32 = 14;
const INTEGER_BITS: u32 = 10;

/// Rows and classes: one element, few, the most that are one look-up and that are compared all at once, groups, and groups of
/// groups.
const SHAPES: [(usize, usize); 22] = [
    (70, 1),
    (1, 2),
    (2, 3),
    (64, 2),
    (200, 3),
    (129, 4),
    (130, 5),
    (140, 8),
    (140, 9),
    (150, 11),
    (150, 12),
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
    for (rows, classes) in SHAPES.into_iter().chain([(1, 1)]) {
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
                let one_hot = combine(&out.results.each_ref().map(|(one_hot, _)| one_hot.clone()));
                let max = combine_additive(out.results.map(|(_, max)| max));
                for (row, values) in values.chunks(classes).enumerate() {
                    let first = winner(values);
                    assert_eq!(max[row], values[first], "{rows} rows of {classes} classes");
                    for class in 0..classes {
                        assert_eq!(one_hot[class * rows + row], u64::from(class == first));
                    }
                }
                let out = on_ring(&values, |share, session| row_max(share, rows, classes, width, session));
                assert_cost("row_max", rows, &out, cost::row_max(rows, classes, width));
                assert_eq!(combine_additive(out.results), max);
            }
        }
    }
}

/// The largest logit.
fn largest() -> f64 {
    2.0_f64.powi(INTEGER_BITS as i32) - 0.5_f64.powi(2)
}

/// Logits of one row after the other: random ones, all equal, one far above the others, one far below, one as far as powers
/// reach.
fn logits(rows: usize, classes: usize) -> Vec<f64> {
    let mut rng = rng(SEED ^ (rows * classes) as u64);
    let unit = 0.5_f64.powi(FRAC as i32);
    (0..rows)
        .flat_map(|row| {
            let width = if row % 5 == 0 { 100.0 } else { 8.0 };
            let random: Vec<f64> =
                (0..classes).map(|_| (uniform(-width, width, &mut rng) / unit).round() * unit).collect();
            (0..classes).map(move |class| match (row % 9, class == row % classes) {
                (4, true) | (5, false) | (8, _) => largest(),
                (4, false) | (5, true) | (3, _) => -largest(),
                (7, true) => 16.0,
                (7, false) => 0.0,
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
            soft_max(share, rows, classes, FRAC, INTEGER_BITS, session).map(|soft_max| soft_max.probabilities)
        });
        assert_cost("soft_max", rows, &out, cost::soft_max(rows, classes, FRAC, INTEGER_BITS));
        let p = combine(&out.results);
        for (row, p) in reals.chunks(classes).zip(p.chunks(classes)) {
            let (powers, sum) = powers(row);
            for (power, &p) in powers.iter().zip(p) {
                let (want, got) = (power / sum, real(p, PROBABILITY_FRAC));
                let bound = want * 0.5_f64.powi(10) + 0.5_f64.powi(18);
                assert!((want - got).abs() < bound, "{classes} classes: {got}, not {want}");
                assert!(got >= 0.0, "{classes} classes: {got}");
            }
        }
    }
}

/// What rows add to a gradient whose classes are certain vanishes: Adam makes a step of whatever does not, in the same direction for
/// ever.
#[test]
fn certain_classes_have_no_error() {
    for (rows, classes) in
        [(20_000, 2), (20_000, 10), (20_000, 16), (5000, 17), (4000, 26), (2000, 47), (1000, 100)]
    {
        let certain = |at: usize| if at % classes == at / classes % classes { 18.0 } else { 0.5 };
        let reals: Vec<f64> = (0..rows * classes).map(certain).collect();
        let out = on_ring(&fixed(&reals, FRAC), |share, session| {
            soft_max(share, rows, classes, FRAC, INTEGER_BITS, session).map(|soft_max| soft_max.probabilities)
        });
        let unit = 0.5_f64.powi(PROBABILITY_FRAC as i32);
        let errors: Vec<f64> = combine(&out.results)
            .iter()
            .zip(&reals)
            .map(|(&p, &z)| real(p, PROBABILITY_FRAC) - f64::from(u8::from(z > 1.0)))
            .collect();
        // The next point of the reciprocal is taken once in 2^14 rows.
        let off = errors.iter().filter(|error| error.abs() > unit).count();
        assert!(off <= rows / 1000, "{classes} classes: {off} rows");
        let mean = errors.iter().sum::<f64>() / rows as f64;
        assert!(mean.abs() < unit / 16.0, "{classes} classes: {mean}");
    }
}

/// The soft-max and, for 16 of them, the loss of a mini-batch of 128 rows and 10 classes.
#[test]
fn cost_of_a_mini_batch() {
    let expected = cost::soft_max(128, 10, FRAC, 11);
    assert_eq!(expected, Cost { rounds: 19, bytes: 681_488 });
    assert_eq!(cost::loss(16 * 128, 10), Cost { rounds: 7, bytes: 500_480 });
    let out = on_ring(&fixed(&logits(128, 10), FRAC), |share, session| {
        soft_max(share, 128, 10, FRAC, 11, session).map(|soft_max| soft_max.probabilities)
    });
    assert_cost("soft_max", 128, &out, expected);
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
            let (logits, targets) = (&logits[session.party().index()], &targets[session.party().index()]);
            cross_entropy(logits, targets, rows, classes, FRAC, INTEGER_BITS, session).unwrap()
        });
        assert_cost("cross_entropy", rows, &out, cost::cross_entropy(rows, classes, FRAC, INTEGER_BITS));
        let one_hot = combine(&out.results.each_ref().map(|(_, one_hot)| one_hot.clone()));
        for (row, values) in values.chunks(classes).enumerate() {
            let first = winner(values);
            assert!((0..classes).all(|class| one_hot[class * rows + row] == u64::from(class == first)));
        }
        // From what the soft-max leaves, too, of two halves.
        let halves = [(0, rows / 2), (rows / 2, rows)];
        let from_terms = run(SEED, |session| {
            let me = session.party().index();
            let mut terms = LossTerms::default();
            for (start, end) in halves.into_iter().filter(|(start, end)| start < end) {
                let part = |of: &Rep| of.slice(start * classes..end * classes);
                let (logits, targets) = (part(&logits[me]), part(&targets[me]));
                let soft_max = soft_max(&logits, end - start, classes, FRAC, INTEGER_BITS, session).unwrap();
                terms.extend(&soft_max.into_loss_terms(&logits, &targets).1);
            }
            terms.cross_entropy(classes, FRAC, session).unwrap()
        });
        let soft_max = halves
            .into_iter()
            .filter(|(start, end)| start < end)
            .map(|(start, end)| cost::soft_max(end - start, classes, FRAC, INTEGER_BITS))
            .fold(Cost::NONE, |sum, cost| sum + cost);
        assert_eq!(from_terms.bytes(), (soft_max + cost::loss(rows, classes)).bytes);
        for losses in
            [combine_additive(out.results.map(|(loss, _)| loss)), combine_additive(from_terms.results)]
        {
            for (row, (z, loss)) in reals.chunks(classes).zip(losses).enumerate() {
                let max = z.iter().copied().fold(f64::MIN, f64::max);
                let want = powers(z).1.ln() + max - z[target(row)];
                let got = real(loss, LOG_FRAC);
                assert!((want - got).abs() < 5e-4, "{classes} classes: {got}, not {want}");
            }
        }
    }
}
