//! The rectifier and its gate.

use shamisen_mpc::protocol::gate::rectify;
use shamisen_mpc::protocol::multiply::product;
use shamisen_mpc::protocol::split::{Split, open_split, open_split_roughly};
use shamisen_testkit::{combine, deal, rng, run};

use crate::common::{LENGTHS, LONG, SEED, assert_cost, bounded};
use crate::cost::{self, Cost};

/// Bits that are dropped, and the width of what is left.
const SIZES: [(u32, u32); 5] = [(1, 2), (1, 60), (20, 26), (34, 28), (60, 2)];

#[test]
fn what_is_negative_stays_behind() {
    let mut rng = rng(SEED);
    for len in LENGTHS.into_iter().chain([LONG]) {
        for (bits, width) in SIZES {
            let least = (1 << bits) - (1_i64 << (bits + width - 1));
            let x = bounded(len, bits + width - 1, &mut rng);
            let x: Vec<u64> = x.into_iter().map(|x| (x as i64).max(least) as u64).collect();
            let y = bounded(len, 62, &mut rng);
            let (shared_x, shared_y) = (deal(&x, &mut rng), deal(&y, &mut rng));
            let out = run(SEED, |session| {
                let party = session.party();
                let split = |shares: &[_; 3]| Split::of(&shares[party.index()], party);
                let (rectified, mut gate) = rectify(&mut split(&shared_x), bits, width, session).unwrap();
                let sent = session.counters().total;
                let passed = [20, 61].map(|bits| gate.pass(&mut split(&shared_y), bits, session).unwrap());
                (rectified, passed, sent)
            });
            let bytes = |of: &dyn Fn(usize) -> u64| (0..3).map(of).sum::<u64>();
            assert_eq!(bytes(&|i| out.results[i].2.sent()), cost::rectify(bits, width, len).bytes);
            let both: Cost = cost::pass(20, false, len) + cost::pass(61, false, len);
            assert_cost("rectify, and pass twice", len, &out, cost::rectify(bits, width, len) + both);

            let rectified = combine(&out.results.each_ref().map(|(rectified, ..)| rectified.clone()));
            let passed =
                [0, 1].map(|i| combine(&out.results.each_ref().map(|(_, passed, _)| passed[i].clone())));
            for at in 0..len {
                let (x, y) = (x[at] as i64, y[at] as i64);
                let near = |result: u64, of: i64, bits: u32| {
                    let error = (i128::from(result as i64) << bits) - i128::from(of);
                    error.unsigned_abs() <= 1 << bits
                };
                let results = [(rectified[at], x, bits), (passed[0][at], y, 20), (passed[1][at], y, 61)];
                let stays = results.iter().all(|(result, ..)| *result == 0);
                let passes = results.iter().all(|(result, of, bits)| near(*result, *of, *bits));
                let expected = if x < 0 { stays } else { passes || x < 1 << bits && stays };
                assert!(expected, "{x} and {y}: {results:?}");
            }
        }
    }
}

#[test]
fn what_is_open_is_closed_on_the_way() {
    let mut rng = rng(SEED);
    let (bits, width, low) = (20, 26, 12);
    for len in LENGTHS.into_iter().chain([LONG]) {
        let (x, y) = (bounded(len, bits + width - 2, &mut rng), bounded(len, 60, &mut rng));
        let ones = deal(&vec![1; len], &mut rng);
        let (shared_x, shared_y) = (deal(&x, &mut rng), deal(&y, &mut rng));
        let out = run(SEED, |session| {
            let me = session.party().index();
            let x = product(&shared_x[me], &ones[me]);
            let mut x = open_split(x, low, 64 - low, session).shifted_up(low);
            let (rectified, mut gate) = rectify(&mut x, bits, width, session).unwrap();
            let mut y = open_split(product(&shared_y[me], &ones[me]), 0, 64, session);
            (rectified, gate.pass(&mut y, bits, session).unwrap(), [x, y])
        });
        let open = cost::closing_split(len, 64 - low) + cost::closing_split(len, 64);
        let cost = cost::rectify(bits, width, len) + cost::pass(bits, false, len) + open;
        assert_cost("rectify and pass while open", len, &out, cost);

        let back = run(SEED, |session| {
            out.results[session.party().index()].2.clone().map(|mut split| split.replicated(session).unwrap())
        });
        let [closed_x, closed_y] =
            [0, 1].map(|at| combine(&back.results.each_ref().map(|both| both[at].clone())));
        assert_eq!(closed_y, y);
        let rectified = combine(&out.results.each_ref().map(|(rectified, ..)| rectified.clone()));
        let passed = combine(&out.results.each_ref().map(|(_, passed, _)| passed.clone()));
        for at in 0..len {
            let (x, y) = (x[at] as i64, y[at] as i64);
            assert!((closed_x[at] as i64 - x).abs() <= 2 << low, "{x}");
            let near = |result: u64, of: i64| {
                ((i128::from(result as i64) << bits) - i128::from(of)).unsigned_abs()
                    <= (1 << bits) + (2 << low)
            };
            let stays = rectified[at] == 0 && passed[at] == 0;
            let passes = near(rectified[at], x) && near(passed[at], y);
            let expected = if x < -(2 << low) { stays } else { passes || x < (1 << bits) && stays };
            assert!(expected, "{x} and {y}: {} and {}", rectified[at], passed[at]);
        }
    }
}

/// What passes without its lowest bits is right on average, also where it is 0: back-propagated errors come this way.
#[test]
fn what_passes_roughly_has_no_bias() {
    let (bits, low, len) = (20, 13, 100_000);
    let mut rng = rng(SEED);
    let ones = deal(&vec![1 << bits; len], &mut rng);
    for value in [0, 1 << bits, -(1_i64 << bits), 12_345_678] {
        let shares = deal(&vec![value as u64; len], &mut rng);
        let out = run(SEED ^ value as u64, |session| {
            let me = session.party().index();
            let (_, mut gate) =
                rectify(&mut Split::of(&ones[me], session.party()), bits, 26, session).unwrap();
            let mut rough = open_split_roughly(shares[me].to_additive(), low, session);
            gate.pass(&mut rough, bits, session).unwrap()
        });
        let exact = value as f64 / f64::from(1 << bits);
        let errors: Vec<f64> = combine(&out.results).iter().map(|&y| y as i64 as f64 - exact).collect();
        assert!(errors.iter().all(|error| error.abs() < 1.0 + 1.5 / 128.0), "{value}");
        let mean = errors.iter().sum::<f64>() / len as f64;
        let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / len as f64).sqrt();
        assert!(mean.abs() < 5.0 * deviation / (len as f64).sqrt(), "{value} has a mean error of {mean}");
    }
}
