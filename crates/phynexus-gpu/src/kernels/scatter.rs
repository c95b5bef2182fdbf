//! Writing and adding elements by index, in row-major order of the source and without races.
//!
//! Destinations meet only along the dimension that the index selects from. Where the others have many elements, a thread
//! goes along that dimension for each of them. Where they have few, the index is sorted, which brings the writers of
//! a destination together in their order, and a thread goes along those.

use super::gather::{checked, without_axis};
use super::sort::Sort;
use super::walk::{self, Walk};
use super::{THREADS, cached, groups};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts, Program};
use crate::status;
use crate::table::{Place, Record, word};
use phynexus_core::{Buffer, DType, Error, Layout, MAX_DIMS, Result, ScatterOp, Shape, Task, View};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;
use std::sync::Arc;

/// Up to so many indices are gone through by one thread, however few threads there are.
const SHORT: usize = 512;
/// So many threads are enough for any number of indices.
const MANY: usize = 4096;
/// Words of a task: lines or elements, size of the selected dimension, its kind of error, indices of a line.
const AT: usize = 4;

pub(super) struct Scatter {
    pub axis: usize,
    pub op: ScatterOp,
    pub dialect: Dialect,
}

impl Scatter {
    /// The statement that lets the source's element at `from` reach the destination `picked` of the line that begins at `to`.
    fn put(&self, from: &str, dtype: DType) -> String {
        let value = match self.op {
            ScatterOp::Set => format!("load_1({from})"),
            ScatterOp::Add if dtype == DType::Bool => format!("load_2(at) || load_1({from})"),
            ScatterOp::Add => format!("load_2(at) + load_1({from})"),
        };
        format!("let at = to + pos(picked) * stride_2(task, {MAX_DIMS}u);\nstore_2(at, {value});\n")
    }

    fn program(&self, dtype: DType, sorted: bool) -> Result<Arc<Program>> {
        let name = format!("scatter {:?} {dtype}{}", self.op, if sorted { " sorted" } else { "" });
        cached(self.dialect, name, || {
            if self.op == ScatterOp::Add && dtype.compute() == Type::I64 && self.dialect == Dialect::Wgsl {
                return Err(Error::Type("WebGPU does not add int64: convert to int32 first".into()));
            }
            let indices = if sorted { 2 } else { 1 };
            let mut operands = vec![
                Operand { dtype: DType::I64, stores: false },
                Operand { dtype, stores: false },
                Operand { dtype, stores: true },
            ];
            operands.extend((1..indices).map(|_| Operand { dtype: DType::I64, stores: false }));
            let body = if sorted { self.along_runs(dtype) } else { self.along_lines(dtype) };
            Ok(Parts {
                operands,
                words: AT + walk::WORDS,
                strides: MAX_DIMS + 1,
                threads: THREADS,
                functions: (0..3).map(|k| walk::offset(&format!("at_{k}"), k, AT, 0)).collect(),
                body,
                ..Parts::default()
            })
        })
    }

    fn along_lines(&self, dtype: DType) -> String {
        let put = checked(&self.put("source", dtype), self.dialect);
        format!(
            "let line = group * {THREADS}u + local;
if (line >= word(task, 0u)) {{ return; }}
var index = base_0(task) + at_0(task, line);
var source = base_1(task) + at_1(task, line);
let to = base_2(task) + at_2(task, line);
let count = word(task, 3u);
for (var n = 0u; n < count; n++) {{
let picked = load_0(index);
{put}index += stride_0(task, {MAX_DIMS}u);
source += stride_1(task, {MAX_DIMS}u);
}}
"
        )
    }

    /// Operand 0 has the sorted indices, operand 3 where they stood.
    fn along_runs(&self, dtype: DType) -> String {
        let put = self.put(&format!("base_1(task) + at_1(task, line) + pos(load_3(base_3(task) + n)) * stride_1(task, {MAX_DIMS}u)"), dtype);
        // A run is gone through by the thread of its first index; of what is written, only the last stays.
        let (joins, go) = match self.op {
            ScatterOp::Set => ("own + 1u < end", format!("let n = own;\n{put}")),
            ScatterOp::Add => (
                "own > start",
                format!(
                    "for (var n = own; n < end; n++) {{
if (load_0(base_0(task) + n) != picked) {{ break; }}
{put}}}
"
                ),
            ),
        };
        let beside = if self.op == ScatterOp::Set { "own + 1u" } else { "own - 1u" };
        let good = checked(&go, self.dialect);
        format!(
            "let own = group * {THREADS}u + local;
if (own >= word(task, 0u)) {{ return; }}
let line = own / word(task, 3u);
let start = line * word(task, 3u);
let end = start + word(task, 3u);
let picked = load_0(base_0(task) + own);
if ({joins}) {{
if (load_0(base_0(task) + {beside}) == picked) {{ return; }}
}}
let to = base_2(task) + at_2(task, line);
{good}"
        )
    }

    fn scatter(&self, gpu: &dyn Gpu, task: &Task<'_>) -> Result<()> {
        let [index, source, output] = [&task.inputs[0], &task.inputs[1], &task.outputs[0]];
        let views = [index, source, output];
        let count = index.layout.shape()[self.axis];
        let mut sizes: SmallVec<[usize; MAX_DIMS]> = index.layout.shape().iter().copied().collect();
        sizes[self.axis] = 1;
        let strides = views.map(|view| without_axis(view, self.axis));
        let walk = Walk::new(&sizes, [&strides[0], &strides[1], &strides[2]]);
        let lines = walk.elements();
        if lines * count == 0 {
            return Ok(());
        }
        let sorted = count > SHORT && lines < MANY;
        let program = self.program(output.dtype, sorted)?;
        let units = if sorted { lines * count } else { lines };
        let mut words: SmallVec<[u32; 12]> = SmallVec::from_slice(&[
            units as u32,
            word("the size of a dimension", output.layout.shape()[self.axis])?,
            status::index(self.axis),
            count as u32,
        ]);
        words.extend(walk.words()?);
        let order = if sorted { Some(self.sorted(gpu, index)?) } else { None };
        let mut operands: SmallVec<[Place<'_>; 6]> = views
            .iter()
            .zip(&walk.strides)
            .map(|(view, strides)| {
                let mut strides = strides.clone();
                strides.resize(MAX_DIMS, 0);
                strides.push(view.layout.strides()[self.axis]);
                Place { strides, ..Place::of(view) }
            })
            .collect();
        if let Some([values, positions]) = &order {
            operands[0] = Place::whole(values);
            operands.push(Place::whole(positions));
        }
        gpu.dispatch(&program, &[Record { groups: groups(units), words, operands, scalars: SmallVec::new() }])
    }

    /// The indices of each line in order, and where they stood in it.
    fn sorted(&self, gpu: &dyn Gpu, index: &View<'_>) -> Result<[Buffer; 2]> {
        let rank = index.layout.shape().len();
        let order: SmallVec<[usize; MAX_DIMS]> =
            (0..rank).filter(|&d| d != self.axis).chain([self.axis]).collect();
        let lines = index.layout.permute(&order);
        let layout = Layout::contiguous(Shape::new(lines.shape())?);
        let fresh = || Buffer::new(gpu.device(), layout.elements() * DType::I64.size());
        let made = [fresh()?, fresh()?];
        let outputs = made.each_ref().map(|buffer| View { buffer, dtype: DType::I64, layout: &layout });
        let inputs = [View { layout: &lines, ..*index }];
        let sort = Sort { descending: false, dialect: self.dialect };
        sort.launch(gpu, &[Task { inputs: &inputs, outputs: &outputs, scalars: &[] }])?;
        Ok(made)
    }
}

impl Kind for Scatter {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        tasks.iter().try_for_each(|task| self.scatter(gpu, task))
    }
}
