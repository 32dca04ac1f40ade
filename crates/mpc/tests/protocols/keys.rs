//! New keys that come from old ones.

use shamisen_mpc::protocol::multiply::reshare;
use shamisen_mpc::{Lanes, Rep, SessionKeys};
use shamisen_testkit::run_lanes;

use crate::common::SEED;

/// Sharings of zero, one by each lane: what they are masked with follows from the keys alone.
fn masks(lanes: &mut Lanes) -> Vec<(Vec<u64>, Vec<u64>)> {
    let party = lanes.party();
    let pieces = vec![(); lanes.count()];
    let shared =
        lanes.each(pieces, |(), session| reshare(Rep::from_public(&[0; 5], party).to_additive(), session));
    let words = |share: Rep| (share.components().0.to_vec(), share.components().1.to_vec());
    shared.expect("no peer is lost").into_iter().map(words).collect()
}

fn bytes(keys: &[SessionKeys]) -> Vec<[[u8; 16]; 3]> {
    keys.iter().map(|keys| [keys.own, keys.next, keys.private]).collect()
}

#[test]
fn neighbours_renew_their_keys_alike_and_what_is_drawn_follows_from_the_keys() {
    let out = run_lanes(SEED, 3, |lanes| {
        lanes.keep_aside();
        assert_eq!((lanes.count(), lanes.total()), (2, 3));
        let before = masks(lanes);
        let first = lanes.renew_keys();
        let after = masks(lanes);
        let second = lanes.renew_keys();
        assert!(bytes(&first) != bytes(&second) && before != after);
        lanes.danger_set_keys(&first);
        assert!(masks(lanes) == after);
        assert!(bytes(&lanes.renew_keys()) == bytes(&second));
        (bytes(&first), before, after)
    });
    for party in 0..3 {
        let (keys, before, after) = &out.results[party];
        let (next, next_before, next_after) = &out.results[(party + 1) % 3];
        assert_eq!(keys.len(), 3);
        assert!(keys.iter().zip(next).all(|(keys, next)| keys[1] == next[0] && keys[2] != next[2]));
        for (own, next) in [(before, next_before), (after, next_after)] {
            assert!(own.iter().zip(next).all(|(own, next)| own.1 == next.0));
        }
    }
}
