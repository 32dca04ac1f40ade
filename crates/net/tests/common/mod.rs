//! Three connected parties, for the tests of this crate.

#![allow(dead_code, reason = "each test crate uses a part of this module")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU8;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use shamisen_net::memory;
use shamisen_net::recording::Recording;
use shamisen_net::throttled::Throttled;
use shamisen_net::tls::{Address, Identity, PeerAddress, TlsConfig, TlsTransport};
use shamisen_net::{NetError, Party, Peers, Transport};

/// Three ends of one mesh, in the order of the parties.
pub(crate) type Mesh = [Box<dyn Transport>; 3];

/// A wait that only a failing test waits out.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Every kind of transport, by name.
pub(crate) fn meshes() -> Vec<(&'static str, Mesh)> {
    let boxed = |transport| -> Box<dyn Transport> { Box::new(transport) };
    let throttle = |transport| -> Box<dyn Transport> {
        Box::new(Throttled::new(transport, Duration::from_micros(10), 100e9))
    };
    let record = |transport| -> Box<dyn Transport> { Box::new(Recording::new(transport)) };
    vec![
        ("memory", memory::mesh().map(boxed)),
        ("tls over tcp", tls_mesh(&tcp_addresses())),
        ("tls over unix sockets", unix_mesh()),
        ("throttled memory", memory::mesh().map(throttle)),
        (
            "throttled tls",
            unix_mesh().map(|end| -> Box<dyn Transport> {
                Box::new(Throttled::new(end, Duration::ZERO, f64::INFINITY))
            }),
        ),
        ("recording", memory::mesh().map(record)),
    ]
}

/// The transports that are not wrapped around others.
pub(crate) fn plain_meshes() -> Vec<(&'static str, Mesh)> {
    let plain = ["memory", "tls over tcp", "tls over unix sockets"];
    let found: Vec<_> = meshes().into_iter().filter(|(name, _)| plain.contains(name)).collect();
    assert_eq!(found.len(), plain.len());
    found
}

/// Runs one closure per party, each in a thread of its own, and returns what they return.
pub(crate) fn in_parallel<E, R, F>(ends: [E; 3], run: F) -> [R; 3]
where
    E: Send,
    R: Send,
    F: Fn(Party, E) -> R + Sync,
{
    let run = &run;
    thread::scope(|scope| {
        let mut parties = Party::ALL.into_iter();
        let threads = ends.map(|end| {
            let party = parties.next().expect("three parties");
            scope.spawn(move || run(party, end))
        });
        threads.map(|thread| thread.join().expect("the party did not panic"))
    })
}

/// Three free ports of this machine.
pub(crate) fn tcp_addresses() -> [Address; 3] {
    // Kept until all three are chosen, so that they differ.
    let listeners = Party::ALL.map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| Address::Tcp(listener.local_addr().expect("an address").to_string()))
}

/// Calls `test` with settings that use TCP, and with settings that use Unix sockets.
pub(crate) fn over_both(test: impl Fn([TlsConfig; 3])) {
    test(tls_configs(&tcp_addresses()));
    over_unix(|addresses| test(tls_configs(addresses)));
}

/// Calls `act` with the addresses of three Unix sockets, of which no files remain.
fn over_unix<R>(act: impl FnOnce(&[Address; 3]) -> R) -> R {
    let dir = tempfile::tempdir().expect("a directory");
    let result = act(&Party::ALL.map(|party| Address::Unix(dir.path().join(party.to_string()))));
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0);
    result
}

/// Settings of three parties that know each other.
pub(crate) fn tls_configs(addresses: &[Address; 3]) -> [TlsConfig; 3] {
    let identities = Party::ALL.map(|party| Identity::generate(&party.to_string()).expect("an identity"));
    let place = |peer: Party| PeerAddress {
        address: addresses[peer.index()].clone(),
        fingerprint: identities[peer.index()].fingerprint(),
    };
    Party::ALL.map(|party| TlsConfig {
        party,
        identity: identities[party.index()].clone(),
        peers: Peers { next: place(party.next()), prev: place(party.prev()) },
        listen: addresses[party.index()].clone(),
        lanes: NonZeroU8::MIN,
        job: [1; 32],
        connect_timeout: LONG,
        deadline: LONG,
    })
}

/// The only lane of a party.
pub(crate) fn connect_one(config: &TlsConfig) -> Result<TlsTransport, NetError> {
    TlsTransport::connect(config).map(|mut lanes| {
        assert_eq!(lanes.len(), 1);
        lanes.remove(0)
    })
}

/// What becomes of three parties with these settings that connect at the same time.
pub(crate) fn connect(configs: [TlsConfig; 3]) -> [Result<TlsTransport, NetError>; 3] {
    in_parallel(configs, |_, config| connect_one(&config))
}

/// Three parties that are connected over TLS on this machine.
fn tls_mesh(addresses: &[Address; 3]) -> Mesh {
    connect(tls_configs(addresses)).map(|end| -> Box<dyn Transport> { Box::new(end.expect("connected")) })
}

fn unix_mesh() -> Mesh {
    over_unix(tls_mesh)
}

/// Bytes in both directions.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A connection to whoever listens, without TLS.
pub(crate) fn call(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Tcp(place) => Box::new(TcpStream::connect(place)?),
        Address::Unix(path) => Box::new(UnixStream::connect(path)?),
        other => panic!("an unknown kind of address: {other}"),
    })
}

/// Listens, takes one call, and goes away without a word, as a party does that is killed.
pub(crate) fn take_one_call(address: &Address, listening: impl FnOnce()) {
    match address {
        Address::Tcp(place) => {
            let listener = TcpListener::bind(place).expect("free");
            listening();
            drop(listener.accept().expect("a call"));
        }
        Address::Unix(path) => {
            let listener = UnixListener::bind(path).expect("free");
            listening();
            drop(listener.accept().expect("a call"));
        }
        other => panic!("an unknown kind of address: {other}"),
    }
}
