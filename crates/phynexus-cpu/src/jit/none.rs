//! In place of machine code where there can be none: WebAssembly makes no code of its own. Formulas are interpreted.

use phynexus_core::DType;
use phynexus_formula::Formula;
use std::convert::Infallible;

/// The most operands of a function.
pub const OPERANDS: usize = 64;

/// A compiled formula: there is none.
#[derive(Debug)]
pub struct Function(Infallible);

/// A compiled formula over rows: there is none.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct RowFunction {
    pub lanes: usize,
    pub kept: usize,
    never: Infallible,
}

/// No code.
pub fn compile(_: &Formula, _: &[DType], _: &[DType]) -> Option<Function> {
    None
}

/// No code.
pub fn compile_rows(_: &Formula, _: &[DType], _: &[DType], _: &[bool]) -> Option<RowFunction> {
    None
}

impl Function {
    /// Nobody has one to call.
    ///
    /// # Safety
    /// Always safe.
    pub unsafe fn call(&self, _: *const *const u8, _: *const u64, _: usize, _: usize) {
        match self.0 {}
    }
}

impl RowFunction {
    /// Nobody has one to call.
    ///
    /// # Safety
    /// Always safe.
    pub unsafe fn call(&self, _: *mut *const u8, _: *const u64, _: usize, _: usize, _: usize) {
        match self.never {}
    }
}
