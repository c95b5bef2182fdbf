//! Machine code for formulas over rows that stay in the level-1 cache.

use super::program::cell;
use super::{WHOLE_ROW, run};
use crate::jit;
use phynexus_core::{DType, Layout, Once, Task};
use phynexus_formula::{Formula, Rank, Type};
use std::ops::Range;

/// The machine code of a formula, once it has been asked for.
pub(super) struct CompiledRows {
    formula: Formula,
    inputs: Vec<DType>,
    outputs: Vec<DType>,
    code: Once<Option<Code>>,
}

/// Machine code for contiguous operands, of which some have one value for each row.
pub(super) struct Code {
    function: jit::RowFunction,
    /// Of inputs and outputs.
    by_row: Vec<bool>,
    scalars: Vec<Type>,
}

impl CompiledRows {
    pub fn new(formula: &Formula, inputs: &[DType], outputs: &[DType]) -> CompiledRows {
        let (inputs, outputs) = (inputs.to_vec(), outputs.to_vec());
        let code = if formula.reduces() { Once::new() } else { Once::of(None) };
        CompiledRows { formula: formula.clone(), inputs, outputs, code }
    }

    /// Machine code, where a launch may use it.
    pub fn code(&self, tasks: &[Task<'_>]) -> Option<&Code> {
        self.code.get_or_init(|| self.compile(tasks)).as_ref()
    }

    /// Code for operands like those of the task whose rows are longest: of rows of one element they say nothing.
    fn compile(&self, tasks: &[Task<'_>]) -> Option<Code> {
        let task = tasks.iter().max_by_key(|task| run::shape(task).last())?;
        let repeats =
            |layout: &Layout| layout.strides().last() == Some(&0) && layout.shape().last() > Some(&1);
        let mut by_row: Vec<bool> = task.inputs.iter().map(|view| repeats(view.layout)).collect();
        let function = jit::compile_rows(&self.formula, &self.inputs, &self.outputs, &by_row)?;
        by_row.extend(self.formula.outputs().iter().map(|&id| self.formula.rank(id) != Rank::Element));
        Some(Code { function, by_row, scalars: self.formula.scalars().to_vec() })
    }
}

impl Code {
    /// Whether the code knows operands like these.
    fn fits(&self, task: &Task<'_>, length: usize) -> bool {
        let inputs = task.inputs.len();
        let dense = |(k, layout): (usize, &Layout)| match self.by_row[k] {
            true if k < inputs => {
                layout.strides().last() == Some(&0)
                    && layout.slice(layout.shape().len() - 1, 0, 1, 1).is_contiguous()
            }
            _ => layout.is_contiguous(),
        };
        let layouts = task.inputs.iter().chain(task.outputs).map(|view| view.layout);
        length > 0
            && length <= WHOLE_ROW
            && length.is_multiple_of(self.function.lanes)
            && layouts.enumerate().all(dense)
    }

    /// Runs it over a range of rows of that length, if it can.
    pub fn run(&self, task: &Task<'_>, length: usize, rows: Range<usize>) -> bool {
        if !self.fits(task, length) {
            return false;
        }
        let mut operands = [std::ptr::null(); jit::OPERANDS];
        let views = task.inputs.iter().chain(task.outputs);
        for ((operand, view), &by_row) in operands.iter_mut().zip(views).zip(&self.by_row) {
            let first = view.layout.offset() + if by_row { rows.start } else { 0 };
            *operand = (view.buffer.handle() as *const u8).wrapping_add(first * view.dtype.size());
        }
        let mut kept = Vec::<f32>::with_capacity(self.function.kept * length);
        for (k, operand) in operands[self.by_row.len()..][..self.function.kept].iter_mut().enumerate() {
            *operand = kept.as_mut_ptr().wrapping_add(k * length).wrapping_sub(rows.start * length).cast();
        }
        let mut scalars = [0; jit::OPERANDS];
        for ((word, ty), value) in scalars.iter_mut().zip(&self.scalars).zip(task.scalars) {
            *word = cell(*ty, *value);
        }
        // SAFETY: the operands are as the function was compiled for and have all elements of the range.
        unsafe {
            let (start, end) = (rows.start * length, rows.end * length);
            self.function.call(operands.as_mut_ptr(), scalars.as_ptr(), start, end, length);
        }
        true
    }
}
