//! Formulas: every operation against its slow and obvious evaluation, for all dtypes and layouts.

mod common;

use common::formula::{check, launch, map, output_sizes, storage, types, value};
use common::{Random, Tensor, decode, encode, positions};
use phynexus_core::{DType, Value};
use phynexus_formula::ops::Op;
use phynexus_formula::{Binary, Builder, Reduction, Type, Unary, evaluate};

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

/// Bits, shifts by any distance, and rounding to narrow floats, of special values too.
#[test]
fn bits_shifts_and_rounding() {
    let mut random = Random::new(6);
    for (float, int) in [(Type::F32, Type::I32), (Type::F64, Type::I64)] {
        let mut b = Builder::new();
        let (x, i, far) = (b.input(float), b.input(int), b.scalar(int));
        let four = b.number(float, 4.0);
        let least = b.unary(Unary::Abs, x);
        let positive = b.add(least, four);
        let bits = b.unary(Unary::Bits, positive);
        let mut outputs = vec![bits];
        for op in [Binary::Shl, Binary::Shr, Binary::Ushr] {
            outputs.extend([b.binary(op, bits, i), b.binary(op, bits, far), b.binary(op, far, i)]);
        }
        outputs.push(b.unary(Unary::FromBits, bits));
        if float == Type::F32 {
            outputs.extend([Unary::RoundBf16, Unary::RoundF16].map(|op| b.unary(op, x)));
        }
        let formula = b.finish(&outputs);
        for sizes in [&[3usize, 7][..], &[2000]] {
            let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-6, 65519.0, 65520.0, 1e38];
            let (narrow, wide) = (storage(float)[0], storage(int)[0]);
            let floats = Tensor::strided(&mut random, narrow, sizes, true, |r| {
                if r.below(3) == 0 { odd[r.below(8)] } else { (r.below(20_000) as f64 - 1e4) / 7.0 }
            });
            let ints = Tensor::strided(&mut random, wide, sizes, true, |r| r.below(200) as f64 - 100.0);
            let outputs: Vec<Tensor> = formula
                .outputs()
                .iter()
                .map(|&id| Tensor::strided(&mut random, storage(formula.ty(id))[0], sizes, false, |_| 1.0))
                .collect();
            check("bits", &formula, &[floats, ints], &outputs, sizes, &[Value::I(-77)]);
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

#[test]
fn helpers_round_trip() {
    assert_eq!(decode(DType::BF16, &encode(DType::BF16, 1.5)), 1.5);
    assert_eq!(positions(&Tensor::empty(DType::F32, &[2, 2]).layout), [0, 1, 2, 3]);
}

/// Conversions of contiguous values are loops of their own; of others, and in place, the interpreter's.
#[test]
fn conversions_between_all_dtypes() {
    let mut random = Random::new(77);
    for from in DType::ALL {
        for to in DType::ALL {
            let mut b = Builder::new();
            let x = b.input(from.compute());
            let y = b.cast(to.compute(), x);
            let formula = b.finish(&[y]);
            for n in [1, 7, 64, 1003] {
                let large = [
                    1e10,
                    -1e10,
                    70_000.0,
                    65_519.0,
                    65_520.0,
                    300.7,
                    -1.5,
                    6e-8,
                    1e-40,
                    f64::NAN,
                    f64::INFINITY,
                ];
                let draw = |random: &mut Random| match random.below(3) {
                    0 if from.is_float() => large[random.below(large.len())],
                    1 if from == DType::I64 => (1i64 << 40) as f64 + 77.0,
                    _ => random.small(from, false) * 13.0,
                };
                let values: Vec<f64> = (0..n).map(|_| draw(&mut random)).collect();
                for input in
                    [Tensor::new(from, &[n], &values), Tensor::strided(&mut random, from, &[n], true, draw)]
                {
                    check(
                        &format!("{from} to {to}"),
                        &formula,
                        &[input],
                        &[Tensor::empty(to, &[n])],
                        &[n],
                        &[],
                    );
                }
            }
        }
    }
}

/// Rows that are long enough to be looked at in many lanes.
#[test]
fn extrema_of_long_rows() {
    let mut random = Random::new(78);
    for (op, start) in [(Reduction::Max, f64::NEG_INFINITY), (Reduction::Min, f64::INFINITY)] {
        let mut b = Builder::new();
        let x = b.input(Type::F32);
        let most = b.reduce(op, x);
        let formula = b.finish(&[most]);
        for n in [63, 64, 65, 127, 128, 191, 1000, 4000] {
            for at in [None, Some(0), Some(n / 2), Some(n - 1)] {
                let mut values: Vec<f64> = (0..n).map(|_| random.below(1000) as f64 - 500.0).collect();
                values[n / 3] = start;
                at.into_iter().for_each(|at| values[at] = f64::NAN);
                let input = Tensor::new(DType::F32, &[1, n], &values);
                check("extremum", &formula, &[input], &[Tensor::empty(DType::F32, &[1, 1])], &[1, n], &[]);
            }
        }
    }
}
