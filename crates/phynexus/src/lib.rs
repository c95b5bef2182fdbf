//! The Phynexus engine: arrays on devices, operations as data, the tape that differentiates them, recorded programs
//! and the optimizer step.
//!
//! The path of a call: a method of [`Tensor`] (in `api/`) promotes and checks, builds an [`Op`] and gives it to
//! [`apply`], which infers shapes, runs kernels, and records a node of the tape where a gradient is wanted.

mod api;
mod array;
#[cfg(target_family = "wasm")]
mod browser;
mod gradient;
mod hook;
mod kernels;
mod machine;
mod node;
mod op;
pub mod ops;
mod program;
mod random;
pub mod stepper;
mod tape;
mod tensor;
mod view;

pub use api::{
    ArgOf, Index, Operand, Reduction, apply_function, arange, binary, cast, cat, contiguous, cross_entropy,
    dropout, elementwise, elementwise_loss, embedding, expand, eye, factor, flip, full, layer_norm, linear,
    linspace, matmul, newton_schulz, normal, permutation, permute, random_integers, reshape, slice, solve,
    stack, to, to_device, unary, uniform, where_,
};
pub use array::Array;
#[cfg(target_family = "wasm")]
pub use browser::{fetch, open_devices, step_later};
pub use gradient::{Gradient, RowSparse};
pub use hook::{GradientHook, Hook, HookHandle};
pub use machine::{available_devices, cpu, device, opened_devices};
pub use node::Context;
pub use op::{Few, Needs, Op, Operation, Spec, apply};
pub use ops::function::MapFn;
pub use ops::shape::Range;
pub use phynexus_core::{
    Buffer, Category, Counters, DType, Device, DeviceId, DeviceType, Distribution, Error, Factorization,
    Float32Products, Layout, MAX_DIMS, Making, Owner, ReduceOp, Result, ScatterOp, Shape, Value,
    float32_products, set_float32_products,
};
pub use phynexus_cpu as cpu_device;
#[cfg(not(target_family = "wasm"))]
pub use phynexus_cuda::look_in;
pub use phynexus_formula as formula;
pub use phynexus_gpu as gpu;
pub use program::{Program, forbid_reading, record};
pub use random::{Generator, entropy};
pub use stepper::Stepper;
pub use tape::{
    GradMode, Sink, backward, backward_into, backward_look, grad, grad_enabled, set_grad_enabled,
};
pub use tensor::Tensor;
