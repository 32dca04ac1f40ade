//! Bytes on their way.

/// A first-in, first-out buffer of bytes.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer with room for so many bytes.
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], start: 0, end: 0 }
    }

    /// Adds bytes at the end, making room for them if necessary.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.grow(bytes.len());
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.add(bytes.len());
    }

    /// Makes sure that [`room`](Self::room) has at least this length.
    pub(super) fn grow(&mut self, room: usize) {
        let length = self.end - self.start;
        if self.bytes.len() - length < room {
            self.room();
            self.bytes.resize(length + room, 0);
        }
    }

    /// The free bytes after the filled ones, as many as there are.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Counts the first bytes of the room as filled.
    pub(super) fn add(&mut self, count: usize) {
        self.end += count;
    }

    /// Drops the first filled bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// The filled bytes, to be changed in place.
    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// The filled bytes.
    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}
