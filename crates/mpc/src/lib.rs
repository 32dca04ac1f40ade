//! Replicated secret sharing among three parties and its protocols.
