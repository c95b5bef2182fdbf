//! Sorting rows of the last dimension, stably: pairs of a key and a position are all different, and need no stable algorithm.
//!
//! A group sorts 1024 pairs (Batcher's bitonic network): short rows several at once, long ones in blocks. Blocks are then merged
//! in pairs, where every element finds its place by a binary search in the other block.

use super::walk::{self, Walk};
use super::{THREADS, cached, groups, order};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts, Program};
use crate::table::{Place, Record};
use crate::text::type_name;
use phynexus_core::{Buffer, DType, MAX_DIMS, Result, Task};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;
use std::sync::Arc;

/// Pairs that a group sorts.
const BLOCK: usize = 1024;
/// Words of a task: rows or elements, length of a row, length of what is sorted together, blocks of a row.
const AT: usize = 4;

pub(super) struct Sort {
    pub descending: bool,
    pub dialect: Dialect,
}

/// Keys and positions between passes.
type Pairs = [Buffer; 2];

impl Sort {
    fn key(&self, dtype: DType) -> DType {
        order::key_dtype(dtype, self.dialect)
    }

    fn parts(&self, dtype: DType, kept: &[DType], written: &[DType], body: String) -> Parts {
        let operand = |stores| move |&dtype: &DType| Operand { dtype, stores };
        let operands: Vec<Operand> = std::iter::once(&dtype)
            .chain(kept)
            .map(operand(false))
            .chain(written.iter().map(operand(true)))
            .collect();
        let rows =
            (0..operands.len()).map(|k| walk::offset(&format!("row_{k}"), k, AT, 0)).collect::<String>();
        Parts {
            operands,
            words: AT + walk::WORDS,
            strides: MAX_DIMS + 1,
            threads: THREADS,
            functions: rows,
            body,
            ..Parts::default()
        }
    }

    /// Sorts blocks; of rows that are one block writes the results.
    fn blocks(&self, dtype: DType, whole: bool) -> Result<Arc<Program>> {
        let name = format!("sort blocks {dtype} {} {whole}", self.descending);
        cached(self.dialect, name, || {
            let key = self.key(dtype);
            let ty = type_name(key.compute(), self.dialect);
            let written = if whole { [dtype, DType::I64] } else { [key, DType::I32] };
            let (turn, most) = (if self.descending { "~" } else { "" }, order::greatest(key));
            let put = match whole {
                true => self.results(1, "places[s]", "c"),
                false => "store_1(base_1(task) + row * length + c, keys[s]);
store_2(base_2(task) + row * length + c, bitcast<i32>(places[s]));
"
                .into(),
            };
            let locate = format!(
                "let s = local + q * {THREADS}u;
let row = (group / word(task, 3u)) * ({BLOCK}u / size) + s / size;
let c = (group % word(task, 3u)) * size + s % size;
"
            );
            let body = format!(
                "let length = word(task, 1u);
let size = word(task, 2u);
for (var q = 0u; q < {each}u; q++) {{
{locate}var k: {ty} = {most};
var place = 0xffffffffu;
if (row < word(task, 0u) && c < length) {{
k = {turn}key(load_0(base_0(task) + row_0(task, row) + pos(c) * stride_0(task, {MAX_DIMS}u)));
place = c;
}}
keys[s] = k;
places[s] = place;
}}
workgroupBarrier();
for (var width = 2u; width <= size; width *= 2u) {{
for (var step = width / 2u; step > 0u; step /= 2u) {{
for (var q = 0u; q < {half}u; q++) {{
let t = local + q * {THREADS}u;
let i = (t / step) * 2u * step + t % step;
let j = i + step;
let k = keys[i];
let l = keys[j];
let m = places[i];
let n = places[j];
let down = ((i & (size - 1u)) & width) != 0u;
if ((l < k || (l == k && n < m)) != down) {{
keys[i] = l;
keys[j] = k;
places[i] = n;
places[j] = m;
}}
}}
workgroupBarrier();
}}
}}
for (var q = 0u; q < {each}u; q++) {{
{locate}if (row < word(task, 0u) && c < length) {{
{put}}}
}}
",
                each = BLOCK / THREADS,
                half = BLOCK / THREADS / 2,
            );
            let mut parts = self.parts(dtype, &[], &written, body);
            parts.functions += &order::key(dtype, self.dialect);
            parts.functions += &format!(
                "var<workgroup> keys: array<{ty}, {BLOCK}>;\nvar<workgroup> places: array<u32, {BLOCK}>;\n"
            );
            Ok(parts)
        })
    }

    /// Writes what stood at `place` and that position as element `c` of the outputs, which begin with operand `out`.
    fn results(&self, out: usize, place: &str, c: &str) -> String {
        let (values, positions) = (out, out + 1);
        format!(
            "let taken = {place};
store_{values}(base_{values}(task) + row_{values}(task, row) + pos({c}) * stride_{values}(task, {MAX_DIMS}u), load_0(base_0(task) + row_0(task, row) + pos(taken) * stride_0(task, {MAX_DIMS}u)));
store_{positions}(base_{positions}(task) + row_{positions}(task, row) + pos({c}) * stride_{positions}(task, {MAX_DIMS}u), {}(taken));
",
            type_name(Type::I64, self.dialect)
        )
    }

    /// Joins neighbouring runs of sorted pairs.
    fn merge(&self, key: DType) -> Result<Arc<Program>> {
        cached(self.dialect, format!("sort merge {key}"), || {
            let body = format!(
                "let i = group * {THREADS}u + local;
if (i >= word(task, 0u)) {{ return; }}
let length = word(task, 1u);
let run = word(task, 2u);
let row = i - i % length;
let c = i % length;
let own = c - c % run;
let first = c - c % (2u * run);
let second = min(first + run, length);
let other = select(first, second, own == first);
let k = load_0(base_0(task) + i);
let stood = bitcast<u32>(load_1(base_1(task) + i));
var low = other;
var high = min(other + run, length);
while (low < high) {{
let middle = (low + high) / 2u;
let l = load_0(base_0(task) + row + middle);
let before = l < k || (l == k && bitcast<u32>(load_1(base_1(task) + row + middle)) < stood);
if (before) {{ low = middle + 1u; }} else {{ high = middle; }}
}}
let at = row + first + (c - own) + (low - other);
store_2(base_2(task) + at, k);
store_3(base_3(task) + at, bitcast<i32>(stood));
"
            );
            Ok(self.parts(key, &[DType::I32], &[key, DType::I32], body))
        })
    }

    /// Writes the results of rows that were merged.
    fn finish(&self, dtype: DType) -> Result<Arc<Program>> {
        cached(self.dialect, format!("sort finish {dtype}"), || {
            let body = format!(
                "let i = group * {THREADS}u + local;
if (i >= word(task, 0u)) {{ return; }}
let row = i / word(task, 1u);
let c = i % word(task, 1u);
{}",
                self.results(2, "bitcast<u32>(load_1(base_1(task) + i))", "c")
            );
            Ok(self.parts(dtype, &[DType::I32], &[dtype, DType::I64], body))
        })
    }

    fn sort(&self, gpu: &dyn Gpu, task: &Task<'_>) -> Result<()> {
        let views = [&task.inputs[0], &task.outputs[0], &task.outputs[1]];
        let (dtype, key) = (views[0].dtype, self.key(views[0].dtype));
        let shape = views[0].layout.shape();
        let rank = shape.len().saturating_sub(1);
        let length = shape.last().copied().unwrap_or(1);
        let walk = Walk::new(&shape[..rank], views.map(|view| &view.layout.strides()[..rank]));
        let (rows, total) = (walk.elements(), walk.elements() * length);
        if total == 0 {
            return Ok(());
        }
        crate::table::word("the number of elements of a tensor", total)?;
        let place = |n: usize| {
            let mut strides = walk.strides[n].clone();
            strides.resize(MAX_DIMS, 0);
            strides.push(views[n].layout.strides().last().copied().unwrap_or(1));
            Place { strides, ..Place::of(views[n]) }
        };
        let head = walk.words()?;
        let words = |numbers: [usize; AT]| -> SmallVec<[u32; 12]> {
            numbers.iter().map(|&n| n as u32).chain(head.iter().copied()).collect()
        };
        let run = |program: &Arc<Program>, groups, words, operands: Vec<Place<'_>>| {
            let operands = operands.into_iter().collect();
            gpu.dispatch(program, &[Record { groups, words, operands, scalars: SmallVec::new() }])
        };
        if length <= BLOCK {
            let size = length.next_power_of_two();
            let operands = vec![place(0), place(1), place(2)];
            let count = rows.div_ceil(BLOCK / size);
            return run(&self.blocks(dtype, true)?, count, words([rows, length, size, 1]), operands);
        }
        let fresh = || -> Result<Pairs> {
            let buffer = |dtype: DType| Buffer::new(gpu.device(), total * dtype.size());
            Ok([buffer(key)?, buffer(DType::I32)?])
        };
        let (mut from, mut to) = (fresh()?, fresh()?);
        let blocks = length.div_ceil(BLOCK);
        let operands = vec![place(0), Place::whole(&from[0]), Place::whole(&from[1])];
        run(&self.blocks(dtype, false)?, rows * blocks, words([rows, length, BLOCK, blocks]), operands)?;
        let merge = self.merge(key)?;
        let mut sorted = BLOCK;
        while sorted < length {
            let operands = from.iter().chain(&to).map(Place::whole).collect();
            run(&merge, groups(total), words([total, length, sorted, 1]), operands)?;
            std::mem::swap(&mut from, &mut to);
            sorted *= 2;
        }
        let operands = vec![place(0), Place::whole(&from[1]), place(1), place(2)];
        run(&self.finish(dtype)?, groups(total), words([total, length, 0, 0]), operands)
    }
}

impl Kind for Sort {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        tasks.iter().try_for_each(|task| self.sort(gpu, task))
    }
}
