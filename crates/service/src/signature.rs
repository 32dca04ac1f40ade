//! Signatures of people under texts.

use core::fmt::Write;

use shamisen_net::NetError;
use shamisen_net::tls::{Identity, verify_signature};

use crate::KeyId;

/// Signs a text for a purpose, so that the signature is good for nothing else; returns hexadecimal digits.
pub(crate) fn sign(purpose: &str, text: &str, identity: &Identity) -> Result<String, NetError> {
    Ok(digits(&identity.sign(&[purpose, text].concat().into_bytes())?))
}

/// Whose signature it is, if it is one under this text for this purpose.
pub(crate) fn signer(purpose: &str, text: &str, signature: &str, certificate: &str) -> Result<KeyId, String> {
    let signature = bytes(signature).ok_or("the signature is not in hexadecimal digits")?;
    let text = [purpose, text].concat();
    let signer = verify_signature(certificate.as_bytes(), text.as_bytes(), &signature);
    signer.map(KeyId).map_err(|error| error.to_string())
}

/// Bytes in hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes from their hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|value| value as u8);
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
