//! Keys, and three servers as a service.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Place, output, shamisen, succeed, text};

#[test]
fn keygen_shows_what_to_give_to_whom() {
    let place = Place::new();
    let dir = place.path("north");
    let out = succeed(
        shamisen().args(["keygen", "--role", "owner", "--name", "North \"hospital\"", "--out"]).arg(&dir),
    );
    let block = &out[out.find("[[person]]").unwrap()..];
    let person: toml::Table = toml::from_str(block).unwrap();
    let person = &person["person"][0];
    assert_eq!(person["name"].as_str(), Some("North \"hospital\""));
    assert_eq!(person["role"].as_str(), Some("owner"));
    assert!(out.contains(&format!("fingerprint  {}", person["fingerprint"].as_str().unwrap())), "{out}");
    let key = dir.join("key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    let before = fs::read(&key).unwrap();
    let again = output(shamisen().args(["keygen", "--role", "server", "--name", "x", "--out"]).arg(&dir));
    assert_eq!(again.status.code(), Some(2));
    let message = text(&again.stderr);
    assert!(message.contains("never overwritten") && message.contains("hint: "), "{message}");
    assert_eq!(fs::read(&key).unwrap(), before);

    let out = succeed(
        shamisen().args(["keygen", "--role", "server", "--name", "first", "--out"]).arg(place.path("s")),
    );
    assert!(out.contains("[[peer]]") && out.contains("address = \"HOST:7443\""), "{out}");
}
