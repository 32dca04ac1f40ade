//! The header in front of every message.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | length of the payload in bytes, little-endian |
//! | 4..8 | number of the message, little-endian: counted from 0 for each pair of parties and direction, modulo 2^32 |

use crate::{NetError, Party};

/// What precedes the payload of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    length: u32,
    number: u32,
}

impl Header {
    /// Length of an encoded header in bytes.
    pub(crate) const LEN: usize = 8;

    /// The header of message `number` to `peer`, of `length` bytes.
    pub(crate) fn new(peer: Party, length: usize, number: u32) -> Result<Self, NetError> {
        let Ok(length) = u32::try_from(length) else {
            return Err(NetError::TooLong { peer, length });
        };
        Ok(Self { length, number })
    }

    /// Decodes a header; every value is possible, and [`check`](Self::check) says whether it is the expected
    /// one.
    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [l0, l1, l2, l3, n0, n1, n2, n3] = bytes;
        Self { length: u32::from_le_bytes([l0, l1, l2, l3]), number: u32::from_le_bytes([n0, n1, n2, n3]) }
    }

    /// Encodes the header.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let ([l0, l1, l2, l3], [n0, n1, n2, n3]) = (self.length.to_le_bytes(), self.number.to_le_bytes());
        [l0, l1, l2, l3, n0, n1, n2, n3]
    }

    /// Refuses a header from `peer` unless it announces message `number` of `length` bytes.
    pub(crate) fn check(self, peer: Party, length: usize, number: u32) -> Result<(), NetError> {
        if self.number != number {
            return Err(NetError::OutOfStep { peer, expected: number, got: self.number });
        }
        if self.length as usize != length {
            return Err(NetError::UnexpectedLength { peer, expected: length, got: self.length as usize });
        }
        Ok(())
    }
}

/// Decodes and checks a header.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    if let Some((head, rest)) = bytes.split_first_chunk() {
        let header = Header::from_bytes(*head);
        assert_eq!(header.to_bytes(), *head);
        let _ = header.check(Party::ALL[0], rest.len(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_little_endian_length_then_number() {
        let header = Header::new(Party::ALL[1], 0x0102_0304, 0x0506_0708).expect("fits");
        assert_eq!(header.to_bytes(), [4, 3, 2, 1, 8, 7, 6, 5]);
        assert_eq!(Header::from_bytes(header.to_bytes()), header);
    }

    #[test]
    fn too_long_message_is_refused() {
        let error = Header::new(Party::ALL[2], 1 << 32, 0).expect_err("too long");
        assert!(matches!(error, NetError::TooLong { length: 0x1_0000_0000, .. }), "{error}");
    }

    #[test]
    fn wrong_number_is_reported_before_wrong_length() {
        let peer = Party::ALL[0];
        let header = Header { length: 16, number: 3 };
        header.check(peer, 16, 3).expect("as expected");
        assert!(matches!(header.check(peer, 16, 4), Err(NetError::OutOfStep { expected: 4, got: 3, .. })));
        assert!(matches!(header.check(peer, 8, 4), Err(NetError::OutOfStep { .. })));
        assert!(matches!(
            header.check(peer, 8, 3),
            Err(NetError::UnexpectedLength { expected: 8, got: 16, .. })
        ));
    }
}
