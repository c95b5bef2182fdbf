//! Formulas: small expression graphs over the elements of tensors.
//!
//! Every elementwise operation, every row-wise one (softmax, layer norm, cross entropy) and every optimizer
//! rule of Neurenix is one [`Formula`]. This crate builds them ([`Builder`]), simplifies while building, hoists
//! what is the same for all elements to the host ([`hoist`]), differentiates ([`differentiate`]), evaluates them
//! slowly and obviously ([`evaluate`]), prints them for GPUs ([`print`]) and as [`text`] that is read again. It knows no
//! device, thread or file and has no dependencies.

mod builder;
mod diff;
mod eval;
mod expr;
mod hoist;
mod names;
mod node;
pub mod ops;
mod powers;
pub mod print;
mod simplify;
pub mod text;

pub use builder::Builder;
pub use diff::{Gradient, Source, differentiate, differentiate_loss};
pub use eval::{Value, evaluate, evaluate_scalars, evaluate_scalars_into};
pub use hoist::{Hoisted, hoist};
pub use node::{Binary, Constant, Formula, Id, Node, Rank, Reduction, Type, Unary};
pub use powers::is_product;
pub use text::ParseError;
