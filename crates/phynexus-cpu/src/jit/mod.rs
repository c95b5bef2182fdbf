//! Elementwise formulas as machine code.
//!
//! A formula becomes a [`Program`] of vector instructions, and that the code of the widest vectors there are: on
//! x86-64 by a small backend of our own ([`x86`]), elsewhere by Cranelift, which knows 128 bits. All give the bits of
//! IEEE arithmetic, operation for operation. Code runs over whole vectors; what is left passes through one vector in
//! memory, so that an element's result cannot depend on where in the tensor it stands.

mod asm;
mod compute;
mod integers;
mod lanes;
mod lower;
mod memory;
mod portable;
mod program;
mod registers;
mod rows;
mod x86;

use memory::Code;
use phynexus_core::DType;
use phynexus_formula::Formula;
use program::{Inst, Program};
use std::mem::MaybeUninit;

/// What turns programs into code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// 512 bits.
    Avx512,
    /// 256 bits.
    Avx2,
    /// 128 bits, by Cranelift.
    Portable,
}

impl Backend {
    /// All of them, widest first.
    pub const ALL: [Backend; 3] = [Backend::Avx512, Backend::Avx2, Backend::Portable];

    /// Whether this processor can run its code.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c"),
            #[cfg(target_arch = "x86_64")]
            Backend::Portable => is_x86_feature_detected!("sse4.1"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => self == Backend::Portable,
        }
    }

    /// The code and how many elements one vector has; also for processors other than this one.
    #[doc(hidden)]
    pub fn code(self, formula: &Formula, inputs: &[DType], outputs: &[DType]) -> Option<(Vec<u8>, usize)> {
        self.translate(&Program::new(formula, inputs, outputs, &vec![false; inputs.len()])?)
    }

    /// As [`Backend::code`], of a formula over rows; `by_row` says which inputs have one value for each.
    #[doc(hidden)]
    pub fn row_code(
        self,
        formula: &Formula,
        inputs: &[DType],
        outputs: &[DType],
        by_row: &[bool],
    ) -> Option<(Vec<u8>, usize)> {
        self.translate(&Program::new(formula, inputs, outputs, by_row)?)
    }

    fn translate(self, program: &Program) -> Option<(Vec<u8>, usize)> {
        match self {
            Backend::Avx512 => x86::compile(program, true),
            Backend::Avx2 => x86::compile(program, false),
            Backend::Portable if program.in_rows() => None,
            Backend::Portable => portable::compile(program),
        }
    }
}

/// Code for `formula` over operands stored so. None where it has parts that are not arithmetic, comparison or choice
/// of elements of one width (reductions, transcendental functions, wide integers), or the system allows no code to be
/// made.
pub fn compile(formula: &Formula, inputs: &[DType], outputs: &[DType]) -> Option<Function> {
    Backend::ALL
        .into_iter()
        .filter(|b| b.is_available())
        .find_map(|b| compile_with(b, formula, inputs, outputs))
}

/// As [`compile`], by one backend, which must be available.
pub fn compile_with(
    backend: Backend,
    formula: &Formula,
    inputs: &[DType],
    outputs: &[DType],
) -> Option<Function> {
    let program = Program::new(formula, inputs, outputs, &vec![false; inputs.len()])?;
    if formula.reduces() || inputs.len() + outputs.len() > OPERANDS || !backend.is_available() {
        return None;
    }
    let (code, lanes) = backend.translate(&program)?;
    let read = |slot: usize| program.insts.contains(&Inst::Load(slot));
    let inputs = inputs.iter().enumerate().map(|(i, dtype)| if read(i) { dtype.size() } else { 0 });
    Some(Function {
        code: Code::new(&code)?,
        lanes,
        inputs: inputs.collect(),
        outputs: outputs.iter().map(|dtype| dtype.size()).collect(),
    })
}

/// Code for a formula that reduces rows, where it has nothing but what [`compile`] knows and reductions of 32-bit
/// integers; `by_row` says which inputs have one value for each row.
pub fn compile_rows(
    formula: &Formula,
    inputs: &[DType],
    outputs: &[DType],
    by_row: &[bool],
) -> Option<RowFunction> {
    let program = Program::new(formula, inputs, outputs, by_row)?;
    let operands = inputs.len() + outputs.len() + program.kept().len();
    if !formula.reduces() || operands.max(formula.scalars().len()) > OPERANDS {
        return None;
    }
    let mut available = Backend::ALL.into_iter().filter(|b| b.is_available());
    let (code, lanes) = available.find_map(|b| b.translate(&program))?;
    Some(RowFunction { code: Code::new(&code)?, lanes, kept: program.kept().len() })
}

/// The most operands of a function.
pub const OPERANDS: usize = 64;

/// A vector of the widest kind.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Vector([u8; 64]);

/// Inputs and outputs, control table, first element, end, length of a row.
type Entry = unsafe extern "C" fn(*const *const u8, *const u64, usize, usize, usize);

/// A compiled formula over rows.
#[derive(Debug)]
pub struct RowFunction {
    code: Code,
    /// Elements of one vector; rows must be whole vectors.
    pub lanes: usize,
    /// How many values of each element are kept while the row is worked on, of 4 bytes each.
    pub kept: usize,
}

impl RowFunction {
    /// Computes the rows of elements `start..end`.
    ///
    /// # Safety
    /// `operands` points to addresses, which the call changes: of the inputs and outputs, contiguous, stored as the
    /// function was compiled for; of those that have one value for each row, the value of the first row to compute; and of
    /// memory for what is kept of a row, as if it began with the very first element. An output is the very memory of an
    /// input or overlaps no operand. `start` and `end` are multiples of `length`, and that of the lanes. `scalars` is as
    /// for [`Function::call`].
    pub unsafe fn call(
        &self,
        operands: *mut *const u8,
        scalars: *const u64,
        start: usize,
        end: usize,
        length: usize,
    ) {
        // SAFETY: the code was made for this signature.
        let entry: Entry = unsafe { std::mem::transmute(self.code.start()) };
        // SAFETY: the caller's contract.
        unsafe { entry(operands.cast_const(), scalars, start, end, length) };
    }
}

/// A compiled formula.
#[derive(Debug)]
pub struct Function {
    code: Code,
    /// Elements of one vector.
    lanes: usize,
    /// Bytes of an element of each input, 0 for those that nothing reads.
    inputs: Box<[usize]>,
    outputs: Box<[usize]>,
}

impl Function {
    /// Computes elements `start..end`.
    ///
    /// # Safety
    /// `operands` points to the addresses of the inputs, then of the outputs: contiguous, of at least `end` elements
    /// stored as the function was compiled for, at any alignment. An output is the very memory of an input or overlaps no
    /// operand. `scalars` points to the bits of each entry of the formula's control table in its own type.
    #[inline]
    pub unsafe fn call(&self, operands: *const *const u8, scalars: *const u64, start: usize, end: usize) {
        // SAFETY: the code was made for this signature.
        let entry: Entry = unsafe { std::mem::transmute(self.code.start()) };
        let whole = start + end.saturating_sub(start) / self.lanes * self.lanes;
        if whole > start {
            // SAFETY: the caller's contract.
            unsafe { entry(operands, scalars, start, whole, 0) };
        }
        if whole == end {
            return;
        }
        if whole > start && self.is_apart(operands) {
            // Some elements are computed once more, with the same result.
            // SAFETY: the caller's contract.
            unsafe { entry(operands, scalars, end - self.lanes, end, 0) };
        } else {
            // SAFETY: the caller's contract.
            unsafe { self.rest(entry, operands, scalars, whole, end - whole) };
        }
    }

    /// Whether no output is the memory of an input.
    #[inline]
    fn is_apart(&self, operands: *const *const u8) -> bool {
        // SAFETY: the caller's contract: there are as many addresses.
        let all = unsafe { std::slice::from_raw_parts(operands, self.inputs.len() + self.outputs.len()) };
        let (inputs, outputs) = all.split_at(self.inputs.len());
        outputs.iter().all(|output| !inputs.contains(output))
    }

    /// Fewer elements than a vector has, through vectors in memory.
    ///
    /// # Safety
    /// As [`Function::call`]; `count` is less than `lanes`.
    #[cold]
    unsafe fn rest(
        &self,
        entry: Entry,
        operands: *const *const u8,
        scalars: *const u64,
        start: usize,
        count: usize,
    ) {
        let mut vectors = [MaybeUninit::<Vector>::uninit(); OPERANDS];
        let sizes = self.inputs.iter().chain(&self.outputs).copied();
        let mut copies = [std::ptr::null_mut::<u8>(); OPERANDS];
        for (i, size) in sizes.clone().enumerate() {
            let copy = vectors[i].write(Vector([0; 64])).0.as_mut_ptr();
            copies[i] = copy;
            if i < self.inputs.len() && size > 0 {
                // SAFETY: the operand has these elements, and they are fewer than a vector's.
                unsafe {
                    std::ptr::copy_nonoverlapping((*operands.add(i)).add(start * size), copy, count * size)
                };
            }
        }
        // The code must see the elements at their own positions.
        let mut shifted = copies.map(<*mut u8>::cast_const);
        for (shifted, size) in shifted.iter_mut().zip(sizes.clone()) {
            *shifted = shifted.wrapping_sub(start * size);
        }
        // SAFETY: each copy has the elements of one vector.
        unsafe { entry(shifted.as_ptr(), scalars, start, start + self.lanes, 0) };
        for (i, size) in sizes.enumerate().skip(self.inputs.len()) {
            // SAFETY: the output has these elements and may be written.
            unsafe {
                let output = (*operands.add(i)).cast_mut().add(start * size);
                std::ptr::copy_nonoverlapping(copies[i], output, count * size);
            }
        }
    }
}
