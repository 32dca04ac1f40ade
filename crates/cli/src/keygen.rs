//! `keygen`: a key for a server or a person.

use shamisen_service::{Role, keys};

use crate::args::KeygenArguments;
use crate::failure::Result;

/// Carries out `keygen`.
pub(crate) fn run(arguments: &KeygenArguments) -> Result<()> {
    let KeygenArguments { role, name, out } = arguments;
    let fingerprint = keys::create(out, name)?.fingerprint();
    let path = |file: &str| out.join(file).display().to_string();
    let mut storage = String::new();
    if *role == Role::Server {
        keys::create_storage_key(out)?;
        storage = format!(
            "storage key  {}: share files are encrypted under it; keep a safe copy\n",
            path(keys::STORAGE_KEY_FILE)
        );
    }
    let give = match role {
        Role::Server => format!(
            "Give this to the operators of the two other servers, with your number (0, 1 or 2) and your address:\n\n\
             [[peer]]\n\
             party = NUMBER\n\
             address = \"HOST:7443\"\n\
             fingerprint = \"{fingerprint}\"\n"
        ),
        Role::Owner | Role::Analyst | Role::Operator => format!(
            "Give this to the operators of the three servers:\n\n\
             [[person]]\n\
             name = {}\n\
             role = \"{}\"\n\
             fingerprint = \"{fingerprint}\"\n",
            toml::Value::from(name.as_str()),
            role.name()
        ),
    };
    crate::print(&format!(
        "private key  {}: stays here, and nobody else reads it\n\
         certificate  {}\n\
         {storage}fingerprint  {fingerprint}\n\n\
         {give}",
        path(keys::KEY_FILE),
        path(keys::CERTIFICATE_FILE),
    ))
}
