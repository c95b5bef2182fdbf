//! Sorting rows of the last dimension, stably.
//!
//! Each element becomes one integer: its key in the high half, its position in the low half. Distinct integers need no
//! stable algorithm, and long rows are sorted by their digits, without comparisons.

use crate::element::{Element, Key, with_element};
use crate::simd::vectorised;
use crate::strided::{Ptr, Walk, split};
use phynexus_core::{Result, Task, View, reserve};
use std::sync::OnceLock;

/// Elements that are worth a job of their own.
const GRAIN: usize = 1 << 11;
/// Rows of at least this many elements are sorted by digits.
const LONG: usize = 1 << 12;
const DIGIT: u32 = 8;
/// Elements that are looked at together when only the first are wanted.
const CHUNK: usize = 64;

/// Sorts into (values, I64 positions); NaN counts as the largest. Of rows that are longer than the outputs' only the
/// first elements in the order are found.
pub(crate) fn launch(descending: bool, task: &Task<'_>) -> Result<()> {
    let last = |view: &View<'_>| view.layout.shape().last().copied().unwrap_or(1);
    let (row, wanted) = (last(&task.inputs[0]), last(&task.outputs[0]));
    with_element!(task.inputs[0].dtype, T => match size_of::<T>() {
        _ if row > u32::MAX as usize => sort::<T, u128>(descending, task),
        8 if wanted < row => sort::<T, u128>(descending, task),
        _ => sort::<T, u64>(descending, task),
    })
}

/// A key and a position in one integer.
trait Pair: Copy + Ord + Default + Send {
    fn new(key: u64, position: usize) -> Self;
    fn position(self) -> usize;
    fn key(self) -> u64;
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
            fn key(self) -> u64 {
                (self >> $half) as u64
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
    let wanted = layouts[1].shape().last().copied().unwrap_or(1);
    let rows = Walk::new(&shape[..rank], layouts.map(|l| &l.strides()[..rank]));
    let step = layouts.map(|l| l.strides().last().copied().unwrap_or(1));
    let (from, to, order) = (Ptr::<T>::of(input), Ptr::<T>::of(values), Ptr::<i64>::of(positions));
    let (total, failed) = (rows.elements() * count, OnceLock::new());
    split(rows.elements(), GRAIN / count.max(1), total * 20, |range| {
        let room = |count| reserve::<P>(count).map_err(|error| failed.get_or_init(|| error)).ok();
        let most = if wanted < count { room_for_first(wanted).min(count) } else { count };
        let digits = if wanted < count || count < LONG { 0 } else { count };
        let Some((mut pairs, mut spare)) = room(most).zip(room(digits)) else {
            return;
        };
        let mut whole = vec![];
        for run in rows.runs(range) {
            for row in 0..run.count as isize {
                let [a, b, c] = std::array::from_fn(|n| run.offset[n] + row * rows.last().1[n]);
                let (from, to, order) = (from.at(a), to.at(b), order.at(c));
                // SAFETY: `i` counts the elements of one row.
                let element = |i: usize| unsafe { *from.offset(i as isize * step[0]) };
                let key = |i: usize| {
                    let key = element(i).key();
                    if descending { !key } else { key }.ascending()
                };
                pairs.clear();
                if wanted < count {
                    let may = |start: usize, n: usize, limit: usize| {
                        // SAFETY: these are elements of the row.
                        step[0] != 1
                            || unsafe { any_before(from.add(start), n, element(limit).key(), descending) }
                    };
                    first(&mut pairs, count, wanted, key, may);
                } else if size_of::<P>() == size_of::<T>() {
                    if let Err(error) = by_upper_half(&mut pairs, &mut spare, &mut whole, count, key) {
                        failed.get_or_init(|| error);
                        return;
                    }
                } else {
                    pairs.extend((0..count).map(|i| P::new(key(i), i)));
                    in_order(&mut pairs, &mut spare);
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

fn in_order<P: Pair>(pairs: &mut Vec<P>, spare: &mut Vec<P>) {
    if pairs.len() < LONG {
        pairs.sort_unstable();
    } else {
        by_digits(pairs, spare);
    }
}

/// How many pairs `first` has at most.
fn room_for_first(wanted: usize) -> usize {
    (2 * wanted).max(CHUNK) + CHUNK
}

/// The `wanted` least of `count` keys, in order. What may be one of them is collected, and what is too much thrown away
/// whenever it is twice as much as wanted. `may` says whether among `n` keys there may be one before that of an element.
fn first<P: Pair>(
    pairs: &mut Vec<P>,
    count: usize,
    wanted: usize,
    key: impl Fn(usize) -> u64,
    may: impl Fn(usize, usize, usize) -> bool,
) {
    if wanted == 0 {
        return;
    }
    let mut limit: Option<P> = None;
    for start in (0..count).step_by(CHUNK) {
        let end = (start + CHUNK).min(count);
        if limit.is_some_and(|limit| !may(start, end - start, limit.position())) {
            continue;
        }
        // A later one of two equals is no candidate.
        let candidates = (start..end).map(|i| P::new(key(i), i));
        pairs.extend(candidates.filter(|&pair| limit.is_none_or(|limit| pair < limit)));
        if pairs.len() >= (2 * wanted).max(CHUNK) {
            limit = Some(*pairs.select_nth_unstable(wanted - 1).1);
            pairs.truncate(wanted);
        }
    }
    if pairs.len() > wanted {
        pairs.select_nth_unstable(wanted - 1);
        pairs.truncate(wanted);
    }
    pairs.sort_unstable();
}

vectorised! {
    /// Whether the key of one of `n` readable elements is less (or greater) than the limit.
    unsafe fn any_before<T: Element>(from: *const T, n: usize, limit: T::Key, descending: bool) -> bool {
        let mut any = false;
        for i in 0..n {
            // SAFETY: the caller says that there are n elements.
            let key = unsafe { *from.add(i) }.key();
            any |= if descending { key > limit } else { key < limit };
        }
        any
    }
}

/// Sorts keys that are as wide as pairs: by the 32 bits from the highest on that differ at all, then those that are equal in
/// these by the rest. `whole` is room for pairs of whole keys: the elements may change meanwhile, so that an order that
/// reads them again might be none.
fn by_upper_half<P: Pair>(
    pairs: &mut Vec<P>,
    spare: &mut Vec<P>,
    whole: &mut Vec<u128>,
    count: usize,
    key: impl Fn(usize) -> u64,
) -> Result<()> {
    let varying = (0..count).fold(0, |bits, i| bits | (key(i) ^ key(0)));
    let shift = 32u32.saturating_sub(varying.leading_zeros());
    pairs.extend((0..count).map(|i| P::new(key(i) >> shift & u32::MAX as u64, i)));
    in_order(pairs, spare);
    if shift > 0 {
        for equal in pairs.chunk_by_mut(|a, b| a.key() == b.key()).filter(|equal| equal.len() > 1) {
            if whole.capacity() < equal.len() {
                *whole = reserve(equal.len())?;
            }
            whole.clear();
            whole.extend(equal.iter().map(|pair| <u128 as Pair>::new(key(pair.position()), pair.position())));
            whole.sort_unstable();
            for (pair, whole) in equal.iter_mut().zip(whole.iter()) {
                *pair = P::new(pair.key(), whole.position());
            }
        }
    }
    Ok(())
}

/// Sorts by one digit of the key after the other, from the lowest; digits that are the same everywhere are skipped.
fn by_digits<P: Pair>(pairs: &mut Vec<P>, spare: &mut Vec<P>) {
    spare.resize(pairs.len(), P::default());
    let mut counts = [[0usize; 1 << DIGIT]; 64 / DIGIT as usize];
    let counts = &mut counts[..P::DIGITS as usize];
    for pair in pairs.iter() {
        for (n, counts) in counts.iter_mut().enumerate() {
            counts[pair.digit(n as u32)] += 1;
        }
    }
    for (n, starts) in (0..).zip(counts) {
        if starts[pairs[0].digit(n)] == pairs.len() {
            continue;
        }
        let mut sum = 0;
        for start in starts.iter_mut() {
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
