//! Formulas: elementwise, or over rows. One dispatch for all tasks.

use super::{THREADS, groups};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts, Program};
use crate::table::{Place, Record, scalar, word};
use parking_lot::Mutex;
use phynexus_core::{DType, Error, MAX_DIMS, Result, Task, View};
use phynexus_formula::print::{Dialect, Rows, body};
use phynexus_formula::{Formula, Type};
use smallvec::SmallVec;
use std::sync::Arc;

/// Rows up to this length are the work of one thread each.
const SHORT: usize = 32;
/// Words of a task: elements or rows, length of a row, rank, then the sizes.
const SIZES: usize = 3;

/// How an operand's elements are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// One after the other.
    Dense,
    /// All the same.
    Single,
    Strided,
}

/// What programs of one formula differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variant {
    rows: Rows,
    access: SmallVec<[Access; 8]>,
}

/// A formula with the programs that were needed for it.
pub(super) struct Map {
    formula: Formula,
    operands: Vec<Operand>,
    dialect: Dialect,
    programs: Mutex<Vec<(Variant, Arc<Program>)>>,
}

/// A task's shape, as few dimensions as its operands allow, and their strides.
struct Shape {
    sizes: SmallVec<[usize; 8]>,
    strides: SmallVec<[SmallVec<[isize; 4]>; 8]>,
}

/// The program for contiguous operands, stored as they are computed, as one module.
pub fn print(formula: &Formula, dialect: Dialect) -> Result<String> {
    let stored = |ty: &Type| {
        DType::ALL.into_iter().rev().find(|d| d.compute() == *ty && d.size() >= 4).unwrap_or(DType::Bool)
    };
    let inputs: Vec<DType> = formula.inputs().iter().map(stored).collect();
    let outputs: Vec<DType> = formula.outputs().iter().map(|id| stored(&formula.ty(*id))).collect();
    let map = Map::new(formula, &inputs, &outputs, dialect)?;
    let access = SmallVec::from_elem(Access::Dense, map.operands.len());
    let slots: Vec<usize> = (0..map.operands.len()).collect();
    Ok(map.program(&Variant { rows: Rows::Group, access })?.module(&slots))
}

impl Shape {
    /// The last dimension.
    fn length(&self) -> usize {
        self.sizes.last().copied().unwrap_or(1)
    }
}

impl Map {
    pub fn new(formula: &Formula, inputs: &[DType], outputs: &[DType], dialect: Dialect) -> Result<Map> {
        // Whatever is wrong with the formula is said before anything is launched.
        body(formula, dialect, Rows::Group).map_err(|e| Error::Type(e.to_string()))?;
        let operand = |stores| move |&dtype: &DType| Operand { dtype, stores };
        let operands = inputs.iter().map(operand(false)).chain(outputs.iter().map(operand(true))).collect();
        Ok(Map { formula: formula.clone(), operands, dialect, programs: Mutex::default() })
    }

    fn program(&self, variant: &Variant) -> Result<Arc<Program>> {
        let mut programs = self.programs.lock();
        if let Some((_, program)) = programs.iter().find(|(known, _)| known == variant) {
            return Ok(program.clone());
        }
        let printed =
            body(&self.formula, self.dialect, variant.rows).map_err(|e| Error::Type(e.to_string()))?;
        let strided = variant.access.contains(&Access::Strided);
        let start = match (printed.by_rows, variant.rows) {
            (false, _) => "let i = group * 256u + local;\nif (i >= word(task, 0u)) { return; }\n",
            (true, Rows::Group) => "let row = group;\nlet length = word(task, 1u);\n",
            (true, Rows::Thread) => {
                "let row = group * 256u + local;\nif (row >= word(task, 0u)) { return; }\nlet length = word(task, 1u);\n"
            }
        };
        let parts = Parts {
            name: "map".into(),
            operands: self.operands.clone(),
            words: if strided { SIZES + MAX_DIMS } else { SIZES },
            strides: if strided { MAX_DIMS } else { 0 },
            scalars: self.formula.scalars().len(),
            threads: THREADS,
            helpers: printed.helpers,
            functions: variant.access.iter().enumerate().map(|(k, access)| find(k, *access)).collect(),
            body: format!("{start}{}", printed.text),
        };
        let program = Arc::new(Program::new(self.dialect, parts));
        programs.push((variant.clone(), program.clone()));
        Ok(program)
    }

    /// The record of a task under a variant.
    fn record<'a>(&self, task: &Task<'a>, shape: &Shape, variant: &Variant) -> Result<Record<'a>> {
        let by_rows = self.formula.is_row_wise();
        let elements: usize = shape.sizes.iter().product();
        let length = if by_rows { shape.length() } else { 1 };
        let units = if by_rows { shape.sizes.iter().rev().skip(1).product() } else { elements };
        word("the number of elements of a tensor", elements)?;
        let mut words = SmallVec::from_slice(&[units as u32, length as u32, shape.sizes.len() as u32]);
        if variant.access.contains(&Access::Strided) {
            words.extend((0..MAX_DIMS).map(|d| shape.sizes.get(d).copied().unwrap_or(1) as u32));
        }
        let place =
            |(k, view): (usize, &View<'a>)| Place { strides: shape.strides[k].clone(), ..Place::of(view) };
        let scalars = self.formula.scalars().iter().zip(task.scalars);
        Ok(Record {
            groups: if by_rows && variant.rows == Rows::Group { units } else { groups(units) },
            words,
            operands: task.inputs.iter().chain(task.outputs).enumerate().map(place).collect(),
            scalars: scalars.map(|(ty, v)| scalar(*ty, *v, self.dialect)).collect::<Result<_>>()?,
        })
    }
}

impl Kind for Map {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        let by_rows = self.formula.is_row_wise();
        let mut jobs: Vec<(Variant, Vec<Record<'_>>)> = Vec::new();
        let shapes: Vec<Shape> = tasks.iter().map(|task| shape(task, by_rows)).collect();
        // Tensors of a step are nearly always alike; where one is strided, all are told so.
        let mut access: SmallVec<[Access; 8]> = SmallVec::from_elem(Access::Dense, self.operands.len());
        for (task, shape) in tasks.iter().zip(&shapes) {
            let views = task.inputs.iter().chain(task.outputs);
            for (k, (known, view)) in access.iter_mut().zip(views).enumerate() {
                let own = accessed(view, shape, k);
                *known = if *known == own || own == Access::Dense { *known } else { Access::Strided };
                if tasks.len() == 1 {
                    *known = own;
                }
            }
        }
        for (task, shape) in tasks.iter().zip(&shapes) {
            let rows = if by_rows && shape.length() > SHORT { Rows::Group } else { Rows::Thread };
            let variant = Variant { rows, access: access.clone() };
            let record = self.record(task, shape, &variant)?;
            if record.groups == 0 {
                continue;
            }
            match jobs.iter_mut().find(|(known, _)| *known == variant) {
                Some((_, records)) => records.push(record),
                None => jobs.push((variant, vec![record])),
            }
        }
        jobs.iter().try_for_each(|(variant, records)| gpu.dispatch(&self.program(variant)?, records))
    }
}

/// The functions that find an element, and the only value of a row.
fn find(k: usize, access: Access) -> String {
    let walk = |skip: &str| {
        format!(
            "    var at = base_{k}(task);
    for (var d = word(task, 2u){skip}; d > 0u; d--) {{
        let size = word(task, {}u + d);
        at += (rest % size) * stride_{k}(task, d - 1u);
        rest /= size;
    }}
    return at;
",
            SIZES - 1
        )
    };
    match access {
        Access::Dense => format!(
            "fn at_{k}(task: u32, i: u32) -> pos {{ return base_{k}(task) + i; }}
fn row_{k}(task: u32, row: u32) -> pos {{ return base_{k}(task) + row; }}
"
        ),
        Access::Single => format!(
            "fn at_{k}(task: u32, i: u32) -> pos {{ return base_{k}(task); }}
fn row_{k}(task: u32, row: u32) -> pos {{ return base_{k}(task); }}
"
        ),
        Access::Strided => format!(
            "fn at_{k}(task: u32, i: u32) -> pos {{
    var rest = i;
{}}}
fn row_{k}(task: u32, row: u32) -> pos {{
    var rest = row;
{}}}
",
            walk(""),
            walk(" - 1u")
        ),
    }
}

/// How the elements of an operand are found; one that has a value for each row is dense if those are.
fn accessed(view: &View<'_>, shape: &Shape, k: usize) -> Access {
    let strides = &shape.strides[k];
    if view.layout.is_contiguous() && view.layout.elements() > 1 {
        return Access::Dense;
    }
    match strides.iter().all(|&s| s == 0) {
        true if view.layout.elements() == 1 => Access::Dense,
        true => Access::Single,
        false => Access::Strided,
    }
}

/// The shape that all operands are broadcast to, with neighbouring dimensions joined where all operands allow it; the last
/// is a dimension of its own where formulas see rows.
fn shape(task: &Task<'_>, by_rows: bool) -> Shape {
    let views = || task.inputs.iter().chain(task.outputs);
    let first = task.inputs.first().or(task.outputs.first());
    let full: &[usize] = first.map_or(&[], |view| view.layout.shape());
    let elements: usize = full.iter().product();
    // Neighbours all along: whatever the shapes are called, which may differ in their dimensions then.
    if !by_rows && views().all(|v| v.layout.is_contiguous() && v.layout.elements() == elements) {
        let strides = views().map(|_| SmallVec::from_slice(&[1])).collect();
        return Shape { sizes: SmallVec::from_slice(&[elements]), strides };
    }
    let mut shape = Shape { sizes: SmallVec::new(), strides: views().map(|_| SmallVec::new()).collect() };
    for (d, &size) in full.iter().enumerate() {
        let last = d + 1 == full.len();
        if size == 1 && !(last && by_rows) {
            continue;
        }
        let stride = |view: &View<'_>| view.layout.strides()[d];
        let joins = !(shape.sizes.is_empty() || last && by_rows)
            && views().zip(&shape.strides).all(|(v, s)| s.last() == Some(&(stride(v) * size as isize)));
        match shape.sizes.last_mut() {
            Some(known) if joins => *known *= size,
            _ => shape.sizes.push(size),
        }
        for (view, strides) in views().zip(&mut shape.strides) {
            // A result with one value for each row has size 1 there.
            let stride = if view.layout.shape()[d] == 1 { 0 } else { stride(view) };
            match strides.last_mut() {
                Some(known) if joins => *known = stride,
                _ => strides.push(stride),
            }
        }
    }
    if by_rows && shape.sizes.is_empty() {
        shape.sizes.push(1);
        shape.strides.iter_mut().for_each(|strides| strides.push(0));
    }
    shape
}
