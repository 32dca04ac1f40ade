//! Truncation.

use shamisen_mpc::protocol::multiply::product;
use shamisen_mpc::protocol::truncate::{truncate, truncate_shared};
use shamisen_testkit::{combine, deal, factors, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, bounded, on_ring};
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
        for len in LENGTHS {
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
fn equal_values() {
    for value in [0_i64, 1, -1, (1 << 62) - 1, -(1 << 62), 1 << 16, -(1 << 16)] {
        let values = vec![value as u64; 500];
        let out = on_ring(&values, |share, session| truncate(share.to_additive(), 16, session));
        assert!(combine(&out.results).iter().all(|&y| is_close(value as u64, 16, y)), "{value}");
    }
}

/// A million products: the rounding is random, its mean is `2^-bits`, and none of them goes wrong.
#[test]
fn rounding_has_no_bias() {
    let mut rng = rng(SEED);
    let len = 200_000;
    for bits in [7, 16, 20, 24, 40] {
        let (x, y) = factors(len, &mut rng);
        let (a, b) = (deal(&x, &mut rng), deal(&y, &mut rng));
        let out = run(SEED ^ u64::from(bits), |session| {
            let me = session.party().index();
            truncate(product(&a[me], &b[me]), bits, session).unwrap()
        });
        let (mut sum, mut squares) = (0.0, 0.0);
        for ((x, y), result) in x.iter().zip(&y).zip(combine(&out.results)) {
            let value = x.wrapping_mul(*y);
            assert!(is_close(value, bits, result), "{} by {bits} bits", value as i64);
            let error = error(value, bits, result);
            sum += error;
            squares += error * error;
        }
        let (mean, deviation) = (sum / len as f64, (squares / len as f64).sqrt());
        let off = (mean - 0.5_f64.powi(bits as i32)) / (deviation / (len as f64).sqrt());
        assert!(
            off.abs() < 5.0,
            "truncation by {bits} bits has a mean error of {mean}, {off} deviations off"
        );
    }
}
