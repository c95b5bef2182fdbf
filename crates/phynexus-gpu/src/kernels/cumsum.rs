//! Running sums along the last dimension: one thread for each row.

use super::{THREADS, cached, groups, locate_rows};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts, Program};
use crate::table::{Place, Record, word};
use phynexus_core::{DType, Error, MAX_DIMS, Result, Task};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;
use std::sync::Arc;

/// Words of a task: rows, length of a row, rank, sizes.
const RANK: usize = 2;

pub(super) struct CumSum {
    pub dialect: Dialect,
}

impl CumSum {
    fn program(&self, dtypes: [DType; 2]) -> Result<Arc<Program>> {
        cached(self.dialect, format!("cumsum {} {}", dtypes[0], dtypes[1]), || self.parts(dtypes))
    }

    fn parts(&self, dtypes: [DType; 2]) -> Result<Parts> {
        let ty = dtypes[1].compute();
        if ty == Type::I64 && self.dialect == Dialect::Wgsl {
            return Err(Error::Type("WebGPU has no sums of int64: convert to int32 or float32 first".into()));
        }
        // What rounding loses of each addition is added with the next (W. Kahan, 1965).
        let step = if ty.is_float() {
            "let y = T(load_0(source)) - lost;\nlet t = sum + y;\nlost = (t - sum) - y;\nsum = t;\n"
        } else {
            "sum += T(load_0(source));\n"
        };
        let body = format!(
            "let row = group * 256u + local;
if (row >= word(task, 0u)) {{ return; }}
var source = first_0(task, row);
var target_at = first_1(task, row);
var sum = T(0);
var lost = T(0);
let last = word(task, {RANK}u) - 1u;
let length = word(task, 1u);
for (var c = 0u; c < length; c++) {{
{step}store_1(target_at, sum);
source += stride_0(task, last);
target_at += stride_1(task, last);
}}
"
        );
        Ok(Parts {
            operands: vec![
                Operand { dtype: dtypes[0], stores: false },
                Operand { dtype: dtypes[1], stores: true },
            ],
            words: RANK + 1 + MAX_DIMS,
            strides: MAX_DIMS,
            threads: THREADS,
            functions: locate_rows(2, RANK),
            body: body.replace("T(", &format!("{}(", crate::type_name(ty, self.dialect))),
            ..Parts::default()
        })
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
            let mut words: SmallVec<[u32; 12]> =
                SmallVec::from_slice(&[rows as u32, length as u32, sizes.len() as u32]);
            words.extend((0..MAX_DIMS).map(|d| sizes.get(d).copied().unwrap_or(1) as u32));
            let record = Record {
                groups: groups(rows),
                words,
                operands: [Place::strided(input), Place::strided(output)].into_iter().collect(),
                scalars: SmallVec::new(),
            };
            gpu.dispatch(&self.program([input.dtype, output.dtype])?, &[record])?;
        }
        Ok(())
    }
}
