//! The meaning of primitives, by hand.

mod common;

use common::{floats, numbers};
use phynexus_formula::{Binary, Builder, Reduction, Type, Unary, Value, evaluate};

fn unary(op: Unary, ty: Type, v: Value) -> Value {
    let mut b = Builder::new();
    let x = b.input(ty);
    let y = b.unary(op, x);
    evaluate(&b.finish(&[y]), &[vec![v]], &[])[0][0]
}

fn binary(op: Binary, ty: Type, x: Value, y: Value) -> Value {
    let mut b = Builder::new();
    let inputs = [b.input(ty), b.input(ty)];
    let out = b.binary(op, inputs[0], inputs[1]);
    evaluate(&b.finish(&[out]), &[vec![x], vec![y]], &[])[0][0]
}

#[test]
fn integers_wrap_and_divide_downwards() {
    let i = |op, x, y| binary(op, Type::I32, Value::I(x), Value::I(y)).as_i64();
    assert_eq!(i(Binary::Add, i32::MAX as i64, 1), i32::MIN as i64);
    assert_eq!(i(Binary::Mul, 1 << 20, 1 << 12), 0);
    assert_eq!((i(Binary::FloorDiv, -7, 2), i(Binary::Rem, -7, 2), i(Binary::Rem, 7, -2)), (-4, 1, -1));
    assert_eq!((i(Binary::FloorDiv, 5, 0), i(Binary::FloorDiv, i32::MIN as i64, -1)), (0, i32::MIN as i64));
    assert_eq!(
        (i(Binary::Pow, 3, 4), i(Binary::Pow, -1, -3), i(Binary::Pow, 2, -1), i(Binary::Pow, 0, 0)),
        (81, -1, 0, 1)
    );
    assert_eq!(unary(Unary::Abs, Type::I32, Value::I(i32::MIN as i64)), Value::I(i32::MIN as i64));
}

#[test]
fn floats_round_to_f32_after_each_node() {
    let tenth = Value::F(0.1f32 as f64);
    let third = binary(Binary::Div, Type::F32, Value::F(1.0), Value::F(3.0));
    assert_eq!(third, Value::F((1.0f32 / 3.0) as f64));
    assert_eq!(binary(Binary::Mul, Type::F32, tenth, third), Value::F((0.1f32 * (1.0f32 / 3.0)) as f64));
}

/// Numbers as Python prints them (and for a divisor of zero PyTorch): `a // b` and `a % b`. With an infinite operand the
/// quotient is `floor(a / b)`, as the Array API prefers it.
#[test]
fn floats_divide_downwards_exactly() {
    const INF: f64 = f64::INFINITY;
    for (a, b, quotient, rest) in [
        (-5.5, 2.0, -3.0, 0.5),
        (7.0, 0.01, 699.0, 0.009999999999999854),
        (-7.0, 0.01, -700.0, 1.457167719820518e-16),
        (1.0, 0.1, 9.0, 0.09999999999999995),
        (-1.5, 0.3, -6.0, 0.29999999999999993),
        (1e300, 3e-300, INF, 9.626317689605992e-301),
        (3.0, -INF, -0.0, -INF),
        (-7.0, INF, -0.0, INF),
        (7.0, INF, 0.0, 7.0),
        (INF, 2.0, INF, f64::NAN),
        (f64::NAN, 2.0, f64::NAN, f64::NAN),
        (7.0, 0.0, INF, f64::NAN),
        (-7.0, 0.0, -INF, f64::NAN),
        (0.0, 0.0, f64::NAN, f64::NAN),
    ] {
        for (op, expected) in [(Binary::FloorDiv, quotient), (Binary::Rem, rest)] {
            let found = binary(op, Type::F64, Value::F(a), Value::F(b)).as_f64();
            assert!(found == expected || found.is_nan() && expected.is_nan(), "{a} {op:?} {b}: {found:?}");
        }
    }
    let single = |op, a: f32, b: f32| binary(op, Type::F32, Value::F(a as f64), Value::F(b as f64)).as_f64();
    assert_eq!(single(Binary::FloorDiv, 1.0, 0.1), 9.0);
    assert_eq!(single(Binary::Rem, 1.0, 0.1), (1f32 % 0.1) as f64);
}

#[test]
fn functions_at_their_edges() {
    let f = |op, v| unary(op, Type::F64, Value::F(v)).as_f64();
    assert_eq!(f(Unary::Round, 2.5), 2.0);
    assert_eq!((f(Unary::Sign, -0.5), f(Unary::Sign, 0.0), f(Unary::Sign, f64::NAN)), (-1.0, 0.0, 0.0));
    assert_eq!((f(Unary::Sigmoid, -1000.0), f(Unary::Sigmoid, 1000.0)), (0.0, 1.0));
    assert!((f(Unary::Sigmoid, -40.0) / (-40f64).exp() - 1.0).abs() < 1e-15);
    assert!(binary(Binary::Max, Type::F64, Value::F(1.0), Value::F(f64::NAN)).as_f64().is_nan());
    // Published values of the error function.
    for (x, y) in [
        (0.1, 0.1124629160182849),
        (0.5, 0.5204998778130465),
        (1.0, 0.8427007929497149),
        (2.0, 0.9953222650189527),
        (3.5, 0.9999992569016276),
    ] {
        assert!((f(Unary::Erf, x) - y).abs() < 2e-15, "erf({x}) = {}", f(Unary::Erf, x));
        assert_eq!(f(Unary::Erf, -x), -f(Unary::Erf, x));
    }
    assert_eq!((f(Unary::Erf, 0.0), f(Unary::Erf, 9.0), f(Unary::Erf, f64::INFINITY)), (0.0, 1.0, 1.0));
    assert!(f(Unary::Erf, f64::NAN).is_nan());
}

#[test]
fn rows_have_positions_lengths_and_reductions() {
    let mut b = Builder::new();
    let x = b.input(Type::F64);
    let (index, length) = (b.index(), b.length());
    let index = b.cast(Type::F64, index);
    let moved = b.add(x, index);
    let outputs = [Reduction::Sum, Reduction::Prod, Reduction::Max, Reduction::Min].map(|op| b.reduce(op, x));
    let f = b.finish(&[&[moved, length], &outputs[..]].concat());
    let got = evaluate(&f, &[floats(&[3.0, -1.0, 4.0])], &[]);
    let expected: [&[f64]; 6] = [&[3.0, 0.0, 6.0], &[3.0], &[6.0], &[-12.0], &[4.0], &[-1.0]];
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(numbers(got), expected);
    }
}

#[test]
fn bits_are_taken_and_given_back() {
    let bits = |v: f64| unary(Unary::Bits, Type::F32, Value::F(v)).as_i64();
    assert_eq!((bits(1.0), bits(-0.0), bits(f64::INFINITY)), (0x3f80_0000, i32::MIN as i64, 0x7f80_0000));
    assert_eq!(unary(Unary::FromBits, Type::I32, Value::I(0x3fc0_0000)), Value::F(1.5));
    assert_eq!(unary(Unary::Bits, Type::F64, Value::F(-2.0)), Value::I((-2f64).to_bits() as i64));
    assert_eq!(unary(Unary::FromBits, Type::I64, Value::I(0x7ff0 << 48)), Value::F(f64::INFINITY));
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let bits = b.unary(Unary::Bits, x);
    assert_eq!((b.ty(bits), b.unary(Unary::FromBits, bits)), (Type::I32, x));
}

#[test]
fn shifts_count_modulo_the_width() {
    let i = |op, x, y| binary(op, Type::I32, Value::I(x), Value::I(y)).as_i64();
    assert_eq!((i(Binary::Shl, 3, 31), i(Binary::Shl, 3, 33), i(Binary::Shl, 5, 0)), (i32::MIN as i64, 6, 5));
    assert_eq!((i(Binary::Shr, -8, 1), i(Binary::Shr, -1, 31), i(Binary::Shr, 9, 2)), (-4, -1, 2));
    assert_eq!((i(Binary::Ushr, -1, 28), i(Binary::Ushr, -1, 32), i(Binary::Ushr, 9, 2)), (15, -1, 2));
    let wide = |op, x, y| binary(op, Type::I64, Value::I(x), Value::I(y)).as_i64();
    assert_eq!(
        (wide(Binary::Shl, 1, 40), wide(Binary::Ushr, -1, 60), wide(Binary::Shr, -1, 64)),
        (1 << 40, 15, -1)
    );
}

/// Numbers between two of float16 and bfloat16, at their ends and beyond.
#[test]
fn narrow_floats_round_to_nearest_even() {
    let half = |v: f64| unary(Unary::RoundF16, Type::F32, Value::F(v)).as_f64();
    for (x, expected) in [
        (1.0 + 1.0 / 2048.0, 1.0),
        (1.0 + 3.0 / 2048.0, 1.0 + 2.0 / 1024.0),
        (65519.0, 65504.0),
        (65520.0, f64::INFINITY),
        (-1e30, f64::NEG_INFINITY),
        (2f64.powi(-25), 0.0),
        (3.0 * 2f64.powi(-25), 2f64.powi(-23)),
        (6.1e-5, 1023.0 * 2f64.powi(-24)),
        (f64::INFINITY, f64::INFINITY),
    ] {
        assert_eq!((half(x), half(-x)), (expected, -expected), "{x}");
    }
    assert!(half(f64::NAN).is_nan() && half(-0.0).is_sign_negative());
    let bfloat = |v: f64| unary(Unary::RoundBf16, Type::F32, Value::F(v)).as_f64();
    for (x, expected) in [
        (1.0 + 1.0 / 256.0, 1.0),
        (1.0 + 3.0 / 256.0, 1.0 + 2.0 / 128.0),
        (f32::MAX as f64, f64::INFINITY),
        (2f64.powi(-134), 0.0),
        (3.0 * 2f64.powi(-134), 2f64.powi(-132)),
    ] {
        assert_eq!((bfloat(x), bfloat(-x)), (expected, -expected), "{x}");
    }
}
