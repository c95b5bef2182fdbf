//! Gradients as functions, hooks, and recording on and off.

use crate::error::{detached, is_detached};
use crate::tensor::PyTensor;
use phynexus::{Error, GradientHook, Hook, HookHandle, Tensor};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyUserWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::pyclass::{PyTraverseError, PyVisit};
use pyo3::types::{PyTuple, PyWeakrefMethods, PyWeakrefReference};
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// An exception that a hook raised on its way through the engine, which knows only its text.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

const IN_HOOK: &str = "a hook raised an exception";

/// Keeps a hook's exception for [`raised`].
pub fn keep(e: PyErr) -> Error {
    RAISED.set(Some(e));
    Error::Runtime(IN_HOOK.into())
}

/// The exception that a hook raised, or the error itself.
fn raised(e: PyErr) -> PyErr {
    RAISED.take().unwrap_or(e)
}

/// A Python function as a hook: on a gradient, or on a leaf (this object, where it still lives) whose gradient was added to.
pub struct PyFunctionHook {
    function: Py<PyAny>,
    leaf: Option<Py<PyWeakrefReference>>,
}

impl PyFunctionHook {
    /// On a gradient.
    pub fn on_gradient(function: Py<PyAny>) -> Hook {
        Arc::new(PyFunctionHook { function, leaf: None })
    }

    /// On a leaf, which must not own itself through its hook.
    pub fn on_leaf(function: Py<PyAny>, leaf: &Bound<'_, PyTensor>) -> PyResult<Hook> {
        let leaf = Some(PyWeakrefReference::new(leaf)?.unbind());
        Ok(Arc::new(PyFunctionHook { function, leaf }))
    }

    fn run(&self, py: Python<'_>, tensor: &Tensor) -> PyResult<Option<Tensor>> {
        let object = match self.leaf.as_ref().and_then(|weak| weak.bind(py).upgrade()) {
            Some(object) => object,
            None => Bound::new(py, PyTensor(tensor.clone()))?.into_any(),
        };
        let result = self.function.call1(py, (object,))?;
        if self.leaf.is_some() || result.is_none(py) {
            return Ok(None);
        }
        match result.bind(py).cast::<PyTensor>() {
            Ok(t) => Ok(Some(t.get().0.clone())),
            Err(_) => Err(PyTypeError::new_err("a gradient hook must return a Tensor or None")),
        }
    }
}

impl GradientHook for PyFunctionHook {
    fn call(&self, tensor: &Tensor) -> phynexus::Result<Option<Tensor>> {
        Python::attach(|py| self.run(py, tensor)).map_err(keep)
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

/// Shows the garbage collector the functions that a tensor alone keeps alive. While work goes on without the GIL, which may begin to
/// keep a tensor alive at any time, it shows none: the collector looks twice and must see the same.
pub fn visit_hooks(tensor: &Tensor, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    let mut result = Ok(());
    if !is_detached() {
        tensor.see_own_hooks(&mut |hook| {
            let function =
                hook.as_any().and_then(|hook| hook.downcast_ref::<PyFunctionHook>()).map(|h| &h.function);
            if let (Some(function), true) = (function, result.is_ok()) {
                result = visit.call(function);
            }
        });
    }
    result
}

/// Names a hook on a tensor so that it can be removed.
#[pyclass(name = "Hook", module = "neurenix", frozen)]
pub struct PyHook(pub HookHandle);

#[pymethods]
impl PyHook {
    /// Removes the hook; doing so again does nothing.
    fn remove(&self) {
        self.0.remove();
    }
}

/// One tensor, or a sequence of them.
fn tensors(value: &Bound<'_, PyAny>) -> PyResult<Vec<Tensor>> {
    if let Ok(t) = value.cast::<PyTensor>() {
        return Ok(vec![t.get().0.clone()]);
    }
    value.try_iter()?.map(|t| Ok(t?.cast::<PyTensor>()?.get().0.clone())).collect()
}

fn maybe_tensors(value: Option<&Bound<'_, PyAny>>, count: usize) -> PyResult<Vec<Option<Tensor>>> {
    let Some(value) = value else { return Ok(vec![None; count]) };
    if let Ok(t) = value.cast::<PyTensor>() {
        return Ok(vec![Some(t.get().0.clone())]);
    }
    let one = |t: PyResult<Bound<'_, PyAny>>| -> PyResult<Option<Tensor>> {
        let t = t?;
        if t.is_none() { Ok(None) } else { Ok(Some(t.cast::<PyTensor>()?.get().0.clone())) }
    };
    value.try_iter()?.map(one).collect()
}

/// The gradients of `outputs` with respect to `inputs`.
#[pyfunction]
#[pyo3(signature = (outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=false, allow_unused=false))]
fn grad(
    py: Python<'_>,
    outputs: &Bound<'_, PyAny>,
    inputs: &Bound<'_, PyAny>,
    grad_outputs: Option<&Bound<'_, PyAny>>,
    retain_graph: Option<bool>,
    create_graph: bool,
    allow_unused: bool,
) -> PyResult<Py<PyAny>> {
    let (outputs, inputs) = (tensors(outputs)?, tensors(inputs)?);
    let grads = maybe_tensors(grad_outputs, outputs.len())?;
    if grads.len() != outputs.len() {
        let text = format!("grad: {} outputs need as many grad_outputs, got {}", outputs.len(), grads.len());
        return Err(PyValueError::new_err(text));
    }
    let retain = retain_graph.unwrap_or(create_graph);
    let found =
        detached(py, || phynexus::grad(&outputs, &inputs, &grads, retain, create_graph)).map_err(raised)?;
    if let (false, Some(i)) = (allow_unused, found.iter().position(Option::is_none)) {
        return Err(PyRuntimeError::new_err(format!(
            "grad: the outputs do not depend on input {i}; pass allow_unused=True to get None for it"
        )));
    }
    let found: Vec<Option<PyTensor>> = found.into_iter().map(|g| g.map(PyTensor)).collect();
    Ok(pyo3::types::PyTuple::new(py, found)?.into_any().unbind())
}

/// Adds the gradients of a tensor to its leaves.
pub fn backward(
    py: Python<'_>,
    root: &Tensor,
    gradient: Option<Tensor>,
    retain: bool,
    create: bool,
) -> PyResult<()> {
    if create {
        let text = c"backward(create_graph=True) leaves gradients that hold the graph and with it the tensors that hold them: memory \
            that is never freed, unless you set .grad = None after use; grad(..., create_graph=True) has no such cycle";
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), text, 1)?;
    }
    let root = std::slice::from_ref(root);
    detached(py, || phynexus::backward(root, &[gradient], retain, create)).map_err(raised)
}

/// The same with each of the optimizer's parameters handed to it as soon as its gradient is complete.
pub fn backward_into(
    root: &Tensor,
    gradient: Option<Tensor>,
    retain: bool,
    optimizer: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = optimizer.py();
    for name in [
        "param_groups",
        "_backward_begin",
        "_backward_look",
        "_backward_looked",
        "_backward_leaf",
        "_backward_end",
    ] {
        if !optimizer.hasattr(name)? {
            let kind = optimizer.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "backward: optimizer must be one of neurenix.optim, got {kind}, which has no {name}"
            )));
        }
    }
    let mut params: HashMap<usize, Py<PyAny>> = HashMap::new();
    for group in optimizer.getattr("param_groups")?.try_iter()? {
        for param in group?.get_item("params")?.try_iter()? {
            let param = param?;
            params.insert(param.cast::<PyTensor>()?.get().0.address(), param.unbind());
        }
    }
    let leaf = optimizer.getattr("_backward_leaf")?.unbind();
    let sink = |t: &Tensor| match params.get(&t.address()) {
        None => Ok(()),
        Some(param) => {
            let used = Python::attach(|py| leaf.call1(py, (param,))?.is_truthy(py)).map_err(keep)?;
            if used { t.set_grad(None) } else { Ok(()) }
        }
    };
    let looker = optimizer.getattr("_backward_look")?.unbind();
    let looking = |t: &Tensor| match params.get(&t.address()) {
        None => Ok(()),
        Some(param) => Python::attach(|py| looker.call1(py, (param,)).map(|_| ())).map_err(keep),
    };
    let optimizer_looked = optimizer.getattr("_backward_looked")?.unbind();
    let looks: usize = optimizer.call_method0("_backward_begin")?.extract()?;
    let root = std::slice::from_ref(root);
    let result = detached(py, || {
        for _ in 0..looks {
            phynexus::backward_look(root, std::slice::from_ref(&gradient), &looking)?;
            Python::attach(|py| optimizer_looked.call0(py).map(|_| ())).map_err(keep)?;
        }
        phynexus::backward_into(root, &[gradient], retain, &sink)
    })
    .map_err(raised);
    let error = result.as_ref().err().map(|e| e.clone_ref(py));
    match (optimizer.call_method1("_backward_end", (error,)), result) {
        (Ok(_), result) => result,
        (Err(late), first) => {
            late.set_cause(py, first.err());
            Err(late)
        }
    }
}

/// Whether this thread records operations.
#[pyfunction]
fn is_grad_enabled() -> bool {
    phynexus::grad_enabled()
}

/// Switches recording for this thread and returns what it was.
#[pyfunction]
fn set_grad(enabled: bool) -> bool {
    phynexus::set_grad_enabled(enabled)
}

/// Calls a function with recording switched for this thread, and switches it back whatever happens: no signal of Python's can
/// come in between.
#[pyfunction]
#[pyo3(signature = (enabled, function, *args))]
fn with_grad<'py>(
    enabled: bool,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let before = phynexus::set_grad_enabled(enabled);
    let result = function.call1(args);
    phynexus::set_grad_enabled(before);
    result
}

/// Whether a step of an optimizer runs.
#[pyclass(name = "StepScope", module = "neurenix._phynexus", frozen)]
pub struct PyStepScope(AtomicBool);

#[pymethods]
impl PyStepScope {
    #[new]
    fn new() -> PyStepScope {
        PyStepScope(AtomicBool::new(false))
    }
    /// Whether one does.
    #[getter]
    fn active(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    /// Calls a function that makes a step, without recording; the scope is active while it runs, and no longer whatever happens.
    #[pyo3(signature = (function, *args))]
    fn run<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let before = self.0.swap(true, Ordering::Relaxed);
        let result = with_grad(false, function, args);
        self.0.store(before, Ordering::Relaxed);
        result
    }
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyStepScope>()?;
    m.add_function(wrap_pyfunction!(with_grad, m)?)?;
    m.add_function(wrap_pyfunction!(grad, m)?)?;
    m.add_function(wrap_pyfunction!(is_grad_enabled, m)?)?;
    m.add_function(wrap_pyfunction!(set_grad, m)?)
}
