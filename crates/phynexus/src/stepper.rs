//! The optimizer step: one formula over all tensors of a (group, dtype, device), in place, in one launch.

use crate::array::Array;
use crate::tensor::Tensor;
use phynexus_core::{DType, DeviceId, Error, Kernel, ReduceOp, Result, Shape, Spec, Task, Value, View};
use phynexus_formula::ops::Op as Row;
use phynexus_formula::{Formula, Hoisted, evaluate_scalars, hoist};
use smallvec::SmallVec;

/// An update rule bound to its tensors: inputs (p, g, states...), outputs (p, states...). Scalar 0 is the tensor's
/// own step count; the others are the hyperparameters.
pub struct Stepper {
    kernel: Kernel,
    host: Formula,
    /// Whether the formula reduces over the tensor.
    rows: bool,
    entries: Vec<Entry>,
    /// Of the parameters, their gradients, and each state.
    dtypes: SmallVec<[DType; 5]>,
}

struct Entry {
    param: Tensor,
    shape: Shape,
    states: SmallVec<[Tensor; 2]>,
    step: i64,
}

impl Stepper {
    /// Binds a formula; all parameters have one dtype, states have the dtypes that they are stored in.
    pub fn new(
        formula: &Formula,
        params: &[Tensor],
        states: &[Vec<Tensor>],
        steps: &[i64],
    ) -> Result<Stepper> {
        let Some(first) = params.first() else {
            return Err(Error::Value("a stepper needs at least one parameter".into()));
        };
        let dtype = first.dtype();
        let count = states.first().map_or(0, Vec::len);
        if formula.inputs().len() != count + 2
            || formula.outputs().len() != count + 1
            || formula.scalars().is_empty()
        {
            return Err(Error::Value(format!(
                "the formula has {} inputs, {} outputs and {} scalars; for {count} states it must take (p, g, *states) and the step \
                 count, and return (p, *states)",
                formula.inputs().len(),
                formula.outputs().len(),
                formula.scalars().len()
            )));
        }
        if params.len() != states.len() || params.len() != steps.len() {
            return Err(Error::Value(format!(
                "{} parameters, {} lists of states and {} step counts do not fit together",
                params.len(),
                states.len(),
                steps.len()
            )));
        }
        let stored: SmallVec<[DType; 2]> = states[0].iter().map(Tensor::dtype).collect();
        let mut entries = Vec::with_capacity(params.len());
        for ((param, states), &step) in params.iter().zip(states).zip(steps) {
            let (shape, own) = (param.shape(), param.dtype());
            let alike = |(s, &d): (&Tensor, &DType)| s.shape() == shape && s.dtype() == d;
            let fits = own == dtype && states.len() == count && states.iter().zip(&stored).all(alike);
            if !fits {
                let stored: Vec<String> = stored.iter().map(DType::to_string).collect();
                return Err(Error::Value(format!(
                    "a parameter of shape {shape} and {own} needs {count} states of its shape, stored as [{}], and the \
                     dtype {dtype} of the others",
                    stored.join(", ")
                )));
            }
            entries.push(Entry {
                param: param.clone(),
                shape,
                states: states.iter().cloned().collect(),
                step,
            });
        }
        let dtypes: SmallVec<[DType; 5]> = [dtype, dtype].into_iter().chain(stored).collect();
        let Hoisted { kernel, host } = hoist(formula);
        let (inputs, outputs) = (dtypes.to_vec(), dtypes[1..].to_vec());
        let kernel = Kernel::new(Spec::Map { formula: kernel, inputs, outputs });
        Ok(Stepper { kernel, host, rows: formula.reduces(), entries, dtypes })
    }

    /// The step counts.
    pub fn steps(&self) -> Vec<i64> {
        self.entries.iter().map(|e| e.step).collect()
    }

    /// Replaces the step counts.
    pub fn set_steps(&mut self, steps: &[i64]) -> Result<()> {
        if steps.len() != self.entries.len() {
            return Err(Error::Value(format!(
                "expected {} step counts, got {}",
                self.entries.len(),
                steps.len()
            )));
        }
        self.entries.iter_mut().zip(steps).for_each(|(e, &s)| e.step = s);
        Ok(())
    }

    /// Whether all parameters still have the dtype and shape that the stepper was made for.
    pub fn is_current(&self) -> bool {
        self.entries.iter().all(|e| {
            let state = e.param.state();
            state.array.dtype() == self.dtypes[0] && *state.array.shape() == e.shape
        })
    }

    /// Positions of parameters whose gradient holds a NaN or an infinity.
    pub fn nonfinite(&self) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        for (i, entry) in self.entries.iter().enumerate() {
            if let Some(grad) = entry.param.grad()
                && !all_finite(&grad.array())?
            {
                found.push(i);
            }
        }
        Ok(found)
    }

    /// Updates every parameter that has a gradient, and its states, in place; returns how many.
    pub fn step(&mut self, hyper: &[Value]) -> Result<usize> {
        if hyper.len() + 1 != self.host.scalars().len() {
            return Err(Error::Value(format!(
                "the formula takes {} hyperparameters, got {}",
                self.host.scalars().len() - 1,
                hyper.len()
            )));
        }
        let mut scalars: SmallVec<[Value; 12]> = SmallVec::new();
        scalars.push(Value::F(0.0));
        scalars.extend_from_slice(hyper);
        // Tensors that have made as many steps share the control table.
        let mut controls: SmallVec<[(i64, Vec<Value>); 1]> = SmallVec::new();
        let mut ready: SmallVec<[Ready; 8]> = SmallVec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(grad) = entry.param.grad() else { continue };
            let t = entry.step + 1;
            let control = controls.iter().position(|(known, _)| *known == t).unwrap_or_else(|| {
                scalars[0] = Value::F(t as f64);
                controls.push((t, evaluate_scalars(&self.host, &scalars)));
                controls.len() - 1
            });
            ready.push(Ready { index, control, arrays: self.arrays(entry, &grad)? });
        }
        let mut devices: SmallVec<[DeviceId; 1]> = SmallVec::new();
        for r in &ready {
            let id = r.arrays[0].device().id();
            if !devices.contains(&id) {
                devices.push(id);
                self.launch(&ready, &controls, id)?;
            }
        }
        for r in &ready {
            let entry = &mut self.entries[r.index];
            entry.step += 1;
            entry.param.renew_after_change();
            entry.states.iter().for_each(Tensor::renew_after_change);
        }
        Ok(ready.len())
    }

    /// (p, g, states...) of one tensor, all on its device and without gaps; as one row where the formula reduces.
    fn arrays(&self, entry: &Entry, grad: &Tensor) -> Result<SmallVec<[Array; 5]>> {
        let param = entry.param.array();
        let device = param.device();
        if !param.layout().is_contiguous() {
            return Err(Error::Runtime(format!(
                "a parameter of shape {} is not contiguous in memory; make it so with .data = p.contiguous()",
                param.shape()
            )));
        }
        let mut arrays: SmallVec<[Array; 5]> = SmallVec::new();
        arrays.push(param);
        arrays.push(grad.array().contiguous()?);
        for state in &entry.states {
            let mut array = state.array();
            if array.device().id() != device.id() || !array.layout().is_contiguous() {
                array = array.to_device(device)?.contiguous()?;
                state.set_array(array.clone());
            }
            arrays.push(array);
        }
        for (array, &dtype) in arrays.iter().zip(&self.dtypes) {
            if *array.shape() != entry.shape || array.dtype() != dtype {
                return Err(Error::Runtime(format!(
                    "a parameter, gradient or state of this step has shape {} and dtype {}; when the step was made it \
                     was {} and {dtype}",
                    array.shape(),
                    array.dtype(),
                    entry.shape
                )));
            }
        }
        if self.rows {
            let row = Shape::new(&[1, entry.shape.elements()])?;
            for array in &mut arrays {
                *array = array.reshape(row)?;
            }
        }
        Ok(arrays)
    }

    fn launch(&self, ready: &[Ready], controls: &[(i64, Vec<Value>)], device: DeviceId) -> Result<()> {
        type Views<'a> = SmallVec<[View<'a>; 5]>;
        let here = || ready.iter().filter(|r| r.arrays[0].device().id() == device);
        // The outputs are the operands without the gradient: (p, states...).
        let views: SmallVec<[(Views<'_>, Views<'_>); 8]> = here()
            .map(|r| {
                let inputs: Views<'_> = r.arrays.iter().map(Array::view).collect();
                let outputs = inputs.iter().enumerate().filter(|(k, _)| *k != 1).map(|(_, v)| *v).collect();
                (inputs, outputs)
            })
            .collect();
        let tasks: SmallVec<[Task<'_>; 8]> = views
            .iter()
            .zip(here())
            .map(|((inputs, outputs), r)| Task { inputs, outputs, scalars: &controls[r.control].1 })
            .collect();
        match tasks.first() {
            Some(task) => task.outputs[0].buffer.device().launch(&self.kernel, &tasks),
            None => Ok(()),
        }
    }
}

/// A tensor that takes part in a step.
struct Ready {
    index: usize,
    /// Which control table it uses.
    control: usize,
    arrays: SmallVec<[Array; 5]>,
}

/// Whether no element is NaN or infinite.
fn all_finite(array: &Array) -> Result<bool> {
    let finite = crate::api::unary(Row::IsFinite, &Tensor::new(array.clone()))?;
    Ok(finite.reduce(ReduceOp::All, None, false)?.array().first()?.as_i64() != 0)
}
