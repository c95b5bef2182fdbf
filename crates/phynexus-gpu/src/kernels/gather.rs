//! Reading elements by index.

use super::walk::{self, Walk};
use super::{THREADS, cached, groups};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts};
use crate::status;
use crate::table::{Place, Record, word};
use crate::text::type_name;
use phynexus_core::{DType, MAX_DIMS, Result, Task, View};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;

/// Words of a task: elements, size of the dimension that the index selects from, and the kind of error of that dimension.
const AT: usize = 3;

pub(super) struct Gather {
    pub axis: usize,
    pub dialect: Dialect,
}

/// Strides with none along the dimension that an index selects from.
pub(super) fn without_axis(view: &View<'_>, axis: usize) -> SmallVec<[isize; MAX_DIMS]> {
    view.layout.strides().iter().enumerate().map(|(d, &s)| if d == axis { 0 } else { s }).collect()
}

/// Checks the index `i` against the size in word 1; `valid` says what is done with a good one.
pub(super) fn checked(valid: &str, dialect: Dialect) -> String {
    let ty = type_name(Type::I64, dialect);
    format!(
        "if (picked < 0 || picked >= {ty}(word(task, 1u))) {{
raise(word(task, 2u), u32(picked), word(task, 1u));
}} else {{
{valid}}}
"
    )
}

impl Gather {
    fn gather(&self, gpu: &dyn Gpu, task: &Task<'_>) -> Result<()> {
        let [input, index, output] = [&task.inputs[0], &task.inputs[1], &task.outputs[0]];
        let still = without_axis(input, self.axis);
        let walk =
            Walk::new(output.layout.shape(), [&still, index.layout.strides(), output.layout.strides()]);
        let elements = walk.elements();
        if elements == 0 {
            return Ok(());
        }
        let dtype = output.dtype;
        let program = cached(self.dialect, format!("gather {dtype}"), || {
            let good = format!(
                "store_2(base_2(task) + at_2(task, i), load_0(base_0(task) + at_0(task, i) + pos(picked) * stride_0(task, {MAX_DIMS}u)));\n"
            );
            Ok(Parts {
                operands: vec![
                    Operand { dtype, stores: false },
                    Operand { dtype: DType::I64, stores: false },
                    Operand { dtype, stores: true },
                ],
                words: AT + walk::WORDS,
                strides: MAX_DIMS + 1,
                threads: THREADS,
                functions: (0..3).map(|k| walk::offset(&format!("at_{k}"), k, AT, 0)).collect(),
                body: format!(
                    "let i = group * {THREADS}u + local;
if (i >= word(task, 0u)) {{ return; }}
let picked = load_1(base_1(task) + at_1(task, i));
{}",
                    checked(&good, self.dialect)
                ),
                ..Parts::default()
            })
        })?;
        let mut words: SmallVec<[u32; 12]> = SmallVec::from_slice(&[
            elements as u32,
            word("the size of a dimension", input.layout.shape()[self.axis])?,
            status::index(self.axis),
        ]);
        words.extend(walk.words()?);
        let mut operands: SmallVec<[Place<'_>; 6]> = [input, index, output]
            .iter()
            .zip(&walk.strides)
            .map(|(view, strides)| Place { strides: strides.clone(), ..Place::of(view) })
            .collect();
        operands[0].strides.resize(MAX_DIMS, 0);
        operands[0].strides.push(input.layout.strides()[self.axis]);
        gpu.dispatch(
            &program,
            &[Record { groups: groups(elements), words, operands, scalars: SmallVec::new() }],
        )
    }
}

impl Kind for Gather {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        tasks.iter().try_for_each(|task| self.gather(gpu, task))
    }
}
