//! Keys of servers and people: a directory with a private key and a self-signed certificate.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use shamisen_data::encrypted::StorageKey;
use shamisen_net::tls::Identity;
use zeroize::Zeroizing;

use crate::{Result, ServiceError};

/// Name of the certificate in the directory of a key.
pub const CERTIFICATE_FILE: &str = "certificate.pem";

/// Name of the private key (PKCS #8) in the directory of a key.
pub const KEY_FILE: &str = "key.pem";

/// Name of the key under which a server encrypts share files, in the directory of its own key.
pub const STORAGE_KEY_FILE: &str = "storage.key";

/// Longest name of a person or server in bytes: what a certificate holds.
const LONGEST_NAME: usize = 64;

/// Makes a key pair and its certificate, which carries `name`, in the directory `dir`.
///
/// The directory is made if it is not there (mode 0700); the private key has mode 0600.
///
/// # Errors
///
/// If one of the files exists, the name cannot be one, or the files cannot be written. Then none is left behind.
pub fn create(dir: &Path, name: &str) -> Result<Identity> {
    check_name(name)?;
    let identity =
        Identity::generate(name).map_err(|source| ServiceError::Key { dir: dir.to_owned(), source })?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| ServiceError::io("create", dir, error))?;
    let (key, certificate) = (dir.join(KEY_FILE), dir.join(CERTIFICATE_FILE));
    if certificate.try_exists().map_err(|error| ServiceError::io("read", &certificate, error))? {
        return Err(ServiceError::KeyExists { path: certificate });
    }
    write_new(&key, identity.key_pem().as_bytes(), 0o600)?;
    if let Err(error) = write_new(&certificate, identity.certificate_pem().as_bytes(), 0o644) {
        // Nothing more can be done about a file that cannot be removed; nobody knows this key yet.
        drop(fs::remove_file(&key));
        return Err(error);
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| ServiceError::io("write", dir, error))?;
    Ok(identity)
}

/// Makes the key under which a server encrypts share files, beside its own key in the directory `dir`.
///
/// # Errors
///
/// If there is one already, or it cannot be written.
pub fn create_storage_key(dir: &Path) -> Result<()> {
    StorageKey::create(&dir.join(STORAGE_KEY_FILE))?;
    Ok(())
}

/// Reads the key in the directory `dir`.
///
/// # Errors
///
/// If the files cannot be read or do not belong together, or if other users may read the private key.
pub fn read(dir: &Path) -> Result<Identity> {
    let (key_path, certificate_path) = (dir.join(KEY_FILE), dir.join(CERTIFICATE_FILE));
    let read = |path: &Path| fs::read(path).map_err(|error| ServiceError::io("read", path, error));
    let certificate = read(&certificate_path)?;
    let metadata = fs::metadata(&key_path).map_err(|error| ServiceError::io("read", &key_path, error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ServiceError::KeyIsOpen { path: key_path, mode });
    }
    let key = Zeroizing::new(read(&key_path)?);
    Identity::from_pem(&certificate, &key).map_err(|source| ServiceError::Key { dir: dir.to_owned(), source })
}

/// Refuses what is no name of a person or server: it has to fit into a certificate, a line and a log.
///
/// # Errors
///
/// If it is empty or too long, or has control characters or spaces at its ends.
pub fn check_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > LONGEST_NAME {
        "it has more than 64 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else if name.trim() != name {
        "it begins or ends with a space"
    } else {
        return Ok(());
    };
    Err(ServiceError::Name { name: name.to_owned(), reason })
}

/// Writes a file that must not exist yet, and waits until the disk has it.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                ServiceError::KeyExists { path: path.to_owned() }
            } else {
                ServiceError::io("write", path, error)
            }
        })?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|error| {
        // A half-written key is of no use to anybody.
        drop(fs::remove_file(path));
        ServiceError::io("write", path, error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_only_its_owner_reads_it() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("keys").join("north");
        let identity = create(&dir, "North hospital").unwrap();
        assert_eq!(read(&dir).unwrap().fingerprint(), identity.fingerprint());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.join(KEY_FILE)), 0o600);
        assert_eq!(mode(&dir), 0o700);
    }

    #[test]
    fn a_key_is_never_overwritten() {
        for existing in [KEY_FILE, CERTIFICATE_FILE] {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join(existing);
            fs::write(&path, "mine").unwrap();
            let message = create(place.path(), "north").unwrap_err().to_string();
            assert!(message.contains(existing) && message.contains("never overwritten"), "{message}");
            assert_eq!(fs::read(&path).unwrap(), b"mine");
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let place = tempfile::tempdir().unwrap();
        create(place.path(), "north").unwrap();
        let path = place.path().join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let message = read(place.path()).unwrap_err().to_string();
        assert!(message.contains("mode 640") && message.contains("chmod 600"), "{message}");
    }

    #[test]
    fn files_of_two_keys_do_not_pass() {
        let place = tempfile::tempdir().unwrap();
        let (one, two) = (place.path().join("1"), place.path().join("2"));
        create(&one, "one").unwrap();
        create(&two, "two").unwrap();
        fs::copy(one.join(CERTIFICATE_FILE), two.join(CERTIFICATE_FILE)).unwrap();
        let message = read(&two).unwrap_err().to_string();
        assert!(message.contains("different pairs"), "{message}");
        let message = read(&place.path().join("3")).unwrap_err().to_string();
        assert!(message.starts_with("cannot read "), "{message}");
    }

    #[test]
    fn names_fit_a_line() {
        let long = "x".repeat(65);
        for (name, part) in
            [("", "empty"), ("a\nb", "control"), (" a", "a space"), (long.as_str(), "more than 64")]
        {
            let message = check_name(name).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(check_name("Hôpital du Nord, Lyon").is_ok());
    }
}
