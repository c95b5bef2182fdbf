//! What kernels find wrong: four words, of which the first counts, and the others are those of the first that was found.

use phynexus_core::{Error, Result};

/// Words of a status.
pub const WORDS: usize = 4;
/// An index (an i32) that is not within a size; the dimension is in the upper bits ([`index`]).
pub const INDEX: u32 = 1;
/// An int64 that int32 does not hold: its lower and its upper word.
pub const WIDE: u32 = 2;

/// The kind to raise for an index into a dimension.
pub const fn index(axis: usize) -> u32 {
    INDEX | (axis as u32) << 8
}

/// The error that a status tells of.
pub fn check(status: [u32; WORDS]) -> Result<()> {
    let [count, kind, a, b] = status;
    match kind & 0xff {
        _ if count == 0 => Ok(()),
        INDEX => Err(Error::Index(format!(
            "index {} is out of range for size {b} of dimension {}, {}",
            a as i32,
            kind >> 8,
            if b == 0 { "which is empty".into() } else { format!("expected 0 to {}", b - 1) }
        ))),
        _ => Err(Error::Value(
            "a number of an int64 tensor does not fit into int32 (-2147483648 to 2147483647), in which this device computes int64; \
             use smaller numbers, or compute on the CPU"
                .into(),
        )),
    }
}
