//! Steps of several steppers, whose rules may need numbers over the tensors of all of them.

use super::compile::Phase;
use super::{Given, Ready, Stepper};
use crate::array::Array;
use crate::tensor::Tensor;
use phynexus_core::{DType, Result};
use phynexus_formula::{Formula, Reduction, evaluate_scalars};
use smallvec::SmallVec;

type Gathered = SmallVec<[Vec<Ready>; 2]>;

/// One step of several steppers, whose rules may need numbers over the tensors of all of them; returns how many tensors.
pub fn step(steppers: &mut [(&mut Stepper, Given<'_>)]) -> Result<usize> {
    let ready = reduce(steppers, |stepper| stepper.phases.len())?;
    for ((stepper, given), ready) in steppers.iter_mut().zip(&ready) {
        if !ready.is_empty() {
            stepper.finish(ready)?;
        }
        stepper.shared.iter_mut().zip(given.known).for_each(|(shared, known)| *shared = *known);
    }
    Ok(ready.iter().map(Vec::len).sum())
}

/// For each stepper the gradients that the tensor code of its rule is given, with the positions of their tensors.
///
/// Steppers whose rules have no tensor code give their part to the numbers over all tensors.
pub fn prepare(steppers: &mut [(&mut Stepper, Given<'_>)]) -> Result<Vec<Vec<(usize, Tensor)>>> {
    let own = |stepper: &Stepper| stepper.prepared.as_ref().map(|(_, phases)| *phases);
    let needed = steppers.iter().filter_map(|(s, _)| Some(s.couplings(own(s)?))).max().unwrap_or(0);
    let enough =
        |s: &Stepper| (0..=s.phases.len()).find(|&at| s.couplings(at) == needed).unwrap_or(s.phases.len());
    let ready = reduce(steppers, |stepper| own(stepper).unwrap_or_else(|| enough(stepper)))?;
    steppers.iter().zip(&ready).map(|((stepper, _), ready)| stepper.prepare(ready)).collect()
}

/// For the next number over all tensors that is not known: what each of the stepper's tensors gives to it.
pub fn look(stepper: &Stepper, given: &Given<'_>) -> Result<Vec<f64>> {
    let mut ready = stepper.gather(given)?;
    let at = stepper.advance(given, &mut ready, 0, stepper.phases.len())?;
    match stepper.phases.get(at) {
        Some(Phase::Everywhere { host, .. }) => Ok(numbers(host, &ready)),
        _ => Ok(Vec::new()),
    }
}

fn numbers(host: &Formula, ready: &[Ready]) -> Vec<f64> {
    ready.iter().map(|r| evaluate_scalars(host, &r.numbers)[0].as_f64()).collect()
}

/// Runs the first phases of all steppers, as many as `count` says.
fn reduce(steppers: &mut [(&mut Stepper, Given<'_>)], count: impl Fn(&Stepper) -> usize) -> Result<Gathered> {
    let mut ready = Gathered::new();
    for (stepper, given) in steppers.iter() {
        ready.push(stepper.gather(given)?);
    }
    let mut at: SmallVec<[usize; 2]> = SmallVec::from_elem(0, steppers.len());
    loop {
        let mut values = Vec::new();
        let mut waiting: SmallVec<[usize; 2]> = SmallVec::new();
        let mut joined = Join::Reduced(Reduction::Sum);
        for (k, (stepper, given)) in steppers.iter().enumerate() {
            at[k] = stepper.advance(given, &mut ready[k], at[k], count(stepper))?;
            if let Some(Phase::Everywhere { host, join, .. }) = stepper.phases[..count(stepper)].get(at[k]) {
                waiting.push(k);
                joined = *join;
                values.extend(numbers(host, &ready[k]));
            }
        }
        if waiting.is_empty() {
            return Ok(ready);
        }
        let number = join(joined, values);
        for k in waiting {
            let stepper = &mut *steppers[k].0;
            let place = stepper.couplings(at[k]);
            stepper.shared[place] = number;
            stepper.share(at[k], number, &mut ready[k]);
            at[k] += 1;
        }
    }
}

/// How the numbers of tensors become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// A reduction.
    Reduced(Reduction),
    /// The Euclidean norm of norms.
    Norm,
}

impl Join {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Join> {
        if name == "norm" { Some(Join::Norm) } else { Reduction::named(name).map(Join::Reduced) }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Join::Reduced(op) => op.name(),
            Join::Norm => "norm",
        }
    }
}

/// One number of many, the same whatever their order.
pub fn join(how: Join, mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let op = match how {
        Join::Reduced(op) => op,
        Join::Norm => return norm(&values),
    };
    match op {
        Reduction::Sum => values.iter().sum(),
        Reduction::Prod => values.iter().product(),
        Reduction::Max | Reduction::Min if values.iter().any(|v| v.is_nan()) => f64::NAN,
        Reduction::Max => values.last().copied().unwrap_or(f64::NEG_INFINITY),
        Reduction::Min => values.first().copied().unwrap_or(f64::INFINITY),
    }
}

/// The Euclidean norm of norms in ascending order, also where their squares overflow or underflow.
fn norm(values: &[f64]) -> f64 {
    let largest = values.last().copied().unwrap_or(0.0);
    let scale = match largest {
        x if x < 1e-140 => 2f64.powi(600),
        x if x > 1e140 => 2f64.powi(-600),
        _ => 1.0,
    };
    values.iter().map(|v| (v * scale) * (v * scale)).sum::<f64>().sqrt() / scale
}

impl Stepper {
    /// For each tensor with a gradient its position and the gradient that tensor code is given.
    fn prepare(&self, ready: &[Ready]) -> Result<Vec<(usize, Tensor)>> {
        let Some((part, _)) = &self.prepared else { return Ok(Vec::new()) };
        let made = std::cell::RefCell::new(Vec::with_capacity(ready.len()));
        self.run(part, ready, |r| {
            let dtype = if self.dtype == DType::F64 { DType::F64 } else { DType::F32 };
            let array = Array::empty(self.shapes[r.index], dtype, r.param.device())?;
            made.borrow_mut().push((r.index, Tensor::new(array.clone())));
            Ok(SmallVec::from_iter([array]))
        })?;
        Ok(made.into_inner())
    }
}
