//! Every operation of the engine with operands of many shapes, dtypes and layouts.

use crate::common::{Memory, Rng, placed, shape};
use crate::{factors, rows};
use phynexus::formula::ops::Op as Row;
use phynexus::ops::map::Cast;
use phynexus::ops::matmul::{Linear, MatMul};
use phynexus::ops::place::Move;
use phynexus::ops::random::{Fill, Random, Range as Arange};
use phynexus::ops::reduce::{CumSum, Reduce};
use phynexus::ops::shape::{
    Concat, Copy as Duplicate, Embed, Expand, Overwrite, Permute, Range, Reshape, Slice,
};
use phynexus::ops::{index, sort::Sort};
use phynexus::{Array, DType, Distribution, Op, Operation, ReduceOp, ScatterOp, Spec, Value, cpu};

/// What an operand's elements are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    Real(f64, f64),
    /// Whole numbers from the first to before the second.
    Whole(i64, i64),
    /// Matrices with 3, 6, 9 ... on the diagonal and small numbers elsewhere: their singular values are far apart.
    Dominant,
    /// The same, symmetric.
    Symmetric,
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
            Draw::Dominant | Draw::Symmetric => rng.uniform(-0.5, 0.5),
        };
        let mut values: Vec<f64> = (0..self.dims.iter().product()).map(|_| one(rng)).collect();
        if let ([.., rows, columns], Draw::Dominant | Draw::Symmetric) = (&self.dims[..], self.draw) {
            for matrix in values.chunks_mut((rows * columns).max(1)) {
                for i in 0..*rows.min(columns) {
                    matrix[i * columns + i] += 3.0 * (i + 1) as f64;
                    for j in 0..i {
                        if self.draw == Draw::Symmetric {
                            matrix[i * columns + j] = matrix[j * columns + i];
                        }
                    }
                }
            }
        }
        values
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
        rows::all(row, &mut small);
    }
    for memory in Memory::ALL {
        views(memory, &mut small);
        reductions(memory, &mut small);
        products(memory, &mut small);
        factors::all(memory, &mut small);
        indices(memory, &mut small);
    }
    sources(&[7], &mut small);
    sources(&[], &mut small);
    sources(&[2, 0, 3], &mut small);
    let count = small.len();
    large(&mut small);
    (small, count)
}

pub fn real(dims: &[usize], memory: Memory) -> Operand {
    Operand { dims: dims.into(), dtype: DType::F64, draw: Draw::Real(-2.0, 2.0), memory }
}

fn whole(dims: &[usize], dtype: DType, low: i64, end: i64, memory: Memory) -> Operand {
    Operand { dims: dims.into(), dtype, draw: Draw::Whole(low, end), memory }
}

pub fn add(cases: &mut Vec<Case>, op: Op, operands: Vec<Operand>) {
    let about = |o: &Operand| format!("{} {:?} {:?}", o.dtype, o.dims, o.memory);
    let operands_text: Vec<String> = operands.iter().map(about).collect();
    let mut name = format!("{op:?}");
    name.truncate(160);
    cases.push(Case { what: format!("{name} of {}", operands_text.join(", ")), op, operands });
}

fn ranges(list: &[(usize, usize, isize)]) -> smallvec::SmallVec<[Range; 4]> {
    list.iter().map(|&(start, size, step)| Range { start, size, step }).collect()
}

fn views(m: Memory, cases: &mut Vec<Case>) {
    for dims in [&[][..], &[0], &[3], &[2, 3], &[2, 1, 3], &[2, 1, 2, 3]] {
        add(cases, Op::Copy(Duplicate), vec![real(dims, m)]);
        add(cases, Op::Cast(Cast { dtype: DType::F64 }), vec![real(dims, m)]);
        add(cases, Op::Move(Move { device: phynexus::cpu() }), vec![real(dims, m)]);
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
    for (from, to) in
        [(&[2, 6][..], &[3, 4][..]), (&[1], &[]), (&[], &[1, 1]), (&[2, 3, 2], &[12]), (&[0, 2], &[3, 0])]
    {
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

fn reductions(m: Memory, cases: &mut Vec<Case>) {
    for op in ReduceOp::EVERY {
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
                let op = Op::Reduce(Reduce { op, axes: axes.into(), keepdim });
                add(cases, op.clone(), vec![real(dims, m)]);
                if !ordered {
                    add(cases, op.clone(), vec![whole(dims, DType::F64, -1, 2, m)]); // products with zeros
                }
                if !matches!(op.name(), "mean") {
                    let few =
                        [DType::Bool, DType::U8, DType::I32, DType::I64].map(|d| whole(dims, d, 0, 2, m));
                    few.into_iter().for_each(|o| add(cases, op.clone(), vec![o]));
                }
                for dtype in [DType::F16, DType::BF16, DType::F32] {
                    add(cases, op.clone(), vec![Operand { dtype, ..real(dims, m) }]);
                }
            }
        }
    }
    for dims in [&[4][..], &[2, 3], &[2, 2, 3], &[0, 2], &[2, 0]] {
        add(cases, Op::CumSum(CumSum), vec![real(dims, m)]);
        add(cases, Op::CumSum(CumSum), vec![whole(dims, DType::Bool, 0, 2, m)]);
        for descending in [false, true] {
            add(cases, Op::Sort(Sort { descending, first: None }), vec![real(dims, m)]);
            add(cases, Op::Sort(Sort { descending, first: None }), vec![whole(dims, DType::I32, -2, 2, m)]);
        }
    }
}

fn products(m: Memory, cases: &mut Vec<Case>) {
    for (left_transposed, right_transposed) in [(false, false), (false, true), (true, false), (true, true)] {
        let turned = |dims: &[usize], turn: bool| {
            let mut dims = dims.to_vec();
            let n = dims.len();
            if turn {
                dims.swap(n - 1, n - 2);
            }
            dims
        };
        for (a, b) in [
            (&[2, 3][..], &[3, 4][..]),
            (&[1, 1], &[1, 1]),
            (&[2, 0], &[0, 3]),
            (&[0, 2], &[2, 3]),
            (&[2, 2, 3], &[2, 3, 2]),
            (&[2, 1, 2, 3], &[3, 3, 2]),
            (&[2, 3], &[2, 3, 2]),
        ] {
            let (a, b) = (turned(a, left_transposed), turned(b, right_transposed));
            let op = Op::MatMul(MatMul { left_transposed, right_transposed, ..MatMul::default() });
            add(cases, op.clone(), vec![real(&a, m), real(&b, m)]);
            for dtype in [DType::F32, DType::BF16, DType::I64] {
                let of = |dims: &[usize]| whole(dims, dtype, -3, 4, m);
                add(cases, op.clone(), vec![of(&a), of(&b)]);
            }
        }
    }
    let fused = Row::ALL.iter().copied().filter(|&row| Linear::can_fuse(row));
    for activation in [None].into_iter().chain(fused.map(Some)) {
        for (n, i, o) in [(3, 2, 4), (1, 1, 1), (0, 2, 3), (2, 0, 3)] {
            let mut operands = vec![real(&[n, i], m), real(&[o, i], m)];
            add(cases, Op::Linear(Linear { activation }), operands.clone());
            operands.push(real(&[o], m));
            add(cases, Op::Linear(Linear { activation }), operands);
        }
    }
}

fn indices(m: Memory, cases: &mut Vec<Case>) {
    for (dims, axis, index) in [
        (&[4][..], 0, &[6][..]),
        (&[3, 2], 0, &[4, 2]),
        (&[3, 2], 1, &[2, 3]),
        (&[2, 3, 2], 1, &[2, 2, 1]),
        (&[2, 3], 1, &[2, 0]),
        (&[2, 2, 3, 2], 2, &[1, 2, 4, 2]),
    ] {
        let n = dims[axis] as i64;
        let at = whole(index, DType::I64, 0, n, m);
        add(cases, Op::Gather(index::Gather::along(axis)), vec![real(dims, m), at.clone()]);
        let wider: Vec<usize> = index.iter().map(|n| n + 1).collect();
        for op in [ScatterOp::Add, ScatterOp::Set] {
            for source in [index, &wider] {
                let operands = vec![real(dims, m), at.clone(), real(source, m)];
                add(cases, Op::Scatter(index::Scatter { axis, op }), operands);
            }
        }
    }
    for dims in [&[][..], &[5], &[2, 3], &[2, 0], &[2, 2, 3]] {
        add(cases, Op::Nonzero(index::Nonzero), vec![whole(dims, DType::Bool, 0, 2, m)]);
    }
}

fn sources(dims: &[usize], cases: &mut Vec<Case>) {
    for dtype in DType::ALL {
        let spec = Spec { shape: shape(dims), dtype, device: cpu() };
        let value = if dtype.is_float() { Value::F(0.75) } else { Value::I(1) };
        add(cases, Op::Fill(Fill { spec, value }), vec![]);
        if dims.len() == 1 && dtype != DType::Bool {
            let step = if dtype.is_float() { Value::F(0.5) } else { Value::I(2) };
            add(cases, Op::Range(Arange { spec, start: value, step, end: None }), vec![]);
        }
        for distribution in [Distribution::Uniform, Distribution::Normal] {
            if dtype.is_float() {
                add(cases, Op::Random(Random { spec, distribution, seed: 5, counter: 9 }), vec![]);
            }
        }
        if dtype == DType::I64 {
            let distribution = Distribution::Integer { low: -3, span: 11 };
            add(cases, Op::Random(Random { spec, distribution, seed: 5, counter: 9 }), vec![]);
        }
    }
}

/// A tensor like `like`, of one value.
pub fn same_everywhere(like: &phynexus::Tensor, value: f64) -> Op {
    let spec = Spec { shape: like.shape(), dtype: like.dtype(), device: cpu() };
    Op::Fill(Fill { spec, value: Value::F(value) })
}

fn large(cases: &mut Vec<Case>) {
    let m = Memory::Permuted;
    rows::large(m, cases);
    factors::large(m, cases);
    for op in ReduceOp::EVERY {
        for axes in [&[0][..], &[1], &[0, 1]] {
            let op = Op::Reduce(Reduce { op, axes: axes.into(), keepdim: false });
            add(cases, op, vec![Operand { dtype: DType::F32, ..real(&[601, 499], m) }]);
        }
    }
    add(cases, Op::MatMul(MatMul::default()), vec![real(&[130, 210], m), real(&[210, 170], m)]);
    let operands = vec![real(&[130, 210], m), real(&[170, 210], m), real(&[170], m)];
    add(cases, Op::Linear(Linear { activation: Some(Row::Relu) }), operands);
    add(cases, Op::CumSum(CumSum), vec![real(&[300, 500], m)]);
    add(cases, Op::Sort(Sort { descending: true, first: Some(7) }), vec![real(&[300, 500], m)]);
    let at = whole(&[900, 300], DType::I64, 0, 400, m);
    add(cases, Op::Gather(index::Gather::along(0)), vec![real(&[400, 300], m), at.clone()]);
    for op in [ScatterOp::Add, ScatterOp::Set] {
        let operands = vec![real(&[400, 300], m), at.clone(), real(&[900, 300], m)];
        add(cases, Op::Scatter(index::Scatter { axis: 0, op }), operands);
    }
    add(cases, Op::Nonzero(index::Nonzero), vec![whole(&[601, 499], DType::Bool, 0, 2, m)]);
    sources(&[300_001], cases);
}
