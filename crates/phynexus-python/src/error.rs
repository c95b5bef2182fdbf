//! Engine errors as Python exceptions, and how long work runs.

use phynexus::{Array, Error};
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The exception of that kind.
pub fn to_python(error: Error) -> PyErr {
    let make = match &error {
        Error::Value(_) => PyValueError::new_err::<String>,
        Error::Type(_) => PyTypeError::new_err::<String>,
        Error::Index(_) => PyIndexError::new_err::<String>,
        Error::Memory(_) => PyMemoryError::new_err::<String>,
        Error::Runtime(_) => PyRuntimeError::new_err::<String>,
    };
    make(error.message().to_string())
}

/// An engine error, or an exception that a Python callback raised on the way.
pub enum Failure {
    /// From the engine.
    Engine(Error),
    /// From Python.
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Engine(e)
    }
}

impl From<PyErr> for Failure {
    fn from(e: PyErr) -> Failure {
        Failure::Python(e)
    }
}

impl From<Failure> for PyErr {
    fn from(f: Failure) -> PyErr {
        match f {
            Failure::Engine(e) => to_python(e),
            Failure::Python(e) => e,
        }
    }
}

struct Work {
    /// How many calls of the engine are under way in this thread.
    depth: Cell<u32>,
    later: RefCell<VecDeque<Box<dyn FnOnce()>>>,
}

thread_local! {
    static WORK: Work = const { Work { depth: Cell::new(0), later: RefCell::new(VecDeque::new()) } };
}

/// Until it is dropped, what is given to [`later`] waits.
struct Working;

impl Working {
    fn begin() -> Working {
        WORK.with(|w| w.depth.set(w.depth.get() + 1));
        Working
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let take = |w: &Work| if w.depth.get() == 0 { w.later.borrow_mut().pop_front() } else { None };
        WORK.with(|w| w.depth.set(w.depth.get() - 1));
        while let Some(work) = WORK.with(take) {
            work();
        }
    }
}

/// Runs what may call Python when the engine has finished with what this thread asked it for: a step or a backward pass holds locks,
/// and neither waits for the GIL nor calls finalizers while it does.
pub fn later(work: impl FnOnce() + 'static) {
    let waits = WORK.try_with(|w| w.depth.get() > 0).unwrap_or(false);
    if waits { WORK.with(|w| w.later.borrow_mut().push_back(Box::new(work))) } else { work() }
}

/// Elements from which on the GIL is worth releasing: below, the work is shorter than the handover.
const LONG: usize = 16 * 1024;

/// Runs engine work on about so many elements, without the GIL if it is long.
pub fn run<T: Send>(
    py: Python<'_>,
    elements: usize,
    work: impl Send + FnOnce() -> phynexus::Result<T>,
) -> PyResult<T> {
    if elements < LONG {
        let _working = Working::begin();
        work().map_err(to_python)
    } else {
        detached(py, work)
    }
}

/// Reads an array, without the GIL where its device has to be waited for.
pub fn waiting<T: Send>(array: &Array, read: impl Send + FnOnce() -> phynexus::Result<T>) -> PyResult<T> {
    if array.device().host_pointer(array.buffer()).is_some() {
        return read().map_err(to_python);
    }
    Python::attach(|py| detached(py, read))
}

/// How many threads work without the GIL. Only threads that have it change this.
static DETACHED: AtomicUsize = AtomicUsize::new(0);

/// Whether a thread does engine work without the GIL.
pub fn is_detached() -> bool {
    DETACHED.load(Ordering::Acquire) > 0
}

/// Runs engine work without the GIL.
pub fn detached<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> phynexus::Result<T>) -> PyResult<T> {
    let _working = Working::begin();
    DETACHED.fetch_add(1, Ordering::AcqRel);
    // A panic must not unwind through the handover of the GIL.
    let result = py.detach(|| catch_unwind(AssertUnwindSafe(work)));
    DETACHED.fetch_sub(1, Ordering::AcqRel);
    match result {
        Ok(result) => result.map_err(to_python),
        Err(panic) => resume_unwind(panic),
    }
}
