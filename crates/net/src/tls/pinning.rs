//! TLS settings: which certificates are accepted, and with which algorithms.

use core::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, ServerConfig, SignatureScheme,
};

use crate::NetError;
use crate::tls::{Fingerprint, Identity};

/// The algorithms, the preferred ones first.
///
/// AES-128-GCM is the fastest of the suites: a tenth faster than AES-256-GCM and three times as fast as
/// ChaCha20-Poly1305 (2026-11-23, AMD EPYC). A key exchange that only withstands the computers of today would
/// let whoever records the traffic of all parties put the shares together later.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..default_provider()
    }
}

/// Settings for calling the party with this certificate.
pub(super) fn client_config(
    identity: &Identity,
    pinned: Fingerprint,
    provider: CryptoProvider,
) -> Result<ClientConfig, NetError> {
    let mut config = pinning_client(Some(identity), pinned, provider)?;
    // For the keys of the records, which rustls leaves to this crate.
    config.enable_secret_extraction = true;
    Ok(config)
}

/// The TLS 1.3 settings of a client of an HTTPS server that is known by its fingerprint.
///
/// The client shows its own certificate, if it has one. Names, dates and authorities are not looked at.
///
/// # Errors
///
/// [`NetError::Identity`] if the identity cannot be used.
pub fn https_client(identity: Option<&Identity>, pinned: Fingerprint) -> Result<ClientConfig, NetError> {
    pinning_client(identity, pinned, provider())
}

/// The TLS 1.3 settings of an HTTPS server that asks for a certificate and takes any, or none.
///
/// The handshake proves that whoever shows a certificate has its private key, and nothing else: the server has to look
/// at the fingerprint, and to answer accordingly.
///
/// # Errors
///
/// [`NetError::Identity`] if the identity cannot be used.
pub fn https_server(identity: &Identity) -> Result<ServerConfig, NetError> {
    let provider = provider();
    let verifier =
        Pins { accepted: Accepted::Anybody, algorithms: provider.signature_verification_algorithms };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| NetError::identity(&error))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key()?)));
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Settings for calling whoever has this certificate.
fn pinning_client(
    identity: Option<&Identity>,
    pinned: Fingerprint,
    provider: CryptoProvider,
) -> Result<ClientConfig, NetError> {
    let verifier = Pins::new(vec![pinned], &provider);
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| NetError::identity(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key()?)))
        }
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Settings for being called by a party with one of these certificates.
pub(super) fn server_config(
    identity: &Identity,
    pinned: Vec<Fingerprint>,
    provider: CryptoProvider,
) -> Result<ServerConfig, NetError> {
    let verifier = Pins::new(pinned, &provider);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| NetError::identity(&error))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key()?)));
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = true;
    Ok(config)
}

/// A client with these settings; the certificate alone says who the other end is, so that the name does not
/// matter.
pub(super) fn client(config: Arc<ClientConfig>) -> Result<UnbufferedClientConnection, Error> {
    let name = ServerName::try_from("party.invalid").map_err(|error| Error::General(error.to_string()))?;
    UnbufferedClientConnection::new(config, name)
}

/// Whose certificates are accepted.
#[derive(Debug)]
enum Accepted {
    /// Exactly those with these fingerprints.
    Pinned(Vec<Fingerprint>),
    /// Everybody's, and calls without one.
    Anybody,
}

/// Accepts certificates by their fingerprints alone.
#[derive(Debug)]
struct Pins {
    accepted: Accepted,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pins {
    fn new(accepted: Vec<Fingerprint>, provider: &CryptoProvider) -> Self {
        Self { accepted: Accepted::Pinned(accepted), algorithms: provider.signature_verification_algorithms }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let shown = Fingerprint::of(certificate);
        match &self.accepted {
            Accepted::Pinned(pins) if !pins.contains(&shown) => {
                Err(CertificateError::Other(OtherError(Arc::new(NotPinned { shown }))).into())
            }
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Pins {
    fn client_auth_mandatory(&self) -> bool {
        matches!(self.accepted, Accepted::Pinned(_))
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The other end showed a certificate that is not pinned.
#[derive(Debug)]
struct NotPinned {
    shown: Fingerprint,
}

impl fmt::Display for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key with fingerprint {} is not pinned", self.shown)
    }
}

impl std::error::Error for NotPinned {}

/// The fingerprint that was refused, if that is why a handshake failed.
pub fn refused_fingerprint(error: &Error) -> Option<Fingerprint> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) => {
            reason.downcast_ref::<NotPinned>().map(|not_pinned| not_pinned.shown)
        }
        _ => None,
    }
}
