//! Formulas over rows as machine code, against [`phynexus_formula::evaluate`], bit for bit.

mod common;
#[allow(dead_code, reason = "the half about machine code alone")]
mod formulas;

use common::{Tensor, same_bits};
use formulas::{Rng, mixed_formula, rounded};
use phynexus_core::{DType, Kernel, Layout, Shape, Spec, Task, Value, View};
use phynexus_cpu::cpu;
use phynexus_cpu::jit::compile_rows;
use phynexus_formula::{Binary, Builder, Formula, Id, Node, Rank, Reduction, Type, Unary, evaluate};

/// A random formula with reductions of its integers, whose results take part in further passes. Inputs 0 and 1 have one
/// value for each row.
fn row_formula(rng: &mut Rng, nodes: usize) -> Formula {
    let mut b = Builder::new();
    let types = [Type::F32, Type::I32, Type::F32, Type::I32];
    let inputs = types.map(|ty| b.input(ty));
    let scalars = [b.scalar(Type::I32), b.scalar(Type::F32)];
    let mut outputs = vec![];
    let (mut floats, mut ints) = (vec![inputs[0], inputs[2]], vec![inputs[1], inputs[3]]);
    for pass in 0..2 + rng.below(2) {
        let inner = mixed_formula(rng, nodes, false);
        let operands = [0, 1, 2, 3].map(|k| if k % 2 == 0 { rng.pick(&floats) } else { rng.pick(&ints) });
        let results = b.inline(&inner, &operands, &scalars);
        let own = b.binary(Binary::Add, inputs[3], results[2]);
        let op = rng.pick(&[Reduction::Max, Reduction::Min, Reduction::Sum]);
        let total = b.reduce(op, own);
        let size = b.cast(Type::F32, total);
        ints.push(total);
        floats.push(size);
        // mixed with an input, so that all differ by element
        let moved = b.add(results[0], inputs[2]);
        outputs.extend([moved, own]);
        if pass == 0 {
            outputs.extend([total, size]);
        }
        floats.push(moved);
        ints.push(own);
    }
    b.finish(&outputs)
}

fn dtype(formula: &Formula, k: usize, rng: &mut Rng) -> DType {
    let id = formula.outputs()[k];
    match (formula.ty(id), formula.rank(id)) {
        (Type::I32, Rank::Element) => rng.pick(&[DType::I32, DType::U8]),
        (Type::I32, _) => DType::I32,
        (_, Rank::Element) => rng.pick(&[DType::F32, DType::BF16]),
        _ => DType::F32,
    }
}

struct Operands {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    scalars: [Value; 2],
}

impl Operands {
    fn new(rng: &mut Rng, formula: &Formula, rows: usize, length: usize) -> Operands {
        let stored = [
            DType::F32,
            DType::I32,
            rng.pick(&[DType::F32, DType::BF16]),
            rng.pick(&[DType::I32, DType::U8]),
        ];
        let inputs = (0..4).map(|k| {
            let columns = if k < 2 { 1 } else { length };
            let values: Vec<f64> = (0..rows * columns).map(|_| rng.number(stored[k])).collect();
            Tensor::new(stored[k], &[rows, columns], &values)
        });
        let mut inputs: Vec<Tensor> = inputs.collect();
        for tensor in &mut inputs[..2] {
            tensor.layout = tensor.layout.broadcast(&Shape::new(&[rows, length]).unwrap()).unwrap();
        }
        let outputs = (0..formula.outputs().len()).map(|k| {
            let columns = if formula.rank(formula.outputs()[k]) == Rank::Element { length } else { 1 };
            Tensor::empty(dtype(formula, k, rng), &[rows, columns])
        });
        let outputs = outputs.collect();
        Operands { inputs, outputs, scalars: [Value::I(rng.next() as i32 as i64), Value::F(1.5)] }
    }

    fn dtypes(&self) -> (Vec<DType>, Vec<DType>) {
        let of = |tensors: &[Tensor]| tensors.iter().map(|t| t.dtype).collect();
        (of(&self.inputs), of(&self.outputs))
    }

    fn launch(&self, formula: &Formula) {
        let (inputs, outputs) = self.dtypes();
        let kernel = Kernel::new(Spec::Map { formula: formula.clone(), inputs, outputs });
        let (inputs, outputs): (Vec<View<'_>>, Vec<View<'_>>) =
            (self.inputs.iter().map(Tensor::view).collect(), self.outputs.iter().map(Tensor::view).collect());
        let task = Task { inputs: &inputs, outputs: &outputs, scalars: &self.scalars };
        cpu().launch(&kernel, &[task]).unwrap();
    }

    fn check(&self, formula: &Formula, rows: usize, length: usize) {
        let number = |dtype: DType, v: f64| if dtype.is_float() { Value::F(v) } else { Value::I(v as i64) };
        let values: Vec<Vec<Value>> = self
            .inputs
            .iter()
            .map(|t| t.values().into_iter().map(|v| number(t.dtype, v)).collect())
            .collect();
        let found: Vec<Vec<f64>> = self.outputs.iter().map(Tensor::values).collect();
        let numbers = |list: &[Value]| -> Vec<phynexus_formula::Value> {
            let one = |v: &Value| match *v {
                Value::F(v) => phynexus_formula::Value::F(v),
                Value::I(v) => phynexus_formula::Value::I(v),
            };
            list.iter().map(one).collect()
        };
        for row in 0..rows {
            let here: Vec<_> = values.iter().map(|v| numbers(&v[row * length..][..length])).collect();
            let expected = evaluate(formula, &here, &numbers(&self.scalars));
            for (k, column) in expected.iter().enumerate() {
                let dtype = self.outputs[k].dtype;
                for (i, value) in column.iter().enumerate() {
                    let got = found[k][row * column.len() + i];
                    let want = rounded(dtype, value.as_f64());
                    let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                    assert!(same, "output {k} of row {row}, {i}: {got:e}, not {want:e}\n{formula:#?}");
                }
            }
        }
    }
}

#[test]
fn random_formulas_over_rows() {
    let (mut rng, mut count) = (Rng(31), 0);
    for round in 0..40 {
        let formula = row_formula(&mut rng, 1 + round % 12);
        let (rows, length) = [(200, 256), (13, 4096), (3200, 16), (190, 272)][round % 4];
        let operands = Operands::new(&mut rng, &formula, rows, length);
        let (inputs, outputs) = operands.dtypes();
        let compiled = compile_rows(&formula, &inputs, &outputs, &[true, true, false, false]);
        count += compiled.is_some() as usize;
        operands.launch(&formula);
        operands.check(&formula, rows, length);
    }
    // Some keep more values from pass to pass than there are registers for addresses.
    assert!(if is_wide() { count > 20 } else { count == 0 }, "{count} of 40 were compiled");
}

/// Whether this processor has the vectors that such code is made for.
fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Rows that are no whole vectors, and operands that lie otherwise than those seen first, are interpreted.
#[test]
fn what_does_not_fit_is_interpreted() {
    let mut rng = Rng(33);
    let formula = row_formula(&mut rng, 8);
    for (rows, length) in [(500, 255), (11, 5000), (60_000, 1)] {
        let operands = Operands::new(&mut rng, &formula, rows, length);
        operands.launch(&formula);
        operands.check(&formula, rows, length);
    }
}

/// The scale of a row changes in place, as do the elements that are made with the old one and the new.
#[test]
fn rows_in_place() {
    let mut b = Builder::new();
    let (x, scale) = (b.input(Type::F32), b.input(Type::F32));
    let two = b.number(Type::F32, 2.0);
    let value = b.mul(x, scale);
    let value = b.add(value, two);
    let size = b.unary(Unary::Abs, value);
    let bits = b.unary(Unary::Bits, size);
    let most = b.reduce(Reduction::Max, bits);
    let most = b.unary(Unary::FromBits, most);
    let coded = b.div(value, most);
    let formula = b.finish(&[coded, most]);
    assert!(matches!(formula.node(Id(0)), Node::Input { .. }));
    let (rows, length) = (256, 256);
    let numbers: Vec<f64> = (0..rows * length).map(|i| ((i * 37) % 101) as f64 - 50.0).collect();
    let scales: Vec<f64> = (0..rows).map(|i| 0.5 + (i % 8) as f64).collect();
    let wide = |scale: &Layout| scale.broadcast(&Shape::new(&[rows, length]).unwrap()).unwrap();
    same_bits("rows in place", || {
        let x = Tensor::new(DType::F32, &[rows, length], &numbers);
        let scale = Tensor::new(DType::F32, &[rows, 1], &scales);
        let kernel = Kernel::new(Spec::Map {
            formula: formula.clone(),
            inputs: vec![DType::F32; 2],
            outputs: vec![DType::F32; 2],
        });
        let layout = wide(&scale.layout);
        let repeated = View { layout: &layout, ..scale.view() };
        let (inputs, outputs) = ([x.view(), repeated], [x.view(), scale.view()]);
        cpu().launch(&kernel, &[Task { inputs: &inputs, outputs: &outputs, scalars: &[] }]).unwrap();
        let (found, scaled) = (x.values(), scale.values());
        for row in 0..rows {
            let here = |i: usize| (numbers[row * length + i] * scales[row] + 2.0) as f32;
            let most = (0..length).map(|i| here(i).abs()).fold(0.0, f32::max);
            assert_eq!(scaled[row], most as f64);
            assert!((0..length).all(|i| found[row * length + i] == (here(i) / most) as f64));
        }
        [x.bytes(), scale.bytes()].concat()
    });
}
