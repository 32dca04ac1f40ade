//! Range checks.

use shamisen_mpc::protocol::range::{RangeChecks, in_range};
use shamisen_mpc::protocol::split::Split;
use shamisen_testkit::{Outcome, combine_bits, deal, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, bit, bounded, on_ring};
use crate::cost::{self, Cost};

#[test]
fn inside_and_outside() {
    let mut rng = rng(SEED);
    for (bound, prior) in [(1, 2), (1, 63), (21, 40), (21, 21), (30, 62), (40, 63), (61, 62), (61, 63)] {
        for len in LENGTHS {
            let mut values = bounded(len, prior, &mut rng);
            let edges = [0, 1 << (bound - 1), (1 << (bound - 1)) - 1, 1 << (bound + 1)];
            let edges =
                edges.into_iter().flat_map(|x: i64| [x, -x]).filter(|x| x.unsigned_abs() >> prior == 0);
            values.iter_mut().skip(7).zip(edges).for_each(|(value, edge)| *value = edge as u64);
            let out = on_ring(&values, |share, session| {
                in_range(&Split::of(share, session.party()), bound, prior, session)
            });
            assert_cost("in_range", len, &out, cost::in_range(bound, prior, len));
            let ok = combine_bits(&out.results);
            for (at, &value) in values.iter().enumerate() {
                let size = (value as i64).unsigned_abs();
                let passes = bit(&ok, len, 0, at) == 1;
                if size < 1 << (bound - 1) {
                    assert!(passes, "{} is below 2^({bound} - 1)", value as i64);
                } else if size >= 1 << (bound + 1) {
                    assert!(
                        !passes,
                        "{} is not below 2^({bound} + 1), known to be below 2^{prior}",
                        value as i64
                    );
                }
            }
        }
    }
}

/// Name, number of values, bound, and what is known, in the order of the bounds.
const CLAIMS: [(&str, usize, u32, u32); 5] = [
    ("weights", 1000, 22, 40),
    ("logits", 64, 22, 40),
    ("activations", 70, 31, 50),
    ("nothing", 0, 40, 50),
    ("one", 1, 61, 63),
];

/// Verifies the claims, with the last value of those named spoiled.
fn verify(spoiled: &[&str]) -> Outcome<Option<String>> {
    let mut rng = rng(SEED);
    let shares = CLAIMS.map(|(name, len, bound, _)| {
        let mut values = bounded(len, bound - 2, &mut rng);
        if spoiled.contains(&name) {
            values[len - 1] = (1_u64 << (bound + 1)).wrapping_neg();
        }
        deal(&values, &mut rng)
    });
    run(SEED, |session| {
        let mut checks = RangeChecks::default();
        for ((name, _, bound, prior), shares) in CLAIMS.iter().zip(&shares).rev() {
            let party = session.party();
            checks.claim(*name, &shares[party.index()], *bound, *prior, party);
        }
        // Nothing to check: the bound is no tighter than what is known.
        checks.claim_split("known", &Split::zeros(5), 41, 40, session.party());
        assert_eq!((checks.len(), checks.is_empty()), (1135, false));
        let verdict = checks.verify(session).expect("memory does not fail");
        assert_eq!((checks.len(), checks.is_empty()), (0, true));
        verdict
    })
}

#[test]
fn claims_that_hold() {
    let out = verify(&[]);
    assert_eq!(out.results, [None, None, None]);
    // Each claim begins at a whole word. The window of the last cannot be shifted to that of the others.
    let checks = cost::in_range(31, 50, 1024 + 64 + 128) + cost::in_range(61, 63, 64);
    let expected = checks + cost::all(1216 + 64) + cost::open_bits(1, 1);
    assert_eq!(out.bytes(), expected.bytes);
    // The second check is of one word, so that only two parties are in its first round.
    let most = out.counters.iter().map(|counters| counters.total.rounds).max();
    assert_eq!(most, Some(expected.rounds));
}

#[test]
fn claims_that_do_not_hold_are_named() {
    for spoiled in ["weights", "logits", "activations", "one"] {
        assert!(verify(&[spoiled]).results.iter().all(|name| name.as_deref() == Some(spoiled)));
    }
    let out = verify(&["one", "activations"]);
    assert!(out.results.iter().all(|name| name.as_deref() == Some("activations")));
}

#[test]
fn no_claims() {
    let out = run(SEED, |session| RangeChecks::default().verify(session).unwrap());
    assert_eq!(out.results, [None, None, None]);
    assert_cost("verify", 0, &out, Cost::NONE);
}
