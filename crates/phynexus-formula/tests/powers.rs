//! Constant exponents become products and roots, with the values of powers.

mod common;

use common::{floats, same};
use phynexus_formula::{
    Binary, Builder, Formula, Node, Type, Value, differentiate, evaluate, hoist, is_product,
};

const EXPONENTS: [f64; 13] = [-4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0];
const SPECIAL: [f64; 7] = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];

fn power(ty: Type, exponent: f64) -> Formula {
    let mut b = Builder::new();
    let (x, exponent) = (b.input(ty), b.number(ty, exponent));
    let y = b.binary(Binary::Pow, x, exponent);
    b.finish(&[y])
}

fn has_power(f: &Formula) -> bool {
    f.nodes().iter().any(|node| matches!(node, Node::Binary(Binary::Pow, ..)))
}

fn values(f: &Formula, inputs: &[Vec<Value>]) -> Vec<f64> {
    evaluate(f, inputs, &[])[0].iter().map(|v| v.as_f64()).collect()
}

#[test]
fn values_are_those_of_powers() {
    for (ty, epsilon) in [(Type::F32, f32::EPSILON as f64), (Type::F64, f64::EPSILON)] {
        for n in EXPONENTS {
            let kernel = hoist(&power(ty, n)).kernel;
            assert!(is_product(ty, n) && !has_power(&kernel), "{n}");
            let xs: Vec<f64> = (1..200).map(|k| (k as f64 * 0.037) as f32 as f64).collect();
            for (&x, y) in xs.iter().zip(values(&kernel, &[floats(&xs)])) {
                let right = x.powf(n);
                assert!((y - right).abs() <= 2.0 * epsilon * right, "{x} to {n} is {right}, not {y}");
            }
            for (&x, y) in SPECIAL.iter().zip(values(&kernel, &[floats(&SPECIAL)])) {
                assert!(same(Value::F(y), Value::F(x.powf(n))), "{x} to {n} is {}, not {y}", x.powf(n));
            }
        }
    }
}

#[test]
fn products_are_exact_as_the_user_would_write_them() {
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let square = b.mul(x, x);
    let cube = b.mul(square, x);
    let written = b.finish(&[cube]);
    let xs: Vec<f64> = (0..500).map(|k| (k as f32 * 0.713 - 170.0) as f64).collect();
    let ours = values(&hoist(&power(Type::F32, 3.0)).kernel, &[floats(&xs)]);
    assert_eq!(ours, values(&written, &[floats(&xs)]));
}

#[test]
fn integers_are_exact_up_to_large_exponents() {
    for n in 0..=64 {
        let kernel = hoist(&power(Type::I64, n as f64)).kernel;
        assert!(!has_power(&kernel), "{n}");
        for x in -5i64..=5 {
            let right = (0..n).fold(1i64, |y, _| y.wrapping_mul(x));
            let found = evaluate(&kernel, &[vec![Value::I(x)]], &[])[0][0];
            assert_eq!(found, Value::I(right), "{x} to {n}");
        }
    }
}

#[test]
fn other_exponents_stay_powers() {
    for n in [0.3, 1.0 / 3.0, 5.0, -5.0, 2.5, 1e9, f64::INFINITY, f64::NAN] {
        assert!(!is_product(Type::F32, n) && has_power(&hoist(&power(Type::F32, n)).kernel), "{n}");
    }
    for n in [-1.0, 65.0] {
        assert!(!is_product(Type::I32, n) && has_power(&hoist(&power(Type::I32, n)).kernel), "{n}");
    }
}

/// The derivative is that of a power, so that no intermediate product overflows, and it has products as well.
#[test]
fn derivatives_are_products_too() {
    for n in EXPONENTS {
        let gradient = differentiate(&power(Type::F32, n), &[0]).formula;
        let kernel = hoist(&gradient).kernel;
        assert!(!has_power(&kernel) || n == -4.0 || n == -1.5, "{n}");
        for x in [1e-8, 0.25, 3.0, 1e8] {
            let inputs: Vec<Vec<Value>> = gradient.inputs().iter().map(|_| floats(&[x])).collect();
            let one = |slot: usize| if slot + 1 == inputs.len() { floats(&[1.0]) } else { floats(&[x]) };
            let inputs: Vec<Vec<Value>> = (0..inputs.len()).map(one).collect();
            let right = (n * x.powf(n - 1.0)) as f32 as f64;
            let found = evaluate(&kernel, &inputs, &[])[0][0].as_f64();
            let near = (found - right).abs() <= 4e-7 * right.abs() || found == right;
            assert!(near || right.abs() < 1e-37, "{n} x^({n} - 1) at {x} is {right}, not {found}");
        }
    }
}
