//! Compiled formulas against [`phynexus_formula::evaluate`], bit for bit, by every backend that this processor can run.

mod formulas;

use formulas::{Case, Rng, lookup, mixed_formula, random_formula};
use phynexus_core::DType;
use phynexus_cpu::jit::{Backend, compile, compile_with};
use phynexus_formula::{Binary, Builder, Id, Reduction, Type, Unary};

fn check(case: &Case, backend: Backend, start: usize, end: usize, in_place: bool) {
    let function = compile_with(backend, &case.formula, &case.inputs, &case.outputs)
        .unwrap_or_else(|| panic!("{backend:?} cannot compile {:#?}", case.formula));
    // SAFETY: `Case` gives operands of that length.
    let call = |operands, scalars, start, end| unsafe { function.call(operands, scalars, start, end) };
    case.check(&format!("{backend:?}"), &call, start, end, in_place);
}

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|b| {
        if !b.is_available() {
            eprintln!("skipped: this processor cannot run {b:?}");
        }
        b.is_available()
    })
}

#[test]
fn random_formulas_give_the_bits_of_the_definition() {
    let mut rng = Rng(7);
    for round in 0..400 {
        let ty = [Type::F32, Type::F64][round % 2];
        let (inputs, nodes) = (1 + rng.below(4), 1 + rng.below(30));
        let formula = random_formula(&mut rng, ty, inputs, nodes, 1 + round % 3);
        let case = Case::plain(&mut rng, formula, 151);
        for backend in backends() {
            check(&case, backend, round % 5, 151 - round % 7, round % 4 == 0);
        }
    }
}

#[test]
fn many_live_values_are_spilled() {
    let mut rng = Rng(11);
    for round in 0..60 {
        let ty = [Type::F32, Type::F64][round % 2];
        let mut b = Builder::new();
        let inputs: Vec<Id> = (0..8).map(|_| b.input(ty)).collect();
        let scalars: Vec<Id> = (0..6).map(|_| b.scalar(ty)).collect();
        let mut values = vec![];
        for i in 0..40 {
            let (x, s) = (inputs[i % 8], scalars[i % 6]);
            let product = b.mul(x, s);
            let value = b.sub(product, inputs[(i + 3) % 8]);
            values.push(b.binary(
                rng.pick(&[Binary::Add, Binary::Mul, Binary::Min, Binary::Max]),
                value,
                product,
            ));
        }
        // sums of values made long before, in the opposite order
        let mut sums = values.clone();
        for value in values.iter().rev() {
            let sum = b.add(*sums.last().unwrap(), *value);
            sums.push(sum);
        }
        let formula = b.finish(&sums[sums.len() - 6..]);
        let case = Case::plain(&mut rng, formula, 67).moderate(&mut rng);
        for backend in backends() {
            check(&case, backend, 0, 67, round % 3 == 0);
        }
    }
}

/// More operands than there are registers for addresses.
#[test]
fn many_operands() {
    let mut rng = Rng(3);
    let mut b = Builder::new();
    let inputs: Vec<Id> = (0..20).map(|_| b.input(Type::F32)).collect();
    let results: Vec<Id> = (0..20).map(|i| b.add(inputs[i], inputs[(i + 1) % 20])).collect();
    let case = Case::plain(&mut rng, b.finish(&results), 50);
    backends().for_each(|backend| check(&case, backend, 1, 50, true));
}

#[test]
fn every_length_and_start() {
    let mut rng = Rng(5);
    for ty in [Type::F32, Type::F64] {
        let formula = random_formula(&mut rng, ty, 3, 12, 2);
        let case = Case::plain(&mut rng, formula, 80);
        for backend in backends() {
            for length in 0..70 {
                for start in [0, 1, 3, 7] {
                    check(&case, backend, start, start + length, length % 2 == 0);
                }
            }
        }
    }
}

#[test]
fn narrow_floats_are_computed_in_f32_and_rounded_once() {
    let mut rng = Rng(9);
    for round in 0..120 {
        let formula = random_formula(&mut rng, Type::F32, 3, 1 + round % 9, 2);
        let stored = [DType::F32, DType::BF16, DType::F16];
        let inputs: Vec<DType> = (0..3).map(|_| rng.pick(&stored)).collect();
        let outputs: Vec<DType> = (0..2).map(|_| rng.pick(&stored)).collect();
        let half = inputs.contains(&DType::F16) || outputs.contains(&DType::F16);
        let case = Case::new(&mut rng, formula, inputs, outputs, 71);
        for backend in backends().filter(|b| !half || *b != Backend::Portable) {
            check(&case, backend, round % 3, 71, round % 2 == 0);
        }
    }
}

#[test]
fn integers_beside_floats() {
    let mut rng = Rng(21);
    for round in 0..600 {
        let halves = round % 3 == 0;
        let formula = mixed_formula(&mut rng, 1 + round % 40, halves);
        let inputs = vec![DType::F32, rng.pick(&[DType::I32, DType::U8]), DType::F32, DType::I32];
        let outputs = formula.outputs().iter().map(|&id| match formula.ty(id) {
            Type::I32 => rng.pick(&[DType::I32, DType::U8]),
            _ => rng.pick(&[DType::F32, DType::BF16]),
        });
        let outputs = outputs.collect();
        let case = Case::new(&mut rng, formula, inputs, outputs, 151);
        for backend in backends().filter(|&b| !halves || b != Backend::Portable) {
            check(&case, backend, round % 5, 151 - round % 7, round % 4 == 0);
        }
    }
}

#[test]
fn every_entry_of_a_table_is_found() {
    let mut rng = Rng(23);
    let mut b = Builder::new();
    let index = b.input(Type::I32);
    let entry = lookup(&mut b, index, [3.0, -0.0, f64::INFINITY, 1e-40, 5.0, 6.5, -7.0, 8.0]);
    let case = Case::new(&mut rng, b.finish(&[entry]), vec![DType::U8], vec![DType::F32], 300);
    backends().for_each(|backend| check(&case, backend, 0, 300, false));
}

#[test]
fn what_is_not_vector_arithmetic_is_left_to_the_interpreter() {
    let refused = |make: &dyn Fn(&mut Builder) -> Id, input: DType, output: DType| {
        let mut b = Builder::new();
        let result = make(&mut b);
        assert!(compile(&b.finish(&[result]), &[input], &[output]).is_none());
    };
    let f32 = DType::F32;
    refused(
        &|b| {
            let x = b.input(Type::F32);
            b.unary(Unary::Sin, x)
        },
        f32,
        f32,
    );
    refused(
        &|b| {
            let x = b.input(Type::F32);
            let y = b.sum(x);
            b.mul(x, y)
        },
        f32,
        f32,
    );
    refused(
        &|b| {
            let x = b.input(Type::F32);
            b.reduce(Reduction::Max, x)
        },
        f32,
        f32,
    );
    refused(
        &|b| {
            let x = b.input(Type::I64);
            b.add(x, x)
        },
        DType::I64,
        DType::I64,
    );
    refused(
        &|b| {
            let x = b.input(Type::I32);
            b.binary(Binary::Shl, x, x)
        },
        DType::I32,
        DType::I32,
    );
    refused(
        &|b| {
            let x = b.input(Type::F32);
            b.cast(Type::F64, x)
        },
        f32,
        DType::F64,
    );
    refused(
        &|b| {
            let x = b.input(Type::F32);
            b.unary(Unary::IsNan, x)
        },
        f32,
        DType::Bool,
    );
    refused(
        &|b| {
            let (x, i) = (b.input(Type::F32), b.index());
            let i = b.cast(Type::F32, i);
            b.mul(x, i)
        },
        f32,
        f32,
    );
    refused(
        &|b| {
            b.input(Type::F32);
            b.number(Type::F32, 1.0)
        },
        f32,
        f32,
    );
    refused(
        &|b| {
            let x = b.input(Type::F32);
            b.neg(x)
        },
        DType::F64,
        f32,
    );
}

#[test]
fn this_processor_compiles_the_simplest_formula() {
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let y = b.neg(x);
    let compiled = compile(&b.finish(&[y]), &[DType::F32], &[DType::F32]).is_some();
    assert_eq!(compiled, cfg!(any(target_arch = "x86_64", target_arch = "aarch64")));
}
