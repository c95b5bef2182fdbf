//! The optimizer step: one rule over all tensors of a (group, dtype, device), in place.
//!
//! A rule without reductions is one launch for all tensors. Reductions cut it into stages, and so does what rows or columns
//! need; neighbours that do not wait for each other become a launch before the last, which computes the elements anew, so
//! that nothing of a tensor's size is stored in between (sums along columns excepted).
//! Numbers (norms, states that are one number, what is made of them) are float64 on the host.

mod compile;
mod counts;
mod given;
mod numbers;
mod part;
mod rule;
mod text;
mod together;

use crate::array::Array;
use crate::gradient::Gradient;
use crate::op::Operation;
use crate::ops::reduce::Reduce;
use crate::tensor::Tensor;
use compile::{Phase, folding};
pub use counts::Counts;
pub use given::{Answers, Given};
use numbers::told;
use part::{Arrays, Job, Part};
use phynexus_core::{DType, Error, Result, Shape, Value};
use phynexus_formula::{Formula, evaluate_scalars};
pub use rule::{Extent, Kept, Kind, Number, Operand, Over, Rule, Stage};
use smallvec::SmallVec;
pub use together::{Join, join, look, prepare, step};

/// A tensor that a stepper works on.
pub struct Member {
    /// The parameter.
    pub param: Tensor,
    /// Its (batch, rows, columns), of as many elements.
    pub view: [usize; 3],
    /// The states that are tensors, in the rule's order.
    pub states: SmallVec<[Tensor; 2]>,
    /// How many steps it has made, and the states that are numbers, in the rule's order.
    pub counts: Counts,
}

/// An update rule bound to its tensors.
pub struct Stepper {
    rule: Rule,
    phases: Vec<Phase>,
    main: Part,
    /// States with fewer values than the tensor: which of the tensor states, and its new value.
    small: Vec<(usize, Extent, Part)>,
    /// The new values of the states that are numbers.
    host: Option<Formula>,
    entries: Vec<Member>,
    shapes: Vec<Shape>,
    /// Of the rule's operands.
    stored: Vec<DType>,
    /// Of the parameters.
    dtype: DType,
    /// Of the states that are tensors.
    kept: SmallVec<[DType; 2]>,
    /// How many states are numbers.
    count: usize,
    shared: Vec<f64>,
    /// Computes the gradient for tensor code, after so many phases.
    prepared: Option<(Part, usize)>,
}

/// A tensor that takes part in a step.
///
/// Its arrays are read once and checked. What another thread does to the tensors meanwhile has no effect on the step.
#[derive(Clone)]
struct Ready {
    index: usize,
    /// The steps made before this one.
    step: i64,
    param: Array,
    /// The states that are tensors.
    states: SmallVec<[Array; 2]>,
    /// The rule's operands, as far as they are known.
    arrays: SmallVec<[Option<Array>; 6]>,
    /// The rule's control table, as far as it is known.
    numbers: SmallVec<[Value; 12]>,
}

/// The sums of squares of a dtype in which what overflows and underflows does not matter, and the factors of elements whose
/// sum is not.
struct SafeSquares {
    least: f64,
    most: f64,
    up: f64,
    down: f64,
}

impl SafeSquares {
    fn of(dtype: DType) -> SafeSquares {
        let (least, most, up, down) =
            if dtype == DType::F64 { (-800, 1023, 700, -540) } else { (-60, 127, 90, -90) };
        let power = |exponent| 2f64.powi(exponent);
        SafeSquares { least: power(least), most: power(most), up: power(up), down: power(down) }
    }

    /// What elements are to be multiplied by, given the sum of their squares; NaN stays NaN.
    fn scale(&self, squares: f64) -> f64 {
        match squares {
            s if s < self.least => self.up,
            s if s > self.most => self.down,
            _ => 1.0,
        }
    }
}

impl Stepper {
    /// The step counts.
    pub fn steps(&self) -> Vec<i64> {
        self.entries.iter().map(|e| e.counts.step()).collect()
    }

    /// The states that are numbers, of each tensor.
    pub fn numbers(&self) -> Vec<Vec<f64>> {
        self.entries.iter().map(|e| e.counts.numbers().to_vec()).collect()
    }

    /// The numbers over all tensors that the last step found, in the order of the rule's stages.
    pub fn shared(&self) -> &[f64] {
        &self.shared
    }

    /// How the numbers over all tensors of the optimizer that the rule needs are joined.
    pub fn joins(&self) -> Vec<Join> {
        let joins = self
            .phases
            .iter()
            .filter_map(|p| if let Phase::Everywhere { join, .. } = p { Some(*join) } else { None });
        joins.collect()
    }

    /// Positions of the parameters whose gradient is row-sparse.
    pub fn sparse(&self) -> Vec<usize> {
        let has_rows = |entry: &Member| matches!(entry.param.state().grad, Some(Gradient::Rows(_)));
        self.entries.iter().enumerate().filter(|(_, entry)| has_rows(entry)).map(|(i, _)| i).collect()
    }

    /// Whether all parameters still have the dtype and shape that the stepper was made for.
    pub fn is_current(&self) -> bool {
        self.entries.iter().zip(&self.shapes).all(|(e, shape)| {
            let state = e.param.state();
            state.array.dtype() == self.dtype && state.array.shape() == shape
        })
    }

    /// Updates every parameter that has a gradient, and its states, in place; returns how many.
    pub fn step(&mut self, given: Given<'_>) -> Result<usize> {
        step(&mut [(self, given)])
    }

    /// The tensors that have a gradient, with the operands that are there before the step.
    fn gather(&self, given: &Given<'_>) -> Result<Vec<Ready>> {
        if given.hyper.len() != self.rule.hypers() {
            return Err(Error::Value(format!(
                "the formula takes {} hyperparameters, got {}",
                self.rule.hypers(),
                given.hyper.len()
            )));
        }
        let mut ready = Vec::with_capacity(self.entries.len());
        for (index, entry) in self.entries.iter().enumerate() {
            if given.only.is_some_and(|only| only != index) {
                continue;
            }
            let Some(grad) = entry.param.dense_grad()? else { continue };
            let (step, own) = entry.counts.get();
            if own.len() != self.count {
                return Err(Error::Runtime(format!(
                    "tensor {index} has {} numbers as states, and its rule {}",
                    own.len(),
                    self.count
                )));
            }
            let numbers = self.rule.numbers.iter().map(|number| match *number {
                Number::Step => Value::F((step + 1) as f64),
                Number::Hyper(i) => given.hyper[i],
                Number::Size(axis) => Value::F(entry.view[axis] as f64),
                Number::State(i) => Value::F(own[self.place(i)]),
                Number::Reduced(_) => Value::F(0.0),
                Number::Scale(_) => Value::F(1.0),
            });
            let numbers = numbers.collect();
            let (param, states) = self.own(index)?;
            let arrays = self.arrays(index, (&param, &states), &grad, given)?;
            ready.push(Ready { index, step, param, states, arrays, numbers });
        }
        Ok(ready)
    }

    /// The position of a state among those that are tensors, or among those that are numbers.
    fn place(&self, state: usize) -> usize {
        let number = |kind: &Kind| matches!(kind, Kind::Number);
        let own = number(&self.rule.states[state]);
        self.rule.states[..state].iter().filter(|kind| number(kind) == own).count()
    }

    /// The parameter and its states that are tensors: each is read once, then checked.
    fn own(&self, index: usize) -> Result<(Array, SmallVec<[Array; 2]>)> {
        let (entry, shape) = (&self.entries[index], &self.shapes[index]);
        let param = entry.param.array();
        self.check("a parameter", &param, self.dtype, *param.shape() == *shape, shape)?;
        if !param.layout().is_contiguous() {
            return Err(Error::Runtime(format!(
                "a parameter of shape {} is not contiguous in memory; make it so with .data = p.contiguous()",
                param.shape()
            )));
        }
        let device = param.device();
        let mut states = SmallVec::new();
        let kinds = self.rule.states.iter().filter(|kind| !matches!(kind, Kind::Number));
        for ((state, kind), &dtype) in entry.states.iter().zip(kinds).zip(&self.kept) {
            let mut array = state.array();
            let size = match *kind {
                Kind::Tensor(Extent::FULL) => None,
                Kind::Tensor(extent) => Some(extent.sizes(entry.view).iter().product()),
                Kind::Blocks(n) => Some(shape.elements().div_ceil(n)),
                Kind::Number => Some(0),
            };
            let fits = size.map_or_else(|| array.shape() == shape, |size| array.elements() == size);
            self.check("a state", &array, dtype, fits, shape)?;
            if array.device().id() != device.id() || !array.layout().is_contiguous() {
                array = array.to_device(device)?.contiguous()?;
                state.set_array(array.clone());
            }
            states.push(array);
        }
        Ok((param, states))
    }

    /// That an array still has the dtype and the size that the stepper was made for.
    fn check(&self, what: &str, array: &Array, dtype: DType, fits: bool, shape: &Shape) -> Result<()> {
        if fits && array.dtype() == dtype {
            return Ok(());
        }
        Err(Error::Runtime(format!(
            "{what} of this step has shape {} and dtype {}; when the step was made the parameter's shape was {shape}, and \
             the dtype {dtype}",
            array.shape(),
            array.dtype(),
        )))
    }

    /// The operands of one tensor, all on its device and without gaps.
    fn arrays(
        &self,
        index: usize,
        (param, states): (&Array, &[Array]),
        grad: &Tensor,
        given: &Given<'_>,
    ) -> Result<SmallVec<[Option<Array>; 6]>> {
        let shape = &self.shapes[index];
        let mut arrays = SmallVec::new();
        for (&operand, &dtype) in self.rule.inputs.iter().zip(&self.stored) {
            let (what, array) = match operand {
                Operand::Param => {
                    arrays.push(Some(param.clone()));
                    continue;
                }
                Operand::State(i) => {
                    arrays.push(Some(states[self.place(i)].clone()));
                    continue;
                }
                Operand::Reduced(_) => {
                    arrays.push(None);
                    continue;
                }
                Operand::Grad => ("a gradient", grad.array().contiguous()?),
                Operand::Extra(k) => {
                    match given.extras.get(k).and_then(|e| e.get(index)).and_then(|t| t.as_ref()) {
                        Some(tensor) => ("an extra operand", tensor.array().contiguous()?),
                        None if given.extras.is_empty() => {
                            arrays.push(None); // not needed before the last launch
                            continue;
                        }
                        None => {
                            return Err(Error::Value(format!(
                                "extra operand {k} of tensor {index} is missing"
                            )));
                        }
                    }
                }
            };
            self.check(what, &array, dtype, array.shape() == shape, shape)?;
            if array.device().id() != param.device().id() {
                return Err(Error::Runtime(format!(
                    "{what} of shape {shape} is on {}, its parameter on {}",
                    array.device().id(),
                    param.device().id()
                )));
            }
            arrays.push(Some(array));
        }
        Ok(arrays)
    }

    /// Runs a part over all tensors into these outputs.
    fn run(&self, part: &Part, ready: &[Ready], outputs: impl Fn(&Ready) -> Result<Arrays>) -> Result<()> {
        let common = self.rule.is_common();
        let mut tables: SmallVec<[(i64, Vec<Value>); 1]> = SmallVec::new();
        let mut which: SmallVec<[usize; 8]> = SmallVec::new();
        for r in ready {
            let known = if common { tables.iter().position(|(known, _)| *known == r.step) } else { None };
            which.push(known.unwrap_or_else(|| {
                tables.push((r.step, part.table(&r.numbers)));
                tables.len() - 1
            }));
        }
        let mut jobs: SmallVec<[Job<'_>; 8]> = SmallVec::new();
        for (r, table) in ready.iter().zip(which) {
            let inputs: Option<Arrays> = part.used().map(|slot| r.arrays[slot].clone()).collect();
            let inputs = inputs.ok_or_else(|| Error::Value("an extra operand is missing".into()))?;
            let view = self.entries[r.index].view;
            jobs.push(Job { inputs, outputs: outputs(r)?, view, table: &tables[table].1 });
        }
        part.launch(&jobs)
    }

    /// Runs phases from `at` up to the next number over all tensors that is not known, or to `end`; returns where.
    fn advance(&self, given: &Given<'_>, ready: &mut [Ready], mut at: usize, end: usize) -> Result<usize> {
        while let Some(phase) = self.phases[..end].get(at) {
            if !matches!(phase, Phase::Everywhere { .. }) {
                if !ready.is_empty() {
                    self.reduce(phase, ready, given.answers)?;
                    self.norms(phase, ready, given.answers)?;
                }
            } else if let Some(&number) = given.known.get(self.couplings(at)) {
                self.share(at, number, ready);
            } else {
                return Ok(at);
            }
            at += 1;
        }
        Ok(at)
    }

    /// How many numbers over all tensors come before a phase.
    fn couplings(&self, at: usize) -> usize {
        self.phases[..at].iter().filter(|p| matches!(p, Phase::Everywhere { .. })).count()
    }

    /// Tells all tensors a number over all tensors.
    fn share(&self, at: usize, number: f64, ready: &mut [Ready]) {
        let Phase::Everywhere { stage, .. } = self.phases[at] else { return };
        for (slot, n) in self.rule.numbers.iter().enumerate() {
            if *n == Number::Reduced(stage) {
                ready.iter_mut().for_each(|r| r.numbers[slot] = Value::F(number));
            }
        }
    }

    /// Runs one stage, or several that are one launch, over the tensors.
    fn reduce(&self, phase: &Phase, ready: &mut [Ready], answers: Option<&Answers>) -> Result<()> {
        let mut found: Vec<(usize, usize, Array)> = Vec::new(); // tensor, stage, result
        match phase {
            Phase::Fused { part, stages, .. } => {
                for (k, outputs) in self.make(phase, part, ready)?.into_iter().enumerate() {
                    found.extend(stages.clone().zip(outputs).map(|(stage, output)| (k, stage, output)));
                }
            }
            // One tensor after the other: what is stored in between is as large as the tensor.
            Phase::Folded { part, stage, op, axes, .. } => {
                let fold = Reduce { op: folding(*op), axes: axes.iter().copied().collect(), keepdim: true };
                for (k, r) in ready.iter().enumerate() {
                    let stored = self.make(phase, part, std::slice::from_ref(r))?.remove(0);
                    found.push((k, *stage, fold.run(&[&stored[0]])?.remove(0)));
                }
            }
            Phase::Everywhere { .. } => {}
        }
        self.keep(found, ready, answers)
    }

    /// Makes norms of a phase's sums of squares, which are computed again where squares overflowed or underflowed.
    fn norms(&self, phase: &Phase, ready: &mut [Ready], answers: Option<&Answers>) -> Result<()> {
        let (stages, dtypes) = match phase {
            Phase::Fused { stages, dtypes, .. } => (stages.clone(), dtypes.as_slice()),
            Phase::Folded { stage, dtype, .. } => (*stage..stage + 1, std::slice::from_ref(dtype)),
            Phase::Everywhere { .. } => return Ok(()),
        };
        let slot = |number| self.rule.numbers.iter().position(|n| *n == number);
        let found = stages.zip(dtypes).filter_map(|(stage, &dtype)| {
            Some((slot(Number::Reduced(stage))?, slot(Number::Scale(stage))?, SafeSquares::of(dtype)))
        });
        let norms: SmallVec<[(usize, usize, SafeSquares); 2]> = found.collect();
        if norms.is_empty() {
            return Ok(());
        }
        let mut again = Vec::new();
        for (k, r) in ready.iter_mut().enumerate() {
            let mut exact = true;
            for (sum, scale, safe) in &norms {
                let better = safe.scale(r.numbers[*sum].as_f64());
                exact &= better == 1.0;
                r.numbers[*scale] = Value::F(better);
            }
            if !exact {
                again.push((k, r.clone()));
            }
        }
        let (places, mut scaled): (Vec<usize>, Vec<Ready>) = again.into_iter().unzip();
        if !scaled.is_empty() {
            self.reduce(phase, &mut scaled, answers)?;
        }
        places.into_iter().zip(scaled).for_each(|(k, r)| ready[k] = r);
        for r in ready {
            for (sum, scale, _) in &norms {
                let (squares, scale) = (r.numbers[*sum].as_f64(), r.numbers[*scale].as_f64());
                r.numbers[*sum] = Value::F(squares.sqrt() / scale);
            }
        }
        Ok(())
    }

    /// Runs a part of a phase over the tensors into fresh memory.
    fn make(&self, phase: &Phase, part: &Part, ready: &[Ready]) -> Result<Vec<Arrays>> {
        let made = std::cell::RefCell::new(Vec::with_capacity(ready.len()));
        self.run(part, ready, |r| {
            let outputs = self.results(phase, r)?;
            made.borrow_mut().push(outputs.clone());
            Ok(outputs)
        })?;
        Ok(made.into_inner())
    }

    /// Fresh memory for what a phase computes for one tensor.
    fn results(&self, phase: &Phase, r: &Ready) -> Result<Arrays> {
        let entry = &self.entries[r.index];
        let make = |extent: Extent, dtype| {
            Array::empty(Shape::new(&extent.sizes(entry.view))?, dtype, r.param.device())
        };
        match phase {
            Phase::Fused { stages, dtypes, .. } => {
                stages.clone().zip(dtypes).map(|(stage, &dtype)| make(self.rule.kept(stage), dtype)).collect()
            }
            Phase::Folded { extent, dtype, .. } => Ok(SmallVec::from_iter([make(*extent, *dtype)?])),
            Phase::Everywhere { .. } => Ok(SmallVec::new()),
        }
    }

    /// Makes the results of stages operands or numbers of the stages that follow.
    fn keep(
        &self,
        found: Vec<(usize, usize, Array)>,
        ready: &mut [Ready],
        answers: Option<&Answers>,
    ) -> Result<()> {
        let (mut places, mut asked) = (Vec::new(), Vec::new());
        for (k, stage, result) in found {
            for (slot, operand) in self.rule.inputs.iter().enumerate() {
                if *operand == Operand::Reduced(stage) {
                    ready[k].arrays[slot] = Some(result.clone());
                }
            }
            for (slot, number) in self.rule.numbers.iter().enumerate() {
                if *number == Number::Reduced(stage) {
                    places.push((k, slot));
                    asked.push(result.clone());
                }
            }
        }
        let numbers = match answers {
            None => told(&asked)?,
            Some(answers) => asked.iter().map(|array| answers.number(array)).collect(),
        };
        for ((k, slot), number) in places.into_iter().zip(numbers) {
            ready[k].numbers[slot] = Value::F(number);
        }
        answers.map_or(Ok(()), Answers::complete)
    }

    /// The last launch, and the new states. Counts change at the end, after all that can fail.
    fn finish(&mut self, ready: &[Ready]) -> Result<()> {
        let mut fresh: Vec<(usize, Vec<Array>)> = Vec::new();
        for (place, extent, part) in &self.small {
            let made = std::cell::RefCell::new(Vec::with_capacity(ready.len()));
            self.run(part, ready, |r| {
                let sizes = extent.sizes(self.entries[r.index].view);
                let array = Array::empty(Shape::new(&sizes)?, self.kept[*place], r.param.device())?;
                made.borrow_mut().push(array.reshape(*r.states[*place].shape())?);
                Ok(SmallVec::from_iter([array]))
            })?;
            fresh.push((*place, made.into_inner()));
        }
        let small = |place: usize| self.small.iter().any(|(p, ..)| *p == place);
        self.run(&self.main, ready, |r| {
            let states = r.states.iter().enumerate().filter(|(place, _)| !small(*place));
            Ok(std::iter::once(r.param.clone()).chain(states.map(|(_, s)| s.clone())).collect())
        })?;
        for (n, r) in ready.iter().enumerate() {
            let entry = &self.entries[r.index];
            for (place, arrays) in &fresh {
                entry.states[*place].set_array(arrays[n].clone());
            }
            entry.param.renew_after_change_of(&r.param);
            for (place, (state, array)) in entry.states.iter().zip(&r.states).enumerate() {
                if !small(place) {
                    state.renew_after_change_of(array);
                }
            }
            match &self.host {
                None => entry.counts.set_step(r.step + 1),
                Some(host) => {
                    let new = evaluate_scalars(host, &r.numbers);
                    entry.counts.set(r.step + 1, new.into_iter().map(Value::as_f64).collect());
                }
            }
        }
        Ok(())
    }
}
