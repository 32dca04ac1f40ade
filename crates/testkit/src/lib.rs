//! Three parties inside one test process.
