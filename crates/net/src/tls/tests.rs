//! A party against peers that know their keys but not their manners.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustix::net::sockopt::{self, Timeout};
use rustls::crypto::CryptoProvider;
use rustls::server::UnbufferedServerConnection;
use rustls::{CipherSuiteCommon, ConnectionTrafficSecrets, SupportedCipherSuite, Tls13CipherSuite};

use super::connection::{Connection, Tls};
use super::pinning::{client, client_config, provider, server_config};
use super::socket::Socket;
use super::{Identity, TlsTransport};
use crate::frame::Header;
use crate::{NetError, Party, Peers, Transport};

/// A wait that only a failing test waits out.
const LONG: Duration = Duration::from_secs(30);

const PEER: Party = Party::ALL[1];

/// Two ends that are joined.
type Sockets = fn() -> (Socket, Socket);

fn tcp() -> (Socket, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let caller = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    let (called, _) = listener.accept().expect("a call");
    (Socket::Tcp(caller), Socket::Tcp(called))
}

fn unix() -> (Socket, Socket) {
    let (caller, called) = UnixStream::pair().expect("connected");
    (Socket::Unix(caller), Socket::Unix(called))
}

/// Tests with every kind of socket.
fn over_both(test: impl Fn(Sockets)) {
    test(tcp);
    test(unix);
}

fn identities() -> [Identity; 2] {
    ["caller", "called"].map(|name| Identity::generate(name).expect("an identity"))
}

/// The provider with one of its cipher suites, whose keys wear out after so many records.
fn one_suite(number: usize, records: u64) -> CryptoProvider {
    let standard = provider().cipher_suites[number].tls13().expect("TLS 1.3");
    let common = CipherSuiteCommon {
        suite: standard.common.suite,
        hash_provider: standard.common.hash_provider,
        confidentiality_limit: records,
    };
    let (hkdf_provider, aead_alg) = (standard.hkdf_provider, standard.aead_alg);
    let suite = Tls13CipherSuite { common, hkdf_provider, aead_alg, quic: None };
    let suite = SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)));
    CryptoProvider { cipher_suites: vec![suite], ..provider() }
}

/// The two ends of a connection.
fn pair(sockets: Sockets, provider: &CryptoProvider) -> (Connection, Connection) {
    let (caller, called) = sockets();
    let [caller_identity, called_identity] = identities();
    let config =
        client_config(&caller_identity, called_identity.fingerprint(), provider.clone()).expect("a config");
    let tls = Tls::Client(client(Arc::new(config)).expect("a client"));
    let mut caller = Connection::new(caller, tls).expect("a socket");
    let pins = vec![caller_identity.fingerprint()];
    let config = server_config(&called_identity, pins, provider.clone()).expect("a config");
    let tls = Tls::Server(UnbufferedServerConnection::new(Arc::new(config)).expect("a server"));
    let mut called = Connection::new(called, tls).expect("a socket");
    let until = Instant::now() + LONG;
    thread::scope(|scope| {
        scope.spawn(|| caller.handshake(until).expect("a handshake"));
        called.handshake(until).expect("a handshake");
    });
    (caller, called)
}

/// A peer that can send whatever it likes, correctly encrypted.
struct Rogue {
    socket: Socket,
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
    /// Zeros after the content of each record.
    padding: usize,
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

impl Rogue {
    /// Party 0 with the rogue as party 1, and the end of party 2.
    fn new(sockets: Sockets) -> (TlsTransport, Self, Connection) {
        let (mut socket, called) = sockets();
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(LONG)).expect("set");
        let [own, other] = identities();
        let mut config = client_config(&own, other.fingerprint(), provider()).expect("a config");
        config.enable_secret_extraction = true;
        let name = "party.invalid".try_into().expect("a name");
        let mut caller = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        let config = server_config(&other, vec![own.fingerprint()], provider()).expect("a config");
        let tls = Tls::Server(UnbufferedServerConnection::new(Arc::new(config)).expect("a server"));
        let mut called = Connection::new(called, tls).expect("a socket");
        thread::scope(|scope| {
            scope.spawn(|| called.handshake(Instant::now() + LONG).expect("a handshake"));
            while caller.is_handshaking() || caller.wants_write() {
                caller.complete_io(&mut socket).expect("a handshake");
            }
        });
        let secrets = caller.dangerous_extract_secrets().expect("secrets");
        let (sequence, ConnectionTrafficSecrets::Aes128Gcm { key, iv }) = secrets.tx else {
            panic!("the preferred cipher suite is AES-128-GCM");
        };
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).expect("a key"));
        let iv = iv.as_ref().try_into().expect("12 bytes");
        let (prev, idle) = pair(sockets, &provider());
        let transport = TlsTransport::over(Party::ALL[0], LONG, Peers { next: called, prev });
        (transport, Self { socket, key, iv, sequence, padding: 0 }, idle)
    }

    fn send_record(&mut self, content_type: u8, content: &[u8]) {
        self.try_send_record(content_type, content).expect("sent");
    }

    /// Sends one TLS record, unless the other end has hung up.
    fn try_send_record(&mut self, content_type: u8, content: &[u8]) -> io::Result<()> {
        let mut nonce = self.iv;
        for (byte, sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= sequence;
        }
        self.sequence += 1;
        let mut record = [content, &[content_type]].concat();
        record.resize(record.len() + self.padding, 0);
        let length = (record.len() + 16) as u16;
        let [high, low] = length.to_be_bytes();
        let head = [APPLICATION_DATA, 3, 3, high, low];
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(head), &mut record).expect("sealed");
        self.socket.write_all(&[&head, record.as_slice()].concat())
    }

    fn send_frame(&mut self, number: u32, length: usize, payload: &[u8]) {
        let header = Header::new(PEER, length, number).expect("fits").to_bytes();
        self.send_record(APPLICATION_DATA, &[&header, payload].concat());
    }
}

/// Receives a message of 16 bytes from party 1.
fn receive(transport: &mut TlsTransport) -> Result<[u8; 16], NetError> {
    let mut buffer = [0; 16];
    transport.exchange(Peers::default(), Peers { next: &mut buffer, prev: &mut [] })?;
    Ok(buffer)
}

fn assert_names_peer(error: &NetError) {
    assert_eq!(error.peer(), Some(PEER), "{error}");
    assert!(error.to_string().contains("party 1"), "{error}");
}

#[test]
fn announced_length_is_checked_before_anything_else() {
    over_both(|sockets| {
        for length in [0, 15, 17, u32::MAX as usize] {
            let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
            rogue.send_frame(0, length, &[]);
            let error = receive(&mut transport).expect_err("another length");
            assert!(
                matches!(error, NetError::UnexpectedLength { expected: 16, got, .. } if got == length),
                "{error}"
            );
            assert_names_peer(&error);
            // What follows could be anything, so that nothing is accepted any more.
            rogue.send_frame(1, 16, &[1; 16]);
            let error = receive(&mut transport).expect_err("after an error");
            assert_names_peer(&error);
        }
    });
}

#[test]
fn repeated_and_missing_messages_are_noticed() {
    over_both(|sockets| {
        for number in [0, 2, u32::MAX] {
            let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
            rogue.send_frame(0, 16, &[5; 16]);
            assert_eq!(receive(&mut transport).expect("the first message"), [5; 16]);
            rogue.send_frame(number, 16, &[6; 16]);
            let error = receive(&mut transport).expect_err("not the second message");
            assert!(
                matches!(error, NetError::OutOfStep { expected: 1, got, .. } if got == number),
                "{error}"
            );
            assert_names_peer(&error);
        }
    });
}

#[test]
fn message_may_come_in_any_number_of_records() {
    over_both(|sockets| {
        let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
        let bytes = |number: u32| {
            let header = Header::new(PEER, 16, number).expect("fits").to_bytes();
            [header.as_slice(), &[number as u8; 16]].concat()
        };
        for byte in bytes(0) {
            rogue.send_record(APPLICATION_DATA, &[byte]);
        }
        assert_eq!(receive(&mut transport).expect("one byte per record"), [0; 16]);
        rogue.send_record(APPLICATION_DATA, &[bytes(1), bytes(2), bytes(3)[..9].to_vec()].concat());
        rogue.send_record(APPLICATION_DATA, &[]);
        rogue.send_record(APPLICATION_DATA, &bytes(3)[9..]);
        for number in 1..=3 {
            assert_eq!(receive(&mut transport).expect("several per record"), [number; 16]);
        }
    });
}

#[test]
fn end_within_a_message_is_noticed() {
    over_both(|sockets| {
        for present in [0, 1, 8, 20] {
            let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
            let header = Header::new(PEER, 16, 0).expect("fits").to_bytes();
            rogue.send_record(APPLICATION_DATA, &[header.as_slice(), &[1; 16]].concat()[..present]);
            rogue.socket.shutdown_write().expect("shut down");
            let error = receive(&mut transport).expect_err("incomplete");
            assert!(matches!(error, NetError::Disconnected { .. }), "{error}");
            assert_names_peer(&error);
        }
    });
}

#[test]
fn party_that_vanished_is_named_before_one_that_said_goodbye() {
    over_both(|sockets| {
        let (mut transport, rogue, idle) = Rogue::new(sockets);
        drop(rogue);
        drop(idle);
        let mut buffer = [0; 16];
        let error = transport
            .exchange(Peers::default(), Peers { next: &mut [], prev: &mut buffer })
            .expect_err("both are gone");
        assert!(matches!(error, NetError::Disconnected { .. }), "{error}");
        assert_names_peer(&error);
    });
}

#[test]
fn altered_bytes_are_noticed() {
    over_both(|sockets| {
        let cases: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\n\r\n",
            // A record that is too long, one with a wrong tag, and a plain-text alert.
            &[APPLICATION_DATA, 3, 3, 0xff, 0xff],
            &[&[APPLICATION_DATA, 3, 3, 0, 40], [7; 40].as_slice()].concat(),
            &[21, 3, 3, 0, 2, 1, 0],
        ];
        for bytes in cases {
            let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
            rogue.socket.write_all(bytes).expect("sent");
            let error = receive(&mut transport).expect_err("no TLS");
            assert!(matches!(error, NetError::Io { .. }), "{error}");
            assert_names_peer(&error);
        }
    });
}

#[test]
fn endless_handshake_message_does_not_fill_the_memory() {
    over_both(|sockets| {
        let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
        let flood = thread::spawn(move || {
            // It has to be kept until it is complete, which takes 16 MB by its own account.
            rogue.send_record(HANDSHAKE, &[4, 0xff, 0xff, 0xff]);
            let content = [0; 1 << 14];
            (0..1024).take_while(|_| rogue.try_send_record(HANDSHAKE, &content).is_ok()).count()
        });
        let error = receive(&mut transport).expect_err("no message");
        assert_names_peer(&error);
        drop(transport);
        assert!(flood.join().expect("no panic") < 1024);
    });
}

#[test]
fn half_a_handshake_message_does_not_disturb_sending() {
    over_both(|sockets| {
        const MUCH: usize = 10_000_000;
        let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
        // The first three of the five bytes of a key update.
        rogue.send_record(HANDSHAKE, &[24, 0, 0]);
        transport.set_deadline(Duration::from_millis(500));
        thread::scope(|scope| {
            let reader = scope.spawn(|| rogue.socket.read_exact(&mut vec![0; MUCH]));
            let (message, mut buffer) = (vec![1; MUCH], [0; 16]);
            let error = transport
                .exchange(Peers { next: &message, prev: &[] }, Peers { next: &mut buffer, prev: &mut [] })
                .expect_err("no message");
            assert!(matches!(error, NetError::Timeout { .. }), "{error}");
            assert_names_peer(&error);
            reader.join().expect("no panic").expect("the whole message");
        });
    });
}

#[test]
fn key_update_makes_the_old_key_worthless() {
    over_both(|sockets| {
        let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
        rogue.send_frame(0, 16, &[1; 16]);
        rogue.send_record(HANDSHAKE, &[24, 0, 0, 1, 1]);
        // The rogue now ought to change its key, which it does not know how to do.
        rogue.send_frame(1, 16, &[1; 16]);
        receive(&mut transport).expect("the message before");
        let error = receive(&mut transport).expect_err("the old key");
        assert!(matches!(error, NetError::Io { .. }), "{error}");
        assert_names_peer(&error);
    });
}

#[test]
fn keys_are_changed_before_they_wear_out() {
    over_both(|sockets| {
        // 5 MB are 306 records, so that every message needs new keys several times.
        let provider = one_suite(0, 100);
        let [first_second, second_third, third_first] = [(); 3].map(|()| pair(sockets, &provider));
        let connections = [
            Peers { next: first_second.0, prev: third_first.1 },
            Peers { next: second_third.0, prev: first_second.1 },
            Peers { next: third_first.0, prev: second_third.1 },
        ];
        thread::scope(|scope| {
            for (party, connections) in Party::ALL.into_iter().zip(connections) {
                scope.spawn(move || {
                    let mut transport = TlsTransport::over(party, LONG, connections);
                    let message = |from: Party, round: u8| vec![from.index() as u8 + 10 * round; 5_000_000];
                    for round in 0..3 {
                        let send = message(party, round);
                        let (mut next, mut prev) = (vec![0; send.len()], vec![0; send.len()]);
                        transport
                            .exchange(
                                Peers { next: &send, prev: &send },
                                Peers { next: &mut next, prev: &mut prev },
                            )
                            .expect("a complete round");
                        assert!(next == message(party.next(), round) && prev == message(party.prev(), round));
                    }
                });
            }
        });
    });
}

#[test]
fn rustls_understands_the_records_and_is_understood() {
    over_both(|sockets| {
        for number in 0..provider().cipher_suites.len() {
            // A message is 62 records, so that both ends change their keys.
            let provider = one_suite(number, 50);
            let message: Vec<u8> =
                (0..1_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let [caller, called] = identities();
            let config = client_config(&caller, called.fingerprint(), provider.clone()).expect("a config");
            let name = "party.invalid".try_into().expect("a name");
            let mut rustls = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
            let config = server_config(&called, vec![caller.fingerprint()], provider).expect("a config");
            let tls = Tls::Server(UnbufferedServerConnection::new(Arc::new(config)).expect("a server"));
            let (mut socket, called) = sockets();
            sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(LONG)).expect("set");
            let mut own = Connection::new(called, tls).expect("a socket");
            let until = Instant::now() + LONG;
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut stream = rustls::Stream::new(&mut rustls, &mut socket);
                    let mut received = vec![0; message.len()];
                    for _ in 0..3 {
                        stream.write_all(&message).expect("sent");
                        stream.flush().expect("sent");
                        stream.read_exact(&mut received).expect("received");
                        assert!(received == message);
                        // It asks for new keys of the other end, too.
                        stream.conn.refresh_traffic_keys().expect("new keys");
                    }
                    stream.conn.send_close_notify();
                    stream.flush().expect("sent");
                    assert_eq!(stream.read(&mut [0]).expect("a goodbye"), 0);
                });
                own.handshake(until).expect("a handshake");
                assert_eq!(own.peer_fingerprint(), Some(caller.fingerprint()));
                let mut received = vec![0; message.len()];
                for _ in 0..3 {
                    own.receive_all(&mut received, until).expect("received");
                    assert!(received == message);
                    own.send_all(&message, until).expect("sent");
                }
                assert!(own.is_gone(until) && own.said_goodbye());
                own.close();
            });
        }
    });
}

#[test]
fn padding_is_taken_off() {
    over_both(|sockets| {
        let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
        let message: Vec<u8> = (0..40_000_u32).map(|i| i as u8 | 1).collect();
        let header = Header::new(PEER, message.len(), 0).expect("fits").to_bytes();
        rogue.padding = 255;
        rogue.send_record(APPLICATION_DATA, &header);
        let mut rest = message.as_slice();
        for (length, padding) in [(1, 0), (16_129, 255), (10_000, 1), (5000, 6000), (8869, 255), (1, 7)] {
            rogue.padding = padding;
            let (now, later) = rest.split_at(length);
            rogue.send_record(APPLICATION_DATA, &[]);
            rogue.send_record(APPLICATION_DATA, now);
            rest = later;
        }
        assert!(rest.is_empty());
        let mut received = vec![0; message.len()];
        transport
            .exchange(Peers::default(), Peers { next: &mut received, prev: &mut [] })
            .expect("the message");
        assert!(received == message);
    });
}

#[test]
fn records_that_no_party_sends_are_refused() {
    let too_long = vec![1; (1 << 14) + 1];
    let cases: [(u8, &[u8]); 14] = [
        // No type at all, types that do not exist or do not belong here.
        (0, &[]),
        (0, &[0; 100]),
        (1, &[1]),
        (CHANGE_CIPHER_SPEC, &[1]),
        (APPLICATION_DATA, &too_long),
        // Alerts that are none.
        (ALERT, &[]),
        (ALERT, &[1]),
        (ALERT, &[1, 0, 0]),
        // Another message than a key update, one with another content, and two in one record.
        (HANDSHAKE, &[]),
        (HANDSHAKE, &[4, 0]),
        (HANDSHAKE, &[24, 0, 0, 2]),
        (HANDSHAKE, &[24, 0, 0, 1, 2]),
        (HANDSHAKE, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0]),
        (HANDSHAKE, &[24, 0, 0, 1, 0, 24]),
    ];
    over_both(|sockets| {
        for (kind, content) in cases {
            // Into a place with room for the record and more, and into one without.
            for length in [16, 40_000] {
                let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
                rogue.send_frame(0, length, &[]);
                rogue.send_record(kind, content);
                let error = transport
                    .exchange(Peers::default(), Peers { next: &mut vec![0; length], prev: &mut [] })
                    .expect_err("no message");
                assert!(matches!(error, NetError::Io { .. }), "{kind} {content:?}: {error}");
                assert_names_peer(&error);
            }
        }
    });
}

#[test]
fn nothing_comes_between_the_halves_of_a_handshake_message() {
    over_both(|sockets| {
        for (kind, content) in [(APPLICATION_DATA, [5; 16].as_slice()), (ALERT, &[1, 0])] {
            let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
            rogue.send_frame(0, 16, &[]);
            rogue.send_record(HANDSHAKE, &[24, 0]);
            rogue.send_record(kind, content);
            let error = receive(&mut transport).expect_err("no message");
            assert!(matches!(error, NetError::Io { .. }), "{error}");
            assert_names_peer(&error);
        }
    });
}

#[test]
fn alerts_end_the_connection() {
    over_both(|sockets| {
        for alert in [[1, 0], [2, 20], [2, 80], [1, 255]] {
            let (mut transport, mut rogue, _idle) = Rogue::new(sockets);
            rogue.send_record(ALERT, &alert);
            // Whatever comes after it does not count.
            rogue.send_frame(0, 16, &[1; 16]);
            let error = receive(&mut transport).expect_err("no message");
            assert!(matches!(error, NetError::Disconnected { .. }), "{error}");
            assert_names_peer(&error);
        }
    });
}
