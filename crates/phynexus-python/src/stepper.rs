//! The optimizer step.

use crate::error::{detached, run, to_python};
use crate::formula::{PyFormula, reduction};
use crate::tensor::PyTensor;
use parking_lot::Mutex;
use phynexus::stepper::{
    Counts, Given, Join, Kept, Kind, Member, Number, Operand, Over, Rule, Stage, join, look, prepare, step,
};
use phynexus::{Stepper, Tensor, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::HashMap;

/// A traced update rule: a formula, what its operands and numbers are, its states, and the reductions that cut it.
#[pyclass(name = "Rule", module = "neurenix._phynexus", frozen)]
pub struct PyRule(Rule);

#[pymethods]
impl PyRule {
    #[new]
    #[pyo3(signature = (formula, inputs, numbers, states, stages, prepared=None))]
    fn new(
        formula: &Bound<'_, PyFormula>,
        inputs: Vec<(String, usize)>,
        numbers: Vec<(String, usize)>,
        states: Vec<String>,
        stages: Vec<(Bound<'_, PyFormula>, String, String)>,
        prepared: Option<(Bound<'_, PyFormula>, usize)>,
    ) -> PyResult<PyRule> {
        let stage = |(formula, op, over): (Bound<'_, PyFormula>, String, String)| {
            let over = Over::named(&over).map_err(to_python)?;
            Ok(Stage { formula: formula.get().0.clone(), op: reduction(&op)?, over })
        };
        let named = |(name, i): (String, usize)| Operand::named(&name, i).map_err(to_python);
        let number = |(name, i): (String, usize)| Number::named(&name, i).map_err(to_python);
        let kind = |name: String| Kind::named(&name).map_err(to_python);
        Ok(PyRule(Rule {
            formula: formula.get().0.clone(),
            prepared: prepared.map(|(formula, stages)| (formula.get().0.clone(), stages)),
            inputs: inputs.into_iter().map(named).collect::<PyResult<_>>()?,
            numbers: numbers.into_iter().map(number).collect::<PyResult<_>>()?,
            states: states.into_iter().map(kind).collect::<PyResult<_>>()?,
            stages: stages.into_iter().map(stage).collect::<PyResult<_>>()?,
            kept: Kept::default(),
        }))
    }
    /// The rule of a text, as `text` is one.
    #[staticmethod]
    fn parse(text: &str) -> PyResult<PyRule> {
        text.parse().map(PyRule).map_err(to_python)
    }
    /// The whole rule as text: one line for each node of its formulas.
    #[getter]
    fn text(&self) -> String {
        self.0.to_string()
    }
    /// The formula of the last launch, as it was traced.
    #[getter]
    fn formula(&self) -> PyFormula {
        PyFormula::new(self.0.formula.clone())
    }
    /// Whether some tensor operands differ along fewer dimensions than the parameter.
    #[getter]
    fn is_mixed(&self) -> bool {
        self.0.is_mixed()
    }
    /// Whether tensor code is given another gradient than the parameter's own.
    #[getter]
    fn prepares(&self) -> bool {
        self.0.prepared.is_some()
    }
    /// How many reductions cut it.
    #[getter]
    fn stages(&self) -> usize {
        self.0.stages.len()
    }
}

/// The step count of a parameter or a group, and its further numbers: the one place where they are kept.
#[pyclass(name = "Counts", module = "neurenix._phynexus", frozen)]
pub struct PyCounts(Counts);

#[pymethods]
impl PyCounts {
    #[new]
    #[pyo3(signature = (step=0, numbers=Vec::new()))]
    fn new(step: i64, numbers: Vec<f64>) -> PyCounts {
        PyCounts(Counts::new(step, numbers.into()))
    }
    /// How many steps were made.
    #[getter]
    fn step(&self) -> i64 {
        self.0.step()
    }
    #[setter]
    fn set_step(&self, step: i64) {
        self.0.set_step(step);
    }
    /// The further numbers; a copy.
    #[getter]
    fn numbers(&self) -> Vec<f64> {
        self.0.numbers().to_vec()
    }
    #[setter]
    fn set_numbers(&self, numbers: Vec<f64>) {
        self.0.set_numbers(numbers.into());
    }
}

/// Counts that are set when a step has been made, at the same moment as those of its tensors: the new count and numbers.
type Then<'py> = Vec<(Bound<'py, PyCounts>, i64, Vec<f64>)>;

fn set(then: Then<'_>) {
    for (counts, step, numbers) in then {
        counts.get().0.set(step, numbers.into());
    }
}

/// A rule bound to the tensors of one (group, dtype, device).
#[pyclass(name = "Stepper", module = "neurenix._phynexus", frozen)]
pub struct PyStepper {
    inner: Mutex<Stepper>,
    elements: usize,
}

type Extras<'py> = Vec<Vec<Option<Bound<'py, PyTensor>>>>;

fn extras(given: Option<Extras<'_>>) -> Vec<Vec<Option<Tensor>>> {
    let tensors =
        |of: Vec<Option<Bound<'_, PyTensor>>>| of.into_iter().map(|t| t.map(|t| t.get().0.clone())).collect();
    given.unwrap_or_default().into_iter().map(tensors).collect()
}

fn values(scalars: Vec<f64>) -> Vec<Value> {
    scalars.into_iter().map(Value::F).collect()
}

#[pymethods]
impl PyStepper {
    #[new]
    fn new(
        rule: &Bound<'_, PyRule>,
        params: Vec<Bound<'_, PyTensor>>,
        views: Vec<[usize; 3]>,
        states: Vec<Vec<Bound<'_, PyTensor>>>,
        counts: Vec<Bound<'_, PyCounts>>,
    ) -> PyResult<PyStepper> {
        let lengths = [views.len(), states.len(), counts.len()];
        if lengths.iter().any(|&n| n != params.len()) {
            return Err(PyValueError::new_err(format!(
                "{} parameters do not fit to {lengths:?} views, states and counts",
                params.len()
            )));
        }
        let mut members = Vec::with_capacity(params.len());
        for (((param, view), states), counts) in params.into_iter().zip(views).zip(states).zip(counts) {
            let states = states.iter().map(|t| t.get().0.clone()).collect();
            let counts = counts.get().0.clone();
            members.push(Member { param: param.get().0.clone(), view, states, counts });
        }
        let elements = members.iter().map(|m| m.param.shape().elements()).sum();
        let inner = Stepper::new(&rule.get().0, members).map_err(to_python)?;
        Ok(PyStepper { inner: Mutex::new(inner), elements })
    }
    /// The numbers over all tensors that the last step found.
    #[getter]
    fn shared(&self) -> Vec<f64> {
        self.inner.lock().shared().to_vec()
    }
    /// How the numbers over all tensors that the rule needs are joined; if there are any, `step_together` makes the steps.
    #[getter]
    fn joins(&self) -> Vec<String> {
        self.inner.lock().joins().iter().map(|join| join.name().to_string()).collect()
    }
    /// Positions of the parameters whose gradients hold a NaN or an infinity.
    fn nonfinite(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        detached(py, || self.inner.lock().nonfinite())
    }
    /// Positions of the parameters whose gradients are row-sparse.
    fn sparse(&self) -> Vec<usize> {
        self.inner.lock().sparse()
    }
    /// Whether dtype and shape of all parameters are still those that the stepper was made for.
    fn is_current(&self) -> bool {
        self.inner.lock().is_current()
    }
    /// Updates every parameter that has a gradient (or only one of them) and its states in place; returns how many. `known`
    /// are the first numbers over all tensors; `counts`, of the group, count the step at the same moment as those of the tensors.
    #[pyo3(signature = (scalars, extras=None, only=None, known=Vec::new(), counts=None))]
    fn step(
        &self,
        py: Python<'_>,
        scalars: Vec<f64>,
        extras: Option<Extras<'_>>,
        only: Option<usize>,
        known: Vec<f64>,
        counts: Option<&Bound<'_, PyCounts>>,
    ) -> PyResult<usize> {
        let (hyper, extras) = (values(scalars), self::extras(extras));
        let count = run(py, self.elements, || {
            self.inner.lock().step(Given {
                hyper: &hyper,
                extras: &extras,
                only,
                known: &known,
                ..Given::default()
            })
        })?;
        if let Some(counts) = counts {
            counts.get().0.set_step(counts.get().0.step() + 1);
        }
        Ok(count)
    }
    /// What one tensor gives to the next number over all tensors that is not known.
    fn look(&self, py: Python<'_>, scalars: Vec<f64>, only: usize, known: Vec<f64>) -> PyResult<Vec<f64>> {
        let hyper = values(scalars);
        let given = Given { hyper: &hyper, only: Some(only), known: &known, ..Given::default() };
        detached(py, || look(&self.inner.lock(), &given))
    }
    /// The gradient of one tensor that tensor code is given.
    fn prepare(
        &self,
        py: Python<'_>,
        scalars: Vec<f64>,
        only: usize,
        known: Vec<f64>,
    ) -> PyResult<Vec<(usize, PyTensor)>> {
        let hyper = values(scalars);
        let given = Given { hyper: &hyper, only: Some(only), known: &known, ..Given::default() };
        let mut found = detached(py, || prepare(&mut [(&mut *self.inner.lock(), given)]))?;
        Ok(found.remove(0).into_iter().map(|(i, t)| (i, PyTensor(t))).collect())
    }
}

type Together<'py> = Vec<(Bound<'py, PyStepper>, Vec<f64>, Option<Extras<'py>>)>;

/// Calls `work` with all steppers locked and what they are given.
fn together<T: Send>(
    py: Python<'_>,
    steppers: Together<'_>,
    work: impl FnOnce(&mut [(&mut Stepper, Given<'_>)]) -> phynexus::Result<T> + Send,
) -> PyResult<T> {
    for (i, (stepper, ..)) in steppers.iter().enumerate() {
        if steppers[..i].iter().any(|(other, ..)| other.is(stepper)) {
            return Err(PyValueError::new_err("a stepper is given twice"));
        }
    }
    let mut given = Vec::with_capacity(steppers.len());
    let mut elements = 0;
    for (stepper, scalars, further) in steppers {
        elements += stepper.get().elements;
        given.push((stepper.unbind(), values(scalars), extras(further)));
    }
    run(py, elements, || {
        // Two threads lock them in one order.
        let mut order: Vec<_> = given.iter().collect();
        order.sort_by_key(|(stepper, ..)| stepper.as_ptr() as usize);
        let mut locks: HashMap<usize, _> =
            order.into_iter().map(|(s, ..)| (s.as_ptr() as usize, s.get().inner.lock())).collect();
        let mut held: HashMap<usize, &mut Stepper> =
            locks.iter_mut().map(|(at, lock)| (*at, &mut **lock)).collect();
        let mut steps: Vec<(&mut Stepper, Given<'_>)> = given
            .iter()
            .filter_map(|(s, hyper, extras)| {
                let stepper = held.remove(&(s.as_ptr() as usize))?;
                Some((stepper, Given { hyper, extras, ..Given::default() }))
            })
            .collect();
        work(&mut steps)
    })
}

/// One step of several steppers, whose rules need numbers over the tensors of all of them; returns how many tensors. Each is
/// given as (stepper, scalars, extras or None); `then` is set with the counts of the tensors.
#[pyfunction]
#[pyo3(signature = (steppers, then=Vec::new()))]
fn step_together(py: Python<'_>, steppers: Together<'_>, then: Then<'_>) -> PyResult<usize> {
    let count = together(py, steppers, step)?;
    set(then);
    Ok(count)
}

/// For each stepper the gradients that the tensor code of its rule is given: (position of the tensor, gradient).
#[pyfunction]
fn prepare_together(py: Python<'_>, steppers: Together<'_>) -> PyResult<Vec<Vec<(usize, PyTensor)>>> {
    let found = together(py, steppers, prepare)?;
    let wrap = |of: Vec<(usize, Tensor)>| of.into_iter().map(|(i, t)| (i, PyTensor(t))).collect();
    Ok(found.into_iter().map(wrap).collect())
}

/// One number of many ("sum", "prod", "max", "min"; "norm" of norms), the same to the last bit whatever their order.
#[pyfunction]
fn join_numbers(op: &str, values: Vec<f64>) -> PyResult<f64> {
    let how = match Join::named(op) {
        Some(how) => how,
        None => Join::Reduced(reduction(op)?),
    };
    Ok(join(how, values))
}

/// Adds what this module defines.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyRule>()?;
    m.add_class::<PyStepper>()?;
    m.add_class::<PyCounts>()?;
    m.add_function(wrap_pyfunction!(join_numbers, m)?)?;
    m.add_function(wrap_pyfunction!(step_together, m)?)?;
    m.add_function(wrap_pyfunction!(prepare_together, m)?)
}
