//! Formulas: the same bits in place, in machine code and on any number of threads; sums as good as float64's.

mod common;

use common::formula::{launch, map};
use common::{Tensor, decode, rounded, same_bits};
use phynexus_core::{DType, Kernel, Shape, Spec, Task, Value, View};
use phynexus_cpu::cpu;
use phynexus_formula::ops::Op;
use phynexus_formula::{Binary, Builder, Formula, Reduction, Type, Unary};

/// `(a + b, a * b, sum(a))` written over `(a, b)`.
#[test]
fn outputs_in_place_do_not_disturb_later_reads() {
    for (rows, length, reduces) in [(1, 5000, false), (30, 7, true), (3, 700, true), (2, 9000, true)] {
        let mut g = Builder::new();
        let (a, b) = (g.input(Type::F32), g.input(Type::F32));
        let sum = g.add(a, b);
        let product = g.mul(a, b);
        let total = if reduces { g.reduce(Reduction::Max, a) } else { a };
        let product = g.add(product, total);
        let formula = g.finish(&[sum, product]);
        let values = |k: usize| -> Vec<f64> { (0..rows * length).map(|i| ((i * k) % 101) as f64).collect() };
        let tensor = |k| Tensor::new(DType::F32, &[rows, length], &values(k));
        let (x, y, p, q) = (tensor(3), tensor(7), tensor(1), tensor(1));
        let kernel = map(&formula, &[&x, &y], &[&p, &q]);
        launch(&kernel, &[&x, &y], &[&p, &q], &[]);
        launch(&kernel, &[&x, &y], &[&x, &y], &[]);
        assert_eq!(x.values(), p.values(), "{rows}x{length}");
        assert_eq!(y.values(), q.values(), "{rows}x{length}");
    }
}

fn adam() -> Formula {
    let mut b = Builder::new();
    let [p, g, m, v] = [(); 4].map(|_| b.input(Type::F32));
    let [c1, d1, c2, d2, size, eps] = [(); 6].map(|_| b.scalar(Type::F32));
    let (m0, m1) = (b.mul(c1, m), b.mul(d1, g));
    let m = b.add(m0, m1);
    let g2 = b.mul(g, g);
    let (v0, v1) = (b.mul(c2, v), b.mul(d2, g2));
    let v = b.add(v0, v1);
    let root = b.unary(Unary::Sqrt, v);
    let below = b.add(root, eps);
    let above = b.mul(size, m);
    let step = b.div(above, below);
    let p = b.sub(p, step);
    b.finish(&[p, m, v])
}

const SCALARS: [Value; 6] =
    [Value::F(0.9), Value::F(0.1), Value::F(0.999), Value::F(0.001), Value::F(0.01), Value::F(1e-8)];

fn random_f32(seed: u64, n: usize) -> Vec<f64> {
    (0..n as u64)
        .map(|i| (phynexus_core::philox::uniform32(phynexus_core::philox::block(seed, i)[0]) - 0.4) as f64)
        .collect()
}

/// Tensors large enough for machine code, in one launch, and the same in small interpreted pieces.
#[test]
fn machine_code_and_interpreter_agree_to_the_bit() {
    let mut extra = Builder::new();
    let (x, y) = (extra.input(Type::F32), extra.input(Type::F32));
    let (least, most) = (extra.binary(Binary::Min, x, y), extra.binary(Binary::Max, x, y));
    let quotient = extra.div(x, y);
    let rsqrt = extra.unary(Unary::Rsqrt, x);
    let (sign, floor, round) =
        (extra.unary(Unary::Sign, x), extra.unary(Unary::Floor, x), extra.unary(Unary::Round, x));
    let less = extra.binary(Binary::Lt, x, y);
    let chosen = extra.select(less, rsqrt, x);
    let extra = extra.finish(&[least, most, quotient, chosen, sign, floor, round]);
    let n = (1 << 20) + 13;
    for (formula, inputs, scalars) in [(adam(), 4, &SCALARS[..]), (extra, 2, &[])] {
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let mut values: Vec<Vec<f64>> = (0..inputs).map(|k| random_f32(k as u64, n)).collect();
            for (k, odd) in
                [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-41].into_iter().enumerate()
            {
                for (j, list) in values.iter_mut().enumerate() {
                    (0..40).for_each(|i| list[(i * 997 * (j + 1) + k * 131) % n] = odd);
                }
            }
            let run = |from: usize, to: usize| -> Vec<Vec<u8>> {
                let inputs: Vec<Tensor> =
                    values.iter().map(|v| Tensor::new(dtype, &[to - from], &v[from..to])).collect();
                let outputs: Vec<Tensor> =
                    formula.outputs().iter().map(|_| Tensor::empty(dtype, &[to - from])).collect();
                let (inputs, outputs): (Vec<_>, Vec<_>) = (inputs.iter().collect(), outputs.iter().collect());
                launch(&map(&formula, &inputs, &outputs), &inputs, &outputs, scalars);
                outputs.iter().map(|t| t.bytes()).collect()
            };
            let large = run(0, n);
            for start in (0..n).step_by(100_003) {
                let end = (start + 100_003).min(n);
                for (k, small) in run(start, end).iter().enumerate() {
                    for (i, bytes) in small.chunks(dtype.size()).enumerate() {
                        let other = &large[k][(start + i) * dtype.size()..][..dtype.size()];
                        let nan = decode(dtype, bytes).is_nan() && decode(dtype, other).is_nan();
                        let of: Vec<f64> = values.iter().map(|v| v[start + i]).collect();
                        assert!(nan || bytes == other, "{dtype} output {k} of {of:?}: {bytes:?}, {other:?}");
                    }
                }
            }
        }
    }
}

/// Two passes of float reductions between functions, a condition and an operand for each column and each row.
fn passes() -> Formula {
    let mut b = Builder::new();
    let [x, column, row] = [(); 3].map(|_| b.input(Type::F32));
    let size = b.scalar(Type::F32);
    let most = b.reduce(Reduction::Max, x);
    let below = b.sub(x, most);
    let e = b.unary(Unary::Exp, below);
    let scaled = b.mul(e, column);
    let total = b.sum(scaled);
    let share = b.div(scaled, total);
    let square = b.mul(share, share);
    let norm = b.sum(square);
    let shrunk = b.mul(share, norm);
    let moved = b.add(shrunk, row);
    let less = b.binary(Binary::Lt, x, row);
    let grown = b.mul(square, size);
    let chosen = b.select(less, grown, moved);
    b.finish(&[chosen, shrunk, norm])
}

/// The first launch is interpreted, after some more a kernel has machine code for its passes.
#[test]
fn passes_get_machine_code_without_a_change_of_a_bit() {
    let formula = passes();
    for (rows, length) in [(7, 300), (3, 1000), (2, 4100), (1, 9001), (90, 20)] {
        let shape = Shape::new(&[rows, length]).unwrap();
        let x = random_f32(1, rows * length);
        let tensor =
            |sizes: &[usize], seed| Tensor::new(DType::F32, sizes, &random_f32(seed, sizes.iter().product()));
        let (column, row) = (tensor(&[1, length], 2), tensor(&[rows, 1], 3));
        let wide = [&column, &row].map(|t| t.layout.broadcast(&shape).unwrap());
        let kernel = Kernel::new(Spec::Map {
            formula: formula.clone(),
            inputs: vec![DType::F32; 3],
            outputs: vec![DType::F32; 3],
        });
        let mut first: Vec<Vec<u8>> = vec![];
        for round in 0..=120_000 / (rows * length) {
            let x = Tensor::new(DType::F32, &[rows, length], &x);
            let (shrunk, norm) =
                (Tensor::empty(DType::F32, &[rows, length]), Tensor::empty(DType::F32, &[rows, 1]));
            let [column, row] = [&column, &row].map(Tensor::view);
            let inputs = [x.view(), View { layout: &wide[0], ..column }, View { layout: &wide[1], ..row }];
            let outputs = [x.view(), shrunk.view(), norm.view()]; // the first in place
            let task = Task { inputs: &inputs, outputs: &outputs, scalars: &[Value::F(1.7)] };
            cpu().launch(&kernel, &[task]).unwrap();
            let found = [&x, &shrunk, &norm].map(Tensor::bytes).to_vec();
            if round == 0 {
                first = found;
            } else {
                assert!(found == first, "{rows}x{length}, launch {round}");
            }
        }
    }
}

#[test]
fn threads_do_not_matter() {
    let softmax = Op::Softmax.formula(Type::F32);
    for sizes in [[2000, 30], [60, 3000], [2, 600_000], [1, 1_000_003]] {
        let x = Tensor::new(DType::F32, &sizes, &random_f32(1, sizes[0] * sizes[1]));
        let y = Tensor::empty(DType::F32, &sizes);
        let kernel = map(&softmax, &[&x], &[&y]);
        same_bits(&format!("softmax of {sizes:?}"), || {
            launch(&kernel, &[&x], &[&y], &[]);
            y.bytes()
        });
    }
    same_bits("adam over many tensors", || {
        let sizes = (0..200).map(|i| (i * i * 7) % 40_000);
        let tensors: Vec<[Tensor; 4]> = sizes
            .map(|n| [1, 2, 3, 4].map(|seed| Tensor::new(DType::F32, &[n], &random_f32(seed, n))))
            .map(|[p, g, m, v]| {
                let squares: Vec<f64> = v.values().iter().map(|x| x * x).collect();
                let n = squares.len();
                [p, g, m, Tensor::new(DType::F32, &[n], &squares)]
            })
            .collect();
        let views: Vec<[View<'_>; 4]> = tensors.iter().map(|t| [0, 1, 2, 3].map(|k| t[k].view())).collect();
        let outputs: Vec<[View<'_>; 3]> = views.iter().map(|v| [v[0], v[2], v[3]]).collect();
        let tasks: Vec<Task<'_>> = views
            .iter()
            .zip(&outputs)
            .map(|(inputs, outputs)| Task { inputs, outputs, scalars: &SCALARS })
            .collect();
        let [p, g, m, v] = &tensors[0];
        let kernel = map(&adam(), &[p, g, m, v], &[p, m, v]);
        (0..3).for_each(|_| cpu().launch(&kernel, &tasks).unwrap());
        tensors.iter().flatten().flat_map(Tensor::bytes).collect()
    });
}

/// A row sum in float32 is as good as in float64, rounded once.
#[test]
fn sums_are_accurate() {
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let sum = b.sum(x);
    let formula = b.finish(&[sum]);
    for n in [10, 1000, 4096, 100_000, 3_000_000] {
        let values = random_f32(9, n);
        let exact: f64 = values.iter().sum();
        let (x, y) = (Tensor::new(DType::F32, &[n], &values), Tensor::empty(DType::F32, &[1]));
        launch(&map(&formula, &[&x], &[&y]), &[&x], &[&y], &[]);
        assert_eq!(y.values(), [rounded(DType::F32, exact)], "{n}");
    }
}

/// A formula that has no meaning for its type is an error, not a panic.
#[test]
fn meaningless_formulas_are_refused() {
    let mut b = Builder::new();
    let x = b.input(Type::I64);
    let y = b.unary(Unary::Exp, x);
    let formula = b.finish(&[y]);
    let spec = Spec::Map { formula, inputs: vec![DType::I64], outputs: vec![DType::I64] };
    let error = Kernel::new(spec).compiled(cpu()).err().unwrap();
    assert!(error.message().contains("Exp") && error.message().contains("I64"), "{error}");
}
