//! What a step is given.

use super::numbers::line;
use crate::array::Array;
use crate::tensor::Tensor;
use parking_lot::Mutex;
use phynexus_core::{Error, Result, Value};

/// What a step is given.
#[derive(Clone, Copy, Default)]
pub struct Given<'a> {
    /// The hyperparameters.
    pub hyper: &'a [Value],
    /// For each extra operand a tensor for each member.
    pub extras: &'a [Vec<Option<Tensor>>],
    /// Only this member, if any.
    pub only: Option<usize>,
    /// The first of the numbers over all tensors, where they are known from elsewhere.
    pub known: &'a [f64],
    /// Where the device cannot be waited for: what it has been asked so far.
    pub answers: Option<&'a Answers>,
}

/// Numbers that a step has asked devices for which cannot be waited for, in the order in which it asks. The step stops where
/// it lacks some, and is made again once they have come: nothing has changed until it reaches its end.
#[derive(Default)]
pub struct Answers(Mutex<Told>);

#[derive(Default)]
struct Told {
    known: Vec<f64>,
    /// How many the step has used.
    used: usize,
    wanted: Vec<Array>,
}

impl Answers {
    /// The value of `array`: its device tells it at once, has told it, or will; then any number stands in for it.
    pub(super) fn number(&self, array: &Array) -> f64 {
        if let Ok(value) = array.first() {
            return value.as_f64();
        }
        let told = &mut *self.0.lock();
        told.used += 1;
        if let Some(&known) = told.known.get(told.used - 1) {
            return known;
        }
        told.wanted.push(array.clone());
        0.0
    }

    /// An error if the step goes on with numbers that are not known.
    pub(super) fn complete(&self) -> Result<()> {
        if self.0.lock().wanted.is_empty() {
            return Ok(());
        }
        Err(Error::Runtime("a step lacks numbers that its device has not told yet".into()))
    }

    /// What a step that stopped lacks, as one array; None if it lacks nothing.
    pub fn wanted(&self) -> Result<Option<Array>> {
        let wanted = std::mem::take(&mut self.0.lock().wanted);
        if wanted.is_empty() { Ok(None) } else { line(&wanted).map(Some) }
    }

    /// Adds what the device has told; the step can be made again.
    pub fn add(&self, numbers: impl IntoIterator<Item = f64>) {
        let mut told = self.0.lock();
        told.known.extend(numbers);
        told.used = 0;
    }
}
