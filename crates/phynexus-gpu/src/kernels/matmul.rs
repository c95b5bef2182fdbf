//! Products of matrices: tiles of 64 by 64 in the memory of a group, of which each of 256 threads keeps 4 by 4.
//!
//! For each step of 16 along the sums a group loads 2048 elements and a thread makes 256 multiplications and additions from 128
//! loads of shared memory: 16 operations of arithmetic for each byte that comes from far away. Threads load neighbours in memory
//! whichever way an operand lies, so that transposed operands cost the same.

use super::cached;
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts, Program};
use crate::table::{Place, Record, word};
use crate::text::type_name;
use phynexus_core::{DType, Error, Result, Task, View};
use phynexus_formula::print::{Dialect, function};
use phynexus_formula::{Formula, Type};
use smallvec::SmallVec;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};

/// Rows and columns of a tile.
const TILE: usize = 64;
/// How far a tile reaches along the sums.
const DEPTH: usize = 16;
/// From one step along the sums to the next in shared memory: threads that store beside each other meet different banks.
const PITCH: usize = TILE + 1;
/// Threads along each side of a tile, and what each of them keeps along that side.
const SIDE: usize = 16;
const EACH: usize = TILE / SIDE;

pub(super) struct MatMul {
    bias: bool,
    accumulate: bool,
    epilogue: Option<Formula>,
    sums: bool,
    dialect: Dialect,
    programs: [OnceLock<Arc<Program>>; 8],
}

impl MatMul {
    pub fn new(
        bias: bool,
        accumulate: bool,
        epilogue: Option<&Formula>,
        sums: bool,
        dialect: Dialect,
    ) -> MatMul {
        let programs = [const { OnceLock::new() }; 8];
        MatMul { bias, accumulate, epilogue: epilogue.cloned(), sums, dialect, programs }
    }

    /// Whether the epilogue has a second operand.
    fn beside(&self) -> bool {
        self.epilogue.as_ref().is_some_and(|f| f.inputs().len() == 2)
    }

    fn reads(&self) -> usize {
        2 + usize::from(self.bias) + usize::from(self.beside())
    }

    fn parts(&self, dtype: DType) -> Result<Parts> {
        let ty = dtype.compute();
        if ty == Type::Bool || ty == Type::I64 && self.dialect == Dialect::Wgsl {
            return Err(Error::Type(format!(
                "matmul of {dtype} is not computed by {:?}; convert with .to(int32) or .float() before",
                self.dialect
            )));
        }
        let print = |f| function(f, self.dialect, "epilogue").map_err(|e| Error::Type(e.to_string()));
        let mut operands = vec![Operand { dtype, stores: false }; self.reads()];
        operands.extend(vec![Operand { dtype, stores: true }; 1 + usize::from(self.sums)]);
        let name = type_name(ty, self.dialect);
        let size = DEPTH * PITCH;
        Ok(Parts {
            name: format!("matmul {dtype}"),
            operands,
            words: 5,
            strides: 3,
            threads: SIDE * SIDE,
            helpers: self.epilogue.as_ref().map(print).transpose()?.unwrap_or_default(),
            functions: format!(
                "var<workgroup> left: array<{name}, {size}>;\nvar<workgroup> right: array<{name}, {size}>;\n"
            ),
            body: self.body(name),
            ..Parts::default()
        })
    }

    fn body(&self, ty: &str) -> String {
        let out = self.reads();
        let mut text = format!(
            "let rows = word(task, 0u);
let columns = word(task, 1u);
let depth = word(task, 2u);
let across = (columns + {TILE}u - 1u) / {TILE}u;
let tiles = across * ((rows + {TILE}u - 1u) / {TILE}u);
let batch = group / tiles;
let first_row = (group % tiles) / across * {TILE}u;
let first_column = (group % tiles) % across * {TILE}u;
let from_left = base_0(task) + pos(batch) * stride_0(task, 0u);
let from_right = base_1(task) + pos(batch) * stride_1(task, 0u);
let x = local % {SIDE}u;
let y = local / {SIDE}u;
"
        );
        for (i, j) in pairs() {
            _ = writeln!(text, "var sum{i}{j} = {ty}(0);");
        }
        if self.sums {
            _ = writeln!(text, "var whole = {ty}(0);\nvar part = {ty}(0);");
        }
        text += &format!("for (var start = 0u; start < depth; start += {DEPTH}u) {{\n");
        // Neighbouring threads follow the dimension in which the operand's elements are neighbours.
        for (name, side, along_depth, row_stride, depth_stride, first, limit) in
            [("left", 0, 3, 1, 2, "first_row", "rows"), ("right", 1, 4, 2, 1, "first_column", "columns")]
        {
            text += &format!(
                "for (var n = local; n < {}u; n += {}u) {{
let by_depth = word(task, {along_depth}u) == 1u;
let r = select(n % {TILE}u, n / {DEPTH}u, by_depth);
let d = select(n / {TILE}u, n % {DEPTH}u, by_depth);
var value = {ty}(0);
if ({first} + r < {limit} && start + d < depth) {{
value = load_{side}(from_{name} + pos({first} + r) * stride_{side}(task, {row_stride}u) + pos(start + d) * stride_{side}(task, {depth_stride}u));
}}
{name}[d * {PITCH}u + r] = value;
}}
",
                TILE * DEPTH,
                SIDE * SIDE
            );
        }
        text += &format!("workgroupBarrier();\nfor (var d = 0u; d < {DEPTH}u; d++) {{\n");
        for i in 0..EACH {
            _ = writeln!(text, "let a{i} = left[d * {PITCH}u + y + {}u];", i * SIDE);
            _ = writeln!(text, "let b{i} = right[d * {PITCH}u + x + {}u];", i * SIDE);
        }
        for (i, j) in pairs() {
            _ = writeln!(text, "sum{i}{j} += a{i} * b{j};");
        }
        text += "}\n";
        if self.sums {
            // Sums of sums of a few, so that errors grow slowly.
            text += &format!(
                "if (first_column == 0u && local < {TILE}u) {{
var few = {ty}(0);
for (var d = 0u; d < {DEPTH}u; d++) {{ few += left[d * {PITCH}u + local]; }}
part += few;
if (start / {DEPTH}u % {SIDE}u == {SIDE}u - 1u) {{
whole += part;
part = {ty}(0);
}}
}}
"
            );
        }
        text += "workgroupBarrier();\n}\n";
        text += &format!("let to = base_{out}(task) + pos(batch) * stride_{out}(task, 0u);\n");
        for (i, j) in pairs() {
            let mut value = format!("sum{i}{j}");
            if self.bias {
                value += " + load_2(base_2(task) + pos(column) * stride_2(task, 0u))";
            }
            if self.accumulate {
                value += &format!(" + load_{out}(at)");
            }
            if self.beside() {
                let k = out - 1;
                value += &format!(
                    ", load_{k}(base_{k}(task) + pos(batch) * stride_{k}(task, 0u) + pos(row) * stride_{k}(task, 1u) + pos(column) * stride_{k}(task, 2u))"
                );
            }
            if self.epilogue.is_some() {
                value = format!("epilogue({value})");
            }
            text += &format!(
                "{{
let row = first_row + y + {}u;
let column = first_column + x + {}u;
if (row < rows && column < columns) {{
let at = to + pos(row) * stride_{out}(task, 1u) + pos(column) * stride_{out}(task, 2u);
store_{out}(at, {value});
}}
}}
",
                i * SIDE,
                j * SIDE
            );
        }
        if self.sums {
            let k = out + 1;
            text += &format!(
                "if (first_column == 0u && local < {TILE}u && first_row + local < rows) {{
store_{k}(base_{k}(task) + pos(batch) * stride_{k}(task, 0u) + pos(first_row + local) * stride_{k}(task, 1u), whole + part);
}}
"
            );
        }
        text
    }

    fn program(&self, dtype: DType) -> Result<Arc<Program>> {
        if let Some(program) = self.programs[dtype as usize].get() {
            return Ok(program.clone());
        }
        let program = match self.epilogue {
            Some(_) => Arc::new(Program::new(self.dialect, self.parts(dtype)?)),
            None => {
                let name = format!("matmul {dtype} {} {} {}", self.bias, self.accumulate, self.sums);
                cached(self.dialect, name, || self.parts(dtype))?
            }
        };
        Ok(self.programs[dtype as usize].get_or_init(|| program).clone())
    }
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..EACH * EACH).map(|n| (n / EACH, n % EACH))
}

fn record<'a>(task: &Task<'a>) -> Result<Record<'a>> {
    let [a, b, out] = [&task.inputs[0], &task.inputs[1], &task.outputs[0]];
    let [batch, rows, columns] = [0, 1, 2].map(|d| out.layout.shape()[d]);
    let depth = a.layout.shape()[2];
    for view in [a, b, out] {
        word("the number of elements of a tensor", view.layout.elements())?;
    }
    let closer = |view: &View<'_>, d: usize, other: usize| {
        let strides = view.layout.strides();
        u32::from(strides[d].unsigned_abs() < strides[other].unsigned_abs())
    };
    let mut words: SmallVec<[u32; 12]> = [rows, columns, depth].iter().map(|&n| n as u32).collect();
    words.extend([closer(a, 2, 1), closer(b, 1, 2)]);
    Ok(Record {
        groups: batch * rows.div_ceil(TILE) * columns.div_ceil(TILE),
        words,
        operands: task.inputs.iter().chain(task.outputs).map(Place::strided).collect(),
        scalars: SmallVec::new(),
    })
}

impl Kind for MatMul {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        let mut rest: Vec<&Task<'_>> = tasks.iter().filter(|t| t.outputs[0].layout.elements() > 0).collect();
        while let Some(dtype) = rest.first().map(|task| task.outputs[0].dtype) {
            let (alike, other) = rest.into_iter().partition(|task| task.outputs[0].dtype == dtype);
            let alike: Vec<&Task<'_>> = alike;
            let records = alike.into_iter().map(record).collect::<Result<Vec<_>>>()?;
            gpu.dispatch(&self.program(dtype)?, &records)?;
            rest = other;
        }
        Ok(())
    }
}
