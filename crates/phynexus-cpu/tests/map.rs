//! Formulas: every operation against its slow and obvious evaluation, for all dtypes and layouts.

mod common;

use common::{Random, Tensor, decode, encode, positions, rounded, same_bits};
use phynexus_core::{DType, Kernel, Spec, Task, Value, View};
use phynexus_cpu::cpu;
use phynexus_formula::ops::{Op, Promotion};
use phynexus_formula::{Binary, Builder, Formula, Rank, Reduction, Type, Unary, evaluate};

/// How values of a formula type may be stored.
fn storage(ty: Type) -> &'static [DType] {
    match ty {
        Type::F32 => &[DType::F32, DType::BF16, DType::F16],
        Type::F64 => &[DType::F64],
        Type::I32 => &[DType::I32, DType::U8],
        Type::I64 => &[DType::I64],
        Type::Bool => &[DType::Bool],
    }
}

fn types(promotion: Promotion) -> &'static [Type] {
    match promotion {
        Promotion::Float => &[Type::F32, Type::F64],
        Promotion::Number => &[Type::F32, Type::F64, Type::I32, Type::I64],
        Promotion::Any => &[Type::F32, Type::F64, Type::I32, Type::I64, Type::Bool],
        Promotion::Integer => &[Type::I32, Type::I64, Type::Bool],
        Promotion::Bool => &[Type::Bool],
    }
}

fn value(ty: Type, v: f64) -> Value {
    if ty.is_float() { Value::F(v) } else { Value::I(v as i64) }
}

fn launch(kernel: &Kernel, inputs: &[&Tensor], outputs: &[&Tensor], scalars: &[Value]) {
    let inputs: Vec<View<'_>> = inputs.iter().map(|t| t.view()).collect();
    let outputs: Vec<View<'_>> = outputs.iter().map(|t| t.view()).collect();
    cpu().launch(kernel, &[Task { inputs: &inputs, outputs: &outputs, scalars }]).unwrap();
}

fn map(formula: &Formula, inputs: &[&Tensor], outputs: &[&Tensor]) -> Kernel {
    let dtypes = |tensors: &[&Tensor]| tensors.iter().map(|t| t.dtype).collect();
    Kernel::new(Spec::Map { formula: formula.clone(), inputs: dtypes(inputs), outputs: dtypes(outputs) })
}

/// Shape of output `k` for operands of shape `sizes`.
fn output_sizes(formula: &Formula, k: usize, sizes: &[usize]) -> Vec<usize> {
    let mut sizes = sizes.to_vec();
    if formula.reduces()
        && formula.rank(formula.outputs()[k]) != Rank::Element
        && let Some(last) = sizes.last_mut()
    {
        *last = 1;
    }
    sizes
}

/// Runs the formula over the tensors and compares it with the evaluation of each row.
fn check(
    what: &str,
    formula: &Formula,
    inputs: &[Tensor],
    outputs: &[Tensor],
    sizes: &[usize],
    scalars: &[Value],
) {
    let values: Vec<Vec<f64>> = inputs.iter().map(Tensor::values).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let outputs: Vec<&Tensor> = outputs.iter().collect();
    launch(&map(formula, &inputs, &outputs), &inputs, &outputs, scalars);
    let length = sizes.last().copied().unwrap_or(1);
    let results: Vec<Vec<f64>> = outputs.iter().map(|t| t.values()).collect();
    let rows = sizes.iter().rev().skip(1).product::<usize>();
    for row in 0..if length == 0 { 0 } else { rows } {
        let row_inputs: Vec<Vec<Value>> = values
            .iter()
            .zip(formula.inputs())
            .map(|(all, &ty)| all[row * length..][..length].iter().map(|&v| value(ty, v)).collect())
            .collect();
        for (k, expected) in evaluate(formula, &row_inputs, scalars).iter().enumerate() {
            let ty = formula.ty(formula.outputs()[k]);
            let per_row = output_sizes(formula, k, sizes).iter().product::<usize>() / rows;
            for (i, &found) in results[k][row * per_row..][..per_row].iter().enumerate() {
                let exact = expected[i % expected.len()].as_f64();
                let stored = rounded(outputs[k].dtype, exact);
                let tolerance = match outputs[k].dtype {
                    DType::F64 => 1e-11, // what the evaluation itself loses in sums of 300,000
                    DType::F32 => 2e-6,
                    DType::F16 => 1.1e-3,
                    DType::BF16 => 8e-3,
                    _ => 0.0,
                };
                let near = found == stored
                    || found.is_nan() && stored.is_nan()
                    || (found - stored).abs() <= tolerance * stored.abs().max(1.0);
                assert!(
                    near,
                    "{what} {ty:?} {sizes:?} row {row} output {k}[{i}]: {found}, expected {stored}"
                );
            }
        }
    }
}

fn check_op(op: Op, ty: Type, sizes: &[usize], random: &mut Random, special: bool) {
    let (row, formula) = (op.row(), op.formula(ty));
    let inputs: Vec<Tensor> = (0..row.inputs)
        .map(|slot| {
            let (low, high) = row.domain.inputs[slot.min(row.domain.inputs.len() - 1)];
            let of = row.input_type(slot, ty);
            let dtype = storage(of)[random.below(storage(of).len())];
            let label = of == Type::I64 && ty.is_float();
            let classes = sizes.last().copied().unwrap_or(1).max(1);
            let draw = move |random: &mut Random| {
                let v = low + (high - low) * random.below(1000) as f64 / 1000.0;
                let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0];
                match of {
                    _ if label => random.below(classes) as f64,
                    Type::Bool => random.below(2) as f64,
                    _ if of.is_float() && special && random.below(6) == 0 => odd[random.below(5)],
                    _ if of.is_float() => v,
                    _ => (v * 3.0).round(),
                }
            };
            if label && !sizes.is_empty() {
                let mut one = sizes.to_vec();
                one[sizes.len() - 1] = 1;
                let mut tensor = Tensor::strided(random, dtype, &one, false, draw);
                tensor.layout = tensor.layout.broadcast(&phynexus_core::Shape::new(sizes).unwrap()).unwrap();
                return tensor;
            }
            Tensor::strided(random, dtype, sizes, true, draw)
        })
        .collect();
    let outputs: Vec<Tensor> = (0..formula.outputs().len())
        .map(|k| {
            let of = storage(formula.ty(formula.outputs()[k]));
            let dtype = of[random.below(of.len())];
            Tensor::strided(random, dtype, &output_sizes(&formula, k, sizes), false, |_| 1.0)
        })
        .collect();
    let scalars: Vec<Value> = (0..row.scalars)
        .map(|k| {
            let ty = row.scalar_type(k, ty);
            value(
                ty,
                if ty == Type::F32 { row.domain.scalars[k] as f32 as f64 } else { row.domain.scalars[k] },
            )
        })
        .collect();
    check(op.name(), &formula, &inputs, &outputs, sizes, &scalars);
}

#[test]
fn every_operation_on_every_type_and_layout() {
    let mut random = Random::new(1);
    let shapes: [&[usize]; 12] = [
        &[],
        &[0],
        &[1],
        &[7],
        &[3, 5],
        &[2, 1, 9],
        &[4, 0],
        &[33, 10],
        &[2, 3, 129],
        &[3, 300],
        &[2, 1100],
        &[2, 2, 3, 1, 4],
    ];
    for &op in Op::ALL {
        for &ty in types(op.row().promotion) {
            for sizes in shapes {
                for _ in 0..4 {
                    check_op(op, ty, sizes, &mut random, false);
                }
            }
        }
    }
}

#[test]
fn infinities_and_nans_elementwise() {
    let mut random = Random::new(2);
    for &op in Op::ALL.iter().filter(|op| !op.row().row_wise) {
        for &ty in types(op.row().promotion).iter().filter(|ty| ty.is_float()) {
            for _ in 0..20 {
                check_op(op, ty, &[3, 67], &mut random, true);
            }
        }
    }
}

/// Every bit, the sign of zero too: of numbers that are just below a multiple, infinite, zero or not a number.
#[test]
fn division_downwards_is_the_evaluation_to_the_bit() {
    let mut odd = vec![0.0, -0.0, 0.01, -0.01, 0.1, 0.3, 1.0, -1.5, 2.0, 7.0, -7.0, 1e30, 1e-30, 123_456.79];
    odd.extend([f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
    for (ty, dtype) in [(Type::F32, DType::F32), (Type::F64, DType::F64)] {
        let mut b = Builder::new();
        let (x, y) = (b.input(ty), b.input(ty));
        let (quotient, rest) = (b.binary(Binary::FloorDiv, x, y), b.binary(Binary::Rem, x, y));
        let formula = b.finish(&[quotient, rest]);
        let pairs: Vec<(f64, f64)> = odd.iter().flat_map(|&a| odd.iter().map(move |&b| (a, b))).collect();
        let a = Tensor::new(dtype, &[pairs.len()], &pairs.iter().map(|p| p.0).collect::<Vec<_>>());
        let b = Tensor::new(dtype, &[pairs.len()], &pairs.iter().map(|p| p.1).collect::<Vec<_>>());
        let outputs = [Tensor::empty(dtype, &[pairs.len()]), Tensor::empty(dtype, &[pairs.len()])];
        launch(
            &map(&formula, &[&a, &b], &[&outputs[0], &outputs[1]]),
            &[&a, &b],
            &[&outputs[0], &outputs[1]],
            &[],
        );
        let column = |t: &Tensor| t.values().into_iter().map(Value::F).collect::<Vec<_>>();
        for (k, expected) in evaluate(&formula, &[column(&a), column(&b)], &[]).iter().enumerate() {
            for ((found, expected), pair) in outputs[k].values().iter().zip(expected).zip(&pairs) {
                let expected = expected.as_f64();
                let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                assert!(same, "{ty:?} result {k} of {pair:?}: {found:?}, expected {expected:?}");
            }
        }
    }
}

#[test]
fn long_rows() {
    let mut random = Random::new(3);
    for &op in Op::ALL.iter().filter(|op| op.row().row_wise) {
        for sizes in [&[3, 5000][..], &[2, 40_000], &[1, 300_001]] {
            check_op(op, Type::F32, sizes, &mut random, false);
            check_op(op, Type::F64, sizes, &mut random, false);
        }
    }
}

/// Reductions and positions that no operation combines like this: integers, truth values, reductions of reductions.
#[test]
fn unusual_row_formulas() {
    let mut b = Builder::new();
    let (x, n) = (b.input(Type::I32), b.input(Type::Bool));
    let index = b.index();
    let length = b.length();
    let sum = b.reduce(Reduction::Sum, x);
    let most = b.reduce(Reduction::Max, x);
    let product = b.reduce(Reduction::Prod, x);
    let all = b.reduce(Reduction::Min, n);
    let any = b.reduce(Reduction::Max, n);
    let centred = b.sub(x, most);
    let least = b.reduce(Reduction::Min, centred);
    let twice = b.add(least, sum);
    let wide = b.cast(Type::I64, twice);
    let place = b.add(index, wide);
    let place = b.add(place, length);
    let third = b.reduce(Reduction::Sum, place);
    let formula = b.finish(&[place, third, product, all, any, length, x]);
    let mut random = Random::new(4);
    for sizes in [&[5usize, 6][..], &[300, 3], &[3, 300], &[2, 6000], &[9], &[4, 1]] {
        let inputs = [DType::I32, DType::Bool]
            .map(|dtype| Tensor::strided(&mut random, dtype, sizes, true, |r| r.small(dtype, false)));
        let dtypes = [DType::I64, DType::I64, DType::I32, DType::Bool, DType::Bool, DType::I64, DType::U8];
        let outputs: Vec<Tensor> = dtypes
            .iter()
            .enumerate()
            .map(|(k, &dtype)| {
                Tensor::strided(&mut random, dtype, &output_sizes(&formula, k, sizes), false, |_| 1.0)
            })
            .collect();
        check("unusual", &formula, &inputs, &outputs, sizes, &[]);
    }
}

/// Casts, constants and inputs as outputs, and the same output twice.
#[test]
fn trivial_outputs() {
    let mut b = Builder::new();
    let (x, s) = (b.input(Type::F32), b.scalar(Type::I64));
    let four = b.number(Type::F64, 4.25);
    let int = b.cast(Type::I32, x);
    let truth = b.cast(Type::Bool, x);
    let double = b.cast(Type::F64, s);
    let formula = b.finish(&[x, x, four, s, int, truth, int, double]);
    let mut random = Random::new(5);
    let dtypes =
        [DType::F32, DType::F16, DType::F64, DType::I64, DType::I32, DType::Bool, DType::U8, DType::F64];
    for sizes in [&[3usize, 7][..], &[2000], &[0]] {
        let input =
            Tensor::strided(&mut random, DType::F32, sizes, true, |r| r.small(DType::F32, false) * 1.5);
        let outputs = dtypes.map(|dtype| Tensor::strided(&mut random, dtype, sizes, false, |_| 1.0));
        check("trivial", &formula, &[input], &outputs, sizes, &[Value::I(-3)]);
    }
}

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

#[test]
fn helpers_round_trip() {
    assert_eq!(decode(DType::BF16, &encode(DType::BF16, 1.5)), 1.5);
    assert_eq!(positions(&Tensor::empty(DType::F32, &[2, 2]).layout), [0, 1, 2, 3]);
}
