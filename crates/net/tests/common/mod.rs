//! Three connected parties, for the tests of this crate.

#![allow(dead_code, reason = "each test crate uses a part of this module")]

use std::net::TcpListener;
use std::num::NonZeroU8;
use std::thread;
use std::time::Duration;

use shamisen_net::memory;
use shamisen_net::recording::Recording;
use shamisen_net::throttled::Throttled;
use shamisen_net::tls::{Identity, PeerAddress, TlsConfig, TlsTransport};
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
        ("tls", tls_mesh()),
        ("throttled memory", memory::mesh().map(throttle)),
        (
            "throttled tls",
            tls_mesh().map(|end| -> Box<dyn Transport> {
                Box::new(Throttled::new(end, Duration::ZERO, f64::INFINITY))
            }),
        ),
        ("recording", memory::mesh().map(record)),
    ]
}

/// The transports that are not wrapped around others.
pub(crate) fn plain_meshes() -> Vec<(&'static str, Mesh)> {
    meshes().into_iter().filter(|(name, _)| ["memory", "tls"].contains(name)).collect()
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

/// Settings of three parties on this machine that know each other.
pub(crate) fn tls_configs() -> [TlsConfig; 3] {
    let identities = Party::ALL.map(|party| Identity::generate(&party.to_string()).expect("an identity"));
    // Kept until all three are chosen, so that they differ.
    let listeners = Party::ALL.map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let addresses = listeners.map(|listener| listener.local_addr().expect("an address").to_string());
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
pub(crate) fn tls_mesh() -> Mesh {
    connect(tls_configs()).map(|end| -> Box<dyn Transport> { Box::new(end.expect("connected")) })
}
