//! The kinds of kernel, one file each.

mod cumsum;
mod gather;
mod map;
mod matmul;
mod nonzero;
mod order;
mod random;
mod reduce;
mod scatter;
mod sort;
mod walk;

pub use map::print;

use crate::launch::Kind;
use crate::program::{Parts, Program};
use parking_lot::RwLock;
use phynexus_core::{DType, Error, Result, Spec};
use phynexus_formula::print::Dialect;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Threads in a group of kernels that need no other number.
pub const THREADS: usize = 256;

/// The kind for a specification.
pub(crate) fn kind(spec: &Spec, dialect: Dialect) -> Result<Box<dyn Kind>> {
    Ok(match spec {
        Spec::Map { formula, inputs, outputs } => Box::new(map::Map::new(formula, inputs, outputs, dialect)?),
        Spec::CumSum => Box::new(cumsum::CumSum { dialect }),
        Spec::Reduce { op, axes } => Box::new(reduce::Reduce::new(*op, *axes, dialect)),
        Spec::MatMul { bias, accumulate, epilogue, sums, .. } => {
            Box::new(matmul::MatMul::new(*bias, *accumulate, epilogue.as_ref(), *sums, dialect))
        }
        Spec::Gather { axis } => Box::new(gather::Gather { axis: *axis, dialect }),
        Spec::Scatter { axis, op } => Box::new(scatter::Scatter { axis: *axis, op: *op, dialect }),
        Spec::Nonzero => Box::new(nonzero::Nonzero { dialect }),
        Spec::Sort { descending } => Box::new(sort::Sort { descending: *descending, dialect }),
        Spec::Random { distribution, seed, counter } => {
            Box::new(random::Random { distribution: *distribution, seed: *seed, counter: *counter, dialect })
        }
        other => {
            return Err(Error::Runtime(format!(
                "{} is not implemented for {dialect:?}: move its operands to the CPU first, with .to(\"cpu\")",
                name(other)
            )));
        }
    })
}

/// The program of that name, made once: kernels that are no formulas are compiled anew for each call.
pub(crate) fn cached(
    dialect: Dialect,
    name: String,
    make: impl FnOnce() -> Result<Parts>,
) -> Result<Arc<Program>> {
    type Known = HashMap<(Dialect, String), Arc<Program>>;
    static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);
    let key = (dialect, name);
    if let Some(program) = KNOWN.read().get(&key) {
        return Ok(program.clone());
    }
    let parts = Parts { name: key.1.clone(), ..make()? };
    if dialect == Dialect::Wgsl && parts.operands.iter().any(|o| o.dtype == DType::F64) {
        return Err(Error::Type("WebGPU has no float64: convert to float32 first".into()));
    }
    let program = Arc::new(Program::new(dialect, parts));
    Ok(KNOWN.write().entry(key).or_insert(program).clone())
}

/// The upper half of a product of two words.
pub(crate) const MUL_HIGH: &str = "\
fn mul_high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let m = a1 * b0 + ((a0 * b0) >> 16u);
    let n = a0 * b1 + (m & 0xffffu);
    return a1 * b1 + (m >> 16u) + (n >> 16u);
}
";

/// What a kind of kernel is called in messages.
fn name(spec: &Spec) -> String {
    let text = format!("{spec:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_string()
}

/// Groups of [`THREADS`] for so many units of work.
pub(crate) fn groups(units: usize) -> usize {
    units.div_ceil(THREADS)
}

/// The offset of a row, for programs whose first words are a rank and that many sizes: `first_k(task, row)`.
///
/// The last dimension is left out: it is what rows are made of.
pub(crate) fn locate_rows(operands: usize, sizes_at: usize) -> String {
    (0..operands)
        .map(|k| {
            format!(
                "fn first_{k}(task: u32, row: u32) -> pos {{
    var rest = row;
    var at = base_{k}(task);
    for (var d = word(task, {rank}u); d > 1u; d--) {{
        let size = word(task, {rank}u + d - 1u);
        at += (rest % size) * stride_{k}(task, d - 2u);
        rest /= size;
    }}
    return at;
}}
",
                rank = sizes_at
            )
        })
        .collect()
}
