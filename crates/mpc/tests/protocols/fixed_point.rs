//! Truncation.

use std::ops::Range;

use shamisen_mpc::protocol::multiply::product;
use shamisen_mpc::protocol::truncate::{
    Shift, truncate, truncate_in_pieces, truncate_roughly, truncate_shared, truncate_twice,
};
use shamisen_mpc::{Additive, Rep};
use shamisen_testkit::{combine, deal, factors, rng, run};

use crate::common::{LENGTHS, LONG, SEED, assert_cost, bounded, on_ring};
use crate::cost;

/// Numbers of bits to drop: the least, the most, and those in between that pack well and badly.
const DROPPED: [u32; 9] = [1, 2, 7, 16, 24, 32, 40, 60, 61];

/// The error in units of the last place of `result`.
fn error(value: u64, bits: u32, result: u64) -> f64 {
    let scaled = (i128::from(result as i64) << bits) - i128::from(value as i64);
    scaled as f64 / 2.0_f64.powi(bits as i32)
}

/// The floor or one unit more.
fn is_close(value: u64, bits: u32, result: u64) -> bool {
    let floor = ((value as i64) >> bits) as u64;
    result == floor || result == floor.wrapping_add(1)
}

#[test]
fn errs_by_at_most_one_unit() {
    let mut rng = rng(SEED);
    for bits in DROPPED {
        for len in LENGTHS.into_iter().chain([LONG]) {
            let values = bounded(len, 62, &mut rng);
            let out = on_ring(&values, |share, session| truncate(share.to_additive(), bits, session));
            assert_cost("truncate", len, &out, cost::truncate(len, bits));
            let results = combine(&out.results);
            assert!(values.iter().zip(&results).all(|(&x, &y)| is_close(x, bits, y)), "by {bits} bits");

            let out = on_ring(&values, |share, session| truncate_shared(share, bits, session));
            assert_cost("truncate_shared", len, &out, cost::truncate_shared(len, bits));
            let results = combine(&out.results);
            assert!(values.iter().zip(&results).all(|(&x, &y)| is_close(x, bits, y)), "by {bits} bits");
        }
    }
}

#[test]
fn a_rough_one_errs_by_little_more() {
    let mut rng = rng(SEED);
    for bits in DROPPED {
        for low in [0, bits / 2, bits.saturating_sub(7), bits - 1] {
            for len in LENGTHS.into_iter().chain([LONG]) {
                let most = (1_i64 << 62) - (2 << low);
                let values = bounded(len, 62, &mut rng).into_iter();
                let values: Vec<u64> = values.map(|x| (x as i64).clamp(-most, most) as u64).collect();
                let out = on_ring(&values, |share, session| {
                    truncate_roughly(share.to_additive(), bits, low, session)
                });
                assert_cost("truncate_roughly", len, &out, cost::truncate_roughly(len, bits, low));
                let most = 1.0 + 1.5 * 0.5_f64.powi((bits - low) as i32);
                for (&x, y) in values.iter().zip(combine(&out.results)) {
                    let error = error(x, bits, y);
                    assert!(error.abs() <= most, "{} by {bits} bits, {low} before: {error}", x as i64);
                }
            }
        }
    }
}

/// What comes before a truncation, between two of them, and after it, is done with each element once.
#[test]
fn piece_by_piece() {
    let mut rng = rng(SEED);
    let shifts = [Shift { bits: 20, low: 0 }, Shift { bits: 16, low: 9 }];
    for len in LENGTHS.into_iter().chain([LONG]) {
        // No product reaches 2^62.
        let (x, y) = (bounded(len, 52, &mut rng), bounded(len, 9, &mut rng));
        let start = bounded(len, 60, &mut rng);
        let [x_shares, y_shares, starts] = [&x, &y, &start].map(|values| deal(values, &mut rng));
        let at_once = run(SEED, |session| {
            let me = session.party().index();
            let (x, y, mut left) = (&x_shares[me], &y_shares[me], starts[me].clone());
            let [mut left_run] = left.runs_mut([len]).try_into().ok().expect("one run");
            let (first, second) = truncate_twice(
                x.to_additive(),
                shifts,
                |elements, first, sum| sum.set_product(elements, first, y, 3),
                |elements, second| left_run.sub_in(elements, second),
                session,
            )
            .unwrap();
            (first, second, left)
        });
        assert_cost(
            "truncate_twice",
            len,
            &at_once,
            cost::truncate(len, 20) + cost::truncate_roughly(len, 16, 9),
        );
        let part = |pick: fn(&(Rep, Rep, Rep)) -> &Rep| {
            combine(&at_once.results.each_ref().map(|all| pick(all).clone()))
        };
        let (first, second, left) = (part(|all| &all.0), part(|all| &all.1), part(|all| &all.2));
        for at in 0..len {
            assert!(is_close(x[at], 20, first[at]), "{len}: {at}");
            let sum = first[at].wrapping_mul(y[at]).wrapping_mul(3);
            assert!(error(sum, 16, second[at]).abs() <= 1.0 + 1.5 / 128.0, "{len}: {at}");
            assert_eq!(left[at], start[at].wrapping_sub(second[at]), "{len}: {at}");
        }

        let one_by_one = run(SEED, |session| {
            let me = session.party().index();
            let (x, y, mut total) = (&x_shares[me], &y_shares[me], starts[me].clone());
            let fill = |elements: Range<usize>, sum: &mut Additive| sum.set_product(elements, x, y, 1);
            let done = |elements: Range<usize>, result: &Rep| total.add_scaled_in(elements, result, 5);
            let result = truncate_in_pieces(Additive::unwritten(len), shifts[0], fill, done, session);
            (result.unwrap(), total)
        });
        assert_cost("truncate_in_pieces", len, &one_by_one, cost::truncate(len, 20));
        let part = |pick: fn(&(Rep, Rep)) -> &Rep| {
            combine(&one_by_one.results.each_ref().map(|all| pick(all).clone()))
        };
        for (at, (result, total)) in part(|all| &all.0).into_iter().zip(part(|all| &all.1)).enumerate() {
            assert!(is_close(x[at].wrapping_mul(y[at]), 20, result), "{len}: {at}");
            assert_eq!(total, start[at].wrapping_add(result.wrapping_mul(5)), "{len}: {at}");
        }
    }
}

#[test]
fn equal_values() {
    for value in [0_i64, 1, -1, (1 << 62) - 1, -(1 << 62), 1 << 16, -(1 << 16)] {
        let values = vec![value as u64; 500];
        let out = on_ring(&values, |share, session| truncate(share.to_additive(), 16, session));
        assert!(combine(&out.results).iter().all(|&y| is_close(value as u64, 16, y)), "{value}");
    }
}

/// A million products: the rounding is random, its mean is 0, and none of them goes wrong.
#[test]
fn rounding_has_no_bias() {
    let mut rng = rng(SEED);
    let len = 200_000;
    for (bits, low) in [(7, 0), (16, 0), (20, 0), (24, 0), (40, 0), (20, 13), (24, 17)] {
        let (x, y) = factors(len, &mut rng);
        let (a, b) = (deal(&x, &mut rng), deal(&y, &mut rng));
        let out = run(SEED ^ u64::from(bits), |session| {
            let me = session.party().index();
            truncate_roughly(product(&a[me], &b[me]), bits, low, session).unwrap()
        });
        let (mut sum, mut squares) = (0.0, 0.0);
        for ((x, y), result) in x.iter().zip(&y).zip(combine(&out.results)) {
            let value = x.wrapping_mul(*y);
            let error = error(value, bits, result);
            let most = if low == 0 { is_close(value, bits, result) } else { error.abs() < 1.02 };
            assert!(most, "{} by {bits} bits", value as i64);
            sum += error;
            squares += error * error;
        }
        let (mean, deviation) = (sum / len as f64, (squares / len as f64).sqrt());
        let off = mean / (deviation / (len as f64).sqrt());
        assert!(
            off.abs() < 5.0,
            "truncation by {bits} bits has a mean error of {mean}, {off} deviations off"
        );
    }
}
