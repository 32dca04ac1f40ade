//! The records of a connection whose handshake is complete (RFC 8446, sections 5, 4.6.3 and 6).
//!
//! rustls makes the handshake and derives all keys. Its own record layer copies what it encrypts twice and what it
//! decrypts once, and allocates for each record; this one encrypts from the message into the buffer of the socket, and
//! decrypts from there into the receiver's place.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{AlertDescription, ConnectionTrafficSecrets, Error};

use crate::tls::buffer::Buffer;
use crate::tls::target::Target;

/// Most plain text in one record.
pub(super) const RECORD: usize = 1 << 14;

/// Bytes that a record has beside its plain text: the head, the type, the tag.
pub(super) const OVERHEAD: usize = HEAD + 1 + TAG;

const HEAD: usize = 5;
const TAG: usize = 16;

/// Most bytes of a record after its head. Padding does not make it longer than a record without.
const LONGEST: usize = RECORD + 1 + TAG;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// The alert that nothing more will be sent.
const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// The only message of the handshake protocol that may come after the handshake: new keys from the next record on. The
/// byte that is missing says whether the other end shall change its keys, too.
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];

/// The keys of a connection, and what has been done with them.
pub(super) struct Records {
    keys: Keys,
    sending: Half,
    receiving: Half,
    /// Most records under one key.
    limit: u64,
    /// The other end wants new keys from this one.
    update_asked: bool,
    /// The start of a message of the handshake protocol.
    message: Vec<u8>,
}

/// What a record has brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Its content, if there is any, is in place.
    Record,
    /// The other end will send no more.
    Goodbye,
}

/// Where new keys come from.
enum Keys {
    Caller(KernelConnection<ClientConnectionData>),
    Called(KernelConnection<ServerConnectionData>),
}

/// The keys of one direction.
struct Half {
    key: LessSafeKey,
    iv: [u8; 12],
    /// Records so far under this key.
    sequence: u64,
}

impl Records {
    /// The records of the end that called, after its handshake.
    pub(super) fn of_caller(tls: UnbufferedClientConnection) -> Result<Self, Error> {
        let (secrets, keys) = tls.dangerous_into_kernel_connection()?;
        let suite = keys.negotiated_cipher_suite();
        Self::new(secrets.tx, secrets.rx, suite, Keys::Caller(keys))
    }

    /// The records of the end that was called, after its handshake.
    pub(super) fn of_called(tls: UnbufferedServerConnection) -> Result<Self, Error> {
        let (secrets, keys) = tls.dangerous_into_kernel_connection()?;
        let suite = keys.negotiated_cipher_suite();
        Self::new(secrets.tx, secrets.rx, suite, Keys::Called(keys))
    }

    fn new(
        sending: (u64, ConnectionTrafficSecrets),
        receiving: (u64, ConnectionTrafficSecrets),
        suite: rustls::SupportedCipherSuite,
        keys: Keys,
    ) -> Result<Self, Error> {
        let suite = suite.tls13().ok_or(Error::HandshakeNotComplete)?;
        Ok(Self {
            keys,
            sending: Half::new(sending)?,
            receiving: Half::new(receiving)?,
            limit: suite.common.confidentiality_limit,
            update_asked: false,
            message: Vec::new(),
        })
    }

    /// Encrypts `data` at the end of `outgoing`.
    pub(super) fn seal(&mut self, data: &[u8], outgoing: &mut Buffer) -> Result<(), Error> {
        for content in data.chunks(RECORD) {
            // The last record under a key says that there will be another one.
            if self.update_asked || self.sending.sequence.saturating_add(1) >= self.limit {
                self.seal_record(HANDSHAKE, &[KEY_UPDATE.as_slice(), &[0]].concat(), outgoing)?;
                self.sending = Half::new(match &mut self.keys {
                    Keys::Caller(keys) => keys.update_tx_secret()?,
                    Keys::Called(keys) => keys.update_tx_secret()?,
                })?;
                self.update_asked = false;
            }
            self.seal_record(APPLICATION_DATA, content, outgoing)?;
        }
        Ok(())
    }

    /// Says at the end of `outgoing` that nothing more will be sent.
    pub(super) fn seal_goodbye(&mut self, outgoing: &mut Buffer) -> Result<(), Error> {
        self.seal_record(ALERT, &CLOSE_NOTIFY, outgoing)
    }

    fn seal_record(&mut self, kind: u8, content: &[u8], outgoing: &mut Buffer) -> Result<(), Error> {
        let head = head(content.len() + 1 + TAG);
        let length = content.len() + OVERHEAD;
        outgoing.grow(length);
        let (start, room) = outgoing.room()[..length].split_at_mut(HEAD);
        start.copy_from_slice(&head);
        let (ciphertext, end) = room.split_at_mut(content.len());
        let nonce = self.sending.nonce().ok_or(Error::EncryptError)?;
        self.sending
            .key
            .seal_out_of_place_scatter(nonce, Aad::from(head), content, ciphertext, &[kind], end)
            .map_err(|_| Error::EncryptError)?;
        outgoing.add(length);
        Ok(())
    }

    /// Decrypts the first record of `incoming` into `target`, and what does not fit there into `rest`; none if it is not
    /// yet complete.
    pub(super) fn open(
        &mut self,
        incoming: &mut Buffer,
        target: &mut Target<'_>,
        rest: &mut Buffer,
    ) -> Result<Option<Opened>, Error> {
        let Some((head, body)) = incoming.filled_mut().split_first_chunk_mut::<HEAD>() else {
            return Ok(None);
        };
        let head = *head;
        let length = check_head(head)?;
        let Some(sealed) = body.get_mut(..length) else { return Ok(None) };
        let nonce = self.receiving.nonce().ok_or(Error::DecryptError)?;
        let (aad, inner) = (Aad::from(head), length - TAG);
        let opened = if let Some(place) = target.room_for(inner) {
            let (ciphertext, tag) = sealed.split_at(inner);
            self.receiving
                .key
                .open_separate_gather(nonce, aad, ciphertext, tag, place)
                .map_err(|_| Error::DecryptError)?;
            let (kind, content) = content(place)?;
            if kind == APPLICATION_DATA && self.message.is_empty() {
                let length = content.len();
                target.advance(length);
                Opened::Record
            } else {
                self.handle(kind, content)?
            }
        } else {
            let plain =
                self.receiving.key.open_in_place(nonce, aad, sealed).map_err(|_| Error::DecryptError)?;
            let (kind, content) = content(plain)?;
            if kind == APPLICATION_DATA && self.message.is_empty() {
                let count = target.put(content);
                rest.append(&content[count..]);
                Opened::Record
            } else {
                self.handle(kind, content)?
            }
        };
        incoming.consume(HEAD + length);
        Ok(Some(opened))
    }

    /// Takes what is not for the receiver.
    fn handle(&mut self, kind: u8, content: &[u8]) -> Result<Opened, Error> {
        match (kind, content) {
            (ALERT, [_, alert]) if self.message.is_empty() => match AlertDescription::from(*alert) {
                AlertDescription::CloseNotify => Ok(Opened::Goodbye),
                alert => Err(Error::AlertReceived(alert)),
            },
            // A message may come in pieces, but neither with other records between them nor with more in its last one.
            (HANDSHAKE, [_, ..]) => {
                if self.message.len() + content.len() > KEY_UPDATE.len() + 1 {
                    return Err(unexpected());
                }
                self.message.extend_from_slice(content);
                let known = self.message.len().min(KEY_UPDATE.len());
                if self.message[..known] != KEY_UPDATE[..known] {
                    return Err(unexpected());
                }
                match self.message.get(KEY_UPDATE.len()) {
                    None => return Ok(Opened::Record),
                    Some(0) => {}
                    Some(1) => self.update_asked = true,
                    Some(_) => return Err(unexpected()),
                }
                self.message.clear();
                self.receiving = Half::new(match &mut self.keys {
                    Keys::Caller(keys) => keys.update_rx_secret()?,
                    Keys::Called(keys) => keys.update_rx_secret()?,
                })?;
                Ok(Opened::Record)
            }
            _ => Err(unexpected()),
        }
    }
}

impl Half {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Error> {
        let (algorithm, key, iv): (&'static Algorithm, _, _) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::General("a cipher suite that was not offered".into())),
        };
        let wrong = || Error::General("keys of the wrong length".into());
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| wrong())?;
        let iv = iv.as_ref().try_into().map_err(|_| wrong())?;
        Ok(Self { key: LessSafeKey::new(key), iv, sequence })
    }

    /// The nonce of the next record, which is never given again; none if there are no more.
    fn nonce(&mut self) -> Option<Nonce> {
        let sequence = self.sequence;
        self.sequence = sequence.checked_add(1)?;
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        Some(Nonce::assume_unique_for_key(nonce))
    }
}

/// The head of a record with so many bytes after it.
fn head(length: usize) -> [u8; HEAD] {
    let [high, low] = (length as u16).to_be_bytes();
    [APPLICATION_DATA, 3, 3, high, low]
}

/// Length of a record after its head.
fn check_head(head: [u8; HEAD]) -> Result<usize, Error> {
    let [kind, major, minor, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    match [kind, major, minor] {
        [APPLICATION_DATA, 3, 3] if length > LONGEST => Err(Error::PeerSentOversizedRecord),
        [APPLICATION_DATA, 3, 3] if length > TAG => Ok(length),
        _ => Err(unexpected()),
    }
}

/// The type of a decrypted record and its content, without the zeros that may follow them.
fn content(plain: &[u8]) -> Result<(u8, &[u8]), Error> {
    let end = plain.iter().rposition(|byte| *byte != 0).ok_or_else(unexpected)?;
    Ok((plain[end], &plain[..end]))
}

fn unexpected() -> Error {
    Error::General("the peer sent a record that does not belong here".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_never_given_twice() {
        let key = UnboundKey::new(&AES_128_GCM, &[1; 16]).expect("a key");
        let mut half = Half { key: LessSafeKey::new(key), iv: [0xf0; 12], sequence: u64::MAX - 2 };
        let mut nonces: Vec<[u8; 12]> = Vec::new();
        while let Some(nonce) = half.nonce() {
            nonces.push(*nonce.as_ref());
        }
        assert_eq!(nonces.len(), 2);
        assert!(nonces[0] != nonces[1] && nonces.iter().all(|nonce| nonce[..4] == [0xf0; 4]));
        assert_eq!(nonces[1][4..], [0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0e]);
        assert!(half.nonce().is_none(), "not even later");
    }

    #[test]
    fn lengths_are_checked_before_anything_else() {
        for (length, is_right) in [(0, false), (16, false), (17, true), (LONGEST, true), (LONGEST + 1, false)]
        {
            assert_eq!(check_head(head(length)).is_ok(), is_right, "{length}");
        }
        for other in [[22, 3, 3, 0, 40], [23, 3, 1, 0, 40], [23, 2, 3, 0, 40]] {
            assert!(check_head(other).is_err(), "{other:?}");
        }
    }
}
