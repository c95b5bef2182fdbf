//! Runs programs over parts of a task, on the calling thread.

use super::loops::Args;
use super::operand::Operand;
use super::program::{Home, Instruction, Pass, Program, Rows, Space, cell};
use phynexus_core::{DType, Task, Value};
use std::cell::RefCell;
use std::ops::Range;

/// Elements in a piece of a row that is many blocks: the unit of work and of the tree of partial results.
pub(super) const PIECE: usize = 16 << 10;

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line {
    _bytes: [u8; 64],
}

/// What a thread needs to run programs, kept from launch to launch.
struct Scratch {
    operands: Vec<Operand>,
    slots: Vec<*mut u8>,
    memory: Vec<Line>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { operands: Vec::new(), slots: Vec::new(), memory: Vec::new() }) };
}

/// What the registers must hold: rows and elements of a block; and how long a row is.
#[derive(Clone, Copy)]
struct Extent {
    rows: usize,
    elements: usize,
    len: usize,
}

/// A program with its operands.
struct Frame<'a> {
    program: &'a Program,
    operands: &'a mut Vec<Operand>,
    slots: &'a mut Vec<*mut u8>,
    /// Where the registers begin, and how many elements they hold.
    registers: *mut u8,
    capacity: usize,
    inputs: usize,
}

/// Runs an elementwise program over a range of elements.
pub(super) fn elements(program: &Program, task: &Task<'_>, range: Range<usize>) {
    let extent = Extent { rows: 1, elements: range.len().min(program.block), len: 0 };
    Frame::of_task(program, task, extent, None, |frame| {
        // Blocks that end where rows end let operands that repeat for each row be read in place.
        let row = shape(task).last().copied().unwrap_or(1);
        let aligned = row >= 128 && frame.operands.iter().any(|o| !o.is_dense());
        frame.elements(range, if aligned { row } else { usize::MAX });
    });
}

/// Runs an elementwise program of one input and one output over `n` values of that type, in place.
///
/// # Safety
/// `at` must hold the values, and nobody else use them.
pub(super) unsafe fn in_place(program: &Program, dtype: DType, at: *mut u8, n: usize) {
    let extent = Extent { rows: 1, elements: n.min(program.block), len: 0 };
    let operands = |to: &mut Vec<Operand>| to.extend([(); 2].map(|()| Operand::dense(at, dtype, n)));
    Frame::with(program, operands, &[], extent, None, |frame| frame.elements(0..n, usize::MAX));
}

/// Runs a program over whole rows of `len` elements: as many at a time as fit into a block, or one.
pub(super) fn rows(program: &Program, task: &Task<'_>, len: usize, range: Range<usize>) {
    let fit = if program.rows == Rows::Many { program.block / len.max(1) } else { 1 };
    let step = fit.clamp(1, range.len().max(1));
    let extent = Extent { rows: step, elements: step * len, len };
    Frame::of_task(program, task, extent, None, |frame| {
        let mut row = range.start;
        while row < range.end {
            let count = step.min(range.end - row);
            let (at, n) = (row * len, count * len);
            for pass in &program.passes {
                frame.enter_inputs(pass, at, n);
            }
            frame.enter_outputs(at, n);
            for pass in &program.passes {
                frame.execute(&pass.rows, count, len, 0);
                frame.compute(pass, count, len, 0);
            }
            frame.leave(at, n);
            frame.store_rows(row, count);
            row += count;
        }
    });
}

/// Calls a function for each number below the first argument, perhaps on several threads.
pub(super) type Each<'a> = &'a dyn Fn(usize, &(dyn Fn(usize) + Sync));

/// Runs a program over one row that is many blocks: each pass over its pieces, by `each(pieces, work on a piece)`.
pub(super) fn long_row(program: &Program, task: &Task<'_>, len: usize, row: usize, each: Each<'_>) {
    let mut values = vec![0u64; program.row_values];
    let shared = Shared(values.as_mut_ptr());
    let pieces = len.div_ceil(PIECE);
    let single = Extent { rows: 1, elements: 0, len };
    for pass in &program.passes {
        Frame::of_task(program, task, single, Some(&shared), |frame| frame.execute(&pass.rows, 1, len, 0));
        if pass.elements.is_empty() && pass.reductions.is_empty() {
            continue;
        }
        let count = pass.reductions.len();
        let mut partial = vec![0u64; count * pieces];
        let partials = Shared(partial.as_mut_ptr());
        each(pieces, &|piece| {
            let range = piece * PIECE..((piece + 1) * PIECE).min(len);
            let extent = Extent { elements: program.block, ..single };
            Frame::of_task(program, task, extent, Some(&shared), |frame| {
                frame.piece(pass, row * len, range.clone(), |k, bits, fold| {
                    // SAFETY: each piece has its own place for each reduction.
                    let sum = unsafe { &mut *partials.at(k * pieces + piece) };
                    *sum = fold.map_or(bits, |join| join(*sum, bits));
                });
            });
        });
        for (k, reduction) in pass.reductions.iter().enumerate() {
            let result = reduction.fold.tree(&mut partial[k * pieces..(k + 1) * pieces]);
            // SAFETY: no piece runs now.
            unsafe { *shared.at(reduction.to as usize) = result };
        }
    }
    Frame::of_task(program, task, single, Some(&shared), |frame| frame.store_rows(row, 1));
}

/// The shape that all operands are broadcast to.
pub(super) fn shape<'a>(task: &Task<'a>) -> &'a [usize] {
    task.inputs.first().or(task.outputs.first()).map_or(&[], |view| view.layout.shape())
}

/// Words that the pieces of a row share.
struct Shared(*mut u64);

// SAFETY: pieces write different words, and row values only while no piece runs.
unsafe impl Sync for Shared {}

impl Shared {
    fn at(&self, i: usize) -> *mut u64 {
        self.0.wrapping_add(i)
    }
}

impl Frame<'_> {
    fn of_task(
        program: &Program,
        task: &Task<'_>,
        extent: Extent,
        shared: Option<&Shared>,
        f: impl FnOnce(&mut Frame<'_>),
    ) {
        let operands =
            |to: &mut Vec<Operand>| to.extend(task.inputs.iter().chain(task.outputs).map(Operand::new));
        Frame::with(program, operands, task.scalars, extent, shared, f);
    }

    /// Binds operands on this thread's scratch memory. Row values are kept there too unless they are shared.
    fn with(
        program: &Program,
        bind: impl FnOnce(&mut Vec<Operand>),
        scalars: &[Value],
        extent: Extent,
        shared: Option<&Shared>,
        f: impl FnOnce(&mut Frame<'_>),
    ) {
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { operands, slots, memory } = scratch;
            operands.clear();
            bind(operands);
            slots.clear();
            slots.resize(operands.len(), std::ptr::null_mut());
            let capacity = extent.elements.next_multiple_of(64);
            let row_bytes = (extent.rows * 8).next_multiple_of(64);
            let tables = program.cells + program.homes.len();
            let fixed = (tables * 8).next_multiple_of(64) + program.row_values * row_bytes;
            let lines = (fixed + program.bytes * capacity).div_ceil(64);
            if memory.len() < lines {
                memory.resize(lines, Line { _bytes: [0; 64] });
            }
            let base = memory.as_mut_ptr().cast::<u8>();
            let row_base = base.wrapping_add((tables * 8).next_multiple_of(64));
            let registers = base.wrapping_add(fixed);
            for (k, home) in program.homes.iter().enumerate() {
                let own = base.wrapping_add((program.cells + k) * 8);
                let set = |value: u64| {
                    // SAFETY: `fixed` has room for a word for each cell and each home.
                    unsafe { own.cast::<u64>().write(value) };
                    own
                };
                slots.push(match home {
                    Home::Constant(bits) => std::ptr::from_ref(bits).cast_mut().cast(), // never written
                    Home::Table(slot, ty) => set(cell(*ty, scalars[*slot as usize])),
                    Home::Length => set(extent.len as u64),
                    Home::Cell(cell) => base.wrapping_add(*cell as usize * 8),
                    Home::Row(row) => match shared {
                        Some(shared) => shared.at(*row as usize).cast(),
                        None => row_base.wrapping_add(*row as usize * row_bytes),
                    },
                    Home::Register(place) => registers.wrapping_add(place * capacity),
                });
            }
            let mut frame =
                Frame { program, operands, slots, registers, capacity, inputs: program.buffers.len() };
            frame.execute(&program.launch, 1, 1, 0);
            f(&mut frame);
        });
    }

    /// Runs the only pass over a range of elements, in blocks that end at multiples of `row`.
    fn elements(&mut self, range: Range<usize>, row: usize) {
        let pass = &self.program.passes[0];
        let mut at = range.start;
        while at < range.end {
            let n = self.program.block.min(range.end - at).min(row - at % row);
            self.enter(pass, at, n);
            self.compute(pass, 1, n, at);
            self.leave(at, n);
            at += n;
        }
    }

    /// The elements of a pass.
    #[inline]
    fn compute(&mut self, pass: &Pass, rows: usize, len: usize, first: usize) {
        // SAFETY: the slots are those of the program that the pass belongs to, for so many elements.
        let coded = pass.slice.as_ref().is_some_and(|slice| unsafe { slice.run(self.slots, rows * len) });
        self.execute(&pass.elements[if coded { pass.computed } else { 0 }..], rows, len, first);
    }

    #[inline]
    fn execute(&mut self, list: &[Instruction], rows: usize, len: usize, first: usize) {
        let slots = &self.slots[..];
        for instruction in list {
            let n = match instruction.space {
                Space::Launch => 1,
                Space::Row => rows,
                Space::Element => rows * len,
            };
            let [a, b, c] = instruction.from.map(|slot| slots[slot as usize].cast_const());
            let args = Args { out: slots[instruction.out as usize], a, b, c, n, rows, len, first };
            // SAFETY: the compiler of the program made the slots as large and of the types that the loop needs.
            unsafe { (instruction.run)(&args) };
        }
    }

    #[inline]
    fn enter(&mut self, pass: &Pass, at: usize, n: usize) {
        self.enter_inputs(pass, at, n);
        if pass.writes {
            self.enter_outputs(at, n);
        }
    }

    /// Makes the slots of the pass's inputs hold elements `at` to `at + n`.
    #[inline]
    fn enter_inputs(&mut self, pass: &Pass, at: usize, n: usize) {
        for &slot in &pass.inputs {
            let k = slot as usize;
            self.slots[k] = self.operands[k].direct(at, n).unwrap_or_else(|| {
                let buffer = self.registers.wrapping_add(self.program.buffers[k] * self.capacity);
                // SAFETY: the view was checked when it was made, and the register holds `capacity >= n` values.
                unsafe { self.operands[k].load(at, n, buffer) };
                buffer
            });
        }
    }

    /// Makes the slots of the outputs take elements `at` to `at + n`: in place where nobody reads there later.
    #[inline]
    fn enter_outputs(&mut self, at: usize, n: usize) {
        for (k, output) in self.program.outputs.iter().enumerate().filter(|(_, output)| output.row.is_none())
        {
            let operand = &self.operands[self.inputs + k];
            let free = output.conflicts.iter().all(|&i| !self.operands[i as usize].meets(operand));
            let direct = if free { operand.direct(at, n) } else { None };
            let buffer = self.registers.wrapping_add(output.buffer * self.capacity);
            self.slots[self.inputs + k] = direct.unwrap_or(buffer);
        }
    }

    /// Stores outputs that were not written in place.
    #[inline]
    fn leave(&mut self, at: usize, n: usize) {
        for (k, output) in self.program.outputs.iter().enumerate().filter(|(_, output)| output.row.is_none())
        {
            let buffer = self.registers.wrapping_add(output.buffer * self.capacity);
            if self.slots[self.inputs + k] == buffer {
                // SAFETY: as for loading; kernels write each element from one place only.
                unsafe { self.operands[self.inputs + k].store(at, n, buffer) };
            }
        }
    }

    /// Stores outputs that have one value for each row.
    fn store_rows(&mut self, row: usize, count: usize) {
        for (k, output) in self.program.outputs.iter().enumerate() {
            if let Some(slot) = output.row {
                // SAFETY: the output has an element for each row, the slot a value.
                unsafe { self.operands[self.inputs + k].store(row, count, self.slots[slot as usize]) };
            }
        }
    }

    /// Runs one pass over a part of the row that begins at element `base`. Each block's partial results go to
    /// `sum(number, bits, how to join them with what is there, if anything is)`.
    fn piece(
        &mut self,
        pass: &Pass,
        base: usize,
        range: Range<usize>,
        mut sum: impl FnMut(usize, u64, Option<fn(u64, u64) -> u64>),
    ) {
        let mut at = range.start;
        while at < range.end {
            let n = self.program.block.min(range.end - at);
            self.enter(pass, base + at, n);
            self.compute(pass, 1, n, at);
            for (k, reduction) in pass.reductions.iter().enumerate() {
                // SAFETY: the slot holds the block's values.
                let bits = unsafe { (reduction.fold.piece)(self.slots[reduction.from as usize], n) };
                sum(k, bits, (at > range.start).then_some(reduction.fold.join));
            }
            if pass.writes {
                self.leave(base + at, n);
            }
            at += n;
        }
    }
}
