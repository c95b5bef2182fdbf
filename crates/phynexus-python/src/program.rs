//! Recorded programs.

use crate::error::{Failure, detached};
use crate::tensor::PyTensor;
use phynexus::{Array, Op, Program, Tensor};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// A recorded list of operations that can be replayed on other operands of the same shapes and dtypes.
#[pyclass(name = "Program", module = "neurenix._phynexus", frozen)]
pub struct PyProgram(Program);

#[pymethods]
impl PyProgram {
    fn __len__(&self) -> usize {
        self.0.len()
    }
    /// The names of the operations in order.
    fn names(&self) -> Vec<String> {
        self.0.names()
    }
    /// The outputs for these operands.
    fn replay(&self, py: Python<'_>, inputs: Vec<Bound<'_, PyTensor>>) -> PyResult<Vec<PyTensor>> {
        let inputs: Vec<Array> = inputs.iter().map(|t| t.get().0.array()).collect();
        let outputs = detached(py, || self.0.replay(&inputs))?;
        Ok(outputs.into_iter().map(|a| PyTensor(Tensor::new(a))).collect())
    }
}

/// Records what `function(*inputs)` does; tensors that come from outside become constants of the program.
#[pyfunction]
fn record(
    py: Python<'_>,
    function: &Bound<'_, PyAny>,
    inputs: Vec<Bound<'_, PyTensor>>,
) -> PyResult<PyProgram> {
    let tensors: Vec<Tensor> = inputs.iter().map(|t| t.get().0.clone()).collect();
    let call = || -> Result<Vec<Tensor>, Failure> {
        let result = function.call1(PyTuple::new(py, &inputs)?)?;
        if let Ok(t) = result.cast::<PyTensor>() {
            return Ok(vec![t.get().0.clone()]);
        }
        let mut outputs = Vec::new();
        for t in result.try_iter()? {
            outputs.push(t?.cast::<PyTensor>().map_err(PyErr::from)?.get().0.clone());
        }
        Ok(outputs)
    };
    Ok(PyProgram(phynexus::record(&tensors, call)?))
}

/// The names of all kinds of engine operation.
#[pyfunction]
fn operations() -> Vec<&'static str> {
    Op::VARIANTS.to_vec()
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(record, m)?)?;
    m.add_function(wrap_pyfunction!(operations, m)?)
}
