//! Three parties inside one test process: dealing shares, running a protocol at all three, putting results together.

use std::thread;

pub use rand_chacha::ChaCha12Rng;
pub use rand_chacha::rand_core::Rng;
use rand_chacha::rand_core::SeedableRng;
use shamisen_mpc::{Additive, Bits, Lanes, Rep, Session, SessionKeys};
use shamisen_net::{Counters, Party, Transport, memory};

/// A seeded generator for inputs and shares; print the seed when a test fails.
pub fn rng(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

/// `len` random words.
pub fn random_words(len: usize, rng: &mut ChaCha12Rng) -> Vec<u64> {
    (0..len).map(|_| rng.next_u64()).collect()
}

/// Pairs of factors of all sizes whose products lie in `[-2^62, 2^62)`, the range of a truncation; the extremes first.
pub fn factors(len: usize, rng: &mut ChaCha12Rng) -> (Vec<u64>, Vec<u64>) {
    let (half, most) = (1_i64 << 31, 1_i64 << 61);
    let extremes =
        [(0, 0), (1, 1), (-1, 1), (-half, half), (half - 1, half + 1), (-most, 2), (most, -2), (most - 1, 2)];
    let random = (0..len).map(|_| {
        let bits = rng.next_u64() % 61 + 1;
        let mut factor = |bits: u64| {
            let word = rng.next_u64();
            let size = (word >> 1) as i64 >> (63 - bits);
            if word & 1 == 1 { -size } else { size }
        };
        (factor(bits), factor(62 - bits))
    });
    extremes.into_iter().chain(random).take(len).map(|(x, y)| (x as u64, y as u64)).unzip()
}

/// Splits values into the three parties' shares.
pub fn deal(values: &[u64], rng: &mut ChaCha12Rng) -> [Rep; 3] {
    let first = random_words(values.len(), rng);
    let second = random_words(values.len(), rng);
    let third: Vec<u64> = values
        .iter()
        .zip(&first)
        .zip(&second)
        .map(|((x, a), b)| x.wrapping_sub(*a).wrapping_sub(*b))
        .collect();
    let components = [first, second, third];
    std::array::from_fn(|party| {
        Rep::from_components(components[party].clone(), components[(party + 1) % 3].clone())
    })
}

/// Splits bit planes (`width` planes of `len` bits) into the three parties' shares.
pub fn deal_bits(planes: &[u64], width: usize, len: usize, rng: &mut ChaCha12Rng) -> [Bits; 3] {
    let first = random_words(planes.len(), rng);
    let second = random_words(planes.len(), rng);
    let third: Vec<u64> = planes.iter().zip(&first).zip(&second).map(|((x, a), b)| x ^ a ^ b).collect();
    let components = [first, second, third];
    std::array::from_fn(|party| {
        Bits::from_components(width, len, components[party].clone(), components[(party + 1) % 3].clone())
    })
}

/// Puts three shares together; fails when two parties disagree on a component that both hold.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn combine(shares: &[Rep; 3]) -> Vec<u64> {
    for party in Party::ALL {
        let (own, other) = (&shares[party.index()], &shares[party.next().index()]);
        assert!(own.components().1 == other.components().0, "{party} and its next hold different components");
    }
    let [first, second, third] = [0, 1, 2].map(|party| shares[party].components().0);
    first.iter().zip(second).zip(third).map(|((a, b), c)| a.wrapping_add(*b).wrapping_add(*c)).collect()
}

/// As [`combine`] for bits: the planes one after the other, bits past the end cleared.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn combine_bits(shares: &[Bits; 3]) -> Vec<u64> {
    let rest = shares[0].len() % 64;
    let keep = if rest == 0 { !0 } else { (1_u64 << rest) - 1 };
    let stride = shares[0].len().div_ceil(64);
    let valid = |at: usize| if stride > 0 && at % stride == stride - 1 { keep } else { !0 };
    for party in Party::ALL {
        let (own, other) =
            (shares[party.index()].components().1, shares[party.next().index()].components().0);
        let same = own.iter().zip(other).enumerate().all(|(at, (x, y))| (x ^ y) & valid(at) == 0);
        assert!(same, "{party} and its next hold different components");
    }
    let [first, second, third] = [0, 1, 2].map(|party| shares[party].components().0);
    first.iter().zip(second).zip(third).enumerate().map(|(at, ((a, b), c))| (a ^ b ^ c) & valid(at)).collect()
}

/// The sum of three summands.
pub fn combine_additive(summands: [Additive; 3]) -> Vec<u64> {
    let [mut first, second, third] = summands;
    first.add_assign(&second);
    first.add_assign(&third);
    first.danger_into_words()
}

/// Keys for three sessions, from a seed.
pub fn keys(seed: u64) -> [SessionKeys; 3] {
    let mut rng = rng(seed ^ 0x6b65_7973);
    let mut key = || {
        let mut key = [0; 16];
        rng.fill_bytes(&mut key);
        key
    };
    let common = [key(), key(), key()];
    [0, 1, 2].map(|party| SessionKeys { own: common[party], next: common[(party + 1) % 3], private: key() })
}

/// What a protocol gave at the three parties, and what it cost each.
pub struct Outcome<T> {
    /// The three results.
    pub results: [T; 3],
    /// The three parties' counters.
    pub counters: [Counters; 3],
}

impl<T> Outcome<T> {
    /// Rounds, which are the same for all.
    ///
    /// # Panics
    ///
    /// When lengths or widths do not fit, which is a mistake of the caller.
    pub fn rounds(&self) -> u64 {
        let rounds = self.counters.each_ref().map(|counters| counters.total.rounds);
        assert!(
            rounds[0] == rounds[1] && rounds[1] == rounds[2],
            "parties disagree on the rounds: {rounds:?}"
        );
        rounds[0]
    }

    /// Bytes sent by all three together.
    pub fn bytes(&self) -> u64 {
        self.counters.iter().map(|counters| counters.total.sent()).sum()
    }
}

/// Runs `protocol` at three parties over memory, with keys from a seed.
///
/// # Panics
///
/// When a party panics, with its message.
pub fn run<T: Send>(seed: u64, protocol: impl Fn(&mut Session) -> T + Sync) -> Outcome<T> {
    let transports = memory::mesh().map(|transport| Box::new(transport) as Box<dyn Transport>);
    run_over(transports, keys(seed), protocol)
}

/// As [`run`], with so many lanes at each party.
///
/// # Panics
///
/// When a party panics, with its message, or there is no lane.
pub fn run_lanes<T: Send>(seed: u64, lanes: usize, protocol: impl Fn(&mut Lanes) -> T + Sync) -> Outcome<T> {
    let mut ends = [const { Vec::new() }; 3];
    for _ in 0..lanes {
        for (ends, end) in ends.iter_mut().zip(memory::mesh()) {
            ends.push(Box::new(end) as Box<dyn Transport>);
        }
    }
    run_lanes_over(seed, ends, protocol)
}

/// As [`run_lanes`], over given transports, one for each lane of each party.
///
/// # Panics
///
/// When a party panics, with its message, or there is no lane.
pub fn run_lanes_over<T: Send>(
    seed: u64,
    ends: [Vec<Box<dyn Transport>>; 3],
    protocol: impl Fn(&mut Lanes) -> T + Sync,
) -> Outcome<T> {
    in_threads(ends, |ends| {
        let mut sessions = ends.into_iter().zip(seed..).map(|(end, seed)| {
            let party = end.party().index();
            Session::danger_with_keys(end, &keys(seed)[party])
        });
        let main = sessions.next().expect("a party has at least one lane");
        let mut lanes = Lanes::new(main, sessions.collect());
        let result = protocol(&mut lanes);
        (result, lanes.counters())
    })
}

/// Runs `protocol` at three parties over given transports with given keys.
///
/// # Panics
///
/// When a party panics, with its message.
pub fn run_over<T: Send>(
    transports: [Box<dyn Transport>; 3],
    keys: [SessionKeys; 3],
    protocol: impl Fn(&mut Session) -> T + Sync,
) -> Outcome<T> {
    in_threads(transports.into_iter().zip(keys), |(transport, keys)| {
        let mut session = Session::danger_with_keys(transport, &keys);
        let result = protocol(&mut session);
        (result, session.counters().clone())
    })
}

/// Runs `party` in a thread for each of three ends.
fn in_threads<E: Send, T: Send>(
    ends: impl IntoIterator<Item = E>,
    party: impl Fn(E) -> (T, Counters) + Sync,
) -> Outcome<T> {
    let party = &party;
    let ends: Vec<(T, Counters)> = thread::scope(|scope| {
        let handles: Vec<_> = ends.into_iter().map(|end| scope.spawn(move || party(end))).collect();
        // A party that fails takes the others down; the first failure is the one to show.
        let ends: Vec<_> = handles.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ends.into_iter().map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut results = Vec::with_capacity(3);
    let mut counters = Vec::with_capacity(3);
    for (result, counter) in ends {
        results.push(result);
        counters.push(counter);
    }
    let three = "three parties were started";
    Outcome {
        results: results.try_into().unwrap_or_else(|_| unreachable!("{three}")),
        counters: counters.try_into().unwrap_or_else(|_| unreachable!("{three}")),
    }
}
