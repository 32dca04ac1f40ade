//! Pooled statistics and rescaled rows, against the statistics of all rows in the clear; and sharings under seeds.

use shamisen_mpc::protocol::pool::{MAP_FRAC, OWN_WORDS, POOLED_WORDS, Pooled, pool, pooled_statistics};
use shamisen_mpc::protocol::reseed::{STREAM, Seeds, reseed};
use shamisen_mpc::{Rep, Session};
use shamisen_ring::levels::{LEVELS, encode};
use shamisen_ring::prg::Prg;
use shamisen_testkit::{Outcome, combine, deal, random_words, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, fixed, real, uniform};
use crate::cost;

/// The statistics of a column at an owner: rows, offset and width.
type Own = (u64, f64, f64);

/// Columns, each with its statistics at all owners.
fn columns() -> Vec<Vec<Own>> {
    let rows = [400, 600, 1];
    let column = |parts: [(f64, f64); 3]| {
        rows.iter().zip(parts).map(|(&rows, (offset, width))| (rows, offset, width)).collect()
    };
    let mut columns = vec![
        column([(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)]),
        column([(14.0, 3.5), (13.2, 3.1), (20.0, 0.0)]),
        // Large numbers that differ by little, and tiny ones.
        column([(1e12, 1e-3), (1e12 + 2e-3, 2e-3), (1e12, 0.0)]),
        column([(3e-9, 1e-12), (2.999e-9, 5e-13), (3e-9, 0.0)]),
        column([(-9e18, 1e18), (9e18, 2e18), (9e18, 0.0)]),
        // The same at each owner, but not everywhere; the same everywhere.
        column([(1.0, 0.0), (2.0, 0.0), (1.0, 0.0)]),
        column([(7.25, 0.0), (7.25, 0.0), (7.25, 0.0)]),
        // It varies at the smallest owner alone.
        column([(5.0, 0.0), (5.0, 0.0), (5.0, 3.0)]),
        column([(5.0, 0.0), (5.0, 0.0), (6.0, 0.0)]),
        // Of one owner nearly nothing is seen in the scale of the other.
        column([(0.0, 1e-6), (0.0, 1e6), (0.0, 1.0)]),
    ];
    let mut rng = rng(SEED ^ 7);
    columns.extend((0..54).map(|_| {
        let scale = uniform(-40.0, 40.0, &mut rng).exp2();
        let mut number = |low| uniform(low, 1.0, &mut rng) * scale;
        column([(number(-1.0), number(0.0)), (number(-1.0), number(0.0)), (number(-1.0), number(0.0))])
    }));
    columns
}

/// Mean and deviation of all rows together.
fn together(owners: &[Own]) -> (f64, f64) {
    let rows: f64 = owners.iter().map(|own| own.0 as f64).sum();
    // Relative to the first one, so that nothing is lost.
    let first = owners[0].1;
    let mean = owners.iter().map(|own| own.0 as f64 * (own.1 - first)).sum::<f64>() / rows;
    let square = |own: &Own| own.0 as f64 * (own.2.powi(2) + (own.1 - first - mean).powi(2));
    (first + mean, (owners.iter().map(square).sum::<f64>() / rows).sqrt())
}

fn words(columns: &[Vec<Own>], owner: usize) -> Vec<u64> {
    let of = |column: &Vec<Own>| {
        [column[owner].1, column[owner].2].map(|value| encode(value).expect("a number of a table")).concat()
    };
    columns.iter().flat_map(of).collect()
}

fn pooled<T: Send>(columns: &[Vec<Own>], then: impl Fn(Pooled, &mut Session) -> T + Sync) -> Outcome<T> {
    let mut rng = rng(SEED ^ 8);
    let owners = columns[0].len();
    let shares: Vec<[Rep; 3]> = (0..owners).map(|owner| deal(&words(columns, owner), &mut rng)).collect();
    run(SEED, |session| {
        let party = session.party().index();
        let own = |owner: usize| (&shares[owner][party], columns[0][owner].0);
        let own: Vec<_> = (0..owners).map(own).collect();
        let pooled = pool(&own, session).expect("memory does not fail");
        then(pooled, session)
    })
}

#[test]
fn pooled_statistics_are_those_of_all_rows_together() {
    let columns = columns();
    let out = pooled(&columns, |pooled, _| pooled.statistics);
    let statistics = combine(&out.results);
    for (column, words) in columns.iter().zip(statistics.chunks(POOLED_WORDS)) {
        let (mean, deviation) = together(column);
        let (offset, width) = pooled_statistics(words);
        let scale = column.iter().map(|own| own.1.abs()).fold(0.0, f64::max);
        let rounding = 4.0 * scale * f64::EPSILON;
        assert!((offset - mean).abs() <= rounding + deviation * 2.0_f64.powi(-18), "{column:?}: {offset}");
        assert!(
            (width - deviation).abs() <= deviation * 2.0_f64.powi(-16),
            "{column:?}: {width} {deviation}"
        );
        // Nothing but these: an offset is not there in units in which it does not count.
        let (offsets, fits) = (&words[..LEVELS], &words[LEVELS..2 * LEVELS]);
        let good = fits.iter().take_while(|fits| **fits == 1).count();
        assert!(good > 0 && fits[good..].iter().chain(&offsets[good..]).all(|word| *word == 0));
    }
}

#[test]
fn rescaled_rows_are_those_of_the_table_of_all_owners() {
    const FRAC: u32 = 14;
    let columns = columns();
    let mut rng = rng(SEED ^ 9);
    let rows = 50;
    let values: Vec<f64> = (0..rows * columns.len())
        .map(|at| if at / columns.len() < 2 { [-10.0, 10.0][at % 2] } else { uniform(-4.0, 4.0, &mut rng) })
        .map(|value| real(fixed(&[value], FRAC)[0], FRAC))
        .collect();
    let shares = deal(&fixed(&values, FRAC), &mut rng);
    let out = pooled(&columns, |pooled, session| {
        let own = &shares[session.party().index()];
        pooled
            .rescaling
            .iter()
            .map(|map| {
                let plain = map.apply(own, FRAC, session).unwrap();
                (plain, map.apply_clipped(own, FRAC, 10, session).unwrap())
            })
            .collect::<Vec<_>>()
    });
    for owner in 0..3 {
        let plain = combine(&out.results.each_ref().map(|maps| maps[owner].0.clone()));
        let clipped = combine(&out.results.each_ref().map(|maps| maps[owner].1.clone()));
        for (at, value) in values.iter().enumerate() {
            let column = &columns[at % columns.len()];
            let ((mean, deviation), (_, offset, width)) = (together(column), column[owner]);
            // What the words of the statistics hold of them.
            let exact = |value: f64| value * 2.0_f64.powi(-18);
            let known = |value: f64| value * 4.0 * f64::EPSILON;
            let (expected, slack) = if deviation == 0.0 {
                (0.0, 0.0)
            } else {
                let expected = (value * width + offset - mean) / deviation;
                (expected, exact(1.0 + value.abs() + expected.abs()) + known(offset.abs()) / deviation)
            };
            let unit = 2.0_f64.powi(-(FRAC as i32));
            let found = real(plain[at], FRAC);
            assert!(
                (found - expected).abs() <= 2.0 * unit + slack,
                "{column:?}, {value}: {found} {expected}"
            );
            let found = real(clipped[at], FRAC);
            let expected = expected.clamp(-10.0, 10.0);
            assert!(
                (found - expected).abs() <= 3.0 * unit + slack,
                "{column:?}, {value}: {found} {expected}"
            );
        }
    }
}

#[test]
fn pooling_costs_what_it_says() {
    let all = columns();
    for count in [1, 3, 192] {
        for owners in [1, 2, 3] {
            let columns: Vec<Vec<Own>> =
                all.iter().cycle().take(count).map(|column| column[..owners].to_vec()).collect();
            let out = pooled(&columns, |_, _| ());
            assert_cost("pool", count, &out, cost::pool(owners, count));
        }
    }
    // As the documentation says.
    let kilobytes = |owners| cost::pool(owners, 960).bytes / 960 / 100;
    assert_eq!((cost::pool(2, 960).rounds, kilobytes(2), kilobytes(3) - kilobytes(2)), (52, 181, 99));
    let columns: Vec<Vec<Own>> = all.iter().cycle().take(192).cloned().collect();
    let count = 35 * columns.len();
    let shares = deal(&vec![0; count], &mut rng(SEED));
    let before = pooled(&columns, |_, _| ());
    for clips in [false, true] {
        let out = pooled(&columns, |pooled, session| {
            let own = &shares[session.party().index()];
            let map = &pooled.rescaling[0];
            if clips { map.apply_clipped(own, 14, 10, session) } else { map.apply(own, 14, session) }.unwrap()
        });
        let expected = if clips { cost::apply_clipped(14, count) } else { cost::truncate(count, MAP_FRAC) };
        assert_eq!(out.bytes() - before.bytes(), expected.bytes, "clips: {clips}");
        assert_eq!(out.rounds() - before.rounds(), expected.rounds, "clips: {clips}");
    }
}

#[test]
fn a_sharing_under_seeds_is_of_the_same_numbers() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let x = random_words(2 * len, &mut rng);
        let shares = deal(&x, &mut rng);
        let out = run(SEED, |session| {
            let seeds = Seeds::draw(session);
            let own = &shares[session.party().index()];
            let parts = [0..len, len..2 * len];
            let rest = parts
                .map(|part| reseed(&own.slice(part.clone()), &seeds, part.start as u64, session).unwrap());
            let rest = match rest {
                [Some(first), Some(second)] => Some([&first[..], &second[..]].concat()),
                _ => None,
            };
            (seeds.mine, seeds.next, rest)
        });
        let [first, second, third] = out.results.each_ref();
        assert!(first.2.is_none() && second.2 == third.2 && second.2.is_some());
        assert!(first.0 == third.1 && first.1 == second.0 && second.1.is_none() && third.0.is_none());
        let streams = [first.0, first.1].map(|seed| {
            let mut words = vec![0; 2 * len];
            Prg::new(&seed.unwrap()).fill(STREAM, 0, &mut words);
            words
        });
        let rest = second.2.as_ref().unwrap();
        for at in 0..2 * len {
            let sum = streams[0][at].wrapping_add(streams[1][at]).wrapping_add(rest[at]);
            assert_eq!(sum, x[at]);
        }
        assert_eq!(out.bytes(), 2 * cost::reseed(len).bytes);
    }
    assert_eq!(OWN_WORDS, 2 * LEVELS);
}
