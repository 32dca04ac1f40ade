//! What every transport has to do, whatever it is made of.

mod common;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{LONG, Mesh, in_parallel, meshes, plain_meshes};
use shamisen_net::recording::{Received, Recording};
use shamisen_net::throttled::Throttled;
use shamisen_net::{NetError, Party, Peers, Transport, memory};

/// Lengths of the messages of one round: for each party, the one to the next and the one to the previous
/// party.
type Round = [(usize, usize); 3];

/// The content of a message, different for every sender, addressee and round.
fn content(from: Party, to: Party, round: usize, length: usize) -> Vec<u8> {
    let seed = (round * 9 + from.index() * 3 + to.index()) as u32;
    (0..length as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed * 40_503) >> 13) as u8)
        .collect()
}

/// Plays the rounds and checks that everything arrives.
fn play(party: Party, end: &mut dyn Transport, rounds: &[Round]) {
    assert_eq!(end.party(), party);
    let (next, prev) = (party.next(), party.prev());
    for (number, round) in rounds.iter().enumerate() {
        let (to_next, to_prev) = round[party.index()];
        let (from_next, from_prev) = (round[next.index()].1, round[prev.index()].0);
        if to_next + to_prev + from_next + from_prev == 0 {
            // Who has nothing to do need not take part.
            continue;
        }
        let to_next = content(party, next, number, to_next);
        let to_prev = content(party, prev, number, to_prev);
        let (mut received_next, mut received_prev) = (vec![0; from_next], vec![0; from_prev]);
        end.exchange(
            Peers { next: &to_next, prev: &to_prev },
            Peers { next: &mut received_next, prev: &mut received_prev },
        )
        .expect("a complete round");
        assert!(
            received_next == content(next, party, number, from_next),
            "round {number}: {next} to {party}"
        );
        assert!(
            received_prev == content(prev, party, number, from_prev),
            "round {number}: {prev} to {party}"
        );
    }
}

fn play_over_every_transport(rounds: &[Round]) {
    for (_, mesh) in meshes() {
        in_parallel(mesh, |party, mut end| {
            end.set_deadline(LONG);
            play(party, &mut end, rounds);
        });
    }
}

#[test]
fn messages_of_every_length_arrive() {
    // Around the ends of TLS records and of the pieces in which long messages are encrypted.
    let lengths = [
        1, 7, 8, 9, 64, 16_375, 16_376, 16_377, 32_760, 32_761, 131_063, 131_064, 131_065, 262_136, 262_137,
        300_001,
    ];
    let rounds: Vec<Round> = lengths.into_iter().map(|length| [(length, length); 3]).collect();
    play_over_every_transport(&rounds);
}

#[test]
fn all_parties_send_much_at_once() {
    const MUCH: usize = 5_000_000;
    play_over_every_transport(&[[(MUCH, MUCH); 3], [(MUCH, 0); 3], [(0, MUCH); 3], [(MUCH, 1); 3]]);
}

#[test]
fn directions_and_parties_may_have_nothing_to_say() {
    play_over_every_transport(&[
        [(10, 0), (0, 0), (0, 0)],
        [(0, 10), (0, 0), (0, 0)],
        [(0, 0), (3_000_000, 5), (0, 0)],
        [(0, 0), (0, 0), (0, 0)],
        [(0, 0), (0, 0), (7, 8)],
        [(1, 2), (3, 4), (5, 6)],
        [(1, 0), (200_000, 0), (3_000_000, 0)],
        [(0, 1), (0, 200_000), (0, 3_000_000)],
    ]);
}

#[test]
fn many_short_rounds_stay_in_step() {
    let rounds: Vec<Round> = (0..3000).map(|number| [(1 + number % 64, number % 3); 3]).collect();
    play_over_every_transport(&rounds);
}

#[test]
fn a_sender_may_be_ahead_of_its_receiver() {
    for (name, mesh) in meshes() {
        let [mut first, mut second, _third] = mesh;
        for number in 0..10 {
            let message = content(Party::ALL[0], Party::ALL[1], number, 1000 + number);
            first.exchange(Peers { next: &message, prev: &[] }, Peers::default()).expect("sent");
        }
        for number in 0..10 {
            let mut buffer = vec![0; 1000 + number];
            second.exchange(Peers::default(), Peers { next: &mut [], prev: &mut buffer }).expect("received");
            assert_eq!(buffer, content(Party::ALL[0], Party::ALL[1], number, 1000 + number), "{name}");
        }
    }
}

#[test]
fn who_posts_messages_waits_for_nobody() {
    // More than any socket takes, then short ones behind it.
    let lengths = [3_000_000, 1, 700_000, 0, 20];
    for (name, mut mesh) in meshes() {
        // All of it before anybody receives.
        for (end, party) in mesh.iter_mut().zip(Party::ALL) {
            for (number, &length) in lengths.iter().enumerate() {
                let to = |peer| content(party, peer, number, length);
                let (to_next, to_prev) = (to(party.next()), to(party.prev()));
                end.post(Peers { next: &to_next, prev: &to_prev }).expect("posted");
            }
        }
        in_parallel(mesh, |party, mut end| {
            end.set_deadline(LONG);
            for (number, &length) in lengths.iter().enumerate() {
                let (mut from_next, mut from_prev) = (vec![0; length], vec![0; length]);
                end.exchange(Peers::default(), Peers { next: &mut from_next, prev: &mut from_prev })
                    .expect("received");
                for (peer, received) in [(party.next(), from_next), (party.prev(), from_prev)] {
                    assert!(received == content(peer, party, number, length), "{name}, message {number}");
                }
            }
            play(party, &mut end, &[[(1000, 2000); 3]]);
        });
    }
}

#[test]
fn all_parties_may_post_more_than_fits_between_them() {
    const MESSAGES: usize = 60;
    let length = |number: usize| 200_000 + number;
    for (name, mesh) in meshes() {
        in_parallel(mesh, |party, mut end| {
            end.set_deadline(LONG);
            // Twice, so that what the first time left behind would be found.
            for _ in 0..2 {
                for number in 0..MESSAGES {
                    let to = |peer| content(party, peer, number, length(number));
                    let (to_next, to_prev) = (to(party.next()), to(party.prev()));
                    end.post(Peers { next: &to_next, prev: &to_prev }).expect("posted");
                }
                for number in 0..MESSAGES {
                    let (mut from_next, mut from_prev) = (vec![0; length(number)], vec![0; length(number)]);
                    end.exchange(Peers::default(), Peers { next: &mut from_next, prev: &mut from_prev })
                        .expect("received");
                    for (peer, received) in [(party.next(), from_next), (party.prev(), from_prev)] {
                        assert!(received == content(peer, party, number, length(number)), "{name}: {number}");
                    }
                }
                end.flush().expect("all has left");
            }
        });
    }
}

/// Lets party 0 receive 16 bytes from each peer, of which each does what it is told.
fn receive_from(
    mesh: Mesh,
    next: impl Fn(&mut dyn Transport),
    prev: impl Fn(&mut dyn Transport),
) -> (NetError, Duration) {
    let [mut own, mut next_end, mut prev_end] = mesh;
    next(&mut *next_end);
    prev(&mut *prev_end);
    own.set_deadline(Duration::from_millis(200));
    let start = Instant::now();
    let (mut from_next, mut from_prev) = ([0; 16], [0; 16]);
    let error = own
        .exchange(Peers::default(), Peers { next: &mut from_next, prev: &mut from_prev })
        .expect_err("a peer misbehaves");
    (error, start.elapsed())
}

fn send_to_first(end: &mut dyn Transport, message: &[u8]) {
    // Party 0 is the previous one of party 1, and the next one of party 2.
    let send = if end.party() == Party::ALL[1] {
        Peers { next: &[][..], prev: message }
    } else {
        Peers { next: message, prev: &[][..] }
    };
    end.exchange(send, Peers::default()).expect("sent");
}

#[test]
fn silent_peer_is_named() {
    let good = |end: &mut dyn Transport| send_to_first(end, &[1; 16]);
    let silent = |_: &mut dyn Transport| {};
    for (name, mesh) in plain_meshes() {
        let (error, waited) = receive_from(mesh, silent, good);
        assert!(matches!(error, NetError::Timeout { .. }), "{name}: {error}");
        assert_eq!(error.peer(), Some(Party::ALL[1]), "{name}: {error}");
        assert!(
            waited >= Duration::from_millis(200) && waited < Duration::from_secs(10),
            "{name}: {waited:?}"
        );
    }
    for (name, mesh) in plain_meshes() {
        let (error, _) = receive_from(mesh, good, silent);
        assert!(matches!(error, NetError::Timeout { .. }), "{name}: {error}");
        assert_eq!(error.peer(), Some(Party::ALL[2]), "{name}: {error}");
    }
}

#[test]
fn message_of_another_length_is_refused() {
    let good = |end: &mut dyn Transport| send_to_first(end, &[1; 16]);
    for length in [15, 17, 100_000] {
        for (name, mesh) in plain_meshes() {
            let bad = |end: &mut dyn Transport| send_to_first(end, &vec![1; length]);
            let (error, _) = receive_from(mesh, good, bad);
            assert!(
                matches!(error, NetError::UnexpectedLength { expected: 16, got, .. } if got == length),
                "{name}: {error}"
            );
            assert_eq!(error.peer(), Some(Party::ALL[2]), "{name}: {error}");
        }
    }
}

#[test]
fn receiver_learns_at_once_that_its_peer_is_gone() {
    for (name, mesh) in plain_meshes() {
        let [mut own, next, prev] = mesh;
        own.set_deadline(LONG);
        let (waiting, waits) = mpsc::channel();
        let start = Instant::now();
        let (error, _others) = std::thread::scope(|scope| {
            let receiver = scope.spawn(move || {
                waiting.send(()).expect("the test runs");
                let mut buffer = [0; 16];
                own.exchange(Peers::default(), Peers { next: &mut [], prev: &mut buffer })
                    .expect_err("nobody there")
            });
            waits.recv().expect("the receiver runs");
            drop(prev);
            (receiver.join().expect("no panic"), next)
        });
        assert!(matches!(error, NetError::Disconnected { .. }), "{name}: {error}");
        assert_eq!(error.peer(), Some(Party::ALL[2]), "{name}: {error}");
        assert!(start.elapsed() < LONG / 2, "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn sender_of_much_learns_at_once_that_its_peer_is_gone() {
    for (name, mesh) in plain_meshes() {
        let [mut own, next, _prev] = mesh;
        own.set_deadline(LONG);
        let start = Instant::now();
        let error = std::thread::scope(|scope| {
            let sender = scope.spawn(move || {
                let message = vec![1; 10_000_000];
                let mut send =
                    || own.exchange(Peers { next: message.as_slice(), prev: &[] }, Peers::default()).err();
                (0..1000).find_map(|_| send()).expect("nobody takes the message")
            });
            drop(next);
            sender.join().expect("no panic")
        });
        assert!(matches!(error, NetError::Disconnected { .. }), "{name}: {error}");
        assert_eq!(error.peer(), Some(Party::ALL[1]), "{name}: {error}");
        assert!(start.elapsed() < LONG / 2, "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn receiver_that_does_not_receive_is_named() {
    for (name, mesh) in plain_meshes() {
        let [mut own, _next, _prev] = mesh;
        own.set_deadline(Duration::from_millis(200));
        let message = vec![1; 5_000_000];
        let error = (0..1000)
            .find_map(|_| own.exchange(Peers { next: message.as_slice(), prev: &[] }, Peers::default()).err())
            .expect("nobody takes the messages");
        assert!(matches!(error, NetError::Timeout { .. }), "{name}: {error}");
        assert_eq!(error.peer(), Some(Party::ALL[1]), "{name}: {error}");
    }
}

#[test]
fn throttled_messages_take_their_time() {
    // 1 MB at 400 Mbit/s takes 20 ms, plus 5 ms on the way; three rounds, in both directions at once.
    let latency = Duration::from_millis(5);
    let ends = memory::mesh().map(|end| Throttled::new(end, latency, 400e6));
    let start = Instant::now();
    in_parallel(ends, |party, mut end| play(party, &mut end, &[[(1_000_000, 1_000_000); 3]; 3]));
    let taken = start.elapsed();
    assert!(taken >= Duration::from_millis(75) && taken < Duration::from_secs(10), "{taken:?}");
}

#[test]
fn throttled_link_is_busy_with_one_message_at_a_time() {
    // Ten messages that are sent at once, of 4 ms each, arrive after 40 ms.
    let ends = memory::mesh().map(|end| Throttled::new(end, Duration::ZERO, 8e6));
    let [mut first, mut second, _third] = ends;
    let start = Instant::now();
    for _ in 0..10 {
        first.exchange(Peers { next: &[1; 4000], prev: &[] }, Peers::default()).expect("sent");
    }
    for number in 1..=10 {
        let mut buffer = [0; 4000];
        second.exchange(Peers::default(), Peers { next: &mut [], prev: &mut buffer }).expect("received");
        assert!(
            start.elapsed() >= Duration::from_millis(4 * number),
            "message {number}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn recording_keeps_what_was_received() {
    let ends = memory::mesh().map(Recording::new);
    let transcript = ends[0].transcript();
    let rounds: [Round; 2] = [[(3, 0); 3], [(1, 2); 3]];
    in_parallel(ends, |party, mut end| play(party, &mut end, &rounds));
    let [own, next, prev] = Party::ALL;
    let received = |from, round, length| Received { from, message: content(from, own, round, length) };
    assert_eq!(transcript.take(), [received(prev, 0, 3), received(next, 1, 2), received(prev, 1, 1)]);
    assert_eq!(transcript.take(), []);
}
