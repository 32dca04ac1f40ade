//! Who a party is: its certificate, and the fingerprint by which its peers know it.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize, Zeroizing};

use crate::NetError;

/// A party's self-signed certificate and its private key.
///
/// The private key is wiped from memory when the identity is dropped, and never appears in debug output.
#[derive(Clone)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    /// PKCS #8, DER.
    key: Zeroizing<Vec<u8>>,
}

impl Identity {
    /// A new key pair (ECDSA, P-256) and a certificate for it that carries `name`.
    ///
    /// The name is for people who look at the certificate; no peer checks it.
    ///
    /// # Errors
    ///
    /// [`NetError::Identity`] if the name cannot be put into a certificate.
    pub fn generate(name: &str) -> Result<Self, NetError> {
        let failed = |error: rcgen::Error| unusable(format!("no certificate could be made: {error}"));
        let mut pair = rcgen::KeyPair::generate().map_err(failed)?;
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = parameters.self_signed(&pair).map_err(failed)?;
        let key = Zeroizing::new(pair.serialize_der());
        pair.zeroize();
        Ok(Self { certificate: certificate.into(), key })
    }

    /// An identity from the content of its two files, as written by
    /// [`certificate_pem`](Self::certificate_pem) and [`key_pem`](Self::key_pem).
    ///
    /// # Errors
    ///
    /// [`NetError::Identity`] if one of them is not what it should be, or if they do not belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, NetError> {
        let certificate = CertificateDer::from_pem_slice(certificate)
            .map_err(|error| unusable(format!("the certificate file holds no PEM certificate: {error}")))?;
        let mut pem_key = PrivatePkcs8KeyDer::from_pem_slice(key)
            .map_err(|error| unusable(format!("the key file holds no PEM private key (PKCS #8): {error}")))?;
        let key = Zeroizing::new(pem_key.secret_pkcs8_der().to_vec());
        pem_key.zeroize();
        Self::from_der(certificate.to_vec(), key)
    }

    /// An identity from the DER encodings of a certificate and of its private key (PKCS #8).
    ///
    /// # Errors
    ///
    /// [`NetError::Identity`] if one of them is not what it should be, or if they do not belong together.
    pub fn from_der(certificate: Vec<u8>, key: Zeroizing<Vec<u8>>) -> Result<Self, NetError> {
        let identity = Self { certificate: certificate.into(), key };
        identity.certified_key()?;
        Ok(identity)
    }

    /// The certificate as a PEM file.
    pub fn certificate_pem(&self) -> String {
        pem::encode(&pem::Pem::new("CERTIFICATE", self.certificate.to_vec()))
    }

    /// The private key as a PEM file.
    pub fn key_pem(&self) -> Zeroizing<String> {
        let block = pem::Pem::new("PRIVATE KEY", self.key.to_vec());
        let text = Zeroizing::new(pem::encode(&block));
        block.into_contents().zeroize();
        text
    }

    /// The certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The private key in DER (PKCS #8).
    pub fn key_der(&self) -> &[u8] {
        &self.key
    }

    /// The fingerprint under which the peers of this party pin it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The certificate and key in the form that TLS uses.
    pub(crate) fn certified_key(&self) -> Result<CertifiedKey, NetError> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.to_vec()));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        CertifiedKey::from_der(vec![self.certificate.clone()], key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => unusable(
                "the private key does not belong to the certificate: they are from different pairs".into(),
            ),
            error => unusable(error.to_string()),
        })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// The SHA-256 hash of a certificate; written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Self(hash)
    }

    /// A fingerprint from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = NetError;

    /// Reads 64 hexadecimal digits, of either case.
    fn from_str(text: &str) -> Result<Self, NetError> {
        let wrong = || unusable(format!("`{text}` is no fingerprint: it has to be 64 hexadecimal digits"));
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16).ok_or_else(wrong)?;
                *byte = *byte << 4 | value as u8;
            }
        }
        Ok(Self(bytes))
    }
}

fn unusable(reason: String) -> NetError {
    NetError::Identity { reason }
}
