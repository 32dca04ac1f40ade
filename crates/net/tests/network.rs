//! Words and counters.

mod common;

use common::{in_parallel, meshes};
use shamisen_net::{Network, Party, Peers, Traffic, Work, memory};

#[test]
fn words_arrive_over_every_transport() {
    for (name, mesh) in meshes() {
        in_parallel(mesh, |party, end| {
            let mut network = Network::new(end);
            assert_eq!(network.party(), party);
            let word = |from: Party| u64::MAX - from.index() as u64;
            let (mut from_next, mut from_prev) = ([0; 2], [0; 1]);
            network
                .exchange(
                    Peers { next: &[word(party)], prev: &[word(party), 7] },
                    Peers { next: &mut from_next, prev: &mut from_prev },
                )
                .expect("a complete round");
            assert_eq!(from_next, [word(party.next()), 7], "{name}");
            assert_eq!(from_prev, [word(party.prev())], "{name}");
        });
    }
}

#[test]
fn costs_are_counted_by_phase() {
    in_parallel(memory::mesh(), |_, end| {
        let mut network = Network::new(Box::new(end));
        let (mut one, mut three) = ([0; 1], [0; 3]);
        assert_eq!(network.enter("input"), Network::FIRST_PHASE);
        network
            .exchange(Peers { next: &[1, 2, 3], prev: &[] }, Peers { next: &mut [], prev: &mut three })
            .expect("a complete round");
        let earlier = network.counters().total;
        assert_eq!(network.enter("training"), "input");
        for _ in 0..2 {
            network
                .exchange(Peers { next: &[4], prev: &[5, 6, 7] }, Peers { next: &mut three, prev: &mut one })
                .expect("a complete round");
        }
        network.exchange(Peers::default(), Peers::default()).expect("nothing to do");
        network.post(Peers::default()).expect("nothing to do");
        // A round in two pieces.
        network.enter("pieces");
        for piece in [&[1][..], &[2, 3]] {
            network.post(Peers { next: piece, prev: &[] }).expect("posted");
        }
        let (mut first, mut second) = ([0; 1], [0; 2]);
        network.exchange(Peers::default(), Peers { next: &mut [], prev: &mut first }).expect("a round");
        network.collect(Peers { next: &mut [], prev: &mut second }).expect("the same round");
        assert_eq!((first, second), ([1], [2, 3]));
        assert_eq!(network.enter("training"), "pieces");
        let work = Work { random_words: 5, multiply_adds: 7 };
        network.count_work(work);
        network.count_work(Work { multiply_adds: 2, ..Work::default() });
        assert_eq!(network.enter("input"), "training");

        let counters = network.counters();
        let input = Traffic {
            rounds: 1,
            messages: Peers { next: 1, prev: 0 },
            bytes_sent: Peers { next: 24, prev: 0 },
            bytes_received: Peers { next: 0, prev: 24 },
        };
        let training = Traffic {
            rounds: 2,
            messages: Peers { next: 2, prev: 2 },
            bytes_sent: Peers { next: 16, prev: 48 },
            bytes_received: Peers { next: 48, prev: 16 },
        };
        let pieces = Traffic {
            rounds: 1,
            messages: Peers { next: 2, prev: 0 },
            bytes_sent: Peers { next: 24, prev: 0 },
            bytes_received: Peers { next: 0, prev: 24 },
        };
        assert_eq!(counters.by_phase["input"].traffic, input);
        assert_eq!(counters.by_phase["pieces"].traffic, pieces);
        assert_eq!(counters.by_phase["training"].traffic, training);
        assert_eq!(counters.total.since(&earlier) - pieces, training);
        assert_eq!(counters.total - training - pieces, input);
        assert_eq!((counters.total.sent(), counters.total.received()), (112, 112));
        let cost = counters.by_phase["training"];
        assert!(0.0 < cost.waiting && cost.waiting <= cost.seconds, "{cost:?}");
        assert_eq!(cost.work, Work { multiply_adds: 9, ..work });
        assert_eq!(counters.by_phase[Network::FIRST_PHASE].traffic, Traffic::default());
    });
}

#[test]
fn failed_round_is_not_counted() {
    let [own, ..] = memory::mesh();
    let mut network = Network::new(Box::new(own));
    network.exchange(Peers { next: &[1], prev: &[] }, Peers::default()).expect_err("the peers are gone");
    assert_eq!(network.counters().total, Traffic::default());
}

#[test]
fn encryption_is_a_part_of_the_exchange() {
    for (name, mesh) in meshes() {
        in_parallel(mesh, |_, end| {
            let mut network = Network::new(end);
            let mut received = vec![0; 10_000];
            network
                .exchange(
                    Peers { next: &vec![1; 10_000], prev: &[] },
                    Peers { next: &mut [], prev: &mut received },
                )
                .expect("a complete round");
            let cost = network.counters().by_phase[Network::FIRST_PHASE];
            assert_eq!(cost.encryption > 0.0, name.contains("tls"), "{name}: {cost:?}");
            assert!(cost.encryption <= cost.waiting, "{name}: {cost:?}");
        });
    }
}
