//! A sharing whose first two components are streams of seeds, as owners deal it and servers store it.

use shamisen_net::{Party, Peers};
use shamisen_ring::bits;
use shamisen_ring::prg::Prg;
use shamisen_ring::words::Words;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::Result;
use crate::session::{Key, Session};
use crate::share::Rep;

/// The seeds that a party has of the components of a sharing, "mine" and "next"; component 2 has none.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seeds {
    /// Of the component with the party's own number.
    pub mine: Option<[u8; 16]>,
    /// Of the component with the number of the next party.
    pub next: Option<[u8; 16]>,
}

impl Seeds {
    /// Fresh seeds of one sharing: a block of a stream that those two parties have who are to hold the component. Local.
    pub fn draw(session: &mut Session) -> Self {
        let party = session.party();
        let [step] = session.steps();
        let mut seed = |key, component: Party| {
            (component != Party::ALL[2]).then(|| {
                let mut words = [0; 2];
                session.stream(key, step).fill(0, &mut words);
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&words[0].to_le_bytes());
                bytes[8..].copy_from_slice(&words[1].to_le_bytes());
                words.zeroize();
                bytes
            })
        };
        Self { mine: seed(Key::Own, party), next: seed(Key::Next, party.next()) }
    }
}

/// Component 2 of a sharing of the same numbers whose components 0 and 1 are the words `first..` of the seeds' streams; parties 1
/// and 2 hold it, and party 0 gets nothing.
///
/// | from, to | message | mask, lacking to the receiver |
/// |---|---|---|
/// | `P1`, `P2` | `x_1` less the new component 1 | the new component 1 |
/// | `P2`, `P1` | `x_0` less the new component 0 | the new component 0 |
///
/// Both add what they sent and got to `x_2`. Each word of a stream masks one message, so that `first` must not go back.
///
/// 1 round, 16 bytes.
///
/// # Errors
///
/// When a peer fails.
pub fn reseed(shared: &Rep, seeds: &Seeds, first: u64, session: &mut Session) -> Result<Option<Words>> {
    let len = shared.len();
    let less = |component: &[u64], seed: &Option<[u8; 16]>| {
        let mut rest = Words::copy(component);
        if let Some(seed) = seed {
            Prg::new(seed).sub_into(STREAM, first, &mut rest);
        }
        rest
    };
    let nothing = Words::default();
    match session.party().index() {
        0 => {
            session.exchange(Peers { next: &nothing, prev: &nothing }, Peers { next: 0, prev: 0 })?;
            Ok(None)
        }
        1 => {
            let mut sum = less(&shared.mine, &seeds.mine);
            let received =
                session.exchange(Peers { next: &sum, prev: &nothing }, Peers { next: len, prev: 0 })?;
            bits::add_assign(&mut sum, &received.next);
            bits::add_assign(&mut sum, &shared.next);
            Ok(Some(sum))
        }
        _ => {
            let mut sum = less(&shared.next, &seeds.next);
            let received =
                session.exchange(Peers { next: &nothing, prev: &sum }, Peers { next: 0, prev: len })?;
            bits::add_assign(&mut sum, &received.prev);
            bits::add_assign(&mut sum, &shared.mine);
            Ok(Some(sum))
        }
    }
}

/// The stream of a seed that a share file is made of: a seed serves one sharing.
pub const STREAM: u64 = 0;
