//! Engine errors as Python exceptions, and how long work runs.

use phynexus::{Array, Error};
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

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

/// Elements from which on the GIL is worth releasing: below, the work is shorter than the handover.
const LONG: usize = 16 * 1024;

/// Runs engine work on about so many elements, without the GIL if it is long.
pub fn run<T: Send>(
    py: Python<'_>,
    elements: usize,
    work: impl Send + FnOnce() -> phynexus::Result<T>,
) -> PyResult<T> {
    if elements < LONG { work().map_err(to_python) } else { detached(py, work) }
}

/// Reads an array, without the GIL where its device has to be waited for.
pub fn waiting<T: Send>(array: &Array, read: impl Send + FnOnce() -> phynexus::Result<T>) -> PyResult<T> {
    if array.device().host_pointer(array.buffer()).is_some() {
        return read().map_err(to_python);
    }
    Python::attach(|py| detached(py, read))
}

/// Runs engine work without the GIL.
pub fn detached<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> phynexus::Result<T>) -> PyResult<T> {
    // A panic must not unwind through the handover of the GIL.
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(result) => result.map_err(to_python),
        Err(panic) => resume_unwind(panic),
    }
}
