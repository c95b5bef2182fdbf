//! The tape, seen from a tensor.

use super::{Made, PyTensor, made};
use crate::autograd::{PyFunctionHook, PyHook, visit_hooks};
use crate::error::to_python;
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};

#[pymethods]
impl PyTensor {
    /// Adds the gradients of this tensor to the `.grad` of all leaves that it depends on.
    ///
    /// With an optimizer, each of its parameters is updated as soon as its gradient is complete and the gradient freed
    /// at once, so that the gradients take the memory of a few tensors instead of that of the model. The optimizer sees
    /// `_backward_begin()`, which says how many passes come first that only look (`_backward_look(param)` for
    /// each, then `_backward_looked()`: for what needs all gradients, such as their norm), then `_backward_leaf(param)` for each parameter of its `param_groups` that a gradient
    /// reached, in the order in which they become complete, with `param.grad` set (the gradient is freed if that returns
    /// true, and stays otherwise), and at last `_backward_end(error)`, where error is the exception that ended the pass
    /// or None. Tensors that are not the optimizer's keep their gradients. A parameter may change while the pass goes on:
    /// all operations that it is an operand of have had their turn; what else still needs its old values is an error.
    ///
    /// Args:
    ///     gradient: the gradient of the result with respect to this tensor; needed unless it has one element.
    ///     retain_graph: keep what another backward pass over the same graph needs.
    ///     create_graph: record the backward pass itself, for second derivatives; not together with an optimizer. Warns: the
    ///         gradients hold the graph, so set `.grad = None` after use, or use `neurenix.autograd.grad`.
    ///     optimizer: update its parameters on the way; `optimizer.step()` is not called then.
    ///
    /// Raises:
    ///     RuntimeError: nothing requires gradients, the graph was used up, or a needed value was changed in place.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> x = neurenix.Tensor(3.0, requires_grad=True)
    ///     >>> (x ** 2).backward()
    ///     >>> x.grad.item()
    ///     6.0
    #[pyo3(signature = (gradient=None, retain_graph=None, create_graph=false, *, optimizer=None))]
    fn backward(
        &self,
        py: Python<'_>,
        gradient: Option<&Bound<'_, PyTensor>>,
        retain_graph: Option<bool>,
        create_graph: bool,
        optimizer: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let grad = gradient.map(|g| g.get().0.clone());
        let retain = retain_graph.unwrap_or(create_graph);
        match optimizer {
            None => crate::autograd::backward(py, &self.0, grad, retain, create_graph),
            Some(_) if create_graph => Err(pyo3::exceptions::PyValueError::new_err(
                "backward: create_graph=True records values that the optimizer would change; call backward() without \
                 optimizer= and then optimizer.step()",
            )),
            Some(optimizer) => crate::autograd::backward_into(&self.0, grad, retain, optimizer),
        }
    }

    /// The same values, off the tape; the memory is shared.
    fn detach(&self) -> PyTensor {
        PyTensor(self.0.detach())
    }

    /// Takes this tensor itself off the tape.
    fn detach_(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this.get().0.detach_in_place();
        this
    }

    /// Sets `requires_grad`; returns the tensor.
    #[pyo3(signature = (requires_grad=true))]
    fn requires_grad_(this: Bound<'_, Self>, requires_grad: bool) -> PyResult<Bound<'_, Self>> {
        this.get().0.set_requires_grad(requires_grad).map_err(to_python)?;
        Ok(this)
    }

    /// Makes `.grad` be kept for a tensor that is not a leaf.
    fn retain_grad(&self) -> PyResult<()> {
        self.0.retain_grad().map_err(to_python)
    }

    /// Calls `hook(gradient)` whenever a gradient of this tensor is computed; what it returns, if anything, takes the
    /// gradient's place, and must have its shape, dtype and device.
    fn register_hook(&self, hook: Py<PyAny>) -> PyResult<PyHook> {
        self.0.add_hook(PyFunctionHook::on_gradient(hook)).map(PyHook).map_err(to_python)
    }

    /// Calls `hook(leaf)` after a gradient was added to this leaf's `.grad`.
    fn register_post_accumulate_grad_hook(this: &Bound<'_, Self>, hook: Py<PyAny>) -> PyResult<PyHook> {
        let hook = PyFunctionHook::on_leaf(hook, this)?;
        this.get().0.add_accumulated_hook(hook).map(PyHook).map_err(to_python)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit_hooks(&self.0, &visit)
    }

    fn __clear__(&self) {
        self.0.clear_own_hooks();
    }

    /// The values as another tensor, off the tape. Assigning replaces the tensor's values, outside the tape.
    #[getter]
    fn data(&self) -> PyTensor {
        PyTensor(self.0.detach())
    }
    #[setter]
    fn set_data(&self, value: &Bound<'_, PyTensor>) -> PyResult<()> {
        self.0.set_data(value.get().0.array()).map_err(to_python)
    }

    /// The dimensions in reverse order.
    #[getter]
    #[allow(non_snake_case)]
    fn T(&self) -> Made {
        let n = self.0.shape().len();
        made(phynexus::permute(&self.0, &(0..n).rev().collect::<Vec<_>>()))
    }
    /// The last two dimensions exchanged: the transpose of each matrix.
    #[getter]
    #[allow(non_snake_case)]
    fn mT(&self) -> Made {
        let n = self.0.shape().len();
        if n < 2 {
            let text = format!("mT needs at least two dimensions, got shape {}", self.0.shape());
            return Err(pyo3::exceptions::PyValueError::new_err(text));
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.swap(n - 1, n - 2);
        made(phynexus::permute(&self.0, &order))
    }
}
