//! Every operation of the engine with operands of many shapes, dtypes and layouts.

use crate::common::{Memory, Rng, placed, shape};
use phynexus::formula::Type;
use phynexus::formula::ops::{Op as Row, Promotion, Special};
use phynexus::ops::map::{Cast, Map, MapFn, result_dtype};
use phynexus::ops::matmul::{Linear, MatMul};
use phynexus::ops::random::{Fill, Random, Range as Arange};
use phynexus::ops::reduce::{CumSum, Reduce};
use phynexus::ops::shape::{Concat, Copy, Embed, Expand, Overwrite, Permute, Range, Reshape, Slice};
use phynexus::ops::{index, sort::Sort};
use phynexus::{Array, DType, Distribution, Op, ReduceOp, ScatterOp, Spec, Value, cpu};

/// What an operand's elements are drawn from.
#[derive(Clone, Copy, Debug)]
pub enum Draw {
    Real(f64, f64),
    /// Whole numbers from the first to before the second.
    Whole(i64, i64),
}

#[derive(Clone, Debug)]
pub struct Operand {
    pub dims: Vec<usize>,
    pub dtype: DType,
    pub draw: Draw,
    pub memory: Memory,
}

impl Operand {
    pub fn draw(&self, rng: &mut Rng) -> Vec<f64> {
        let one = |rng: &mut Rng| match self.draw {
            Draw::Real(low, high) => rng.uniform(low, high),
            Draw::Whole(low, end) => (low + rng.below((end - low) as usize) as i64) as f64,
        };
        (0..self.dims.iter().product()).map(|_| one(rng)).collect()
    }
    pub fn array(&self, values: &[f64]) -> Array {
        placed(values, &self.dims, self.dtype, self.memory)
    }
}

/// An operation with its operands.
pub struct Case {
    pub what: String,
    pub op: Op,
    pub operands: Vec<Operand>,
}

/// All cases; those after the first number are so large that threads share them.
pub fn all() -> (Vec<Case>, usize) {
    let mut small = Vec::new();
    for &row in Row::ALL {
        formulas(row, &mut small);
    }
    for memory in Memory::ALL {
        views(memory, &mut small);
        reductions(memory, &mut small);
        products(memory, &mut small);
        indices(memory, &mut small);
    }
    sources(&[7], &mut small);
    sources(&[], &mut small);
    sources(&[2, 0, 3], &mut small);
    let count = small.len();
    large(&mut small);
    (small, count)
}

/// A slice of all of memory that operands may come from.
fn real(dims: &[usize], memory: Memory) -> Operand {
    Operand { dims: dims.into(), dtype: DType::F64, draw: Draw::Real(-2.0, 2.0), memory }
}

fn whole(dims: &[usize], dtype: DType, low: i64, end: i64, memory: Memory) -> Operand {
    Operand { dims: dims.into(), dtype, draw: Draw::Whole(low, end), memory }
}

fn add(cases: &mut Vec<Case>, op: impl Into<Op>, operands: Vec<Operand>) {
    let op = op.into();
    let about = |o: &Operand| format!("{} {:?} {:?}", o.dtype, o.dims, o.memory);
    let operands_text: Vec<String> = operands.iter().map(about).collect();
    let mut name = format!("{op:?}");
    name.truncate(160);
    cases.push(Case { what: format!("{name} of {}", operands_text.join(", ")), op, operands });
}

/// A table row over operands of `dtype`; those in `fixed` (a bit each) are numbers.
fn formula(row: Row, dtype: DType, fixed: u32, dims: &[Vec<usize>], memory: Memory) -> Option<Case> {
    let (about, ty) = (row.row(), dtype.compute());
    let mut operands = Vec::new();
    let mut scalars: Vec<Value> = Vec::new();
    for slot in 0..about.inputs {
        let (low, high) = about.domain.inputs[slot.min(about.domain.inputs.len() - 1)];
        let (own, draw) = match about.input_type(slot, ty) {
            Type::Bool => (DType::Bool, Draw::Whole(0, 2)),
            Type::I64 if ty != Type::I64 => (DType::I64, Draw::Whole(0, *dims[0].last()? as i64)),
            Type::F32 | Type::F64 => (dtype, Draw::Real(low, high)),
            _ if dtype == DType::U8 => (dtype, Draw::Whole(1, 9)),
            _ => (dtype, Draw::Whole(-5, 6)),
        };
        if matches!(draw, Draw::Whole(_, 0)) {
            return None; // no class to draw a label from
        }
        if fixed >> slot & 1 == 1 {
            scalars.push(Value::F(0.25 * low + 0.75 * high));
        } else {
            operands.push(Operand { dims: dims[slot].clone(), dtype: own, draw, memory });
        }
    }
    for (k, &value) in about.domain.scalars.iter().enumerate() {
        // In strided memory the label to ignore is one that occurs.
        let value = if about.special == Special::Label && k == 0 && memory == Memory::Strided { 0.0 } else { value };
        let integer = matches!(about.scalar_type(k, ty), Type::I64 | Type::I32);
        scalars.push(if integer { Value::I(value as i64) } else { Value::F(value) });
    }
    let outputs = (0..about.outputs).map(|_| result_dtype(row, dtype)).collect();
    let function = MapFn::of(row, ty, fixed).clone();
    let what = format!("{} of {} {dims:?}, {memory:?}, numbers {fixed:b}", row.name(), dtype);
    Some(Case { what, op: Op::Map(Map { function, scalars: scalars.into(), outputs, whole: false }), operands })
}

fn accepts(promotion: Promotion, dtype: DType) -> bool {
    match promotion {
        Promotion::Float => dtype.is_float(),
        Promotion::Number => dtype != DType::Bool,
        Promotion::Any => true,
        Promotion::Integer => !dtype.is_float(),
        Promotion::Bool => dtype == DType::Bool,
    }
}

/// Shapes that broadcast together, or a row with what each row has in common.
fn row_dims(row: Row) -> Vec<Vec<Vec<usize>>> {
    let about = row.row();
    if !about.row_wise {
        let shapes: [[&[usize]; 3]; 6] = [
            [&[], &[], &[]],
            [&[0, 3], &[3], &[]],
            [&[5], &[5], &[5]],
            [&[2, 3], &[3], &[2, 1]],
            [&[3, 1], &[2, 1, 4], &[]],
            [&[2, 2, 1, 3], &[1, 2, 3, 1], &[3]],
        ];
        return shapes.iter().map(|s| s.iter().map(|d| d.to_vec()).collect()).collect();
    }
    let shapes: [&[usize]; 6] = [&[4], &[2, 5], &[2, 3, 4], &[2, 1, 3, 5], &[0, 4], &[2, 0]];
    let soft = matches!(row, Row::CrossEntropySoft | Row::CrossEntropySoftWeighted);
    let each = |dims: &&[usize]| {
        let n = dims.last().copied().unwrap_or(1);
        let mut label = dims.to_vec();
        label[dims.len() - 1] = 1;
        let second = match about.special {
            Special::Label => label,
            _ if soft => dims.to_vec(),
            _ => vec![n],
        };
        vec![dims.to_vec(), second, vec![n]]
    };
    shapes.iter().map(each).collect()
}

fn formulas(row: Row, cases: &mut Vec<Case>) {
    let about = row.row();
    let shapes = row_dims(row);
    for dtype in DType::ALL.into_iter().filter(|&d| accepts(about.promotion, d)) {
        let every = matches!(dtype, DType::F64 | DType::I64);
        for (i, dims) in shapes.iter().enumerate().filter(|(i, _)| every || *i == 3) {
            cases.extend(Memory::ALL.into_iter().filter_map(|m| formula(row, dtype, 0, dims, m)));
            if !about.row_wise && about.inputs >= 2 && i == 3 {
                cases.extend(formula(row, dtype, 0b10, dims, Memory::Permuted));
            }
            if about.inputs == 2 && !about.row_wise {
                cases.extend(formula(row, dtype, 0b01, dims, Memory::Whole));
            }
        }
    }
    if about.row_wise || !accepts(about.promotion, DType::F64) {
        return;
    }
    for (dims, mean) in shapes.iter().flat_map(|d| [(d, true), (d, false)]) {
        let case = formula(row, DType::F64, 0, dims, Memory::Permuted);
        cases.extend(case.map(|mut case| {
            if let Op::Map(map) = &mut case.op {
                (map.function, map.whole) = (MapFn::reduced(row, Type::F64, mean).clone(), true);
                map.outputs = [DType::F64].into_iter().collect();
                if about.result == phynexus::formula::ops::ResultType::Bool {
                    map.outputs[0] = DType::Bool;
                }
            }
            case.what += if mean { ", mean" } else { ", sum" };
            case
        }));
    }
}

fn ranges(list: &[(usize, usize, isize)]) -> smallvec::SmallVec<[Range; 4]> {
    list.iter().map(|&(start, size, step)| Range { start, size, step }).collect()
}

fn views(m: Memory, cases: &mut Vec<Case>) {
    for dims in [&[][..], &[0], &[3], &[2, 3], &[2, 1, 3], &[2, 1, 2, 3]] {
        add(cases, Op::Copy(Copy), vec![real(dims, m)]);
        add(cases, Op::Cast(Cast { dtype: DType::F64 }), vec![real(dims, m)]);
        for dtype in DType::ALL {
            add(cases, Op::Cast(Cast { dtype }), vec![real(dims, m)]);
            let from = Operand { dtype, draw: Draw::Whole(0, 2), ..real(dims, m) };
            add(cases, Op::Cast(Cast { dtype: DType::F32 }), vec![from]);
        }
        let order = (0..dims.len()).map(|i| (i + 1) % dims.len()).collect();
        add(cases, Op::Permute(Permute { order }), vec![real(dims, m)]);
        let backwards: Vec<_> = dims.iter().map(|&n| (n.saturating_sub(1), n.div_ceil(2), -2)).collect();
        add(cases, Op::Slice(Slice { ranges: ranges(&backwards) }), vec![real(dims, m)]);
        let halves: Vec<usize> = dims.iter().map(|n| n.div_ceil(2)).collect();
        let embed = Embed { ranges: ranges(&backwards), shape: shape(dims) };
        add(cases, Op::Embed(embed), vec![real(&halves, m)]);
        let overwrite = Overwrite { ranges: ranges(&backwards) };
        add(cases, Op::Overwrite(overwrite), vec![real(dims, m), real(&halves, m)]);
        let mut wide = vec![2];
        wide.extend(dims.iter().map(|&n| if n == 1 { 3 } else { n }));
        add(cases, Op::Expand(Expand { shape: shape(&wide) }), vec![real(dims, m)]);
    }
    for (from, to) in [(&[2, 6][..], &[3, 4][..]), (&[1], &[]), (&[], &[1, 1]), (&[2, 3, 2], &[12]), (&[0, 2], &[3, 0])] {
        add(cases, Op::Reshape(Reshape { shape: shape(to) }), vec![real(from, m)]);
    }
    for axis in 0..3 {
        let part = |n: usize| {
            let mut dims = [2, 3, 2];
            dims[axis] = n;
            real(&dims, m)
        };
        add(cases, Op::Concat(Concat { axis }), vec![part(1), part(0), part(3)]);
        add(cases, Op::Concat(Concat { axis }), vec![part(2)]);
    }
}

const REDUCTIONS: [ReduceOp; 9] = [
    ReduceOp::Sum,
    ReduceOp::Mean,
    ReduceOp::Prod,
    ReduceOp::Max,
    ReduceOp::Min,
    ReduceOp::ArgMax,
    ReduceOp::ArgMin,
    ReduceOp::Any,
    ReduceOp::All,
];

fn reductions(m: Memory, cases: &mut Vec<Case>) {
    for op in REDUCTIONS {
        let ordered = matches!(op, ReduceOp::Max | ReduceOp::Min | ReduceOp::ArgMax | ReduceOp::ArgMin);
        for (dims, axes) in [
            (&[][..], &[][..]),
            (&[4], &[0]),
            (&[3, 2], &[0]),
            (&[3, 2], &[1]),
            (&[2, 3, 2], &[0, 2]),
            (&[2, 2, 3, 2], &[1, 2]),
            (&[2, 2, 3, 2], &[]),
            (&[2, 3, 2], &[0, 1, 2]),
            (&[0, 3], &[1]),
            (&[2, 0], &[1]),
        ] {
            if ordered && axes.iter().any(|&a: &usize| dims[a] == 0) {
                continue;
            }
            for keepdim in [false, true] {
                let op = |op| Op::Reduce(Reduce { op, axes: axes.into(), keepdim });
                add(cases, self::identity(op)(REDUCTIONS[REDUCTIONS.iter().position(|o| *o == OPS.0).unwrap()]), vec![]);
            }
        }
    }
}
