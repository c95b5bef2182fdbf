//! The Python binding: the only crate that knows PyO3. Every function converts its arguments, calls the engine (without
//! the GIL where the work is long) and turns errors into Python exceptions.

#![allow(unsafe_op_in_unsafe_fn)] // the slots that PyO3 generates for operators

mod autograd;
mod convert;
mod data;
mod device;
mod dlpack;
mod dtype;
mod error;
mod formula;
mod functions;
mod generator;
mod linalg;
mod machine;
mod memory;
mod program;
mod rows;
mod stepper;
mod tensor;

use pyo3::prelude::*;

/// A step of a small model is a hundred short-lived allocations; this allocator halves their cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The Phynexus engine.
#[pymodule(gil_used = true)]
fn _phynexus(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<tensor::PyTensor>()?;
    tensor::inplace::register(m)?;
    m.add_class::<dtype::PyDType>()?;
    m.add_class::<device::PyDevice>()?;
    m.add_class::<generator::PyGenerator>()?;
    m.add_class::<autograd::PyHook>()?;
    m.add_class::<rows::PyRowSparse>()?;
    formula::register(m)?;
    stepper::register(m)?;
    m.add_class::<program::PyProgram>()?;
    functions::register(m)?;
    linalg::register(m)?;
    autograd::register(m)?;
    program::register(m)?;
    machine::register(m)
}
