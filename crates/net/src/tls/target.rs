//! Where received bytes go.

/// Where received bytes go: into two places, one after the other.
pub(super) struct Target<'a> {
    /// What is still free of them.
    places: [&'a mut [u8]; 2],
    /// How many bytes have come.
    filled: usize,
}

impl<'a> Target<'a> {
    /// Two empty places.
    pub(super) fn new(first: &'a mut [u8], second: &'a mut [u8]) -> Self {
        Self { places: [first, second], filled: 0 }
    }

    /// Puts in as many of the bytes as fit, and returns their number.
    pub(super) fn put(&mut self, bytes: &[u8]) -> usize {
        let before = self.filled;
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_full() {
            let place = &mut self.places[self.current()];
            let (now, later) = rest.split_at(rest.len().min(place.len()));
            place[..now.len()].copy_from_slice(now);
            self.advance(now.len());
            rest = later;
        }
        self.filled - before
    }

    /// The start of what is free, if so many bytes are free in one piece.
    pub(super) fn room_for(&mut self, length: usize) -> Option<&mut [u8]> {
        self.places[self.current()].get_mut(..length)
    }

    /// Counts the first bytes of what is free in one piece as filled.
    pub(super) fn advance(&mut self, count: usize) {
        let place = &mut self.places[self.current()];
        *place = &mut core::mem::take(place)[count..];
        self.filled += count;
    }

    /// How many bytes have come.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Whether there is no more room.
    pub(super) fn is_full(&self) -> bool {
        self.places.iter().all(|place| place.is_empty())
    }

    /// Number of the place that is filled next.
    fn current(&self) -> usize {
        usize::from(self.places[0].is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_one_after_the_other() {
        let (mut first, mut second) = ([0; 3], [0; 4]);
        let mut target = Target::new(&mut first, &mut second);
        assert_eq!(target.put(&[1, 2]), 2);
        assert!(target.room_for(2).is_none(), "not across the places");
        assert_eq!(target.put(&[3, 4]), 2);
        target.room_for(3).expect("room").copy_from_slice(&[5, 6, 9]);
        target.advance(2);
        assert!(!target.is_full());
        assert_eq!(target.put(&[7, 8]), 1);
        assert!(target.is_full() && target.filled() == 7 && target.put(&[9]) == 0);
        assert_eq!((first, second), ([1, 2, 3], [4, 5, 6, 7]));
    }
}
