//! The optimizer step.

use crate::error::{detached, to_python};
use crate::formula::PyFormula;
use crate::tensor::PyTensor;
use parking_lot::Mutex;
use phynexus::{Stepper, Tensor, Value};
use pyo3::prelude::*;

/// One formula over the tensors of one (group, dtype, device): inputs (p, g, *states), outputs (p, *states). Scalar 0
/// of the formula is the tensor's own step count, counted here; the others are given at each step.
#[pyclass(name = "Stepper", module = "neurenix._phynexus", frozen)]
pub struct PyStepper {
    inner: Mutex<Stepper>,
    elements: usize,
}

#[pymethods]
impl PyStepper {
    #[new]
    fn new(
        formula: &Bound<'_, PyFormula>,
        params: Vec<Bound<'_, PyTensor>>,
        states: Vec<Vec<Bound<'_, PyTensor>>>,
        steps: Vec<i64>,
    ) -> PyResult<PyStepper> {
        let params: Vec<Tensor> = params.iter().map(|p| p.get().0.clone()).collect();
        let states: Vec<Vec<Tensor>> =
            states.iter().map(|s| s.iter().map(|t| t.get().0.clone()).collect()).collect();
        let elements = params.iter().map(|p| p.shape().elements()).sum();
        let inner = Stepper::new(&formula.get().0, &params, &states, &steps).map_err(to_python)?;
        Ok(PyStepper { inner: Mutex::new(inner), elements })
    }
    /// The step counts of the tensors.
    #[getter]
    fn steps(&self) -> Vec<i64> {
        self.inner.lock().steps()
    }
    #[setter]
    fn set_steps(&self, steps: Vec<i64>) -> PyResult<()> {
        self.inner.lock().set_steps(&steps).map_err(to_python)
    }
    /// Positions of the parameters whose gradients hold a NaN or an infinity.
    fn nonfinite(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        detached(py, || self.inner.lock().nonfinite())
    }
    /// Whether dtype and shape of all parameters are still those that the stepper was made for.
    fn is_current(&self) -> bool {
        self.inner.lock().is_current()
    }
    /// Updates every parameter that has a gradient and its states in place; returns how many.
    fn step(&self, py: Python<'_>, scalars: Vec<f64>) -> PyResult<usize> {
        let values: Vec<Value> = scalars.into_iter().map(Value::F).collect();
        crate::error::run(py, self.elements, || self.inner.lock().step(&values))
    }
}
