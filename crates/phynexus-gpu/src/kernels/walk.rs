//! Where the elements of an operand stand: shapes in as few dimensions as their strides allow, and the text that counts them.

use crate::table::word;
use phynexus_core::{MAX_DIMS, Result};
use smallvec::SmallVec;

/// A shape that several operands walk over together.
#[derive(Clone, Debug)]
pub(crate) struct Walk<const N: usize> {
    /// Without dimensions of size 1, neighbours joined where all operands allow it.
    pub sizes: SmallVec<[usize; MAX_DIMS]>,
    /// Of each operand.
    pub strides: [SmallVec<[isize; 4]>; N],
}

impl<const N: usize> Walk<N> {
    pub fn new(sizes: &[usize], strides: [&[isize]; N]) -> Walk<N> {
        let mut walk = Walk { sizes: SmallVec::new(), strides: std::array::from_fn(|_| SmallVec::new()) };
        for (d, &size) in sizes.iter().enumerate().filter(|(_, size)| **size != 1) {
            let joins = !walk.sizes.is_empty()
                && (0..N).all(|k| walk.strides[k].last() == Some(&(strides[k][d] * size as isize)));
            match walk.sizes.last_mut() {
                Some(known) if joins => *known *= size,
                _ => walk.sizes.push(size),
            }
            for (walked, strides) in walk.strides.iter_mut().zip(strides) {
                match walked.last_mut() {
                    Some(known) if joins => *known = strides[d],
                    _ => walked.push(strides[d]),
                }
            }
        }
        walk
    }

    pub fn elements(&self) -> usize {
        self.sizes.iter().product()
    }

    /// The last dimension of an operand: its size and its stride.
    pub fn last(&self, operand: usize) -> (usize, isize) {
        let stride = self.strides[operand].last().copied().unwrap_or(0);
        (self.sizes.last().copied().unwrap_or(1), stride)
    }

    /// [`WORDS`] words of a record: rank and sizes.
    pub fn words(&self) -> Result<SmallVec<[u32; 12]>> {
        word("the number of elements of a tensor", self.elements())?;
        let mut words = SmallVec::from_slice(&[self.sizes.len() as u32]);
        words.extend((0..MAX_DIMS).map(|d| self.sizes.get(d).copied().unwrap_or(1) as u32));
        Ok(words)
    }
}

/// Words that say what a walk is like.
pub(crate) const WORDS: usize = 1 + MAX_DIMS;

/// `name(task, i)`: how far element `i` of operand `k` is from its first, for a walk whose words begin at `at` and whose
/// strides at `first`.
pub(crate) fn offset(name: &str, k: usize, at: usize, first: usize) -> String {
    format!(
        "fn {name}(task: u32, i: u32) -> pos {{
    var rest: u32 = i;
    var place: pos = 0;
    for (var d = word(task, {at}u); d > 1u; d--) {{
        let size = word(task, {at}u + d);
        place += pos(rest % size) * stride_{k}(task, d + {first}u - 1u);
        rest /= size;
    }}
    return place + pos(rest) * stride_{k}(task, {first}u);
}}
"
    )
}
