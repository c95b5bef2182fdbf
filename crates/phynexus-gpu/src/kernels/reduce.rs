//! Reductions over the last dimensions, in passes.
//!
//! A group of 256 threads is a rectangle: so many outputs beside each other, and so many lanes for each. A lane takes at most
//! [`RUN`] elements, lanes are joined in pairs, and where a group is not enough for an output, the next pass joins what the
//! groups have left; so sums are pairwise, and their order follows from the shape alone.

mod form;

use super::walk::{self, Walk};
use super::{THREADS, cached};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts, Program};
use crate::table::{Place, Record, word};
use form::Form;
use phynexus_core::{Buffer, DType, MAX_DIMS, ReduceOp, Result, Task};
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;
use std::sync::Arc;

/// Elements that a lane takes one after the other.
const RUN: usize = 16;
/// Outputs beside each other where those are closer in memory than the elements of one.
const COLUMNS: usize = 32;
/// Words of a task: outputs, elements of each, outputs of a group, lanes, groups of an output, elements in all.
const OUTER: usize = 6;
const INNER: usize = OUTER + walk::WORDS;

pub(super) struct Reduce {
    op: ReduceOp,
    axes: usize,
    dialect: Dialect,
}

/// What a pass reads and writes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pass {
    /// Whether it reads what a pass has left, and not the input.
    later: bool,
    /// Whether it writes the results.
    last: bool,
}

impl Reduce {
    pub fn new(op: ReduceOp, axes: usize, dialect: Dialect) -> Reduce {
        Reduce { op, axes, dialect }
    }

    fn program(&self, pass: Pass, form: &Form, from: DType, to: DType) -> Result<Arc<Program>> {
        let Pass { later, last } = pass;
        let name = format!("reduce {:?} {from} {to} {}", self.op, u8::from(later) * 2 + u8::from(last));
        cached(self.dialect, name, || {
            let reads = if later { form.kept() } else { SmallVec::from_slice(&[from]) };
            let writes = if last { SmallVec::from_slice(&[to]) } else { form.kept() };
            let operand = |stores| move |dtype| Operand { dtype, stores };
            let out = reads.len();
            let inputs = (0..out).map(|k| {
                walk::offset(&format!("outer_{k}"), k, OUTER, 0)
                    + &walk::offset(&format!("inner_{k}"), k, INNER, MAX_DIMS)
            });
            let shared = |(k, part): (usize, &form::Part)| {
                format!("var<workgroup> part{k}: array<{}, {THREADS}>;\n", part.ty)
            };
            let arrays = form.parts.iter().enumerate().map(shared);
            Ok(Parts {
                functions: arrays.chain(inputs).collect::<String>() + &form.functions,
                operands: reads
                    .into_iter()
                    .map(operand(false))
                    .chain(writes.into_iter().map(operand(true)))
                    .collect(),
                words: INNER + walk::WORDS,
                strides: 2 * MAX_DIMS,
                threads: THREADS,
                body: text(form, pass, out),
                ..Parts::default()
            })
        })
    }

    fn reduce(&self, gpu: &dyn Gpu, task: &Task<'_>) -> Result<()> {
        let (input, output) = (&task.inputs[0], &task.outputs[0]);
        let form = Form::new(self.op, input.dtype, self.dialect)?;
        let kept = input.layout.shape().len() - self.axes;
        let (outer_sizes, inner_sizes) = input.layout.shape().split_at(kept);
        let (outer_strides, inner_strides) = input.layout.strides().split_at(kept);
        let mut outer = Walk::new(outer_sizes, [outer_strides]);
        let mut inner = Walk::new(inner_sizes, [inner_strides]);
        let (outputs, total) = (outer.elements(), inner.elements());
        if outputs == 0 {
            return Ok(());
        }
        word("the number of elements of a tensor", outputs * total)?;
        let mut left: Option<Vec<Buffer>> = None;
        loop {
            let depth = inner.elements();
            let (width, lanes) = rectangle(&outer, &inner);
            let parts = depth.div_ceil(lanes * RUN).max(1);
            let pass = Pass { later: left.is_some(), last: parts == 1 };
            let program = self.program(pass, &form, input.dtype, output.dtype)?;
            let fresh: Vec<Buffer> = match pass.last {
                true => vec![],
                false => form.buffers(gpu.device(), parts * outputs)?,
            };
            let mut words: SmallVec<[u32; 12]> =
                [outputs, depth, width, lanes, parts, total].iter().map(|&n| n as u32).collect();
            words.extend(outer.words()?);
            words.extend(inner.words()?);
            let strides: SmallVec<[isize; 4]> =
                padded(&outer.strides[0]).chain(padded(&inner.strides[0])).collect();
            let mut operands: SmallVec<[Place<'_>; 6]> = match &left {
                None => [Place { strides: strides.clone(), ..Place::of(input) }].into_iter().collect(),
                Some(left) => {
                    left.iter().map(|b| Place { strides: strides.clone(), ..Place::whole(b) }).collect()
                }
            };
            if pass.last {
                operands.push(Place::of(output));
            }
            operands.extend(fresh.iter().map(Place::whole));
            let record =
                Record { groups: outputs.div_ceil(width) * parts, words, operands, scalars: SmallVec::new() };
            gpu.dispatch(&program, &[record])?;
            if pass.last {
                return Ok(());
            }
            outer = Walk::new(&[outputs], [&[1]]);
            inner = Walk::new(&[parts], [&[outputs as isize]]);
            left = Some(fresh);
        }
    }
}

impl Kind for Reduce {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        tasks.iter().try_for_each(|task| self.reduce(gpu, task))
    }
}

fn padded(strides: &[isize]) -> impl Iterator<Item = isize> + '_ {
    (0..MAX_DIMS).map(|d| strides.get(d).copied().unwrap_or(0))
}

/// Outputs of a group, and lanes of each.
fn rectangle(outer: &Walk<1>, inner: &Walk<1>) -> (usize, usize) {
    let ((beside, across), (_, along)) = (outer.last(0), inner.last(0));
    let wanted = inner.elements().div_ceil(4).next_power_of_two().min(THREADS);
    let columns = beside > 1 && across.unsigned_abs() < along.unsigned_abs();
    let width = if columns { beside.next_power_of_two().min(COLUMNS) } else { 1 };
    let lanes = wanted.min(THREADS / width);
    (THREADS / lanes, lanes)
}

fn text(form: &Form, pass: Pass, out: usize) -> String {
    let each = |f: &dyn Fn(usize, &form::Part) -> String| -> String {
        form.parts.iter().enumerate().map(|(k, part)| f(k, part)).collect()
    };
    let take = match pass.later {
        true => each(&|k, part| {
            format!(
                "let y{k} = {};\n",
                part.loaded(&format!(
                    "load_{k}(base_{k}(task) + outer_{k}(task, output) + inner_{k}(task, e))"
                ))
            )
        }),
        false => {
            format!("let v = load_0(base_0(task) + outer_0(task, output) + inner_0(task, e));\n{}", form.take)
        }
    };
    let put = match pass.last {
        true => format!("store_{out}(base_{out}(task) + output, {});\n", form.finish),
        false => each(&|k, part| {
            let o = out + k;
            format!(
                "store_{o}(base_{o}(task) + part * word(task, 0u) + output, {});\n",
                part.stored(&format!("x{k}"))
            )
        }),
    };
    let (start, merge) = (each(&|k, part| format!("var x{k} = {};\n", part.identity)), &form.merge);
    let (show, see) = (
        each(&|k, _| format!("part{k}[local] = x{k};\n")),
        each(&|k, _| format!("let y{k} = part{k}[local + half * width];\n")),
    );
    format!(
        "let width = word(task, 2u);
let lanes = word(task, 3u);
let part = group % word(task, 4u);
let output = (group / word(task, 4u)) * width + local % width;
let lane = local / width;
let wanted = output < word(task, 0u);
{start}if (wanted) {{
let end = min((part + 1u) * lanes * {RUN}u, word(task, 1u));
for (var e = part * lanes * {RUN}u + lane; e < end; e += lanes) {{
{take}{merge}}}
}}
{show}workgroupBarrier();
for (var half = lanes / 2u; half > 0u; half /= 2u) {{
if (lane < half) {{
{see}{merge}{show}}}
workgroupBarrier();
}}
if (wanted && lane == 0u) {{
{put}}}
"
    )
}
