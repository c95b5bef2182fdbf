//! Running sums along the last dimension: one thread for each row, or a group for each long one.

use super::{THREADS, cached, groups, locate_rows};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts, Program};
use crate::table::{Place, Record, word};
use phynexus_core::{DType, MAX_DIMS, Result, Task};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;
use std::sync::Arc;

/// Words of a task: rows, length of a row, rank, sizes.
const RANK: usize = 2;

pub(super) struct CumSum {
    pub dialect: Dialect,
}

/// Longer rows are the work of a group.
const LONG: usize = 1024;

impl CumSum {
    fn program(&self, dtypes: [DType; 2], long: bool) -> Result<Arc<Program>> {
        let name = format!("cumsum {} {}{}", dtypes[0], dtypes[1], if long { " of long rows" } else { "" });
        cached(self.dialect, name, || Ok(self.parts(dtypes, long)))
    }

    /// Each thread sums a part of the row: all of it, or, in a group, one of 256, to which it adds the sums of those before.
    fn parts(&self, dtypes: [DType; 2], long: bool) -> Parts {
        let ty = dtypes[1].compute();
        // What rounding loses of each addition is added with the next (W. Kahan, 1965).
        let add = match ty {
            Type::F32 | Type::F64 => "let y = v - lost;\nlet t = sum + y;\nlost = (t - sum) - y;\nsum = t;\n",
            Type::I64 if self.dialect == Dialect::Wgsl => {
                "let t = sum + v;\nif (((sum ^ t) & (v ^ t)) < 0) { raise(2u, 0u, 0u); }\nsum = t;\n"
            }
            _ => "sum = sum + v;\n",
        };
        let load = "let v = T(load_0(source));\n";
        let over = |body: String| {
            format!(
                "for (var c = begin; c < end; c++) {{
{load}{body}source += stride_0(task, last);
}}
"
            )
        };
        let store = format!("{add}store_1(place_1, sum);\nplace_1 += stride_1(task, last);\n");
        let part = "source = first_0(task, row) + begin * stride_0(task, last);\n";
        let (rows, part_of_row, before) = if long {
            let before = format!(
                "{}parts[local] = sum;\nworkgroupBarrier();\nsum = T(0);\nlost = T(0);\nfor (var k = 0u; k < local; k++) {{
let v = parts[k];\n{add}}}\n{part}",
                over(add.into())
            );
            ("let row = group;\n", "let begin = min(local * share, length);\n", before)
        } else {
            (
                "let row = group * 256u + local;\nif (row >= word(task, 0u)) { return; }\n",
                "let begin = 0u;\n",
                String::new(),
            )
        };
        let share = if long { "(length + 255u) / 256u" } else { "length" };
        let body = format!(
            "{rows}let last = word(task, {RANK}u) - 1u;
let length = word(task, 1u);
let share = {share};
{part_of_row}let end = min(begin + share, length);
var {part}var place_1 = first_1(task, row) + begin * stride_1(task, last);
var sum = T(0);
var lost = T(0);
{before}{}",
            over(store)
        );
        let name = crate::type_name(ty, self.dialect);
        let shared =
            if long { format!("var<workgroup> parts: array<{name}, 256>;\n") } else { String::new() };
        Parts {
            operands: vec![
                Operand { dtype: dtypes[0], stores: false },
                Operand { dtype: dtypes[1], stores: true },
            ],
            words: RANK + 1 + MAX_DIMS,
            strides: MAX_DIMS,
            threads: THREADS,
            functions: shared + &locate_rows(2, RANK),
            body: body.replace("T(", &format!("{name}(")),
            ..Parts::default()
        }
    }
}

impl Kind for CumSum {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        for task in tasks {
            let (input, output) = (&task.inputs[0], &task.outputs[0]);
            // A tensor without dimensions is a row of one.
            let sizes = if input.layout.shape().is_empty() { &[1][..] } else { input.layout.shape() };
            let length = sizes[sizes.len() - 1];
            let rows = if length == 0 { 0 } else { sizes[..sizes.len() - 1].iter().product() };
            if rows == 0 {
                continue;
            }
            word("the number of elements of a tensor", rows * length)?;
            let long = length > LONG;
            let mut words: SmallVec<[u32; 12]> =
                SmallVec::from_slice(&[rows as u32, length as u32, sizes.len() as u32]);
            words.extend((0..MAX_DIMS).map(|d| sizes.get(d).copied().unwrap_or(1) as u32));
            let record = Record {
                groups: if long { rows } else { groups(rows) },
                words,
                operands: [Place::strided(input), Place::strided(output)].into_iter().collect(),
                scalars: SmallVec::new(),
            };
            gpu.dispatch(&self.program([input.dtype, output.dtype], long)?, &[record])?;
        }
        Ok(())
    }
}
