//! The rectifier and its gate.

use shamisen_mpc::protocol::gate::rectify;
use shamisen_mpc::protocol::split::Split;
use shamisen_testkit::{combine, deal, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, bounded};
use crate::cost::{self, Cost};

/// Bits that are dropped, and the width of what is left.
const SIZES: [(u32, u32); 5] = [(1, 2), (1, 60), (20, 26), (34, 28), (60, 2)];

#[test]
fn what_is_negative_stays_behind() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        for (bits, width) in SIZES {
            let least = (1 << bits) - (1_i64 << (bits + width - 1));
            let x = bounded(len, bits + width - 1, &mut rng);
            let x: Vec<u64> = x.into_iter().map(|x| (x as i64).max(least) as u64).collect();
            let y = bounded(len, 62, &mut rng);
            let (shared_x, shared_y) = (deal(&x, &mut rng), deal(&y, &mut rng));
            let out = run(SEED, |session| {
                let party = session.party();
                let split = |shares: &[_; 3]| Split::of(&shares[party.index()], party);
                let (rectified, mut gate) = rectify(&split(&shared_x), bits, width, session).unwrap();
                let sent = session.counters().total;
                let passed = [20, 61].map(|bits| gate.pass(&split(&shared_y), bits, session).unwrap());
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
