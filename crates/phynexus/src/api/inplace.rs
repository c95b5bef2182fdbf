//! Changes in place. The tape sees them as new results of the same tensor, or of the base of a view; values that it still
//! needs are guarded by the version of their memory.

use crate::array::Array;
use crate::node::{self, Edge, Trace, trace};
use crate::op::{Op, Spec, same_device};
use crate::ops::index::Scatter;
use crate::ops::map::Cast;
use crate::ops::shape::{Copy, Expand};
use crate::tape::grad_enabled;
use crate::tensor::{Tensor, stale};
use crate::view::written_over;
use phynexus_core::{Error, Result, ScatterOp, Shape, Value};
use std::sync::Arc;

/// What a change in place is to the history of tensors.
enum Change {
    /// Nothing. The base of a view, if it is given, accepts the new values as its own.
    Values(Option<Tensor>),
    /// It is the new history of this tensor.
    History(Tensor, Edge),
}

impl Tensor {
    /// Whether the tensor may be changed in place now.
    pub fn check_writable(&self, what: &str) -> Result<()> {
        let array = self.array();
        if array.layout().overlaps() {
            return Err(Error::Runtime(format!(
                "{what}: several elements of an expanded tensor share memory; write to a copy (.clone())"
            )));
        }
        if !grad_enabled() {
            return Ok(());
        }
        let (_, view) = self.trace_and_view();
        let (which, origin) = match &view {
            Some(view) => ("a view of a leaf", &view.base),
            None => ("a leaf", self),
        };
        let shared = || Arc::ptr_eq(origin.array().buffer(), array.buffer());
        if origin.is_leaf() && origin.requires_grad() && shared() {
            return Err(Error::Runtime(format!(
                "{what}: {which} that requires gradients cannot be changed in place while recording; use no_grad()"
            )));
        }
        Ok(())
    }

    /// What it is to write `values` over this tensor.
    fn change_by(&self, values: Trace, what: &str) -> Result<Change> {
        let (own, view) = self.trace_and_view();
        let followed = |edge: &Edge| grad_enabled() && !matches!(edge, Edge::None);
        if followed(&values.edge) && !own.spec.dtype.is_float() {
            return Err(Error::Type(format!("{what}: a {} tensor cannot carry gradients", own.spec.dtype)));
        }
        let Some(view) = view.filter(|view| view.holds()) else {
            return Ok(match (followed(&values.edge), followed(&own.edge)) {
                (false, false) => Change::Values(None),
                (true, _) => Change::History(self.clone(), fitted(values, own.spec)?.edge),
                (false, true) => Change::History(self.clone(), written_over(&own, &bare(own.spec))?.edge),
            });
        };
        let origin = view.origin();
        let known = followed(&own.edge) || grad_enabled() && view.base.requires_grad();
        if !followed(&values.edge) && !known {
            return Ok(Change::Values(origin.map(|_| view.base)));
        }
        view.check(what)?;
        let (base, _) = origin.ok_or_else(|| stale(what, &view.base.shape()))?;
        let values = if followed(&values.edge) { fitted(values, own.spec)? } else { bare(own.spec) };
        let mut new = view.written_to(&base, values)?;
        if matches!(new.edge, Edge::None) {
            new = written_over(&base, &new)?;
        }
        Ok(Change::History(view.base, new.edge))
    }

    /// Makes the histories what they are after a change of the values.
    fn finish(&self, change: Change) {
        let array = self.array();
        array.buffer().bump();
        match change {
            // A view finds its own history in that of the base when it is asked for.
            Change::History(tensor, edge) => {
                tensor.set_history(edge, array.buffer().version());
                array.buffer().follow();
            }
            Change::Values(base) => {
                self.renew();
                base.iter().for_each(Tensor::renew);
            }
        }
    }

    /// Writes values with this history.
    fn write(&self, values: &Array, edge: Edge, what: &str) -> Result<()> {
        let target = self.array();
        same_device(what, &target, values)?;
        let fitting = expand_to(values, target.shape(), what)?;
        let change = self.change_by(Trace { spec: Spec::from(values), edge }, what)?;
        if target.elements() > 0 {
            let fitting = if shares_memory(&target, &fitting) { fitting.copy()? } else { fitting };
            target.write_from(&fitting)?;
        }
        self.finish(change);
        Ok(())
    }

    /// Replaces all values by those of `value`, which is the tensor's new history too.
    pub fn assign(&self, value: &Tensor, what: &str) -> Result<()> {
        self.check_writable(what)?;
        crate::program::forbid(what)?;
        let (source, edge) = value.operand(what)?;
        if self.is_same_place(value) {
            return Ok(());
        }
        let copy = trace(Op::Copy(Copy), &[&Trace { spec: Spec::from(&source), edge }])?;
        self.write(&source, copy.edge, what)
    }

    /// Whether both are the same elements of one tensor, whose history is of them already.
    fn is_same_place(&self, other: &Tensor) -> bool {
        let ((_, a), (_, b)) = (self.trace_and_view(), other.trace_and_view());
        let same_view = || matches!((a, b), (Some(a), Some(b)) if a.holds() && a.is_beside(&b));
        let same_layout = || {
            let (a, b) = (self.array(), other.array());
            a.dtype() == b.dtype() && a.layout() == b.layout() && Arc::ptr_eq(a.buffer(), b.buffer())
        };
        self.is(other) || same_view() && same_layout()
    }

    /// Writes values without telling the tape anything.
    pub fn write_values(&self, values: &Array, what: &str) -> Result<()> {
        let _mode = crate::tape::GradMode::new(false);
        self.write(values, Edge::None, what)
    }

    /// Writes values that no gradient flows through where an index along a dimension says; the rest is not touched.
    pub(crate) fn write_at(&self, axis: usize, index: &Tensor, values: &Tensor, what: &str) -> Result<()> {
        crate::program::forbid(what)?;
        let (target, index, values) = (self.array(), index.array(), values.array());
        same_device(what, &target, &index)?;
        same_device(what, &target, &values)?;
        let change = {
            let _mode = crate::tape::GradMode::new(false);
            self.change_by(bare(Spec::from(&values)), what)?
        };
        let shared = |other: &Array| target.buffer().handle() == other.buffer().handle();
        let values = if shared(&values) { values.copy()? } else { values };
        let index = if shared(&index) { index.copy()? } else { index };
        Scatter { axis, op: ScatterOp::Set }.run_in_place(&target, &index, &values)?;
        self.finish(change);
        Ok(())
    }

    /// One value everywhere.
    pub fn fill(&self, value: Value) -> Result<()> {
        self.check_writable("fill_")?;
        crate::program::forbid("fill_")?;
        let array = self.array();
        array.dtype().check("fill_", value)?;
        let change = self.change_by(bare(Spec::from(&array)), "fill_")?;
        if array.elements() > 0 {
            array.fill(value)?;
        }
        self.finish(change);
        Ok(())
    }

    /// Runs `function` on this tensor and keeps the result in it.
    pub fn update(&self, what: &str, function: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<()> {
        self.check_writable(what)?;
        crate::program::forbid(what)?;
        let since = node::next_number();
        let result = function(self)?;
        let (shape, dtype) = (self.shape(), self.dtype());
        if result.shape() != shape {
            return Err(Error::Value(format!(
                "{what}: the result has shape {}, which does not fit into the tensor's {shape}",
                result.shape()
            )));
        }
        if result.dtype().category() > dtype.category() {
            return Err(Error::Type(format!(
                "{what}: the result is {}, which cannot be stored in a {dtype} tensor",
                result.dtype()
            )));
        }
        let (values, edge) = result.operand(what)?;
        let edge = match edge {
            Edge::Node(made, index) => {
                // The function's gradient may read the values that are written over now.
                node::keep_copies(&made, since, self.array().buffer())?;
                Edge::Node(made, index)
            }
            edge => trace(Op::Copy(Copy), &[&Trace { spec: Spec::from(&values), edge }])?.edge,
        };
        self.write(&values, edge, what)
    }
}

/// A value without history.
fn bare(spec: Spec) -> Trace {
    Trace { spec, edge: Edge::None }
}

/// Cast and repeated to what it is written over.
fn fitted(values: Trace, spec: Spec) -> Result<Trace> {
    let mut values = values;
    if values.spec.dtype != spec.dtype {
        values = trace(Op::Cast(Cast { dtype: spec.dtype }), &[&values])?;
    }
    if values.spec.shape != spec.shape {
        values = trace(Op::Expand(Expand { shape: spec.shape }), &[&values])?;
    }
    Ok(values)
}

fn expand_to(source: &Array, shape: &Shape, what: &str) -> Result<Array> {
    let layout = source.layout().broadcast(shape).map_err(|_| {
        Error::Value(format!("{what}: a value of shape {} does not fit into shape {shape}", source.shape()))
    })?;
    Ok(source.with_layout(layout))
}

/// Whether writing to one may change the other, other than element by element at the same place.
fn shares_memory(a: &Array, b: &Array) -> bool {
    a.buffer().handle() == b.buffer().handle() && a.layout() != b.layout()
}
