//! The configurations of servers and clients.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shamisen_fuzz::Place;
use shamisen_service::cluster::Cluster;
use shamisen_service::config::ServerConfig;

fuzz_target!(|bytes: &[u8]| {
    let place = Place::new();
    let path = place.file("a.toml", bytes);
    drop(ServerConfig::read(&path));
    drop(Cluster::read(&path));
});
