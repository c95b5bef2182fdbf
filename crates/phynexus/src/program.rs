//! Recorded lists of operations: the same values that the tape keeps, replayed on other operands.

use crate::array::Array;
use crate::op::{Few, Op, Operation, same_device};
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, Result, Shape};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(false) };
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// One step: an operation and the numbers of its operands and results.
#[derive(Clone, Debug)]
struct Step {
    op: Op,
    inputs: SmallVec<[usize; 3]>,
    outputs: Few<usize>,
}

/// A recorded list of operations. Values have numbers: operands first, then as they were made.
#[derive(Clone, Debug)]
pub struct Program {
    inputs: Vec<(Shape, DType)>,
    constants: Vec<(usize, Array)>,
    steps: Vec<Step>,
    outputs: Vec<usize>,
    values: usize,
}

#[derive(Default)]
struct Recorder {
    /// By the address of their arrays: a detached tensor, or a value that the tape saved, is the same value.
    numbers: HashMap<usize, usize>,
    /// Keeps every array seen alive, so that none can take another's address.
    seen: Vec<Array>,
    constants: Vec<(usize, Array)>,
    steps: Vec<Step>,
}

impl Recorder {
    fn add(&mut self, t: &Tensor) -> usize {
        let (number, array) = (self.seen.len(), t.array());
        self.numbers.insert(array.address(), number);
        self.seen.push(array);
        number
    }
    fn find(&mut self, t: &Tensor) -> usize {
        if let Some(&number) = self.numbers.get(&t.array().address()) {
            return number;
        }
        let number = self.add(t);
        self.constants.push((number, t.array()));
        number
    }
}

/// Whether this thread records a program.
pub(crate) fn recording() -> bool {
    RECORDING.get()
}

/// Adds a step.
pub(crate) fn note(op: &Op, inputs: &[&Tensor], outputs: &[Tensor]) -> Result<()> {
    if matches!(op, Op::Nonzero(_)) {
        return Err(Error::Runtime(
            "nonzero, and a mask as an index, have results whose shape depends on values: that cannot be recorded; use where()"
                .into(),
        ));
    }
    RECORDER.with_borrow_mut(|slot| {
        if let Some(r) = slot {
            let inputs = inputs.iter().map(|t| r.find(t)).collect();
            let outputs = outputs.iter().map(|t| r.add(t)).collect();
            r.steps.push(Step { op: op.clone(), inputs, outputs });
        }
    });
    Ok(())
}

/// An error while a program is recorded for a tensor that it computes: whoever reads its values would record what he
/// does with them, which other values would not lead to.
pub fn forbid_reading(t: &Tensor, what: &str) -> Result<()> {
    if !recording() {
        return Ok(());
    }
    let address = t.array().address();
    let computed = RECORDER.with_borrow(|slot| {
        slot.as_ref().is_some_and(|r| {
            let number = r.numbers.get(&address);
            number.is_some_and(|n| !r.constants.iter().any(|(constant, _)| constant == n))
        })
    });
    if computed {
        return Err(Error::Runtime(format!(
            "{what}: values that a recorded program computes cannot be read while it is recorded; keep to operations of tensors"
        )));
    }
    Ok(())
}

/// An error while a program is recorded: it is a list of values, and a change in place makes none.
pub(crate) fn forbid(what: &str) -> Result<()> {
    if recording() {
        return Err(Error::Runtime(format!(
            "{what}: a change in place cannot be recorded; write it as a new value (a = a + b instead of a += b)"
        )));
    }
    Ok(())
}

/// Ends the recording whatever happens in between.
struct Session;

impl Session {
    fn start() -> Result<Session> {
        if recording() {
            return Err(Error::Runtime("a program is being recorded already".into()));
        }
        RECORDER.set(Some(Recorder::default()));
        RECORDING.set(true);
        Ok(Session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        RECORDING.set(false);
        RECORDER.take();
    }
}

/// Records what `function` does with `inputs`; tensors that come from outside are constants of the program.
pub fn record<E: From<Error>>(
    inputs: &[Tensor],
    function: impl FnOnce() -> std::result::Result<Vec<Tensor>, E>,
) -> std::result::Result<Program, E> {
    let session = Session::start()?;
    RECORDER.with_borrow_mut(|slot| {
        if let Some(r) = slot {
            for t in inputs {
                r.add(t);
            }
        }
    });
    let outputs = function()?;
    let program = RECORDER.with_borrow_mut(|slot| {
        let r = slot.as_mut()?;
        let outputs = outputs.iter().map(|t| r.find(t)).collect();
        let inputs = inputs.iter().map(|t| (t.shape(), t.dtype())).collect();
        let (constants, steps) = (std::mem::take(&mut r.constants), std::mem::take(&mut r.steps));
        Some(Program { inputs, constants, steps, outputs, values: r.seen.len() })
    });
    drop(session);
    program.ok_or_else(|| Error::Runtime("the recording was lost".into()).into())
}

impl Program {
    /// The number of operations.
    pub fn len(&self) -> usize {
        self.steps.len()
    }
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
    /// The names of the operations in order.
    pub fn names(&self) -> Vec<String> {
        self.steps.iter().map(|s| s.op.name().to_string()).collect()
    }

    /// Runs the operations on other operands of the same shapes and dtypes.
    pub fn replay(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let given: Vec<(Shape, DType)> = inputs.iter().map(|a| (*a.shape(), a.dtype())).collect();
        if given != self.inputs {
            return Err(Error::Value(format!("replay: the program takes {:?}, got {given:?}", self.inputs)));
        }
        let mut values: Vec<Option<Array>> = vec![None; self.values];
        for (slot, input) in values.iter_mut().zip(inputs) {
            *slot = Some(input.clone());
        }
        for (number, constant) in &self.constants {
            values[*number] = Some(constant.clone());
        }
        let get = |values: &[Option<Array>], i: usize| -> Result<Array> {
            values[i]
                .clone()
                .ok_or_else(|| Error::Runtime(format!("replay: value {i} is used before it is made")))
        };
        for step in &self.steps {
            let operands: Result<SmallVec<[Array; 3]>> =
                step.inputs.iter().map(|&i| get(&values, i)).collect();
            let operands = operands?;
            for other in operands.iter().skip(1) {
                same_device(step.op.name(), &operands[0], other)?;
            }
            let refs: SmallVec<[&Array; 3]> = operands.iter().collect();
            for (&number, array) in step.outputs.iter().zip(step.op.run(&refs)?) {
                values[number] = Some(array);
            }
        }
        self.outputs.iter().map(|&i| get(&values, i)).collect()
    }
}
