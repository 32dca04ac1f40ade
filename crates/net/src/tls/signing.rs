//! Signatures with the keys of certificates, under documents that outlive a connection.

use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use webpki::EndEntityCert;
use webpki::aws_lc_rs::ECDSA_P256_SHA256;

use crate::NetError;
use crate::tls::{Fingerprint, Identity};

impl Identity {
    /// Signs a message: ECDSA with P-256 and SHA-256, in DER.
    ///
    /// Whoever signs begins the message with what it is for, so that a signature is good for nothing else.
    ///
    /// # Errors
    ///
    /// [`NetError::Identity`] if the key is of another kind than those of [`generate`](Self::generate).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NetError> {
        let key = self.certified_key()?.key;
        let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).ok_or_else(|| {
            NetError::Identity { reason: "the key cannot sign: only keys of the kind ECDSA P-256 can".into() }
        })?;
        signer.sign(message).map_err(|error| NetError::Identity { reason: error.to_string() })
    }
}

/// Fails unless the holder of a certificate, given in PEM, has signed the message; returns the certificate's fingerprint.
///
/// # Errors
///
/// [`NetError::Identity`] if it is no certificate, or the signature is not one of its key under this message.
pub fn verify_signature(
    certificate: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<Fingerprint, NetError> {
    let failed = |reason: &str| NetError::Identity { reason: reason.to_owned() };
    let certificate =
        CertificateDer::from_pem_slice(certificate).map_err(|_| failed("this is no certificate"))?;
    let parsed = EndEntityCert::try_from(&certificate).map_err(|_| failed("this is no certificate"))?;
    parsed
        .verify_signature(ECDSA_P256_SHA256, message, signature)
        .map_err(|_| failed("the signature is not one of this key under this text"))?;
    Ok(Fingerprint::of(&certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_key_under_one_message() {
        let (own, other) = (Identity::generate("own").unwrap(), Identity::generate("other").unwrap());
        let signature = own.sign(b"message").unwrap();
        let check = |identity: &Identity, message: &[u8], signature: &[u8]| {
            verify_signature(identity.certificate_pem().as_bytes(), message, signature)
        };
        assert_eq!(check(&own, b"message", &signature).unwrap(), own.fingerprint());
        assert!(check(&own, b"massage", &signature).is_err());
        assert!(check(&other, b"message", &signature).is_err());
        assert!(check(&own, b"message", &signature[1..]).is_err());
        assert!(verify_signature(b"nothing", b"message", &signature).is_err());
    }
}
