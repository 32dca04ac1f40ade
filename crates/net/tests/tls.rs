//! How parties find each other over TLS, and what they say when they do not.

mod common;

use std::net::TcpListener;
use std::num::NonZeroU8;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use common::{
    LONG, call, connect, connect_one, in_parallel, over_both, take_one_call, tcp_addresses, tls_configs,
};
use shamisen_net::tls::{Address, Fingerprint, Identity, TlsConfig, TlsTransport};
use shamisen_net::{NetError, Party, Peers, Transport};

/// Long enough for the handshakes on a busy machine, short enough to wait for.
const SHORT: Duration = Duration::from_secs(5);

/// The errors of three parties with these settings; those who connect leave at once.
fn errors(mut configs: [TlsConfig; 3]) -> [Option<NetError>; 3] {
    for config in &mut configs {
        config.connect_timeout = SHORT;
    }
    let start = Instant::now();
    let errors = connect(configs).map(Result::err);
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    errors
}

fn text(error: Option<&NetError>) -> String {
    error.map(ToString::to_string).unwrap_or_default()
}

#[test]
fn caller_with_a_wrong_key_is_refused_and_told() {
    over_both(|mut configs| {
        let pinned = configs[2].identity.fingerprint();
        configs[2].identity = Identity::generate("another").expect("an identity");
        let shown = configs[2].identity.fingerprint();
        let [first, second, third] = errors(configs);
        for error in [first, second] {
            assert!(
                matches!(&error, Some(NetError::WrongKey { peer, shown: s, pinned: p, .. })
                if peer.index() == 2 && *s == shown && *p == pinned),
                "{}",
                text(error.as_ref())
            );
            let text = text(error.as_ref());
            assert!(text.contains(&format!("fingerprint {shown}, pinned is {pinned}")), "{text}");
        }
        let text = text(third.as_ref());
        assert!(matches!(third, Some(NetError::Handshake { .. })), "{text}");
        assert!(
            text.contains("refused the certificate of this party") && text.contains(&shown.to_string()),
            "{text}"
        );
    });
}

#[test]
fn listener_with_a_wrong_key_is_refused_and_told() {
    over_both(|mut configs| {
        configs[0].identity = Identity::generate("another").expect("an identity");
        let shown = configs[0].identity.fingerprint();
        let [first, second, third] = errors(configs);
        for error in [second, third] {
            assert!(
                matches!(&error, Some(NetError::WrongKey { peer, shown: s, .. }) if peer.index() == 0 && *s == shown),
                "{}",
                text(error.as_ref())
            );
        }
        let text = text(first.as_ref());
        assert!(text.contains("refused the certificate of this party"), "{text}");
    });
}

#[test]
fn parties_of_different_jobs_say_so() {
    over_both(|mut configs| {
        configs[2].job = [0xab; 32];
        let [first, second, third] = errors(configs);
        for (error, peers) in [(first, vec![2]), (second, vec![2]), (third, vec![0, 1])] {
            let text = text(error.as_ref());
            // The one that is quicker may already be gone when the other calls.
            let error = error.expect("another job");
            if matches!(error, NetError::Handshake { .. }) {
                assert!(text.contains("runs another job"), "{text}");
                assert!(peers.contains(&error.peer().expect("a peer").index()), "{text}");
            } else {
                assert!(matches!(error, NetError::Connect { .. } | NetError::NoCall { .. }), "{text}");
            }
        }
    });
}

#[test]
fn party_of_another_number_is_refused() {
    over_both(|configs| {
        // Two parties have swapped their numbers, and only the third does not know.
        let [first, mut second, mut third] = configs;
        std::mem::swap(&mut second.identity, &mut third.identity);
        second.peers.next.fingerprint = third.identity.fingerprint();
        third.peers.prev.fingerprint = second.identity.fingerprint();
        let [first, second, third] = errors([first, second, third]);
        let text_of_first = text(first.as_ref());
        assert!(matches!(first, Some(NetError::Handshake { .. })), "{text_of_first}");
        assert!(text_of_first.contains("check the party numbers on both sides"), "{text_of_first}");
        // The quicker of the two others learns the reason, the slower one may find nobody any more.
        let reason = "it expects another party here";
        let others = [text(second.as_ref()), text(third.as_ref())];
        let own_words = "it takes this party for party";
        assert!(others.iter().any(|text| text.contains(reason) || text.contains(own_words)), "{others:?}");
    });
}

#[test]
fn strangers_do_not_disturb() {
    over_both(|configs| {
        let address = configs[0].listen.clone();
        let call_soon = || {
            let start = Instant::now();
            loop {
                match call(&address) {
                    Ok(stream) => return stream,
                    Err(error) if start.elapsed() > LONG => panic!("nobody listens: {error}"),
                    Err(_) => std::thread::yield_now(),
                }
            }
        };
        let [first, second, third] = configs;
        std::thread::scope(|scope| {
            let first = scope.spawn(move || connect_one(&first));
            // One says nothing, one leaves, one talks something else, one has an unknown key.
            let silent = call_soon();
            drop(call_soon());
            let mut web = call_soon();
            web.write_all(b"GET / HTTP/1.1\r\nHost: party0\r\n\r\n").expect("sent");
            let mut answer = Vec::new();
            let _ = web.read_to_end(&mut answer);
            let mut stranger = third.clone();
            stranger.identity = Identity::generate("stranger").expect("an identity");
            stranger.connect_timeout = Duration::from_millis(300);
            connect_one(&stranger).expect_err("refused");

            let others = [second, third].map(|config| scope.spawn(move || connect_one(&config)));
            let others = others.map(|other| other.join().expect("no panic").expect("connected"));
            let mut first = first.join().expect("no panic").expect("connected");
            drop(silent);
            for mut other in others {
                let message = [other.party().index() as u8; 5];
                let to_first = if other.party().next() == first.party() {
                    Peers { next: &message[..], prev: &[] }
                } else {
                    Peers { next: &[][..], prev: &message }
                };
                other.exchange(to_first, Peers::default()).expect("sent");
            }
            let (mut next, mut prev) = ([0; 5], [0; 5]);
            first.exchange(Peers::default(), Peers { next: &mut next, prev: &mut prev }).expect("received");
            assert_eq!((next, prev), ([1; 5], [2; 5]));
        });
    });
}

/// Sends a byte that says who sends on which lane, and checks what the peers send.
fn check_lane(lane: usize, end: &mut TlsTransport) {
    let message = |from: Party| [(10 * lane + from.index()) as u8];
    let (me, mut next, mut prev) = (end.party(), [0], [0]);
    end.exchange(
        Peers { next: &message(me), prev: &message(me) },
        Peers { next: &mut next, prev: &mut prev },
    )
    .expect("a complete round");
    assert_eq!((next, prev), (message(me.next()), message(me.prev())), "lane {lane} of {me}");
}

#[test]
fn lanes_meet_their_like_and_are_independent() {
    over_both(|configs| {
        let configs = configs.map(|config| TlsConfig { lanes: NonZeroU8::new(5).expect("5"), ..config });
        // A stranger at the door of the first party, all the while.
        let address = configs[0].listen.clone();
        std::thread::scope(|scope| {
            let stranger = scope.spawn(move || {
                let start = Instant::now();
                while start.elapsed() < LONG {
                    if let Ok(mut stream) = call(&address) {
                        let _ = stream.write_all(b"hello?");
                        return;
                    }
                }
            });
            in_parallel(configs, |party, config| {
                let mut lanes = TlsTransport::connect(&config).expect("connected");
                assert_eq!(lanes.len(), 5);
                // None waits for another lane of the same party.
                std::thread::scope(|scope| {
                    for (lane, end) in lanes.iter_mut().enumerate() {
                        scope.spawn(move || (0..20).for_each(|_| check_lane(lane, end)));
                    }
                });
                // When one lane of a party is gone, the others go on.
                drop(lanes.remove(party.index()));
                check_lane(4, &mut lanes[3]);
            });
            stranger.join().expect("no panic");
        });
    });
}

#[test]
fn parties_with_different_numbers_of_lanes_say_so() {
    over_both(|mut configs| {
        configs[2].lanes = NonZeroU8::new(3).expect("3");
        for config in &mut configs {
            config.connect_timeout = SHORT;
        }
        let errors = in_parallel(configs, |_, config| TlsTransport::connect(&config).err());
        let texts = errors.each_ref().map(|error| text(error.as_ref()));
        assert!(errors.iter().all(Option::is_some), "{texts:?}");
        // The quicker of the two that were called learns the reason, the other one may find nobody any more.
        let told =
            |text: &String| text.contains("thread") && text.contains("give the same number at all three");
        assert!(told(&texts[2]) && texts[..2].iter().any(told), "{texts:?}");
    });
}

#[test]
fn port_in_use_is_said_clearly() {
    let [mut config, ..] = tls_configs(&tcp_addresses());
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("an address").to_string();
    config.listen = Address::Tcp(address.clone());
    let error = connect_one(&config).expect_err("in use");
    assert!(matches!(error, NetError::Listen { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("another program uses this port"), "{text}");
    assert_eq!(error.peer(), None);
}

#[test]
fn socket_that_cannot_be_used_is_said_clearly() {
    let dir = tempfile::tempdir().expect("a directory");
    let [busy, file, missing] = ["busy", "file", "no/socket"].map(|name| dir.path().join(name));
    let _other = UnixListener::bind(&busy).expect("a listener");
    std::fs::write(&file, "precious").expect("written");
    for (path, part) in [
        (busy, "another program listens there"),
        (file, "or it is another file"),
        (missing, "its directory does not exist"),
    ] {
        let [mut config, ..] = tls_configs(&tcp_addresses());
        config.listen = Address::Unix(path.clone());
        let error = connect_one(&config).expect_err("not usable");
        assert!(matches!(error, NetError::Listen { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&config.listen.to_string()) && text.contains(part), "{text}");
    }
    assert_eq!(std::fs::read(dir.path().join("file")).expect("still there"), b"precious");
}

#[test]
fn absent_peers_are_named() {
    over_both(|configs| {
        let [mut first, mut second, mut third] = configs;
        for config in [&mut first, &mut second, &mut third] {
            config.connect_timeout = Duration::from_millis(300);
        }
        let error = connect_one(&first).expect_err("alone");
        assert!(matches!(error, NetError::NoCall { .. }), "{error}");
        assert_eq!(error.peer(), Some(Party::ALL[1]), "{error}");
        // The second party waits for a call from the third, and calls the first.
        for config in [second, third] {
            let error = connect_one(&config).expect_err("alone");
            assert!(matches!(error, NetError::Connect { .. }), "{error}");
            assert!(matches!(error.peer(), Some(peer) if peer < config.party), "{error}");
        }
    });
}

#[test]
fn parties_may_come_in_any_order() {
    over_both(|configs| {
        let [first, second, third] = configs;
        std::thread::scope(|scope| {
            // Party 2 calls two parties that do not listen yet; the others begin when it has called in vain.
            let address = first.listen.clone();
            let mut caller = None;
            take_one_call(&address, || caller = Some(scope.spawn(move || connect_one(&third))));
            let others = [second, first].map(|config| scope.spawn(move || connect_one(&config)));
            caller.expect("started").join().expect("no panic").expect("connected");
            for other in others {
                other.join().expect("no panic").expect("connected");
            }
        });
    });
}

#[test]
fn equal_fingerprints_are_refused() {
    let [config, ..] = tls_configs(&tcp_addresses());
    let mut peers_equal = config.clone();
    peers_equal.peers.next.fingerprint = peers_equal.peers.prev.fingerprint;
    let mut own_pinned = config;
    own_pinned.peers.prev.fingerprint = own_pinned.identity.fingerprint();
    for (config, expected) in [(peers_equal, "party 1 and party 2"), (own_pinned, "party 0 and party 2")] {
        let error = connect_one(&config).expect_err("equal");
        assert!(matches!(error, NetError::Identity { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn session_goes_on_after_the_listeners_are_closed() {
    over_both(|configs| {
        let ends = connect(configs).map(|end| end.expect("connected"));
        in_parallel(ends, |_, mut end| {
            let mut buffer = [0; 4];
            for _ in 0..100 {
                end.exchange(
                    Peers { next: &[1, 2, 3, 4], prev: &[] },
                    Peers { next: &mut [], prev: &mut buffer },
                )
                .expect("a complete round");
            }
            assert_eq!(buffer, [1, 2, 3, 4]);
        });
    });
}

#[test]
fn identity_survives_its_files() {
    let identity = Identity::generate("party 0, Zürich").expect("an identity");
    let certificate = identity.certificate_pem();
    let key = identity.key_pem();
    let read = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("the same");
    assert_eq!(read.fingerprint(), identity.fingerprint());
    assert_eq!(read.key_der(), identity.key_der());
    assert_eq!(Fingerprint::of(identity.certificate_der()), identity.fingerprint());

    let other = Identity::generate("other").expect("an identity");
    let cases = [
        (certificate.as_bytes(), other.key_pem().as_bytes().to_vec(), "does not belong to the certificate"),
        (b"nothing".as_slice(), key.as_bytes().to_vec(), "holds no PEM certificate"),
        (certificate.as_bytes(), b"nothing".to_vec(), "holds no PEM private key"),
        (certificate.as_bytes(), certificate.as_bytes().to_vec(), "holds no PEM private key"),
    ];
    for (certificate, key, expected) in cases {
        let error = Identity::from_pem(certificate, &key).expect_err("unusable").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn debug_output_hides_the_key() {
    let [config, ..] = tls_configs(&tcp_addresses());
    let debug = format!("{config:?}");
    assert!(debug.contains(&config.identity.fingerprint().to_string()), "{debug}");
    assert!(debug.len() < 1000, "{debug}");
}

#[test]
fn fingerprint_is_written_in_hexadecimal() {
    let fingerprint = Fingerprint::from_bytes(std::array::from_fn(|i| i as u8 * 8));
    let text = fingerprint.to_string();
    assert!(text.starts_with("00081018") && text.len() == 64, "{text}");
    assert_eq!(text.parse::<Fingerprint>().expect("hexadecimal"), fingerprint);
    assert_eq!(text.to_uppercase().parse::<Fingerprint>().expect("hexadecimal"), fingerprint);
    for bad in ["", "00", &text[1..], &format!("{text}0"), &text.replace('8', "g"), &"é".repeat(32)] {
        let error = bad.parse::<Fingerprint>().expect_err("no fingerprint").to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}
