//! What all GPUs share: the texts of the kernels, in the language of each, and the table of a launch. No GPU is touched here.
//!
//! A device ([`Gpu`]) hands [`compile`] and [`launch`] on to this crate, and runs [`Program`]s over [`Record`]s: it puts the table
//! together with [`table::fill`], binds memory, and dispatches as many groups as that says.
//!
//! # Adding a kind of kernel
//! One file in `kernels/` with a type that implements [`Kind`], and an arm in `kernels/mod.rs`. Read `cumsum.rs` first:
//! it is the shortest; `map.rs` has variants. A kind
//! 1. makes [`Program`]s when they are asked for (by dtype, size class ...) and keeps them: [`Program::new`] of [`Parts`]. The text
//!    is WGSL that C++ understands ([`text`] says what that is), with `T` replaced by [`type_name`]. There are in it:
//!    `task`, `group` (the number among the task's groups), `local` (the thread's in its group), `word(task, j)`,
//!    `base_k(task)` (a position, of type `pos`: the first element of operand k), `stride_k(task, d)`, `load_k(at)`, `store_k(at, v)` in
//!    the type that the operand's dtype is computed in (`bool i32 f32`, in C also `i64 f64`; int64 is an i32 in WGSL), and
//!    `scalar_f32(task, j)` ...
//!    Arrays of the group are `var<workgroup> name: array<f32, 256>;` among the functions; what a thread keeps is
//!    `var acc: array<f32, 8>;` in a line of its own. Barriers must be reached by all threads of a group: what leads to them may
//!    depend on `group` and the table alone (WGSL checks it), never on `local` or on what was loaded.
//! 2. says for each task what its record holds ([`Record`]), and calls [`Gpu::dispatch`]: all tasks of a launch at once where
//!    that is possible. Dispatches run one after the other, each sees what those before stored. Memory for something in
//!    between is `Buffer::new(gpu.device(), bytes)`, dropped as soon as the dispatches are queued.
//! 3. reports what is wrong with values by `raise(kind, a, b)`: [`status::index`] of the dimension for an index `a` (the bits
//!    of an i32) that is not within a size `b`. The rest of the kernel must then stay within its operands. Reading anything back raises it.
//!
//! A formula that is applied within another kind (the epilogue of a product) is `phynexus_formula::print::function`.
//!
//! ```
//! use phynexus_gpu::{Operand, Parts, Program};
//! use phynexus_core::DType;
//! use phynexus_formula::print::Dialect;
//! let operand = |stores| Operand { dtype: DType::F32, stores };
//! let double = Program::new(Dialect::Wgsl, Parts {
//!     name: "double".into(),
//!     operands: vec![operand(false), operand(true)],
//!     words: 1,
//!     threads: 256,
//!     body: "let i = group * 256u + local;
//! if (i < word(task, 0u)) { store_1(base_1(task) + i, 2.0f * load_0(base_0(task) + i)); }
//! ".into(),
//!     ..Parts::default()
//! });
//! let wgsl = double.module(&[0, 0]); // both operands in the same memory
//! let module = naga::front::wgsl::parse_str(&wgsl).unwrap();
//! let flags = naga::valid::ValidationFlags::all();
//! naga::valid::Validator::new(flags, naga::valid::Capabilities::default()).validate(&module).unwrap();
//! ```

mod catalogue;
mod kernels;
mod launch;
mod null;
mod program;
pub mod status;
mod storage;
pub mod table;
pub mod text;

pub use catalogue::programs;
pub use kernels::print;
pub use launch::{Gpu, Kind, compile, launch};
pub use null::Null;
pub use program::{Operand, Parts, Program};
pub use table::{Place, Record};
pub use text::type_name;
