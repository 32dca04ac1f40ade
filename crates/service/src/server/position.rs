//! Places in what is sent in parts.

use serde::Deserialize;

/// Where a part begins: a number of bytes or entries, up to the largest that every client has exactly.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Position(pub(crate) u64);

/// The largest position, `2^53 - 1`.
const LAST: u64 = (1 << 53) - 1;

impl TryFrom<u64> for Position {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        if number <= LAST {
            Ok(Self(number))
        } else {
            Err(format!("{number} is no position: at most {LAST}"))
        }
    }
}
