//! A session: one party's end of a computation among three, with its keys and its place in the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shamisen_net::{Counters, Network, Party, Peers, Transport, Work};
use shamisen_ring::high::{give_high, high_words};
use shamisen_ring::prg::Prg;
use shamisen_ring::words::{UNWRITTEN, Words};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{MpcError, Result};
use crate::roles::CHUNK;

/// The secret keys of one party: 16 bytes each, never shown, and erased when they are dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    /// Known to this party and the one before it; masks component `i` of party `i`.
    pub own: [u8; 16],
    /// Known to this party and the one after it; masks component `i + 1` of party `i`.
    pub next: [u8; 16],
    /// Known to this party alone.
    pub private: [u8; 16],
}

/// One party's end of a computation: its connection to the two peers, its keys, and the number of the current step.
///
/// Component `j` of a sharing is known to parties `j - 1` and `j`, and so is key `s_j`. Party `i` therefore holds
/// `s_i` (in common with the party before) and `s_{i+1}` (in common with the party
/// after). Each draw of randomness has a step number of its own, which all three count alike because all three run
/// the same protocols in the same order.
pub struct Session {
    network: Network,
    own: Arc<Prg>,
    next: Arc<Prg>,
    private: Arc<Prg>,
    step: u64,
    /// Words drawn since they were last booked under a phase.
    random_words: Arc<AtomicU64>,
    #[cfg(debug_assertions)]
    drawn: std::collections::HashSet<(Key, Step)>,
}

/// Which of a party's three keys a random stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Common to this party and the one before.
    Own,
    /// Common to this party and the one after.
    Next,
    /// This party's alone.
    Private,
}

/// The number of a random stream; each is drawn at most once under each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Step(u64);

impl Session {
    /// Opens a session over connected peers: draws keys from the operating system and agrees on the common ones.
    ///
    /// One round, 16 bytes a party. Party `i` chooses `s_i` and sends it to party `i - 1`.
    ///
    /// # Errors
    ///
    /// [`MpcError::Randomness`] when the operating system gives none; [`MpcError::Network`] when a peer fails.
    pub fn open(transport: Box<dyn Transport>) -> Result<Self> {
        let mut keys = [0_u8; 32];
        getrandom::fill(&mut keys).map_err(MpcError::Randomness)?;
        let (mut own, mut private) = ([0; 16], [0; 16]);
        own.copy_from_slice(&keys[..16]);
        private.copy_from_slice(&keys[16..]);

        let mut network = Network::new(transport);
        let outgoing = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|byte| own[at + byte])));
        let mut incoming = [0_u64; 2];
        network
            .exchange(Peers { next: &[], prev: &outgoing }, Peers { next: &mut incoming, prev: &mut [] })?;
        let mut next = [0; 16];
        next[..8].copy_from_slice(&incoming[0].to_le_bytes());
        next[8..].copy_from_slice(&incoming[1].to_le_bytes());
        Ok(Self::over(network, &SessionKeys { own, next, private }))
    }

    /// Opens a session with given keys. Only tests may know a party's keys: who knows two of them knows all data.
    pub fn danger_with_keys(transport: Box<dyn Transport>, keys: &SessionKeys) -> Self {
        Self::over(Network::new(transport), keys)
    }

    /// Replaces the keys by new ones, which it returns, and begins the step numbers anew. Local.
    ///
    /// Each new key is a block of its predecessor's stream, so that neighbours get the same one, and the old ones are gone: whoever
    /// learns the new keys learns nothing that was masked before.
    pub(crate) fn renew_keys(&mut self) -> SessionKeys {
        let [step] = self.steps();
        let mut block = |key| {
            let mut words = Zeroizing::new([0_u64; 2]);
            self.stream(key, step).fill(0, &mut words[..]);
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&words[0].to_le_bytes());
            bytes[8..].copy_from_slice(&words[1].to_le_bytes());
            bytes
        };
        let keys = SessionKeys { own: block(Key::Own), next: block(Key::Next), private: block(Key::Private) };
        self.set_keys(&keys);
        keys
    }

    /// Replaces the keys by given ones, and begins the step numbers anew.
    pub(crate) fn set_keys(&mut self, keys: &SessionKeys) {
        self.own = Arc::new(Prg::new(&keys.own));
        self.next = Arc::new(Prg::new(&keys.next));
        self.private = Arc::new(Prg::new(&keys.private));
        self.step = 0;
        #[cfg(debug_assertions)]
        self.drawn.clear();
    }

    fn over(network: Network, keys: &SessionKeys) -> Self {
        Self {
            network,
            own: Arc::new(Prg::new(&keys.own)),
            next: Arc::new(Prg::new(&keys.next)),
            private: Arc::new(Prg::new(&keys.private)),
            step: 0,
            random_words: Arc::default(),
            #[cfg(debug_assertions)]
            drawn: std::collections::HashSet::new(),
        }
    }

    /// Books what follows under `phase` and returns the phase before.
    pub fn enter(&mut self, phase: &'static str) -> &'static str {
        self.count_random_words();
        self.network.enter(phase)
    }

    /// Which party this is.
    pub fn party(&self) -> Party {
        self.network.party()
    }

    /// Rounds, bytes and seconds so far.
    pub fn counters(&self) -> &Counters {
        self.network.counters()
    }

    /// The next `N` step numbers, the same at all three parties.
    pub(crate) fn steps<const N: usize>(&mut self) -> [Step; N] {
        std::array::from_fn(|_| {
            self.step += 1;
            Step(self.step)
        })
    }

    /// A random stream. It may be asked for once; whoever needs it again keeps it.
    pub(crate) fn stream(&mut self, key: Key, step: Step) -> Stream {
        #[cfg(debug_assertions)]
        assert!(self.drawn.insert((key, step)), "randomness of {step:?} under {key:?} was drawn twice");
        let prg = match key {
            Key::Own => &self.own,
            Key::Next => &self.next,
            Key::Private => &self.private,
        };
        Stream { prg: Arc::clone(prg), step, words: Arc::clone(&self.random_words) }
    }

    /// `len` random words of a stream.
    pub(crate) fn random(&mut self, key: Key, step: Step, len: usize) -> Words {
        let mut out = Words::scratch(len);
        self.stream(key, step).fill(0, &mut out);
        out
    }

    /// The two streams of a zero sharing, `F(s_i)` and `F(s_{i+1})`: their difference (or XOR), added to this party's
    /// summand, makes it uniformly random.
    pub(crate) fn zero_sharing(&mut self) -> (Stream, Stream) {
        let [step] = self.steps();
        (self.stream(Key::Own, step), self.stream(Key::Next, step))
    }

    /// One round: sends the two messages and returns those of the given lengths, in words, from the two peers.
    pub(crate) fn exchange(&mut self, send: Peers<&[u64]>, expect: Peers<usize>) -> Result<Peers<Words>> {
        debug_assert!(
            is_written(send.next) && is_written(send.prev),
            "a message has words that were never written"
        );
        self.count_random_words();
        let mut received = Peers { next: Words::scratch(expect.next), prev: Words::scratch(expect.prev) };
        self.network.exchange(send, Peers { next: &mut received.next, prev: &mut received.prev })?;
        Ok(received)
    }

    /// Sends the two messages without waiting; they belong to a round of which the other half is [`collect`](Self::collect).
    pub(crate) fn post(&mut self, send: Peers<&[u64]>) -> Result<()> {
        debug_assert!(
            is_written(send.next) && is_written(send.prev),
            "a message has words that were never written"
        );
        self.count_random_words();
        Ok(self.network.post(send)?)
    }

    /// Waits until all posted messages are on their way: once what belongs to them is received.
    pub(crate) fn flush(&mut self) -> Result<()> {
        Ok(self.network.flush()?)
    }

    /// Receives messages that the peers have posted: in a round that begins with them, or in the one before.
    pub(crate) fn collect(&mut self, expect: Peers<usize>, new_round: bool) -> Result<Peers<Words>> {
        self.count_random_words();
        let mut received = Peers { next: Words::scratch(expect.next), prev: Words::scratch(expect.prev) };
        let receive = Peers { next: &mut received.next[..], prev: &mut received.prev[..] };
        if new_round {
            self.network.exchange(Peers { next: &[], prev: &[] }, receive)?;
        } else {
            self.network.collect(receive)?;
        }
        Ok(received)
    }

    /// One round in which every party sends `words` to the party before it.
    pub(crate) fn pass_back(&mut self, words: &[u64]) -> Result<Words> {
        let mut received = Words::scratch(words.len());
        self.pass_back_into(words, &mut received)?;
        Ok(received)
    }

    /// Counts multiply-adds of ring elements in a matrix product.
    pub(crate) fn count_multiply_adds(&mut self, multiply_adds: usize) {
        self.network.count_work(Work { multiply_adds: multiply_adds as u64, ..Work::default() });
    }

    /// Books the words drawn so far under the current phase.
    fn count_random_words(&mut self) {
        let random_words = self.random_words.swap(0, Ordering::Relaxed);
        self.network.count_work(Work { random_words, ..Work::default() });
    }

    /// As [`pass_back`](Self::pass_back), into a place of the same length.
    pub(crate) fn pass_back_into(&mut self, words: &[u64], received: &mut [u64]) -> Result<()> {
        self.count_random_words();
        debug_assert!(is_written(words), "a message has words that were never written");
        self.network.exchange(Peers { next: &[], prev: words }, Peers { next: received, prev: &mut [] })?;
        Ok(())
    }
}

/// Whether a message has no word of scratch memory, which may hold secrets of another vector.
fn is_written(message: &[u64]) -> bool {
    !message.contains(&UNWRITTEN)
}

/// A random stream that this party shares with a peer, or its own.
pub(crate) struct Stream {
    prg: Arc<Prg>,
    step: Step,
    /// Where the words drawn are counted.
    words: Arc<AtomicU64>,
}

impl Stream {
    /// Writes the words `offset..` of the stream.
    pub(crate) fn fill(&self, offset: usize, out: &mut [u64]) {
        self.count(out);
        self.prg.fill(self.step.0, offset as u64, out);
    }

    /// Writes numbers that are random in their lowest `bits`, those from `offset` on, a multiple of a [`CHUNK`]; up to 32 bits they
    /// take half a word of the stream each.
    pub(crate) fn fill_bits(&self, bits: u32, offset: usize, out: &mut [u64]) {
        if bits > u32::BITS {
            return self.fill(offset, out);
        }
        let mut halves = [0; CHUNK / 2];
        for (chunk, out) in out.chunks_mut(CHUNK).enumerate() {
            let halves = &mut halves[..high_words(out.len())];
            self.fill(high_words(offset) + chunk * CHUNK / 2, halves);
            give_high(out, halves, 0);
        }
    }

    /// Adds the words `offset..` of the stream.
    pub(crate) fn add_into(&self, offset: usize, out: &mut [u64]) {
        self.count(out);
        self.prg.add_into(self.step.0, offset as u64, out);
    }

    /// Subtracts the words `offset..` of the stream.
    pub(crate) fn sub_into(&self, offset: usize, out: &mut [u64]) {
        self.count(out);
        self.prg.sub_into(self.step.0, offset as u64, out);
    }

    /// XORs the words `offset..` of the stream.
    pub(crate) fn xor_into(&self, offset: usize, out: &mut [u64]) {
        self.count(out);
        self.prg.xor_into(self.step.0, offset as u64, out);
    }

    fn count(&self, out: &[u64]) {
        self.words.fetch_add(out.len() as u64, Ordering::Relaxed);
    }
}
