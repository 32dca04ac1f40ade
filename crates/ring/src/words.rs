//! Vectors of words whose memory is used again.
//!
//! A protocol makes and drops vectors of a few sizes over and over. Fresh memory from the operating system costs a page
//! fault for every 4 kB, which is dearer than most of what is computed in it. A [`Words`] leaves its memory to the next one:
//! of the same thread, in whose cache it is, or of any thread when this one has enough, or ends.

use core::cell::RefCell;
use core::fmt;
use core::mem;
use core::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Vectors below this number of words go to the allocator, which is fast for them.
const LEAST: usize = 256;

/// What scratch memory holds in debug builds; who finds it in a message has found words that were never written.
pub const UNWRITTEN: u64 = 0x5cfa_1de1_0b5e_55ed;

/// Classes of sizes: powers of two and the middles between them.
const CLASSES: usize = 2 * usize::BITS as usize;

/// Free vectors of a class that a thread keeps to itself.
const KEPT: usize = 16;

/// Classes in which a vector is sought: its own, and those of up to twice its size. Otherwise a process whose sizes vary a
/// little would hold a set of vectors for each.
const SOUGHT: usize = 3;

/// Vectors that are free, by class; each is as long as its class says.
struct Free([Vec<Vec<u64>>; CLASSES]);

impl Free {
    const fn new() -> Self {
        Self([const { Vec::new() }; CLASSES])
    }

    /// A vector of this class or one a little larger.
    fn take(&mut self, class: usize) -> Option<Vec<u64>> {
        self.0[class..].iter_mut().take(SOUGHT).find_map(Vec::pop)
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        let mut common = common();
        for (common, own) in common.0.iter_mut().zip(&mut self.0) {
            common.append(own);
        }
    }
}

thread_local! {
    /// What this thread keeps.
    static OWN: RefCell<Free> = const { RefCell::new(Free::new()) };
}

/// What any thread may take. Vectors wander from thread to thread: without it, one would gather what another lacks.
static COMMON: Mutex<Free> = Mutex::new(Free::new());

fn common() -> MutexGuard<'static, Free> {
    // The lists are whole after every statement, so that a panic elsewhere does not matter.
    COMMON.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A vector of words. When it is dropped, its memory goes to the next vector of about the same size.
///
/// It never gives back memory to the operating system: a process holds as much as its threads once used at the same time.
#[derive(Default)]
pub struct Words {
    /// Its length is at least `len`; what lies behind is old.
    memory: Vec<u64>,
    len: usize,
    /// Whether the memory was made here: what came from elsewhere goes back to the allocator, or it would pile up.
    recycled: bool,
}

/// The class of vectors with room for `len` words, and their length.
fn class(len: usize) -> (usize, usize) {
    let power = len.next_power_of_two().max(LEAST);
    let middle = power / 4 * 3;
    let index = 2 * power.trailing_zeros() as usize;
    if len <= middle && power > LEAST { (index - 1, middle) } else { (index, power) }
}

impl Words {
    /// `len` words of arbitrary content: what another vector left there.
    pub fn scratch(len: usize) -> Self {
        let memory = if len < LEAST {
            vec![0; len]
        } else {
            let (class, size) = class(len);
            let own = OWN.try_with(|free| free.borrow_mut().take(class)).ok().flatten();
            own.or_else(|| common().take(class)).unwrap_or_else(|| vec![0; size])
        };
        let mut words = Self { memory, len, recycled: len >= LEAST };
        if cfg!(debug_assertions) {
            words.fill(UNWRITTEN);
        }
        words
    }

    /// As [`scratch`](Self::scratch), with room for `more` words to be appended without a copy.
    pub fn scratch_with_room(len: usize, more: usize) -> Self {
        let mut words = Self::scratch(len + more);
        words.len = len;
        words
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut words = Self::scratch(len);
        words.fill(0);
        words
    }

    /// A copy.
    pub fn copy(from: &[u64]) -> Self {
        let mut words = Self::scratch(from.len());
        words.copy_from_slice(from);
        words
    }

    /// Cuts to `len` words, or appends zeros up to there.
    pub fn resize(&mut self, len: usize) {
        let old = self.len;
        self.grow(len);
        if len > old {
            self[old..].fill(0);
        }
    }

    /// Appends words.
    pub fn extend_from_slice(&mut self, words: &[u64]) {
        self.append(words.len()).copy_from_slice(words);
    }

    /// Appends `count` words of arbitrary content and returns them.
    pub fn append(&mut self, count: usize) -> &mut [u64] {
        let old = self.len;
        self.grow(old + count);
        &mut self[old..]
    }

    /// Makes room for a length of `len` words, so that appending up to there copies nothing.
    pub fn reserve(&mut self, len: usize) {
        let old = self.len;
        self.grow(len.max(old));
        self.len = old;
    }

    /// The words as an ordinary vector.
    pub fn into_vec(mut self) -> Vec<u64> {
        self.recycled = false;
        let mut memory = mem::take(&mut self.memory);
        memory.truncate(self.len);
        memory
    }

    /// Changes the length; what comes on top is arbitrary.
    fn grow(&mut self, len: usize) {
        if len > self.memory.len() {
            let mut larger = Self::scratch(len.max(2 * self.len));
            larger.len = self.len;
            larger.copy_from_slice(self);
            *self = larger;
        }
        self.len = len;
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if !self.recycled {
            return;
        }
        let memory = mem::take(&mut self.memory);
        let (class, _) = class(memory.len());
        // A thread that ends keeps nothing; the memory then goes back to the allocator.
        let _ = OWN.try_with(|free| {
            let own = &mut free.borrow_mut().0[class];
            if own.len() < KEPT {
                own.push(memory);
            } else {
                common().0[class].push(memory);
            }
        });
    }
}

impl Deref for Words {
    type Target = [u64];

    #[inline]
    fn deref(&self) -> &[u64] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Words {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.memory[..self.len]
    }
}

impl Clone for Words {
    fn clone(&self) -> Self {
        Self::copy(self)
    }
}

impl From<Vec<u64>> for Words {
    fn from(memory: Vec<u64>) -> Self {
        let len = memory.len();
        Self { memory, len, recycled: false }
    }
}

impl FromIterator<u64> for Words {
    fn from_iter<I: IntoIterator<Item = u64>>(words: I) -> Self {
        Vec::from_iter(words).into()
    }
}

impl fmt::Debug for Words {
    /// The length alone: words may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({})", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_room_for_what_falls_into_it() {
        for len in (1..5000).chain([1 << 20, (1 << 20) + 1, 3 << 19, (3 << 19) + 1]) {
            let (index, size) = class(len);
            assert!(size >= len && size <= (2 * len).max(LEAST), "{len} words in {size}");
            assert_eq!(class(size), (index, size), "a vector returns to the class it came from");
        }
    }

    #[test]
    fn memory_is_used_again() {
        let first = Words::scratch(1000);
        let place = first.as_ptr();
        drop(first);
        let second = Words::scratch(1001);
        assert_eq!(second.as_ptr(), place);
        assert_ne!(Words::scratch(1000).as_ptr(), place, "what is in use is not given away");
    }

    #[test]
    fn memory_of_nearly_the_size_will_do() {
        // Sizes that no other test asks for: the common store is everybody's.
        let first = Words::scratch(1 << 16);
        let place = first.as_ptr();
        drop(first);
        let smaller = Words::scratch((1 << 15) + 1);
        assert_eq!((smaller.as_ptr(), smaller.len()), (place, (1 << 15) + 1));
        drop(smaller);
        assert_ne!(Words::scratch(1 << 14).as_ptr(), place, "four times the size is a waste");
        assert_eq!(Words::scratch(1 << 16).as_ptr(), place);
    }

    #[test]
    fn memory_from_elsewhere_is_not_kept() {
        let size = 3 << 17;
        drop(Words::from(vec![1; size]));
        assert!(OWN.with(|free| free.borrow_mut().take(class(size).0)).is_none());
    }

    #[test]
    fn growing_keeps_the_words_and_appends_zeros() {
        let mut words = Words::copy(&[1, 2, 3]);
        drop(std::iter::repeat_n(7, 1024).collect::<Words>());
        words.resize(1000);
        assert_eq!(&words[..4], &[1, 2, 3, 0]);
        assert!(words[3..].iter().all(|&word| word == 0));
        words.resize(2);
        words.extend_from_slice(&[5]);
        assert_eq!(words.into_vec(), [1, 2, 5]);
    }

    #[test]
    fn debug_shows_no_word() {
        assert_eq!(format!("{:?}", Words::copy(&[42])), "Words(1)");
    }
}
