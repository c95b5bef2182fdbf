//! What of a tensor's state the host keeps.

use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::Arc;

/// How many steps a tensor has made, and its states that are numbers. Clones are the same: all steppers that are made for a
/// tensor, one after the other, share its counts.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<Values>>);

#[derive(Debug, Default)]
struct Values {
    step: i64,
    numbers: SmallVec<[f64; 2]>,
}

impl Counts {
    /// Counts with these values.
    pub fn new(step: i64, numbers: SmallVec<[f64; 2]>) -> Counts {
        Counts(Arc::new(Mutex::new(Values { step, numbers })))
    }
    /// How many steps were made.
    pub fn step(&self) -> i64 {
        self.0.lock().step
    }
    /// The states that are numbers.
    pub fn numbers(&self) -> SmallVec<[f64; 2]> {
        self.0.lock().numbers.clone()
    }
    /// Both, as they are at one moment.
    pub fn get(&self) -> (i64, SmallVec<[f64; 2]>) {
        let values = self.0.lock();
        (values.step, values.numbers.clone())
    }
    /// Replaces the count.
    pub fn set_step(&self, step: i64) {
        self.0.lock().step = step;
    }
    /// Replaces the states that are numbers.
    pub fn set_numbers(&self, numbers: SmallVec<[f64; 2]>) {
        self.0.lock().numbers = numbers;
    }
    /// Replaces both at one moment.
    pub fn set(&self, step: i64, numbers: SmallVec<[f64; 2]>) {
        *self.0.lock() = Values { step, numbers };
    }
}
