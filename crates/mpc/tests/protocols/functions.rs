//! Tables and the functions built on them.

use shamisen_mpc::Rep;
use shamisen_mpc::protocol::exp::{EXP_FRAC, argument_bits, exp_negative};
use shamisen_mpc::protocol::leading_bit::Window;
use shamisen_mpc::protocol::log::{LOG_FRAC, ln, ln_near};
use shamisen_mpc::protocol::lookup::{Query, look_up, look_up_bits, look_up_sums};
use shamisen_mpc::protocol::points::Points;
use shamisen_mpc::protocol::reciprocal::{SLOPE_FRAC, reciprocal, reciprocal_near};
use shamisen_mpc::protocol::split::{Split, open_split};
use shamisen_mpc::protocol::square_root::{inverse_square_root, inverse_square_root_of_fixed, refine};
use shamisen_testkit::{combine, deal, deal_bits, random_words, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, bit, fixed, on_bits, on_ring, random_planes, real, uniform};
use crate::cost;

/// The number in planes `planes` at place `at`.
fn index_at(planes: &[u64], range: std::ops::Range<usize>, len: usize, at: usize) -> usize {
    let first = range.start;
    range.fold(0, |index, plane| index | (bit(planes, len, plane, at) as usize) << (plane - first))
}

#[test]
fn table_entries() {
    let mut rng = rng(SEED);
    for width in 4..=10 {
        for count in [1, 2, 5] {
            let tables: Vec<Vec<u64>> = (0..count).map(|_| random_words(1 << width, &mut rng)).collect();
            let tables: Vec<&[u64]> = tables.iter().map(Vec::as_slice).collect();
            for len in LENGTHS.into_iter().filter(|&len| len < 6000 || count == 1) {
                // All indices the least, all the greatest, or random.
                for planes in [
                    vec![0; width * len.div_ceil(64)],
                    vec![u64::MAX; width * len.div_ceil(64)],
                    random_planes(width, len, &mut rng),
                ] {
                    let out = on_bits(&planes, width, len, |index, session| look_up(index, &tables, session));
                    assert_cost("look_up", len, &out, cost::look_up(&[(width, count)], len));
                    for (column, table) in tables.iter().enumerate() {
                        let entries = combine(&out.results.each_ref().map(|results| results[column].clone()));
                        let expected: Vec<u64> =
                            (0..len).map(|at| table[index_at(&planes, 0..width, len, at)]).collect();
                        assert_eq!(entries, expected);
                    }
                }
            }
        }
    }
}

#[test]
fn tables_at_several_indices() {
    let mut rng = rng(SEED);
    let tables = [4, 4, 9].map(|width| random_words(1 << width, &mut rng));
    for len in LENGTHS {
        let planes = [random_planes(4, len, &mut rng), random_planes(9, len, &mut rng)];
        let index = deal_bits(&planes.concat(), 13, len, &mut rng);
        let out = run(SEED, |session| {
            let queries = [
                Query { low: 0, bits: 4, tables: &[&tables[0], &tables[1]] },
                Query { low: 4, bits: 9, tables: &[&tables[2]] },
            ];
            look_up_bits(&index[session.party().index()], &queries, session).unwrap()
        });
        assert_cost("look_up_bits", len, &out, cost::look_up(&[(4, 2), (9, 1)], len));
        for (table, (query, column)) in tables.iter().zip([(0, 0), (0, 1), (1, 0)]) {
            let width = [4, 9][query];
            let entries = combine(&out.results.each_ref().map(|results| results[query][column].clone()));
            let expected: Vec<u64> =
                (0..len).map(|at| table[index_at(&planes[query], 0..width, len, at)]).collect();
            assert_eq!(entries, expected);
        }
    }
}

#[test]
fn tables_at_sums() {
    let mut rng = rng(SEED);
    for bits in 6..=10 {
        let tables: [Vec<u64>; 2] = std::array::from_fn(|_| random_words(1 << bits, &mut rng));
        for low in [0, 14, 64 - bits] {
            for len in LENGTHS.into_iter().filter(|&len| len <= 1000) {
                for values in [vec![0; len], vec![u64::MAX; len], random_words(len, &mut rng)] {
                    let out = on_ring(&values, |share, session| {
                        let mut value = Split::of(share, session.party());
                        let query = Query { low, bits, tables: &[&tables[0], &tables[1]] };
                        look_up_sums(&mut value, &[query], session).map(|mut results| results.swap_remove(0))
                    });
                    assert_cost("look_up of a sum", len, &out, cost::look_up(&[(bits as usize, 2)], len));
                    let [first, second] = [0, 1].map(|column| {
                        combine(&out.results.each_ref().map(|results| results[column].clone()))
                    });
                    for ((&x, first), second) in values.iter().zip(first).zip(second) {
                        let place = |x: u64| (x & ((1 << bits) - 1)) as usize;
                        let exact = place(x >> low);
                        // The dropped bits may have had a carry.
                        let without = place((x >> low).wrapping_sub(u64::from(low > 0)));
                        assert!(
                            [exact, without]
                                .map(|at| (tables[0][at], tables[1][at]))
                                .contains(&(first, second)),
                            "{bits} bits of {x} from bit {low} on"
                        );
                    }
                }
            }
        }
    }
}

/// `len` fixed-point numbers from 1 to below `2^integer_bits`, of all magnitudes, the extremes first.
fn at_least_one(len: usize, frac: u32, integer_bits: u32) -> Vec<u64> {
    let mut rng = rng(SEED ^ u64::from(frac << 8 | integer_bits));
    let one = 1_u64 << frac;
    // The adder does not see the lowest bits and may count one unit of those it sees up, which must not overflow.
    let largest = (one << integer_bits) - 1 - if frac > 7 { one >> 7 } else { 0 };
    [one, largest, one + 1, one << (integer_bits - 1), largest / 2]
        .into_iter()
        .chain((0..).map(|_| {
            let x = uniform(0.0, f64::from(integer_bits), &mut rng).exp2() * one as f64;
            (x as u64).clamp(one, largest)
        }))
        .take(len)
        .collect()
}

#[test]
fn reciprocals() {
    for (frac, integer_bits, result_frac) in
        [(16, 30, 20), (16, 30, 24), (8, 10, 16), (10, 2, 24), (30, 12, 24), (16, 1, 20)]
    {
        for len in LENGTHS {
            let values = at_least_one(len, frac, integer_bits);
            let out = on_ring(&values, |share, session| {
                reciprocal(share, frac, integer_bits, result_frac, session)
            });
            assert_cost("reciprocal", len, &out, cost::reciprocal(frac, integer_bits, result_frac, len));
            for (&x, y) in values.iter().zip(combine(&out.results)) {
                let want = 1.0 / real(x, frac);
                let off = (real(y, result_frac) - want).abs();
                let unit = 0.5_f64.powi(result_frac as i32);
                assert!(
                    off < want * 0.5_f64.powf(11.6) + 0.5_f64.powi(24) + unit,
                    "1 / {}: {off}",
                    1.0 / want
                );
            }
        }
    }
}

/// Where a soft-max has the sum of a row whose class is certain, nothing is off.
#[test]
fn reciprocals_and_logarithms_are_exact_at_1() {
    for (frac, integer_bits) in [(8, 10), (20, 1), (20, 2), (20, 5), (20, 6), (20, 8), (16, 20)] {
        let ones = vec![1 << frac; 20_000];
        let out = on_ring(&ones, |share, session| reciprocal(share, frac, integer_bits, 24, session));
        assert!(combine(&out.results).iter().all(|&y| y == 1 << 24), "1 / 1 of {integer_bits} bits");
        let out = on_ring(&ones, |share, session| ln(share, frac, integer_bits, session));
        assert!(combine(&out.results).iter().all(|&y| y == 0), "ln 1 of {integer_bits} bits");
    }
}

/// Numbers of all intervals, and near to where the largest are counted up out of the window.
#[test]
fn reciprocals_are_off_by_as_much_to_either_side() {
    const FRAC: u32 = 20;
    for integer_bits in [1, 2, 5, 8] {
        let (one, end) = (1_u64 << FRAC, 1_u64 << (FRAC + integer_bits));
        let low = (one - (one >> 8)..8.min(1 << integer_bits) * one).step_by(501);
        let high = (end - (one >> 3)..end).step_by(127);
        let values: Vec<u64> = low.filter(|&x| x < end).chain(high).chain([end - 1]).collect();
        let out = on_ring(&values, |share, session| reciprocal(share, FRAC, integer_bits, 24, session));
        let (mut least, mut most) = (0.0_f64, 0.0_f64);
        for (&x, y) in values.iter().zip(combine(&out.results)) {
            let off = real(y, 24) * real(x, FRAC) - 1.0;
            (least, most) = (least.min(off), most.max(off));
            let unit = 0.5_f64.powi(24) * real(x, FRAC);
            assert!(off.abs() < 0.5_f64.powf(12.7) + unit, "1 / {}: {off}", real(x, FRAC));
        }
        let greatest = 0.5_f64.powi(13);
        assert!(least < -greatest && most > greatest, "{integer_bits} bits: {least}..{most}");
        let out = on_ring(&values, |share, session| ln(share, FRAC, integer_bits, session));
        for (&x, y) in values.iter().zip(combine(&out.results)) {
            let off = (real(y, LOG_FRAC) - real(x, FRAC).ln()).abs();
            assert!(off < 0.5_f64.powi(17), "ln {}: {off}", real(x, FRAC));
        }
    }
}

/// `len` numbers in the range of the points up to `greatest`, the ends of the range and of the steps first.
fn near_points(len: usize, frac: u32, greatest: usize) -> Vec<u64> {
    let mut rng = rng(SEED ^ greatest as u64);
    let (one, step) = (1_u64 << frac, 1_u64 << (frac - 6));
    let end = greatest as u64 * one;
    [one - step, end + step, one, end, one - 1, one + step - 1, one + step, end - 1, one - step + 1]
        .into_iter()
        .chain((0..).map(|_| (uniform(1.0, greatest as f64, &mut rng) * one as f64) as u64))
        .take(len)
        .collect()
}

#[test]
fn reciprocals_and_logarithms_near_points() {
    for greatest in [1, 2, 3, 5, 9, 15, 16] {
        for frac in [7, 16, 20] {
            let points = Points::up_to(greatest, frac).unwrap();
            for len in LENGTHS {
                let values = near_points(len, frac, greatest);
                let out = on_ring(&values, |share, session| reciprocal_near(share, points, session));
                assert_cost("reciprocal_near", len, &out, cost::reciprocal_near(points, len));
                for (&x, y) in values.iter().zip(combine(&out.results)) {
                    let want = 1.0 / real(x, frac);
                    let off = (real(y, frac + SLOPE_FRAC) - want).abs() / want;
                    // The table's numbers have so many bits themselves.
                    let coarse = 0.5_f64.powi((frac + SLOPE_FRAC) as i32) / want;
                    // The tangent at 1 is right there, and therefore further off beside it.
                    let bits = if real(x, frac) < 1.0 + 0.5_f64.powi(6) { 12.0 } else { 12.8 };
                    assert!(off < 0.5_f64.powf(bits) + coarse, "1 / {}: {off}", 1.0 / want);
                }
                let out = on_ring(&values, |share, session| ln_near(share, points, session));
                assert_cost("ln_near", len, &out, cost::ln_near(points, frac, len));
                for (&x, y) in values.iter().zip(combine(&out.results)) {
                    let off = (real(y, LOG_FRAC) - real(x, frac).ln()).abs();
                    assert!(off < 0.5_f64.powi(17), "ln {}: {off}", real(x, frac));
                }
            }
        }
    }
    assert_eq!(Points::up_to(17, 20), None);
    assert_eq!(Points::up_to(usize::MAX, 20), None);
}

#[test]
fn inverse_square_roots_from_a_table() {
    let windows = [
        Window { low: 0, width: 20, mantissa: 3, guard: 0 },
        Window { low: 20, width: 24, mantissa: 1, guard: 3 },
        Window { low: 20, width: 24, mantissa: 2, guard: 0 },
        Window { low: 16, width: 32, mantissa: 4, guard: 2 },
    ];
    for window in windows {
        let scale = 2.0_f64.powi(40 + window.low as i32 / 2);
        for len in LENGTHS {
            let values = at_least_one(len, window.low, window.width - 1);
            let out = on_ring(&values, |share, session| inverse_square_root(share, window, scale, session));
            assert_cost("inverse_square_root", len, &out, cost::inverse_square_root(window, len));
            // The representative is half an interval away, and what the adder dropped.
            let dropped = if window.low > window.mantissa + window.guard {
                0.5_f64.powi(window.guard as i32)
            } else {
                0.0
            };
            let bound = 0.5_f64.powi(window.mantissa as i32 + 2) * (1.0 + dropped);
            for (&x, y) in values.iter().zip(combine(&out.results)) {
                let want = scale / (x as f64).sqrt();
                let off = (y as f64 - want).abs() / want;
                assert!(off < bound, "1 / sqrt({x}) in {window:?} is off by {off}, more than {bound}");
            }
        }
        // What lies below the window counts as its lowest number.
        let values = vec![0, 1, (1 << window.low) >> 2];
        let out = on_ring(&values, |share, session| inverse_square_root(share, window, scale, session));
        let lowest = scale / 2.0_f64.powi(window.low as i32).sqrt();
        for y in combine(&out.results) {
            assert!(
                (y as f64 / lowest - 1.0).abs() < 0.5_f64.powi(window.mantissa as i32 + 1),
                "{window:?}: {y}"
            );
        }
    }
}

#[test]
fn inverse_square_roots() {
    for (frac, integer_bits) in [(16, 20), (8, 12), (12, 16), (20, 2), (16, 1)] {
        for len in LENGTHS {
            let values = at_least_one(len, frac, integer_bits);
            let out = on_ring(&values, |share, session| {
                inverse_square_root_of_fixed(share, frac, integer_bits, session)
            });
            let expected = cost::inverse_square_root_of_fixed(frac, integer_bits, len);
            assert_cost("inverse_square_root_of_fixed", len, &out, expected);
            for (&x, y) in values.iter().zip(combine(&out.results)) {
                let want = real(x, frac).sqrt().recip();
                let off = (real(y, 24) - want).abs();
                assert!(
                    off < want * 0.5_f64.powf(11.1) + 0.5_f64.powi(23),
                    "1 / sqrt({}): {off}",
                    real(x, frac)
                );
            }
        }
    }
}

#[test]
fn newton_steps() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let reals: Vec<f64> = (0..len).map(|_| uniform(0.0, 10.0, &mut rng).exp2()).collect();
        let guesses: Vec<f64> =
            reals.iter().map(|x| x.sqrt().recip() * uniform(0.9, 1.1, &mut rng)).collect();
        let (x, y) = (deal(&fixed(&reals, 16), &mut rng), deal(&fixed(&guesses, 24), &mut rng));
        let out = run(SEED, |session| {
            let me = session.party().index();
            refine(&x[me], &y[me], 16, 24, session).unwrap()
        });
        assert_cost("refine", len, &out, cost::refine(16, 24, len));
        for ((x, guess), y) in reals.iter().zip(&guesses).zip(combine(&out.results)) {
            let want = guess * (3.0 - x * guess * guess) / 2.0;
            // x is rounded to 2^-17, which matters most where the guess is large.
            let off = (real(y, 24) - want).abs();
            assert!(off < 1e-5, "a step from {guess} to 1 / sqrt({x}): {off}");
        }
    }
}

#[test]
fn logarithms() {
    for (frac, integer_bits) in [(16, 20), (8, 12), (16, 2), (20, 1), (16, 7)] {
        for len in LENGTHS {
            let values = at_least_one(len, frac, integer_bits);
            let out = on_ring(&values, |share, session| ln(share, frac, integer_bits, session));
            assert_cost("ln", len, &out, cost::ln(frac, integer_bits, len));
            for (&x, y) in values.iter().zip(combine(&out.results)) {
                let off = (real(y, LOG_FRAC) - real(x, frac).ln()).abs();
                assert!(off < 0.5_f64.powi(17), "ln {}: {off}", real(x, frac));
            }
        }
    }
}

#[test]
fn tables_at_sums_with_their_carries() {
    let mut rng = rng(SEED);
    let (low, bits) = (5, [7, 8]);
    // What the digits of a sum say all together, whatever carries there are between them.
    let tables = bits.map(|bits| (0..2 << bits).collect::<Vec<u64>>());
    let top: Vec<u64> = (0..64).collect();
    for len in LENGTHS.into_iter().filter(|&len| len <= 1000) {
        let values: Vec<u64> =
            random_words(len, &mut rng).into_iter().map(|x| x >> (64 - 21 - low)).collect();
        let out = on_ring(&values, |share, session| {
            let mut value = open_split(share.to_additive(), 0, low + 21, session);
            let queries = [
                Query { low, bits: bits[0], tables: &[&tables[0]] },
                Query { low: low + bits[0], bits: bits[1], tables: &[&tables[1]] },
                Query { low: low + 15, bits: 6, tables: &[&top] },
            ];
            look_up_sums(&mut value, &queries, session)
        });
        let cost = cost::look_up(&[(8, 1), (9, 1), (6, 1)], len) + cost::closing_split(len, low + 21);
        assert_cost("look_up of sums", len, &out, cost);
        let [fine, coarse, top] =
            [0, 1, 2].map(|query| combine(&out.results.each_ref().map(|results| results[query][0].clone())));
        for (at, x) in values.iter().enumerate() {
            let sum = (fine[at] + (coarse[at] << 7) + (top[at] << 15)) % (1 << 21);
            let less = (x >> low).wrapping_sub(sum) % (1 << 21);
            assert!(less <= 1, "{x}: {less} less");
        }
    }
}

#[test]
fn exponentials() {
    let mut rng = rng(SEED);
    for (frac, integer_bits) in
        [(14, 12), (10, 5), (10, 3), (16, 11), (20, 4), (24, 14), (12, 8), (13, 13), (30, 10)]
    {
        let bound = 2.0_f64.powi(integer_bits as i32);
        let unit = 0.5_f64.powi(frac as i32);
        let largest = bound - 0.5_f64.powi(1) - unit;
        for len in LENGTHS {
            let extremes = [0.0, unit, 2.0 * unit, 1.0, largest, largest - unit, bound / 2.0];
            let clamp = [16.0, 16.0 - unit, 16.0 + unit, 15.5, 16.5];
            let mut reals: Vec<f64> =
                extremes.into_iter().chain(clamp).filter(|x| (0.0..=largest).contains(x)).collect();
            while reals.len() < len {
                let width = if reals.len().is_multiple_of(2) { largest } else { largest.min(17.0) };
                reals.push((uniform(0.0, width, &mut rng) / unit).floor() * unit);
            }
            reals.truncate(len);
            let check = |results: &[Rep; 3]| {
                for (x, y) in reals.iter().zip(combine(results)) {
                    let (want, got) = ((-x).exp(), real(y, EXP_FRAC));
                    let off = (got - want).abs();
                    let bound = want * (0.5_f64.powi(12) + 0.5_f64.powi(16)) + 0.5_f64.powi(19);
                    assert!(off < bound, "exp(-{x}): {off} of {want}");
                    assert!(got >= 0.0, "exp(-{x}): {got}");
                }
            };
            let values = fixed(&reals, frac);
            let out = on_ring(&values, |share, session| {
                exp_negative(Split::of(share, session.party()), frac, integer_bits, session)
            });
            assert_cost("exp_negative", len, &out, cost::exp_negative(integer_bits, len));
            check(&out.results);
            // Components that are right in the bits that count alone.
            let bits = argument_bits(frac, integer_bits);
            let out = on_ring(&values, |share, session| {
                let value = open_split(share.to_additive(), 0, bits, session);
                exp_negative(value, frac, integer_bits, session)
            });
            assert_cost(
                "exp_negative",
                len,
                &out,
                cost::closing_split(len, bits) + cost::exp_negative(integer_bits, len),
            );
            check(&out.results);
        }
    }
}
