//! Changes in place. The tape sees them as new results of the same tensor; values that it still needs are guarded by
//! the version of their memory.

use crate::array::Array;
use crate::node::Edge;
use crate::op::{Op, same_device};
use crate::ops::index::Scatter;
use crate::ops::shape::{Copy, Overwrite, Range};
use crate::tape::grad_enabled;
use crate::tensor::Tensor;
use phynexus_core::{Error, Result, ScatterOp, Shape, Value};
use std::sync::Arc;

impl Tensor {
    /// Whether the tensor may be changed in place now.
    pub fn check_writable(&self, what: &str) -> Result<()> {
        let (array, edge) = self.array_and_edge();
        if array.layout().overlaps() {
            return Err(Error::Runtime(format!(
                "{what}: several elements of an expanded tensor share memory; write to a copy (.clone())"
            )));
        }
        if !grad_enabled() {
            return Ok(());
        }
        let mut origin = &edge;
        while let Edge::Node(node, _) = origin
            && node.op.is_view()
        {
            origin = &node.edges[0];
        }
        match origin {
            Edge::Leaf(leaf) if Arc::ptr_eq(leaf.array().buffer(), array.buffer()) => {
                let which = if leaf.is(self) { "a leaf" } else { "a view of a leaf" };
                Err(Error::Runtime(format!(
                    "{what}: {which} that requires gradients cannot be changed in place while recording; use no_grad()"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Replaces all values by those of `value`, which is the tensor's new history too.
    pub fn assign(&self, value: &Tensor, what: &str) -> Result<()> {
        self.check_writable(what)?;
        crate::program::forbid(what)?;
        let (source, edge) = value.array_and_edge();
        let recorded = grad_enabled() && !matches!(edge, Edge::None);
        if !recorded && grad_enabled() && !self.is_leaf() {
            return self.assign(&self.overwritten(value, what)?, what);
        }
        if recorded && !self.dtype().is_float() {
            return Err(Error::Type(format!("{what}: a {} tensor cannot carry gradients", self.dtype())));
        }
        self.write_values(&source, what)?;
        if recorded { self.become_result_of(value) } else { Ok(()) }
    }

    /// Values that nothing depends on, as a result of this tensor, whose gradient then is zero.
    fn overwritten(&self, value: &Tensor, what: &str) -> Result<Tensor> {
        let (array, shape) = (value.array(), self.shape());
        let fitted = Tensor::new(expand_to(&array, &shape, what)?);
        let ranges = shape.iter().map(|&size| Range { start: 0, size, step: 1 }).collect();
        crate::op::apply1(Op::Overwrite(Overwrite { ranges }), &[self, &fitted])
    }

    /// Takes over the history of `value`, cast and expanded to this tensor's dtype and shape.
    pub(crate) fn become_result_of(&self, value: &Tensor) -> Result<()> {
        let (shape, dtype) = (self.shape(), self.dtype());
        let fitted = super::expand(&super::cast(value, dtype)?, shape)?;
        let copy = crate::op::apply1(Op::Copy(Copy), &[&fitted])?;
        let (_, edge) = copy.array_and_edge();
        let mut state = self.state();
        state.requires_grad = true;
        state.edge = edge;
        state.array.buffer().follow();
        Ok(())
    }

    /// Writes values without telling the tape anything.
    pub fn write_values(&self, values: &Array, what: &str) -> Result<()> {
        let target = self.array();
        same_device(what, &target, values)?;
        let values = expand_to(values, target.shape(), what)?;
        if target.elements() > 0 {
            let values = if shares_memory(&target, &values) { values.copy()? } else { values };
            target.write_from(&values)?;
        }
        self.renew_after_change();
        Ok(())
    }

    /// Writes values where an index along a dimension says, into a view of this tensor; the rest is not touched.
    pub(crate) fn write_at(
        &self,
        view: &Tensor,
        axis: usize,
        index: &Tensor,
        values: &Tensor,
        what: &str,
    ) -> Result<()> {
        crate::program::forbid(what)?;
        let (target, index, values) = (view.array(), index.array(), values.array());
        same_device(what, &target, &index)?;
        same_device(what, &target, &values)?;
        let shared = |other: &Array| target.buffer().handle() == other.buffer().handle();
        let values = if shared(&values) { values.copy()? } else { values };
        let index = if shared(&index) { index.copy()? } else { index };
        Scatter { axis, op: ScatterOp::Set }.run_in_place(&target, &index, &values)?;
        self.renew_after_change();
        Ok(())
    }

    /// One value everywhere.
    pub fn fill(&self, value: Value) -> Result<()> {
        self.check_writable("fill_")?;
        crate::program::forbid("fill_")?;
        let array = self.array();
        array.dtype().check("fill_", value)?;
        if grad_enabled() && !self.is_leaf() {
            let value = super::full(Shape::SCALAR, value, array.dtype(), array.device())?;
            return self.assign(&value, "fill_");
        }
        if array.elements() > 0 {
            array.fill(value)?;
        }
        self.renew_after_change();
        Ok(())
    }

    /// Runs `function` on this tensor and keeps the result in it.
    pub fn update(&self, what: &str, function: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<()> {
        self.check_writable(what)?;
        // The function may read this very tensor; its gradient then needs the values as they were, and the
        // version check finds out that they are gone.
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
        self.assign(&result, what)
    }
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
