//! The functions that users call: they promote, check and combine operations. One file for each kind.

mod create;
mod elementwise;
mod gather;
mod index;
mod inplace;
mod linalg;
mod nn;
mod product;
mod reduce;
mod shape;
mod sort;

pub use create::{arange, eye, full, linspace, normal, permutation, random_integers, uniform};
pub use elementwise::{
    Operand, add, apply_function, binary, cast, elementwise, mul, scale, to, to_device, unary, where_,
    where_tensors,
};
pub use index::Index;
pub use linalg::{factor, newton_schulz, solve};
pub use nn::{Reduction, cross_entropy, dropout, elementwise_loss, embedding, layer_norm};
pub use product::{linear, matmul};
pub use reduce::{ArgOf, reduce};
pub use shape::{cat, contiguous, embed_leading, expand, flip, permute, reshape, slice, stack, unpermute};
