//! AND of bit planes, and trees of it.

use shamisen_ring::bits;

use crate::error::Result;
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
    let mut mine = vec![0; x.mine.len()];
    bits::and_shares(&mut mine, &x.mine, &x.next, &y.mine, &y.next);
    session.mask_xor(&mut mine);
    let next = session.pass_back(&mine)?;
    Ok(Bits { width: x.width, len: x.len, mine, next })
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
    let words = x.plane_words();
    let plane = |index: usize| index * words..(index + 1) * words;
    let mut mine = vec![0; terms.len() * words];
    for (out, pairs) in mine.chunks_exact_mut(words.max(1)).zip(terms) {
        for &(a, b) in pairs {
            bits::and_shares(out, &x.mine[plane(a)], &x.next[plane(a)], &y.mine[plane(b)], &y.next[plane(b)]);
        }
    }
    session.mask_xor(&mut mine);
    let next = session.pass_back(&mine)?;
    Ok(Bits { width: terms.len(), len: x.len, mine, next })
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
    let mut tree = x;
    while tree.width > groups {
        let size = tree.width / groups;
        let half = size / 2;
        let pick = |first: usize, count: usize| {
            (0..groups).flat_map(move |group| (0..count).map(move |at| group * size + first + at))
        };
        let mut folded = and(&tree.select(pick(0, half)), &tree.select(pick(half, half)), session)?;
        if size % 2 == 1 {
            // The odd plane of each group goes up as it is.
            let odd = tree.select(pick(size - 1, 1));
            let both = {
                folded.push(&odd);
                folded
            };
            let order = (0..groups)
                .flat_map(|group| (0..half).map(move |at| group * half + at).chain([groups * half + group]));
            folded = both.select(order);
        }
        tree = folded;
    }
    Ok(tree)
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
