//! Chooses between the interpreter and machine code for a formula, by measuring both.

use super::program::{Program, cell, cost};
use super::run;
use crate::jit;
use phynexus_core::{Buffer, DType, Layout, Once, Result, Shape, Task, Value, View};
use phynexus_formula::Formula;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Elements in a measurement; its operands stay in the level-2 cache.
const SAMPLE: usize = 4096;
/// Launches over more elements read from memory, where machine code wins: it needs no second look at anything.
pub(super) const STREAMS: usize = 1 << 20;
/// Formulas with more operands are interpreted.
const MOST: usize = 32;

/// The choice for one formula.
pub(super) struct Tuned {
    formula: Formula,
    inputs: Vec<DType>,
    outputs: Vec<DType>,
    code: Once<Option<Code>>,
}

/// Machine code for contiguous operands.
pub(super) struct Code {
    function: jit::Function,
    scalars: Vec<phynexus_formula::Type>,
    /// Whether it is faster than the interpreter inside the cache.
    wins: bool,
}

/// Whether all operands are contiguous.
pub(super) fn is_dense(task: &Task<'_>) -> bool {
    task.inputs.iter().chain(task.outputs).all(|view| view.layout.is_contiguous())
}

impl Tuned {
    pub fn new(formula: &Formula, inputs: &[DType], outputs: &[DType]) -> Tuned {
        let operands = inputs.len() + outputs.len();
        let steps = formula.nodes().iter().filter(|node| node.operands().next().is_some()).count();
        // A single step needs no code, unless it is a function of many instructions.
        let plain = steps < 2 && cost(formula) < 1_000;
        let interpreted = plain || operands > MOST || formula.scalars().len() > MOST;
        let code = if interpreted { Once::of(None) } else { Once::new() };
        let (inputs, outputs) = (inputs.to_vec(), outputs.to_vec());
        Tuned { formula: formula.clone(), inputs, outputs, code }
    }

    /// Machine code, where it is the better choice for a launch of `total` elements.
    pub fn code(&self, program: &Program, tasks: &[Task<'_>], total: usize) -> Option<&Code> {
        let code = match self.code.get() {
            Some(code) => code.as_ref()?,
            None if !tasks.iter().all(is_dense) => return None,
            None => self.code.get_or_init(|| self.compile(program)).as_ref()?,
        };
        (code.wins || total >= STREAMS).then_some(code)
    }

    fn compile(&self, program: &Program) -> Option<Code> {
        let function = jit::compile(&self.formula, &self.inputs, &self.outputs)?;
        let mut code = Code { function, scalars: self.formula.scalars().to_vec(), wins: true };
        code.wins = self.code_wins(program, &code).unwrap_or(true);
        Some(code)
    }

    /// Runs both over the same operands in the cache.
    fn code_wins(&self, program: &Program, code: &Code) -> Result<bool> {
        let dtypes = || self.inputs.iter().chain(&self.outputs);
        let mut buffers = vec![];
        for dtype in dtypes() {
            let buffer = Buffer::new(crate::cpu(), SAMPLE * dtype.size())?;
            // SAFETY: the buffer was made with that many bytes.
            unsafe { std::ptr::write_bytes(buffer.handle() as *mut u8, 0, buffer.bytes()) };
            buffers.push(buffer);
        }
        let layout = Layout::contiguous(Shape::new(&[SAMPLE])?);
        let views: Vec<View<'_>> = buffers
            .iter()
            .zip(dtypes())
            .map(|(buffer, &dtype)| View { buffer, dtype, layout: &layout })
            .collect();
        let (inputs, outputs) = views.split_at(self.inputs.len());
        let scalars = vec![Value::I(1); self.formula.scalars().len()];
        let task = Task { inputs, outputs, scalars: &scalars };
        let best = |f: &dyn Fn()| {
            let once = || {
                let start = Instant::now();
                f();
                start.elapsed()
            };
            (0..7).map(|_| once()).min().unwrap_or(Duration::MAX)
        };
        Ok(best(&|| code.run(&task, 0..SAMPLE)) <= best(&|| run::elements(program, &task, 0..SAMPLE)))
    }
}

impl Code {
    /// Runs it over a range of elements of a task with contiguous operands.
    pub fn run(&self, task: &Task<'_>, range: Range<usize>) {
        let mut operands = [std::ptr::null(); MOST];
        for (operand, view) in operands.iter_mut().zip(task.inputs.iter().chain(task.outputs)) {
            let start = view.layout.offset() * view.dtype.size();
            *operand = (view.buffer.handle() as *const u8).wrapping_add(start);
        }
        let mut scalars = [0; MOST];
        for ((word, ty), value) in scalars.iter_mut().zip(&self.scalars).zip(task.scalars) {
            *word = cell(*ty, *value);
        }
        // SAFETY: the operands are contiguous, of the dtypes that the function was compiled for, and have all
        // elements of the range; there are as many scalars as the formula has.
        unsafe { self.function.call(operands.as_ptr(), scalars.as_ptr(), range.start, range.end) };
    }
}
