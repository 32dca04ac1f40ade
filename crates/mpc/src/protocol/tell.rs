//! Telling public words to both peers.

use shamisen_net::{Party, Peers};

use crate::error::Result;
use crate::session::Session;

/// Tells both peers some words that need not be secret, as many at all three, and returns what each party told, in their order.
///
/// 1 round, 16 bytes a word and party. Nothing is masked, and no randomness is used.
///
/// # Errors
///
/// When a peer fails.
pub fn tell(words: &[u64], session: &mut Session) -> Result<[Vec<u64>; 3]> {
    let received = session
        .exchange(Peers { next: words, prev: words }, Peers { next: words.len(), prev: words.len() })?;
    let party = session.party();
    Ok(Party::ALL.map(|teller| match teller {
        _ if teller == party => words.to_vec(),
        _ if teller == party.next() => received.next.to_vec(),
        _ => received.prev.to_vec(),
    }))
}
