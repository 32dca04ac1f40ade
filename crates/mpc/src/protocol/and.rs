//! AND of bit planes, and trees of it.

use crate::error::Result;
use crate::protocol::circuit::Circuit;
use crate::session::Session;
use crate::share::Bits;

/// The AND of two vectors of bits, plane by plane.
///
/// As the product in the ring, over `Z_2`. 1 round, 3 bits a bit. What party `i` receives is masked by `F(s_{i+2})`.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn and(x: &Bits, y: &Bits, session: &mut Session) -> Result<Bits> {
    assert_eq!((x.width, x.len), (y.width, y.len), "operands of AND have one shape");
    let terms: Vec<_> = (0..x.width).map(|plane| vec![(plane, plane)]).collect();
    inner_products(x, y, &terms, session)
}

/// For each output, the XOR over its terms of `x AND y`: an inner product of bits.
///
/// `terms[k]` lists the pairs of planes of `x` and `y` whose ANDs add up to plane `k` of the result.
/// 1 round, 3 bits per output however many terms.
///
/// # Errors
///
/// When a peer fails.
pub fn inner_products(
    x: &Bits,
    y: &Bits,
    terms: &[Vec<(usize, usize)>],
    session: &mut Session,
) -> Result<Bits> {
    let mut inputs = x.clone();
    inputs.push(y);
    let mut circuit = Circuit::new(inputs, terms.len());
    let outputs: Vec<Vec<_>> =
        terms.iter().map(|pairs| pairs.iter().map(|&(a, b)| (a, x.width + b)).collect()).collect();
    let results: Vec<_> = circuit.inner_products(&outputs, session)?.collect();
    Ok(circuit.outputs(&results))
}

/// The AND of groups of planes: the input has `groups` groups of `width / groups` planes each, the result one plane
/// per group.
///
/// ceil(log2(planes)) rounds, 3 (planes - 1) bits a group.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn and_planes(x: Bits, groups: usize, session: &mut Session) -> Result<Bits> {
    assert_eq!(x.width % groups, 0, "groups of one size");
    let size = x.width / groups;
    let members = (0..groups).map(|group| (group * size..(group + 1) * size).collect()).collect();
    let mut circuit = Circuit::new(x, groups * size);
    let results = circuit.all_of(members, session)?;
    Ok(circuit.outputs(&results))
}

/// The AND of all bits of one plane; the result has one element.
///
/// ceil(log2(words)) + 6 rounds, 3 bits an element and 120 bytes more. Bits past the end count as ones, and so does a
/// plane of none.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn all(x: &Bits, session: &mut Session) -> Result<Bits> {
    assert_eq!(x.width, 1, "one plane");
    if x.is_empty() {
        return Ok(Bits::zeros(1, 1).inverted(session.party()));
    }
    let mut tree = x.clone();
    tree.set_past_end(session.party());
    let mut words = Bits { width: tree.mine.len(), len: 64, mine: tree.mine, next: tree.next };
    words = and_planes(words, 1, session)?;
    for shift in [32, 16, 8, 4, 2, 1] {
        let shifted = |component: &[u64]| component.iter().map(|word| word >> shift).collect();
        let moved = Bits { width: 1, len: 64, mine: shifted(&words.mine), next: shifted(&words.next) };
        words = and(&words, &moved, session)?;
    }
    words.len = 1;
    words.mine[0] &= 1;
    words.next[0] &= 1;
    Ok(words)
}
