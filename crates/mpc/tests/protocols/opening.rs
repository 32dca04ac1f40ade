//! Opening.

use shamisen_mpc::protocol::open::{open, open_bits, open_to};
use shamisen_mpc::protocol::tell::tell;
use shamisen_net::Party;
use shamisen_testkit::{random_words, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, bit, on_bits, on_ring, random_planes};
use crate::cost;

#[test]
fn everyone_gets_the_values() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let mut values = random_words(len, &mut rng);
        values.iter_mut().zip([0, 1, u64::MAX, 1 << 63]).for_each(|(value, extreme)| *value = extreme);
        let out = on_ring(&values, open);
        assert_cost("open", len, &out, cost::open(len));
        assert!(out.results.iter().all(|opened| *opened == values));
    }
}

#[test]
fn one_party_gets_the_values() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let values = random_words(len, &mut rng);
        for receiver in Party::ALL {
            let out = on_ring(&values, |share, session| open_to(receiver, share, session));
            assert_eq!(out.bytes(), cost::open_to(len).bytes);
            let rounds = out.counters.map(|counters| counters.total.rounds);
            assert_eq!(rounds[receiver.next().index()], 0, "the party after the receiver has nothing to do");
            assert_eq!(rounds[receiver.index()], cost::open_to(len).rounds);
            for party in Party::ALL {
                assert_eq!(out.results[party.index()].as_ref(), (party == receiver).then_some(&values));
            }
        }
    }
}

#[test]
fn everyone_gets_the_bits() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let planes = random_planes(3, len, &mut rng);
        let out = on_bits(&planes, 3, len, open_bits);
        assert_cost("open_bits", len, &out, cost::open_bits(3, len));
        for opened in &out.results {
            let places = (0..3).flat_map(|plane| (0..len).map(move |at| (plane, at)));
            assert!(
                places.clone().all(|(plane, at)| bit(opened, len, plane, at) == bit(&planes, len, plane, at))
            );
        }
    }
}

#[test]
fn everyone_hears_what_all_tell() {
    let out = run(SEED, |session| {
        let own = session.party().index() as u64;
        tell(&[own, 7 + own], session).unwrap()
    });
    let expected = [vec![0, 7], vec![1, 8], vec![2, 9]];
    assert!(out.results.iter().all(|heard| *heard == expected));
    assert_eq!((out.rounds(), out.bytes()), (1, 3 * 2 * 16));
}
