//! Matrix products in every operand order: an own micro-kernel over own packing, because both orders in which a training
//! step reads its operands (contiguous along K or across it) must run at one speed, and products of a few hundred
//! nanoseconds matter as much as large ones.
//!
//! Here operands are brought into a form that [`product`] takes: rows of the output contiguous, one compute type, the
//! batch a loop.

mod compute;
mod convert;
mod operand;
mod pack;
mod product;
mod scratch;
mod tile;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use compute::Compute;
use convert::{Block, Stored, Way};
use half::{bf16, f16};
use operand::{Operand, Product};
use phynexus_core::{DType, Error, Result, Task, View};
use phynexus_formula::{Binary, Formula, Node};
use scratch::Scratch;
use std::sync::OnceLock;
use tile::Ends;

/// Products of more multiplications than this share each one among the threads, smaller ones the batch.
const LARGE: usize = 8 << 20;
/// Matrices of up to so many rows are not worth leaving half of them out.
const SMALL: usize = 48;
/// Multiplications that make a part of a batch worth handing to another thread.
const GRAIN: usize = 128 << 10;

/// Applies a formula to so many neighbouring elements in place, in the type that they are computed in.
pub(crate) type Apply = Box<dyn Fn(*mut u8, usize) + Send + Sync>;

/// What happens to every finished element.
pub(crate) enum Epilogue {
    /// `x <= 0 ? 0 : x`, done while the result is still in registers.
    AtLeastZero,
    /// Anything else, done while it is still in the cache.
    Other(Apply),
}

impl Epilogue {
    /// Prepares a formula of one input and one output; `apply` runs it.
    pub(crate) fn new(formula: &Formula, apply: impl FnOnce() -> Result<Apply>) -> Result<Epilogue> {
        Ok(if says_at_least_zero(formula) { Epilogue::AtLeastZero } else { Epilogue::Other(apply()?) })
    }
}

/// Whether it says `x <= 0 ? 0 : x`.
fn says_at_least_zero(formula: &Formula) -> bool {
    let is_zero = |id| matches!(formula.node(id), Node::Const(c) if c.as_f64() == 0.0);
    let Node::Select(condition, yes, x) = formula.node(formula.outputs()[0]) else { return false };
    let of_input = matches!(formula.node(x), Node::Input { .. });
    of_input
        && is_zero(yes)
        && matches!(formula.node(condition), Node::Binary(Binary::Le, y, z) if y == x && is_zero(z))
}

/// Runs a matrix product.
pub(crate) fn launch(
    bias: bool,
    accumulate: bool,
    symmetric: bool,
    epilogue: Option<&Epilogue>,
    task: &Task<'_>,
) -> Result<()> {
    let job = Job {
        a: &task.inputs[0],
        b: &task.inputs[1],
        bias: bias.then(|| &task.inputs[2]),
        out: &task.outputs[0],
        accumulate,
        symmetric,
        epilogue,
    };
    if job.out.layout.elements() == 0 {
        return Ok(());
    }
    match job.out.dtype {
        DType::F32 => job.run::<f32>(),
        DType::F64 => job.run::<f64>(),
        DType::F16 => job.run::<f16>(),
        DType::BF16 => job.run::<bf16>(),
        DType::I64 => job.run::<i64>(),
        DType::I32 => job.run::<i32>(),
        DType::U8 => job.run::<u8>(),
        DType::Bool => {
            Err(Error::Type("matmul of bool is not defined; convert with .to(int32) before".into()))
        }
    }
}

struct Job<'a> {
    a: &'a View<'a>,
    b: &'a View<'a>,
    bias: Option<&'a View<'a>>,
    out: &'a View<'a>,
    accumulate: bool,
    symmetric: bool,
    epilogue: Option<&'a Epilogue>,
}

fn start<S>(view: &View<'_>) -> *mut S {
    (view.buffer.handle() as *mut S).wrapping_add(view.layout.offset())
}

/// A view of three dimensions; strides of dimensions of size 1 say nothing and become 0.
fn block<S>(view: &View<'_>) -> Block<S> {
    let (shape, strides) = (view.layout.shape(), view.layout.strides());
    Block {
        at: start(view),
        sizes: std::array::from_fn(|i| shape[i]),
        strides: std::array::from_fn(|i| if shape[i] == 1 { 0 } else { strides[i] }),
    }
}

/// The operand as it can be read: in place, or converted.
fn operand<S: Stored>(view: &View<'_>) -> Result<(Option<Scratch>, Block<S::In>)> {
    let stored = block::<S>(view);
    if S::PLAIN {
        return Ok((None, Block { at: stored.at.cast(), sizes: stored.sizes, strides: stored.strides }));
    }
    let (scratch, work) = stored.dense()?;
    // SAFETY: a checked view and fresh memory.
    unsafe { stored.copy(&work, Way::In) };
    Ok((Some(scratch), work))
}

impl Job<'_> {
    fn run<S: Stored>(&self) -> Result<()> {
        let (_a, a) = operand::<S>(self.a)?;
        let (_b, b) = operand::<S>(self.b)?;
        let stored = block::<S>(self.out);
        let [batch, m, n] = stored.sizes;
        let by_rows = n == 1 || stored.strides[2] == 1;
        let by_columns = m > 1 && stored.strides[1] == 1 && self.bias.is_none();
        let in_place = S::PLAIN && (by_rows || by_columns);
        let (scratch, out) = if in_place {
            (None, Block { at: stored.at.cast(), sizes: stored.sizes, strides: stored.strides })
        } else {
            let mut scratch = Scratch::new::<S::In>(batch.saturating_mul(m).saturating_mul(n))?;
            let out = Block {
                at: scratch.pointer(),
                sizes: stored.sizes,
                strides: [(m * n) as isize, n as isize, 1],
            };
            (Some(scratch), out)
        };
        if scratch.is_some() && self.accumulate {
            // SAFETY: a checked view and fresh memory.
            unsafe { stored.copy(&out, Way::In) };
        }
        self.batched::<S>(&a, &b, &out)?;
        if scratch.is_some() {
            // SAFETY: a checked view; the result is complete.
            unsafe { stored.copy(&out, Way::Out) };
        }
        Ok(())
    }

    fn batched<S: Stored>(&self, a: &Block<S::In>, b: &Block<S::In>, out: &Block<S::In>) -> Result<()> {
        let [mut batch, mut m, mut n] = out.sizes;
        let k = self.a.layout.shape()[2];
        let matrix =
            |x: &Block<S::In>| Operand { at: x.at.cast_const(), row: x.strides[1], col: x.strides[2] };
        let (mut left, mut right) = (matrix(a), matrix(b));
        let mut steps = [a.strides[0], b.strides[0], out.strides[0]];
        let mut c_row = out.strides[1];
        if m == 1 {
            (left.row, c_row) = (steps[0], steps[2]);
        }
        if batch > 1 && steps[1] == 0 && steps[0] == m as isize * left.row && steps[2] == m as isize * c_row {
            // One right side for the whole batch: the matrices stand below each other.
            (m, batch) = (m * batch, 1);
        }
        // A single column becomes a row, and so does everything where columns are contiguous and rows are not.
        let column = n == 1 && c_row == 1 && (k >= 16 || left.row == 1);
        let turned = m > 1 && (column || (n > 1 && out.strides[2] != 1));
        if turned {
            (left, right) = (right.transposed(), left.transposed());
            c_row = out.strides[2];
            steps.swap(0, 1);
            std::mem::swap(&mut m, &mut n);
        }
        let (_bias, bias) = match self.bias {
            Some(view) => vector::<S>(view, n)?,
            None => (None, std::ptr::null()),
        };
        let apply = |at: *mut S::In, rows: usize, cols: usize, row: isize| {
            if let Some(Epilogue::Other(apply)) = self.epilogue {
                let whole = row == cols as isize;
                let (count, length) = if whole { (1, rows * cols) } else { (rows, cols) };
                (0..count).for_each(|i| apply(at.wrapping_offset(i as isize * row).cast(), length));
            }
        };
        let at_least_zero = matches!(self.epilogue, Some(Epilogue::AtLeastZero));
        let first = Product {
            m,
            n,
            k,
            a: left,
            b: right,
            c: out.at,
            c_row,
            ends: Ends { bias, accumulate: self.accumulate, at_least_zero },
            after: matches!(self.epilogue, Some(Epilogue::Other(_))).then_some(&apply),
            // One right side for the whole batch is no square any more, and a small matrix is all one tile.
            diagonal: (self.symmetric && m == n && m > SMALL).then_some(0),
        };
        // SAFETY: the views were checked when the launch was made.
        unsafe { all(&first, batch, steps) }
    }
}

/// A bias as a dense vector of `n` elements; a single one is repeated.
fn vector<S: Stored>(view: &View<'_>, n: usize) -> Result<(Option<Scratch>, *const S::In)> {
    let from = start::<S>(view);
    let last = view.layout.shape().len() - 1;
    let step = if view.layout.shape()[last] == 1 { 0 } else { view.layout.strides()[last] };
    if S::PLAIN && (step == 1 || n == 1) {
        return Ok((None, from.cast_const().cast()));
    }
    let mut scratch = Scratch::new::<S::In>(n)?;
    let to = scratch.pointer::<S::In>();
    for i in 0..n {
        // SAFETY: an element of the view and one of the working memory.
        unsafe { *to.add(i) = (*from.offset(i as isize * step)).widen() }
    }
    Ok((Some(scratch), to.cast_const()))
}

/// Runs `first` and those that follow it by `steps`.
///
/// # Safety
/// All of them are valid.
unsafe fn all<T: Compute>(first: &Product<T>, batch: usize, steps: [isize; 3]) -> Result<()> {
    let run = |i: usize| {
        let mut p = *first;
        p.a.at = p.a.at.wrapping_offset(i as isize * steps[0]);
        p.b.at = p.b.at.wrapping_offset(i as isize * steps[1]);
        p.c = p.c.wrapping_offset(i as isize * steps[2]);
        // SAFETY: the caller's contract.
        unsafe { T::product(&p) }
    };
    let work = first.m.saturating_mul(first.n).saturating_mul(first.k);
    if batch == 1 || work > LARGE {
        return (0..batch).try_for_each(run);
    }
    let group = (GRAIN / work.max(64)).max(1);
    let failed = OnceLock::new();
    crate::pool::run(batch.div_ceil(group), batch.saturating_mul(work) / 16, &|g| {
        for i in g * group..batch.min((g + 1) * group) {
            if let Err(error) = run(i) {
                let _ = failed.set(error);
            }
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use phynexus_formula::Type;
    use phynexus_formula::ops::Op;

    /// Products of layers whose activation is `max(x, 0)` stay as fast as those without: the table's formula for it is the
    /// one that is recognised, and no other is.
    #[test]
    fn one_formula_of_the_table_is_at_least_zero() {
        for ty in [Type::F32, Type::F64] {
            let formulas =
                Op::ALL.iter().map(|op| op.formula(ty)).filter(|formula| formula.inputs().len() == 1);
            let found: Vec<Formula> = formulas.filter(says_at_least_zero).collect();
            assert_eq!(found.len(), 1, "{ty:?}");
            let other = || -> Result<Apply> { Ok(Box::new(|_, _| ())) };
            assert!(matches!(Epilogue::new(&found[0], other).unwrap(), Epilogue::AtLeastZero));
        }
    }
}
