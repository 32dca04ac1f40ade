//! Inputs, and the comparison of measured with expected costs.

use shamisen_mpc::{Bits, Rep, Result, Session};
use shamisen_testkit::{ChaCha12Rng, Outcome, Rng, deal, deal_bits, random_words, rng, run};

use crate::cost::Cost;

pub(crate) const SEED: u64 = 20_260_101;

/// Vectors of nothing, of one element, of whole words and not, and a large one.
pub(crate) const LENGTHS: [usize; 9] = [0, 1, 2, 63, 64, 65, 192, 1000, 6500];

/// A length of several pieces, in protocols that take long vectors piece by piece.
pub(crate) const LONG: usize = 50_001;

/// Runs a protocol on one vector.
pub(crate) fn on_ring<T: Send>(
    values: &[u64],
    protocol: impl Fn(&Rep, &mut Session) -> Result<T> + Sync,
) -> Outcome<T> {
    let shares = deal(values, &mut rng(SEED ^ 1));
    run(SEED, |session| protocol(&shares[session.party().index()], session).expect("memory does not fail"))
}

/// Runs a protocol on planes of `len` bits.
pub(crate) fn on_bits<T: Send>(
    planes: &[u64],
    width: usize,
    len: usize,
    protocol: impl Fn(&Bits, &mut Session) -> Result<T> + Sync,
) -> Outcome<T> {
    let shares = deal_bits(planes, width, len, &mut rng(SEED ^ 2));
    run(SEED, |session| protocol(&shares[session.party().index()], session).expect("memory does not fail"))
}

/// Random planes; the bits past the end are random too.
pub(crate) fn random_planes(width: usize, len: usize, rng: &mut ChaCha12Rng) -> Vec<u64> {
    random_words(width * len.div_ceil(64), rng)
}

/// Bit `at` of plane `plane`.
pub(crate) fn bit(planes: &[u64], len: usize, plane: usize, at: usize) -> u64 {
    planes[plane * len.div_ceil(64) + at / 64] >> (at % 64) & 1
}

/// Asserts that a protocol on vectors of `len` elements cost what it should, and every party about the same.
///
/// Up to 128 elements lie in one part or two, in which some roles have nothing to do in some rounds.
pub(crate) fn assert_cost<T>(what: &str, len: usize, out: &Outcome<T>, expected: Cost) {
    assert_eq!(out.bytes(), expected.bytes, "bytes of {what} with {len} elements");
    if len > 128 {
        assert_eq!(out.rounds(), expected.rounds, "rounds of {what} with {len} elements");
    } else {
        let most = out.counters.iter().map(|counters| counters.total.rounds).max();
        assert!(most <= Some(expected.rounds), "rounds of {what} with {len} elements: {most:?}");
    }
    if len >= 6400 {
        let sent = out.counters.each_ref().map(|counters| counters.total.sent());
        let (least, most) = (sent.iter().min(), sent.iter().max());
        let balanced = least.zip(most).is_some_and(|(least, most)| most - least <= least / 30);
        assert!(balanced, "bytes sent by each party in {what}: {sent:?}");
    }
}

/// `len` numbers of `[-2^bits, 2^bits)` of all magnitudes, the extremes first.
pub(crate) fn bounded(len: usize, bits: u32, rng: &mut ChaCha12Rng) -> Vec<u64> {
    let bound = 1_i64.checked_shl(bits).filter(|&bound| bound > 0).unwrap_or(i64::MIN);
    let extremes = [0, bound.wrapping_neg(), bound.wrapping_sub(1), 1, -1, bound / 2, 1 - bound / 2];
    let random = (0..len).map(|_| {
        let shift = 63 - bits + (rng.next_u64() % u64::from(bits + 1)) as u32 * (rng.next_u64() % 2) as u32;
        rng.next_u64() as i64 >> shift
    });
    extremes.into_iter().chain(random).take(len).map(|x| x as u64).collect()
}

/// Real numbers as fixed-point ones.
pub(crate) fn fixed(reals: &[f64], frac: u32) -> Vec<u64> {
    reals.iter().map(|x| (x * 2.0_f64.powi(frac as i32)).round() as i64 as u64).collect()
}

/// The real number that a fixed-point one stands for.
pub(crate) fn real(value: u64, frac: u32) -> f64 {
    value as i64 as f64 / 2.0_f64.powi(frac as i32)
}

/// Uniform in `low..high`.
pub(crate) fn uniform(low: f64, high: f64, rng: &mut ChaCha12Rng) -> f64 {
    low + (high - low) * ((rng.next_u64() >> 11) as f64 / 2.0_f64.powi(53))
}
