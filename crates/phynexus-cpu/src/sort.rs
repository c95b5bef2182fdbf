//! Sorting rows of the last dimension, stably.
//!
//! Each element becomes one integer: its key in the high half, its position in the low half. Distinct integers need no
//! stable algorithm, and long rows are sorted by their digits, without comparisons.

use crate::element::{Element, Key, with_element};
use crate::strided::{Ptr, Walk, split};
use phynexus_core::{Result, Task, reserve};
use std::sync::OnceLock;

/// Elements that are worth a job of their own.
const GRAIN: usize = 1 << 11;
/// Rows of at least this many elements are sorted by digits.
const LONG: usize = 1 << 12;
const DIGIT: u32 = 11;

/// Sorts into (values, I64 positions); NaN counts as the largest.
pub(crate) fn launch(descending: bool, task: &Task<'_>) -> Result<()> {
    let row = task.inputs[0].layout.shape().last().copied().unwrap_or(1);
    with_element!(task.inputs[0].dtype, T => match size_of::<T>() {
        8 => sort::<T, u128>(descending, task),
        _ if row > u32::MAX as usize => sort::<T, u128>(descending, task),
        _ => sort::<T, u64>(descending, task),
    })
}

/// A key and a position in one integer.
trait Pair: Copy + Ord + Default + Send {
    fn new(key: u64, position: usize) -> Self;
    fn position(self) -> usize;
    /// Digit `n` of the key.
    fn digit(self, n: u32) -> usize;
    /// How many digits the key has.
    const DIGITS: u32;
}

macro_rules! pair {
    ($type:ty, $half:literal) => {
        impl Pair for $type {
            const DIGITS: u32 = ($half as u32).div_ceil(DIGIT);
            #[inline(always)]
            fn new(key: u64, position: usize) -> Self {
                (key as $type) << $half | position as $type
            }
            #[inline(always)]
            fn position(self) -> usize {
                (self & (<$type>::MAX >> $half)) as usize
            }
            #[inline(always)]
            fn digit(self, n: u32) -> usize {
                (self >> ($half + n * DIGIT)) as usize & ((1 << DIGIT) - 1)
            }
        }
    };
}

pair!(u64, 32);
pair!(u128, 64);

fn sort<T: Element, P: Pair>(descending: bool, task: &Task<'_>) -> Result<()> {
    let (input, values, positions) = (&task.inputs[0], &task.outputs[0], &task.outputs[1]);
    let layouts = [input, values, positions].map(|view| view.layout);
    let shape = layouts[0].shape();
    let rank = shape.len().saturating_sub(1);
    let count = shape.last().copied().unwrap_or(1);
    let rows = Walk::new(&shape[..rank], layouts.map(|l| &l.strides()[..rank]));
    let step = layouts.map(|l| l.strides().last().copied().unwrap_or(1));
    let (from, to, order) = (Ptr::<T>::of(input), Ptr::<T>::of(values), Ptr::<i64>::of(positions));
    let (total, failed) = (rows.elements() * count, OnceLock::new());
    split(rows.elements(), GRAIN / count.max(1), total * 20, |range| {
        let room = |count| reserve::<P>(count).map_err(|error| failed.get_or_init(|| error)).ok();
        let Some((mut pairs, mut spare)) = room(count).zip(room(if count < LONG { 0 } else { count })) else {
            return;
        };
        for run in rows.runs(range) {
            for row in 0..run.count as isize {
                let [a, b, c] = std::array::from_fn(|n| run.offset[n] + row * rows.last().1[n]);
                let (from, to, order) = (from.at(a), to.at(b), order.at(c));
                // SAFETY: `i` counts the elements of one row.
                let element = |i: usize| unsafe { *from.offset(i as isize * step[0]) };
                pairs.clear();
                pairs.extend((0..count).map(|i| {
                    let key = element(i).key();
                    P::new(if descending { !key } else { key }.ascending(), i)
                }));
                if count < LONG {
                    pairs.sort_unstable();
                } else {
                    by_digits(&mut pairs, &mut spare);
                }
                for (i, pair) in pairs.iter().enumerate() {
                    // SAFETY: as above, of both outputs.
                    unsafe {
                        *to.offset(i as isize * step[1]) = element(pair.position());
                        *order.offset(i as isize * step[2]) = pair.position() as i64;
                    }
                }
            }
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Sorts by one digit of the key after the other, from the lowest; digits that are the same everywhere are skipped.
fn by_digits<P: Pair>(pairs: &mut Vec<P>, spare: &mut Vec<P>) {
    spare.resize(pairs.len(), P::default());
    for n in 0..P::DIGITS {
        let mut starts = [0usize; 1 << DIGIT];
        for pair in pairs.iter() {
            starts[pair.digit(n)] += 1;
        }
        if starts[pairs[0].digit(n)] == pairs.len() {
            continue;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for &pair in pairs.iter() {
            let start = &mut starts[pair.digit(n)];
            spare[*start] = pair;
            *start += 1;
        }
        std::mem::swap(pairs, spare);
    }
}
