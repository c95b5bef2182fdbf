//! The positions of the true elements, in order: groups count theirs, the counts are summed up, and groups write.

use super::walk::{self, Walk};
use super::{THREADS, cached};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts, Program};
use crate::table::{Place, Record};
use crate::text::type_name;
use phynexus_core::{Buffer, DType, MAX_DIMS, Result, Task};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;
use std::sync::Arc;

/// Elements of a thread, one after the other.
const RUN: usize = 16;
/// Words of a task: elements (counts, in the pass between), room in the output.
const AT: usize = 2;

pub(super) struct Nonzero {
    pub dialect: Dialect,
}

/// From `mine` of every thread of the group to `before`, the sum of those of earlier threads, and `all`.
const SUM_UP: &str = "\
sums[local] = mine;
workgroupBarrier();
for (var step = 1u; step < 256u; step *= 2u) {
var earlier = 0u;
if (local >= step) { earlier = sums[local - step]; }
workgroupBarrier();
sums[local] = sums[local] + earlier;
workgroupBarrier();
}
let before = sums[local] - mine;
let all = sums[255];
";

impl Nonzero {
    fn program(&self, name: &str, operands: &[(DType, bool)], body: &str) -> Result<Arc<Program>> {
        cached(self.dialect, format!("nonzero {name}"), || {
            Ok(Parts {
                operands: operands.iter().map(|&(dtype, stores)| Operand { dtype, stores }).collect(),
                words: AT + walk::WORDS,
                strides: MAX_DIMS,
                threads: THREADS,
                functions: walk::offset("at_0", 0, AT, 0) + "var<workgroup> sums: array<u32, 256>;\n",
                body: body.into(),
                ..Parts::default()
            })
        })
    }

    fn count(&self) -> Result<Arc<Program>> {
        let body = format!(
            "var mine = 0u;
let first = (group * {THREADS}u + local) * {RUN}u;
for (var i = first; i < min(first + {RUN}u, word(task, 0u)); i++) {{
if (load_0(base_0(task) + at_0(task, i))) {{ mine += 1u; }}
}}
{SUM_UP}if (local == 0u) {{
store_1(base_1(task) + group, bitcast<i32>(all));
}}
"
        );
        self.program("count", &[(DType::Bool, false), (DType::I32, true)], &body)
    }

    /// One group replaces counts by the sums of those before.
    fn sum(&self) -> Result<Arc<Program>> {
        let body = format!(
            "let each = (word(task, 0u) + {THREADS}u - 1u) / {THREADS}u;
let first = local * each;
let end = min(first + each, word(task, 0u));
var mine = 0u;
for (var i = first; i < end; i++) {{
mine += bitcast<u32>(load_0(base_0(task) + i));
}}
{SUM_UP}var sum = before;
for (var i = first; i < end; i++) {{
let own = bitcast<u32>(load_0(base_0(task) + i));
store_0(base_0(task) + i, bitcast<i32>(sum));
sum += own;
}}
"
        );
        self.program("sum", &[(DType::I32, true)], &body)
    }

    fn write(&self) -> Result<Arc<Program>> {
        let body = format!(
            "var mine = 0u;
let first = (group * {THREADS}u + local) * {RUN}u;
let end = min(first + {RUN}u, word(task, 0u));
for (var i = first; i < end; i++) {{
if (load_0(base_0(task) + at_0(task, i))) {{ mine += 1u; }}
}}
{SUM_UP}var next = bitcast<u32>(load_1(base_1(task) + group)) + before;
for (var i = first; i < end; i++) {{
if (load_0(base_0(task) + at_0(task, i)) && next < word(task, 1u)) {{
store_2(base_2(task) + pos(next) * stride_2(task, 0u), {}(i));
next += 1u;
}}
}}
",
            type_name(Type::I64, self.dialect)
        );
        self.program("write", &[(DType::Bool, false), (DType::I32, false), (DType::I64, true)], &body)
    }

    fn find(&self, gpu: &dyn Gpu, task: &Task<'_>) -> Result<()> {
        let (input, output) = (&task.inputs[0], &task.outputs[0]);
        let walk = Walk::new(input.layout.shape(), [input.layout.strides()]);
        let (elements, room) = (walk.elements(), output.layout.elements());
        if elements == 0 || room == 0 {
            return Ok(());
        }
        let groups = elements.div_ceil(THREADS * RUN);
        let counts = Buffer::new(gpu.device(), groups * DType::I32.size())?;
        let (head, strides) = (walk.words()?, &walk.strides[0]);
        let words = |count: usize| -> SmallVec<[u32; 12]> {
            [count, room].iter().map(|&n| n as u32).chain(head.iter().copied()).collect()
        };
        let mask = || Place { strides: strides.clone(), ..Place::of(input) };
        let run = |program: Arc<Program>, groups, count, operands: Vec<Place<'_>>| {
            let (words, operands) = (words(count), operands.into_iter().collect());
            gpu.dispatch(&program, &[Record { groups, words, operands, scalars: SmallVec::new() }])
        };
        run(self.count()?, groups, elements, vec![mask(), Place::whole(&counts)])?;
        run(self.sum()?, 1, groups, vec![Place::whole(&counts)])?;
        run(self.write()?, groups, elements, vec![mask(), Place::whole(&counts), Place::strided(output)])
    }
}

impl Kind for Nonzero {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        tasks.iter().try_for_each(|task| self.find(gpu, task))
    }
}
