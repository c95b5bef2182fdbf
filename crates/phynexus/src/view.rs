//! Views: how a tensor was made of another whose memory it shares, so that a change in place of either is part of the history of both.

use crate::node::{Trace, trace};
use crate::op::{Op, Spec};
use crate::ops::shape::{Overwrite, Permute, Range, Reshape, Slice};
use crate::tape::grad_enabled;
use crate::tensor::Tensor;
use phynexus_core::{Error, Result};
use smallvec::SmallVec;
use std::sync::Arc;

/// A view of more steps than this is not followed: a change of it while recording is an error.
const MOST_STEPS: u32 = 64;

/// How a tensor is seen in the memory of another.
#[derive(Clone)]
pub(crate) struct View {
    /// The tensor at the beginning, which is no view itself.
    pub base: Tensor,
    last: Arc<Step>,
    /// How often the base's array had been replaced.
    replaced: u32,
}

/// One operation on the way from the base.
struct Step {
    op: Op,
    before: Option<Arc<Step>>,
    count: u32,
    recorded: bool,
}

impl View {
    /// What `op` makes of `input`, in the same memory.
    pub fn new(input: &Tensor, op: &Op) -> View {
        let (view, replaced) = {
            let state = input.state();
            (state.view.clone(), state.replaced)
        };
        let recorded = grad_enabled();
        let Some(View { base, last, replaced }) = view else {
            let last = Arc::new(Step { op: op.clone(), before: None, count: 1, recorded });
            return View { base: input.clone(), last, replaced };
        };
        let recorded = recorded && last.recorded;
        let step = match joined(&last.op, op) {
            Some(op) => Step { op, before: last.before.clone(), count: last.count, recorded },
            None if last.count > MOST_STEPS => return View { base, last, replaced },
            None => Step { op: op.clone(), count: last.count + 1, before: Some(last), recorded },
        };
        View { base, last: Arc::new(step), replaced }
    }

    /// Whether the base still has the array that was looked at.
    pub fn holds(&self) -> bool {
        self.base.state().replaced == self.replaced
    }

    /// An error if a change of the view cannot become part of the base's history.
    pub fn check(&self, what: &str) -> Result<()> {
        if !self.last.recorded {
            return Err(Error::Runtime(format!(
                "{what}: a view that was made under no_grad() cannot be changed in place while recording: should the tape \
                 follow the change? Make the view while recording if so, and change it under no_grad() if not"
            )));
        }
        if self.last.count > MOST_STEPS {
            return Err(Error::Runtime(format!(
                "{what}: a view of a view of a view, more than {MOST_STEPS} steps deep, cannot be changed in place while \
                 recording; change a copy (.clone()) instead"
            )));
        }
        Ok(())
    }

    /// What the tape knows of the base, and the version of the memory that it knows that of; nothing if the base has another array
    /// now, or if a tensor that only shares its memory changed the values.
    pub fn origin(&self) -> Option<(Trace, u32)> {
        let state = self.base.state();
        let version = state.array.buffer().version();
        let known = state.version == version || !state.requires_grad && !state.is_stale();
        if state.replaced != self.replaced || !known {
            return None;
        }
        Some((Trace { spec: Spec::from(&state.array), edge: self.base.edge_of(&state) }, version))
    }

    /// The view's history, given the base's; nothing where it is not followed.
    pub fn seen_in(&self, base: Trace) -> Option<Trace> {
        if !self.last.recorded || self.last.count > MOST_STEPS {
            return None;
        }
        self.path().into_iter().try_fold(base, |from, op| trace(op.clone(), &[&from]).ok())
    }

    /// The base's history after `values` were written over the view.
    pub fn written_to(&self, base: &Trace, values: Trace) -> Result<Trace> {
        put(base, &self.path(), values)
    }

    /// The operations from the base on.
    fn path(&self) -> SmallVec<[&Op; 4]> {
        let mut path: SmallVec<[&Op; 4]> = SmallVec::new();
        let mut step = Some(&self.last);
        while let Some(s) = step {
            path.push(&s.op);
            step = s.before.as_ref();
        }
        path.reverse();
        path
    }

    /// Whether both show the same elements of the same memory in the same places, given that their layouts are equal.
    pub fn is_beside(&self, other: &View) -> bool {
        self.base.is(&other.base)
            && self.replaced == other.replaced
            && self.last.recorded
            && other.last.recorded
    }
}

/// Two steps as one, where that is simple.
fn joined(first: &Op, second: &Op) -> Option<Op> {
    match (first, second) {
        (Op::Slice(a), Op::Slice(b)) => {
            let join = |(a, b): (&Range, &Range)| Range {
                start: if b.size == 0 { 0 } else { (a.start as isize + b.start as isize * a.step) as usize },
                size: b.size,
                step: if b.size > 1 { a.step * b.step } else { 1 },
            };
            Some(Op::Slice(Slice { ranges: a.ranges.iter().zip(&b.ranges).map(join).collect() }))
        }
        (Op::Reshape(_), Op::Reshape(_)) => Some(second.clone()),
        (Op::Permute(a), Op::Permute(b)) => {
            Some(Op::Permute(Permute { order: b.order.iter().map(|&i| a.order[i]).collect() }))
        }
        _ => None,
    }
}

/// `base` with `values` where the steps lead to: each step taken back.
fn put(base: &Trace, steps: &[&Op], values: Trace) -> Result<Trace> {
    let [step, rest @ ..] = steps else { return Ok(values) };
    // What lies beside the values matters only where a later step leaves some of it out.
    let partial = rest.iter().any(|op| matches!(op, Op::Slice(_)));
    let bare = Trace { spec: base.spec, edge: Default::default() };
    let inner = trace((*step).clone(), &[if partial { base } else { &bare }])?;
    let values = put(&inner, rest, values)?;
    match step {
        Op::Slice(slice) => {
            trace(Op::Overwrite(Overwrite { ranges: slice.ranges.clone() }), &[base, &values])
        }
        Op::Permute(permute) => {
            let mut order: SmallVec<[usize; 8]> = SmallVec::from_elem(0, permute.order.len());
            for (to, &from) in permute.order.iter().enumerate() {
                order[from] = to;
            }
            trace(Op::Permute(Permute { order }), &[&values])
        }
        _ if values.spec.shape == base.spec.shape => Ok(values),
        _ if values.spec.shape.elements() == base.spec.shape.elements() => {
            trace(Op::Reshape(Reshape { shape: base.spec.shape }), &[&values])
        }
        _ => Err(Error::Runtime(
            "a part of an expanded tensor is written to, which shares its memory with other parts; write to a copy (.clone())".into(),
        )),
    }
}

/// A history that begins with all of `old` written over by `new`.
pub(crate) fn written_over(old: &Trace, new: &Trace) -> Result<Trace> {
    let whole = |&size: &usize| Range { start: 0, size, step: 1 };
    let ranges = old.spec.shape.iter().map(whole).collect();
    trace(Op::Overwrite(Overwrite { ranges }), &[old, new])
}

impl Tensor {
    /// Gives a view whose memory was changed the history that the base has of that, if it has.
    pub(crate) fn follow_base(&self) {
        let Some(view) = self.state().view.clone() else { return };
        let Some((base, version)) = view.origin() else { return };
        if let Some(seen) = view.seen_in(base) {
            self.set_history(seen.edge, version);
        }
    }
}
