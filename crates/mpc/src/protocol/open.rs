//! Opening: the only way for a value to leave its sharing.

use shamisen_net::{Party, Peers};
use shamisen_ring::bits;

use crate::error::Result;
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Opens values to all three parties.
///
/// Party `i` lacks component `i + 2`, which is the previous party's own: everyone sends its own component to the next
/// party. 1 round, 24 bytes.
///
/// # Errors
///
/// When a peer fails.
pub fn open(shared: &Rep, session: &mut Session) -> Result<Vec<u64>> {
    let send = Peers { next: &*shared.mine, prev: &[] };
    let mut values = session.exchange(send, Peers { next: 0, prev: shared.len() })?.prev;
    bits::add_assign(&mut values, &shared.mine);
    bits::add_assign(&mut values, &shared.next);
    Ok(values.into_vec())
}

/// Opens values to one party; the two others get `None` and learn nothing.
///
/// The party before the receiver sends the component that the receiver lacks. 1 round, 8 bytes.
///
/// # Errors
///
/// When a peer fails.
pub fn open_to(receiver: Party, shared: &Rep, session: &mut Session) -> Result<Option<Vec<u64>>> {
    let party = session.party();
    let sends = party.next() == receiver;
    let send = Peers { next: if sends { &*shared.mine } else { &[] }, prev: &[] };
    let expect = Peers { next: 0, prev: if party == receiver { shared.len() } else { 0 } };
    let received = session.exchange(send, expect)?;
    if party != receiver {
        return Ok(None);
    }
    let mut values = received.prev;
    bits::add_assign(&mut values, &shared.mine);
    bits::add_assign(&mut values, &shared.next);
    Ok(Some(values.into_vec()))
}

/// Opens bit planes to all three parties.
///
/// As [`open`], with XOR for addition. 1 round, 3 bits a bit.
///
/// # Errors
///
/// When a peer fails.
pub fn open_bits(shared: &Bits, session: &mut Session) -> Result<Vec<u64>> {
    let send = Peers { next: &*shared.mine, prev: &[] };
    let mut planes = session.exchange(send, Peers { next: 0, prev: shared.mine.len() })?.prev;
    bits::xor_assign(&mut planes, &shared.mine);
    bits::xor_assign(&mut planes, &shared.next);
    Ok(planes.into_vec())
}
