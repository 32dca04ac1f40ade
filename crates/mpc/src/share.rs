//! Shared values as a party holds them. Nothing here shows its content: `open` in [`crate::protocol::open`] is the
//! only way out.

use std::fmt;
use std::ops::Range;

use shamisen_net::Party;
use shamisen_ring::words::Words;
use shamisen_ring::{bits, planes};

/// A vector of `Z_2^64` under replicated sharing: party `i` holds components `i` (mine) and `i + 1` (next).
#[derive(Clone, Default)]
pub struct Rep {
    pub(crate) mine: Words,
    pub(crate) next: Words,
}

/// Some elements of a [`Rep`], to be changed.
pub struct RepMut<'a> {
    mine: &'a mut [u64],
    next: &'a mut [u64],
}

/// A vector of `Z_2^64` as the sum of one summand per party: the local result of a product.
///
/// It is not masked yet. Linear work goes on in it; one [`reshare`](crate::protocol::multiply::reshare) or
/// [`truncate`](crate::protocol::truncate::truncate) turns it into a [`Rep`].
#[derive(Clone)]
#[must_use = "an additive sharing becomes usable by `reshare` or `truncate`"]
pub struct Additive(pub(crate) Words);

/// A vector of `width`-bit numbers under replicated XOR sharing, as bit planes.
///
/// Plane `p` holds bit `p` of every element, 64 elements a word. Bits of the last word past the end are arbitrary.
#[derive(Clone)]
pub struct Bits {
    pub(crate) width: usize,
    pub(crate) len: usize,
    pub(crate) mine: Words,
    pub(crate) next: Words,
}

impl Rep {
    /// A share as stored: the two components that a party holds.
    ///
    /// # Panics
    ///
    /// When the components differ in length.
    pub fn from_components(mine: impl Into<Words>, next: impl Into<Words>) -> Self {
        let (mine, next) = (mine.into(), next.into());
        assert_eq!(mine.len(), next.len(), "the two components of a share have one length");
        Self { mine, next }
    }

    /// The two components, for storing them.
    pub fn components(&self) -> (&[u64], &[u64]) {
        (&self.mine, &self.next)
    }

    /// A sharing of zeros.
    pub fn zeros(len: usize) -> Self {
        Self { mine: Words::zeros(len), next: Words::zeros(len) }
    }

    /// A sharing that is yet to be written.
    pub(crate) fn scratch(len: usize) -> Self {
        Self { mine: Words::scratch(len), next: Words::scratch(len) }
    }

    /// A sharing of values that everyone knows: component 0 is the value.
    pub fn from_public(values: &[u64], party: Party) -> Self {
        let mut share = Self::zeros(values.len());
        share.add_public(values, party);
        share
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.mine.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.mine.is_empty()
    }

    /// Adds values that everyone knows.
    pub fn add_public(&mut self, values: &[u64], party: Party) {
        match party.index() {
            0 => bits::add_assign(&mut self.mine, values),
            2 => bits::add_assign(&mut self.next, values),
            _ => {}
        }
    }

    /// Adds one public number to every element.
    pub fn add_constant(&mut self, value: u64, party: Party) {
        let component = match party.index() {
            0 => &mut self.mine,
            2 => &mut self.next,
            _ => return,
        };
        for word in component.iter_mut() {
            *word = word.wrapping_add(value);
        }
    }

    /// Adds another sharing of the same length.
    pub fn add_assign(&mut self, other: &Self) {
        bits::add_assign(&mut self.mine, &other.mine);
        bits::add_assign(&mut self.next, &other.next);
    }

    /// Subtracts another sharing of the same length.
    pub fn sub_assign(&mut self, other: &Self) {
        bits::sub_assign(&mut self.mine, &other.mine);
        bits::sub_assign(&mut self.next, &other.next);
    }

    /// Multiplies every element by a public number.
    pub fn scale(&mut self, factor: u64) {
        bits::scale_assign(&mut self.mine, factor);
        bits::scale_assign(&mut self.next, factor);
    }

    /// Adds a number of times another sharing of the same length.
    pub fn add_scaled(&mut self, other: &Self, factor: u64) {
        bits::add_scaled(&mut self.mine, &other.mine, factor);
        bits::add_scaled(&mut self.next, &other.next, factor);
    }

    /// Adds a number of times some elements of another sharing of the same length.
    pub fn add_scaled_in(&mut self, elements: Range<usize>, other: &Self, factor: u64) {
        bits::add_scaled(&mut self.mine[elements.clone()], &other.mine[elements.clone()], factor);
        bits::add_scaled(&mut self.next[elements.clone()], &other.next[elements], factor);
    }

    /// All elements, cut in runs of the given lengths, to be changed.
    ///
    /// # Panics
    ///
    /// When there are fewer elements, which is a mistake of the caller.
    pub fn runs_mut(&mut self, lengths: impl IntoIterator<Item = usize>) -> Vec<RepMut<'_>> {
        let (mut mine, mut next) = (&mut self.mine[..], &mut self.next[..]);
        let run = |len: usize| {
            let (first, second) = (mine.split_off_mut(..len), next.split_off_mut(..len));
            let (Some(mine), Some(next)) = (first, second) else { panic!("a run of {len} elements") };
            RepMut { mine, next }
        };
        lengths.into_iter().map(run).collect()
    }

    /// The negative.
    #[must_use]
    pub fn negated(mut self) -> Self {
        self.scale(u64::MAX);
        self
    }

    /// A copy of some elements.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self { mine: Words::copy(&self.mine[range.clone()]), next: Words::copy(&self.next[range]) }
    }

    /// Appends the elements of another sharing.
    pub fn extend(&mut self, other: &Self) {
        self.mine.extend_from_slice(&other.mine);
        self.next.extend_from_slice(&other.next);
    }

    /// The elements at the given places, in that order.
    #[must_use]
    pub fn gather(&self, places: impl Iterator<Item = usize> + Clone) -> Self {
        let mut out = Self::scratch(places.clone().count());
        for (at, (mine, next)) in places.zip(out.mine.iter_mut().zip(out.next.iter_mut())) {
            (*mine, *next) = (self.mine[at], self.next[at]);
        }
        out
    }

    /// Sums runs of `group` consecutive elements.
    #[must_use]
    pub fn sum_groups(&self, group: usize) -> Self {
        let sums = |component: &[u64]| {
            component
                .chunks_exact(group)
                .map(|run| run.iter().fold(0_u64, |sum, &x| sum.wrapping_add(x)))
                .collect()
        };
        Self { mine: sums(&self.mine), next: sums(&self.next) }
    }

    /// This party's summand of the value.
    pub fn to_additive(&self) -> Additive {
        Additive(self.mine.clone())
    }
}

impl RepMut<'_> {
    /// Subtracts some elements of another sharing of the same length.
    pub fn sub_in(&mut self, elements: Range<usize>, other: &Rep) {
        bits::sub_assign(&mut self.mine[elements.clone()], &other.mine[elements.clone()]);
        bits::sub_assign(&mut self.next[elements.clone()], &other.next[elements]);
    }
}

impl fmt::Debug for Rep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rep({} elements)", self.len())
    }
}

impl Additive {
    /// A sharing of zeros.
    pub fn zeros(len: usize) -> Self {
        Self(Words::zeros(len))
    }

    /// This party's summands, unmasked: sent to a peer they would leak.
    pub fn danger_into_words(self) -> Vec<u64> {
        self.0.into_vec()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A copy of some elements.
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self(Words::copy(&self.0[range]))
    }

    /// Adds another sharing of the same length.
    pub fn add_assign(&mut self, other: &Self) {
        bits::add_assign(&mut self.0, &other.0);
    }

    /// A sharing that is yet to be written, element by element.
    pub fn unwritten(len: usize) -> Self {
        Self(Words::scratch(len))
    }

    /// Writes another sharing to the elements from `first` on.
    ///
    /// # Panics
    ///
    /// When lengths or widths do not fit, which is a mistake of the caller.
    pub fn set_at(&mut self, first: usize, other: &Self) {
        self.0[first..first + other.len()].copy_from_slice(&other.0);
    }

    /// Adds a number of times a replicated sharing to the elements from `first` on.
    pub fn add_scaled(&mut self, first: usize, other: &Rep, factor: u64) {
        bits::add_scaled(&mut self.0[first..first + other.len()], &other.mine, factor);
    }

    /// The column sums of a row-major sharing.
    pub fn sum_columns(other: &Rep, cols: usize) -> Self {
        let mut sums = Words::zeros(cols);
        for row in other.mine.chunks_exact(cols) {
            bits::add_assign(&mut sums, row);
        }
        Self(sums)
    }

    /// The sum of all elements, as one element.
    pub fn sum(&self) -> Self {
        self.sum_groups(self.len())
    }

    /// Adds a row to every row of a row-major sharing.
    pub fn add_row(&mut self, row: &Rep, factor: u64) {
        for target in self.0.chunks_exact_mut(row.len()) {
            bits::add_scaled(target, &row.mine, factor);
        }
    }

    /// Adds a replicated sharing of the same length.
    pub fn add_rep(&mut self, other: &Rep) {
        bits::add_assign(&mut self.0, &other.mine);
    }

    /// Multiplies every element by a public number.
    pub fn scale(&mut self, factor: u64) {
        bits::scale_assign(&mut self.0, factor);
    }

    /// Appends the elements of another sharing.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Sums runs of `group` consecutive elements.
    pub fn sum_groups(&self, group: usize) -> Self {
        Self(
            self.0
                .chunks_exact(group)
                .map(|run| run.iter().fold(0, |sum: u64, &x| sum.wrapping_add(x)))
                .collect(),
        )
    }
}

impl fmt::Debug for Additive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Additive({} elements)", self.len())
    }
}

impl Bits {
    /// A share as stored: the planes of the two components that a party holds.
    ///
    /// # Panics
    ///
    /// When a component has not `width` planes of `len` bits.
    pub fn from_components(width: usize, len: usize, mine: impl Into<Words>, next: impl Into<Words>) -> Self {
        let (mine, next) = (mine.into(), next.into());
        let words = width * planes::plane_words(len);
        assert!(mine.len() == words && next.len() == words, "a component has {width} planes of {len} bits");
        Self { width, len, mine, next }
    }

    /// The planes of the two components.
    pub fn components(&self) -> (&[u64], &[u64]) {
        (&self.mine, &self.next)
    }

    /// A sharing of zeros.
    pub fn zeros(width: usize, len: usize) -> Self {
        let words = width * planes::plane_words(len);
        Self { width, len, mine: Words::zeros(words), next: Words::zeros(words) }
    }

    /// A sharing that is yet to be written, with room for `more` planes on top.
    pub(crate) fn scratch_with_room(width: usize, more: usize, len: usize) -> Self {
        let words = planes::plane_words(len);
        let component = || Words::scratch_with_room(width * words, more * words);
        Self { width, len, mine: component(), next: component() }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bits of an element.
    pub fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn plane_words(&self) -> usize {
        planes::plane_words(self.len)
    }

    /// A copy of some planes, the lowest first.
    #[must_use]
    pub fn planes(&self, range: Range<usize>) -> Self {
        let words = range.start * self.plane_words()..range.end * self.plane_words();
        Self {
            width: range.len(),
            len: self.len,
            mine: Words::copy(&self.mine[words.clone()]),
            next: Words::copy(&self.next[words]),
        }
    }

    /// A copy of one plane.
    #[must_use]
    pub fn plane(&self, index: usize) -> Self {
        self.planes(index..index + 1)
    }

    /// The given planes of this sharing, in that order.
    #[must_use]
    pub fn select(&self, indices: impl Iterator<Item = usize>) -> Self {
        let mut out = Self::zeros(0, self.len);
        for index in indices {
            let words = index * self.plane_words()..(index + 1) * self.plane_words();
            out.mine.extend_from_slice(&self.mine[words.clone()]);
            out.next.extend_from_slice(&self.next[words]);
            out.width += 1;
        }
        out
    }

    /// Appends planes above the present ones.
    ///
    /// # Panics
    ///
    /// When lengths or widths do not fit, which is a mistake of the caller.
    pub fn push(&mut self, other: &Self) {
        assert_eq!(self.len, other.len, "bit planes of one vector have one length");
        self.mine.extend_from_slice(&other.mine);
        self.next.extend_from_slice(&other.next);
        self.width += other.width;
    }

    /// Adds (XOR) another sharing of the same shape.
    pub fn xor_assign(&mut self, other: &Self) {
        bits::xor_assign(&mut self.mine, &other.mine);
        bits::xor_assign(&mut self.next, &other.next);
    }

    /// Adds (XOR) `other` to the planes from `first` on.
    pub(crate) fn xor_planes(&mut self, first: usize, other: &Self) {
        let words = first * self.plane_words()..(first + other.width) * self.plane_words();
        bits::xor_assign(&mut self.mine[words.clone()], &other.mine);
        bits::xor_assign(&mut self.next[words], &other.next);
    }

    /// Makes the bits past the end public ones: component 0 takes them.
    pub(crate) fn set_past_end(&mut self, party: Party) {
        let rest = self.len % 64;
        if rest == 0 {
            return;
        }
        let past = !0_u64 << rest;
        let (mine, next) = match party.index() {
            0 => (past, 0),
            2 => (0, past),
            _ => (0, 0),
        };
        let words = self.plane_words();
        for (component, ones) in [(&mut self.mine, mine), (&mut self.next, next)] {
            for plane in component.chunks_exact_mut(words) {
                plane[words - 1] = plane[words - 1] & !past | ones;
            }
        }
    }

    /// Inverts every bit: component 0 takes the constant.
    pub fn invert(&mut self, party: Party) {
        let component = match party.index() {
            0 => &mut self.mine,
            2 => &mut self.next,
            _ => return,
        };
        bits::invert(component);
    }

    /// The inverted bits.
    #[must_use]
    pub fn inverted(mut self, party: Party) -> Self {
        self.invert(party);
        self
    }

    /// The same planes repeated `times`: plane `p` of the result is plane `p % width`.
    #[must_use]
    pub fn repeated(&self, times: usize) -> Self {
        Self {
            width: self.width * times,
            len: self.len,
            mine: self.mine.repeat(times).into(),
            next: self.next.repeat(times).into(),
        }
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bits({} elements of {} bits)", self.len, self.width)
    }
}
