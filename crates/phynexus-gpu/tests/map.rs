//! Formulas as modules: WGSL is parsed and validated, C is compared as text.

mod common;

use common::{DIALECTS, Operand, printed, stored};
use phynexus_core::{DType, Error, Spec, Value};
use phynexus_formula::ops::{Op, Promotion};
use phynexus_formula::print::Dialect;
use phynexus_formula::{Binary, Builder, Formula, Type, Unary, differentiate, hoist};

/// Prints a formula for operands of this shape, dense and strided; row results have size 1 at the end.
fn print(f: &Formula, dialect: Dialect, shape: &[usize]) -> Result<Vec<(String, String)>, Error> {
    let f = hoist(f).kernel;
    let dtypes = |types: Vec<Type>| types.into_iter().map(stored).collect::<Vec<_>>();
    let (inputs, outputs) =
        (dtypes(f.inputs().to_vec()), dtypes(f.outputs().iter().map(|id| f.ty(*id)).collect()));
    let spec = Spec::Map { formula: f.clone(), inputs: inputs.clone(), outputs: outputs.clone() };
    let scalars: Vec<Value> =
        f.scalars().iter().map(|ty| if ty.is_float() { Value::F(1.0) } else { Value::I(1) }).collect();
    let mut row = shape.to_vec();
    *row.last_mut().unwrap() = 1;
    let of_row = |k: usize| f.reduces() && f.rank(f.outputs()[k]) != phynexus_formula::Rank::Element;
    let backwards: Vec<isize> = vec![1; shape.len()];
    let mut texts = vec![];
    for strides in [None, Some(&backwards[..])] {
        let ins: Vec<Operand<'_>> = inputs.iter().map(|&d| (d, shape, strides)).collect();
        let outs: Vec<Operand<'_>> = outputs
            .iter()
            .enumerate()
            .map(|(k, &d)| (d, if of_row(k) { &row[..] } else { shape }, None))
            .collect();
        texts.extend(printed(dialect, spec.clone(), &ins, &outs, &scalars)?);
    }
    Ok(texts)
}

fn element_type(op: Op) -> Type {
    match op.row().promotion {
        Promotion::Bool => Type::Bool,
        Promotion::Integer => Type::I32,
        _ => Type::F32,
    }
}

#[test]
fn every_operation_and_its_derivative_is_a_valid_module() {
    for &op in Op::ALL {
        let f = op.formula(element_type(op));
        let wanted: Vec<usize> = (0..f.inputs().len()).filter(|&k| f.inputs()[k].is_float()).collect();
        let mut formulas = vec![f.clone()];
        if op.row().differentiable {
            formulas.push(differentiate(&f, &wanted).formula);
        }
        for (f, dialect) in formulas.iter().flat_map(|f| DIALECTS.map(|d| (f, d))) {
            for shape in [[3, 5], [2, 300]] {
                let texts = print(f, dialect, &shape).unwrap_or_else(|e| panic!("{}: {e}", op.name()));
                assert!(texts.len() >= 2, "{}", op.name());
            }
        }
    }
}

#[test]
fn integers_are_valid_too() {
    for &op in Op::ALL {
        if matches!(op.row().promotion, Promotion::Number | Promotion::Any | Promotion::Integer) {
            print(&op.formula(Type::I32), Dialect::Wgsl, &[4, 4]).unwrap();
            print(&op.formula(Type::I64), Dialect::Hip, &[4, 4]).unwrap();
        }
    }
}

#[test]
fn every_dtype_is_loaded_and_stored() {
    for (from, to) in DType::ALL.into_iter().flat_map(|a| DType::ALL.map(|b| (a, b))) {
        let mut b = Builder::new();
        let x = b.input(from.compute());
        let y = b.cast(to.compute(), x);
        let spec = Spec::Map { formula: b.finish(&[y]), inputs: vec![from], outputs: vec![to] };
        for dialect in DIALECTS {
            let texts = printed(dialect, spec.clone(), &[(from, &[5], None)], &[(to, &[5], None)], &[]);
            if dialect == Dialect::Wgsl && [from, to].contains(&DType::F64) {
                let Err(Error::Type(message)) = texts else { panic!("{from} to {to} was printed") };
                assert!(message.contains("float32"), "{message}");
            } else {
                texts.unwrap();
            }
        }
    }
}

#[test]
fn int64_is_checked_to_stay_within_32_bits_in_wgsl() {
    let with = |op| {
        let mut b = Builder::new();
        let (x, y) = (b.input(Type::I64), b.input(Type::I64));
        let z = b.binary(op, x, y);
        print(&b.finish(&[z]), Dialect::Wgsl, &[4])
    };
    for op in [Binary::Lt, Binary::Min, Binary::Rem] {
        assert!(!with(op).unwrap()[0].1.contains("out_of_i32"));
    }
    for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::FloorDiv] {
        assert!(with(op).unwrap()[0].1.contains("out_of_i32"));
    }
    let Err(Error::Type(message)) = with(Binary::Pow) else { panic!("a power of int64 was printed") };
    assert_eq!(
        message,
        "Wgsl does not compute pow of int64, which has 32 bits there: convert to int32 or float32"
    );
}

#[test]
fn no_number_of_a_launch_is_baked_in() {
    let f = Op::Add.formula(Type::F32);
    let text = |n: usize| print(&f, Dialect::Cuda, &[n]).unwrap().remove(0).1;
    assert_eq!(text(1000), text(77_777));
    assert!(!text(1000).contains("1000"));
}

#[test]
fn dense_operands_need_no_arithmetic_and_short_rows_no_barriers() {
    let add = print(&Op::Add.formula(Type::F32), Dialect::Cuda, &[6, 7]).unwrap();
    assert!(!add[0].1.contains("stride_0") && add[1].1.contains("stride_0"), "{}", add[0].1);
    let softmax = Op::Softmax.formula(Type::F32);
    let barriers =
        |n: usize| print(&softmax, Dialect::Wgsl, &[3, n]).unwrap()[0].1.contains("workgroupBarrier");
    assert!(!barriers(10) && barriers(100));
}

#[test]
fn the_same_text_for_all_languages() {
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let y = b.unary(Unary::Sqrt, x);
    let f = b.finish(&[y]);
    let lines =
        |dialect| print(&f, dialect, &[8]).unwrap()[0].1.lines().map(String::from).collect::<Vec<_>>();
    for line in ["let i = group * 256u + local;", "let p0 = at_0(task, i);", "store_1(p1, v1);"] {
        assert!(DIALECTS.iter().all(|d| lines(*d).iter().any(|l| l == line)), "{line}");
    }
    assert_eq!(lines(Dialect::Hip), lines(Dialect::Cuda));
}
