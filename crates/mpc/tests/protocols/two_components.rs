//! The two-component form.

use shamisen_mpc::protocol::multiply::product;
use shamisen_mpc::protocol::split::{Split, open_split};
use shamisen_testkit::{combine, deal, random_words, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, on_ring};
use crate::cost;

#[test]
fn there_and_back() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let values = random_words(len, &mut rng);
        let out = on_ring(&values, |share, session| {
            let mut split = Split::of(share, session.party());
            split.scale(3);
            split.add_constant(5, session.party());
            split.replicated(session)
        });
        assert_cost("replicated", len, &out, cost::replicated(len));
        let expected: Vec<u64> = values.iter().map(|x| x.wrapping_mul(3).wrapping_add(5)).collect();
        assert_eq!(combine(&out.results), expected);
    }
}

#[test]
fn additive_sharings() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let (x, y) = (random_words(len, &mut rng), random_words(len, &mut rng));
        let (a, b) = (deal(&x, &mut rng), deal(&y, &mut rng));
        for (low, width) in [(0, 64), (0, 17), (18, 46), (40, 20), (63, 1)] {
            let out = run(SEED, |session| {
                let me = session.party().index();
                open_split(product(&a[me], &b[me]), low, width, session).replicated(session).unwrap()
            });
            let expected = cost::closing_split(len, width) + cost::replicated(len);
            assert_cost("open_split, replicated", len, &out, expected);
            let mask = u64::MAX >> (64 - width);
            for (at, got) in combine(&out.results).into_iter().enumerate() {
                let exact = x[at].wrapping_mul(y[at]) >> low;
                let more = (got & mask).wrapping_sub(exact) & mask;
                let most = if low > 0 { mask.min(2) } else { 0 };
                assert!(more <= most, "bits {low}.. of {exact:#x}: {more} more");
            }
        }
    }
}
