//! The kinds of kernel, one file each.

mod cumsum;
mod map;

pub use map::print;

use crate::launch::Kind;
use phynexus_core::{Error, Result, Spec};
use phynexus_formula::print::Dialect;

/// Threads in a group of kernels that need no other number.
pub const THREADS: usize = 256;

/// The kind for a specification.
pub(crate) fn kind(spec: &Spec, dialect: Dialect) -> Result<Box<dyn Kind>> {
    Ok(match spec {
        Spec::Map { formula, inputs, outputs } => Box::new(map::Map::new(formula, inputs, outputs, dialect)?),
        Spec::CumSum => Box::new(cumsum::CumSum::new(dialect)),
        other => {
            return Err(Error::Runtime(format!(
                "{} is not implemented for {dialect:?}: move its operands to the CPU first, with .to(\"cpu\")",
                name(other)
            )));
        }
    })
}

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
