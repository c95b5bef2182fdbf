//! Simplifying keeps bits, and finds what it should.

mod common;

use common::{Rng, same};
use phynexus_formula::{Binary, Builder, Constant, Id, Node, Type, Unary, Value, evaluate};

const SPECIAL: [f64; 12] =
    [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.7, -1e30, 1e-40, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];

/// The meaning of one node on constants, reached without any rule: through inputs.
fn direct(ty: Type, values: &[Value], make: impl Fn(&mut Builder, &[Id]) -> Id) -> Value {
    let mut b = Builder::new();
    let inputs: Vec<Id> = values.iter().map(|_| b.input(ty)).collect();
    let out = make(&mut b, &inputs);
    let rows: Vec<Vec<Value>> = values.iter().map(|v| vec![*v]).collect();
    evaluate(&b.finish(&[out]), &rows, &[])[0][0]
}

fn constant(b: &mut Builder, ty: Type, v: Value) -> Id {
    b.constant(if ty.is_float() { Constant::float(ty, v.as_f64()) } else { Constant::int(ty, v.as_i64()) })
}

fn round(ty: Type, v: f64) -> Value {
    match ty {
        Type::F32 => Value::F(v as f32 as f64),
        Type::F64 => Value::F(v),
        Type::I32 => Value::I(v as i32 as i64),
        _ => Value::I(v as i64),
    }
}

/// Every operation on every special number, with none, one or both of the operands a constant that rules may use.
#[test]
fn binary_rules_keep_bits() {
    use Binary::*;
    for ty in [Type::F32, Type::F64, Type::I32, Type::I64] {
        let ops: &[Binary] = if ty.is_float() {
            &[Add, Sub, Mul, Div, FloorDiv, Rem, Pow, Min, Max, Eq, Ne, Lt, Le, Atan2]
        } else {
            &[Add, Sub, Mul, FloorDiv, Rem, Pow, Min, Max, Eq, Ne, Lt, Le, And, Or, Xor, Shl, Shr, Ushr]
        };
        for &op in ops {
            for (x, y) in SPECIAL.iter().flat_map(|&x| SPECIAL.map(|y| (round(ty, x), round(ty, y)))) {
                let plain = direct(ty, &[x, y], |b, i| b.binary(op, i[0], i[1]));
                let right = direct(ty, &[x], |b, i| {
                    let c = constant(b, ty, y);
                    b.binary(op, i[0], c)
                });
                let left = direct(ty, &[y], |b, i| {
                    let c = constant(b, ty, x);
                    b.binary(op, c, i[0])
                });
                let both = direct(ty, &[], |b, _| {
                    let (x, y) = (constant(b, ty, x), constant(b, ty, y));
                    b.binary(op, x, y)
                });
                let negated = direct(ty, &[x, y], |b, i| {
                    let (p, q) = (b.neg(i[0]), b.neg(i[1]));
                    let (p, q) = (b.neg(p), b.neg(q));
                    b.binary(op, p, q)
                });
                for (what, got) in [("right", right), ("left", left), ("both", both), ("negated", negated)] {
                    assert!(
                        same(got, plain),
                        "{ty:?} {op:?} {x:?} {y:?} ({what} constant): {got:?} not {plain:?}"
                    );
                }
                if same(x, y) {
                    let twice = direct(ty, &[x], |b, i| b.binary(op, i[0], i[0]));
                    assert!(same(twice, plain), "{ty:?} {op:?} {x:?} with itself: {twice:?} not {plain:?}");
                }
            }
        }
    }
}

/// Random expressions where each leaf is either an operand or, folded, the constant of the same value.
#[test]
fn random_expressions_keep_bits() {
    let unaries = [
        Unary::Neg,
        Unary::Abs,
        Unary::Sign,
        Unary::Exp,
        Unary::Log,
        Unary::Log1p,
        Unary::Expm1,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Sin,
        Unary::Cos,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::Erf,
        Unary::Floor,
        Unary::Ceil,
        Unary::Round,
        Unary::Detach,
        Unary::RoundBf16,
        Unary::RoundF16,
    ];
    let binaries = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::FloorDiv,
        Binary::Rem,
        Binary::Pow,
        Binary::Min,
        Binary::Max,
    ];
    let mut rng = Rng(3);
    for round_ in 0..3000 {
        let ty = if round_ % 2 == 0 { Type::F32 } else { Type::F64 };
        let values: Vec<Value> = (0..6)
            .map(|_| {
                if rng.below(2) == 0 {
                    round(ty, SPECIAL[rng.below(12)])
                } else {
                    round(ty, rng.uniform(-3.0, 3.0))
                }
            })
            .collect();
        let steps: Vec<(usize, usize, usize, usize)> =
            (0..12).map(|i| (rng.below(5), rng.below(6 + i), rng.below(6 + i), rng.below(6 + i))).collect();
        let picks: Vec<(usize, usize)> =
            steps.iter().map(|_| (rng.below(unaries.len()), rng.below(binaries.len()))).collect();
        let mut build = |folded: bool| {
            let mut b = Builder::new();
            let mut nodes: Vec<Id> = values
                .iter()
                .map(|&v| {
                    let input = b.input(ty);
                    if folded && rng.below(2) == 0 { constant(&mut b, ty, v) } else { input }
                })
                .collect();
            for (&(kind, x, y, z), &(u, o)) in steps.iter().zip(&picks) {
                let (x, y, z) = (nodes[x], nodes[y], nodes[z]);
                nodes.push(match kind {
                    0 | 1 => b.unary(unaries[u], x),
                    2 | 3 => b.binary(binaries[o], x, y),
                    _ => {
                        let condition = b.binary(Binary::Lt, x, y);
                        let condition = if u % 2 == 0 { b.unary(Unary::Not, condition) } else { condition };
                        b.select(condition, y, z)
                    }
                });
            }
            let rows: Vec<Vec<Value>> = values.iter().map(|v| vec![*v]).collect();
            evaluate(&b.finish(&nodes), &rows, &[])
        };
        let (plain, folded) = (build(false), build(true));
        for (k, (a, b)) in plain.iter().zip(&folded).enumerate() {
            assert!(
                same(a[0], b[0]),
                "round {round_}, node {k}: {:?} folded to {:?} ({values:?}, {steps:?})",
                a[0],
                b[0]
            );
        }
    }
}

#[test]
fn casts_keep_bits() {
    let types = [Type::F32, Type::F64, Type::I32, Type::I64, Type::Bool];
    let values = [0.0, -1.0, 2.5, 16777217.0, 4294967297.0, 9007199254740993.0, -1e30, f64::NAN];
    for (from, middle, to) in
        types.iter().flat_map(|&a| types.map(|b| (a, b))).flat_map(|(a, b)| types.map(|c| (a, b, c)))
    {
        for v in values {
            let v = direct(from, &[], |b, _| b.number(from, v));
            let step = |ty: Type, from: Type, v: Value| direct(from, &[v], |b, i| b.cast(ty, i[0]));
            let two = step(to, middle, step(middle, from, v));
            let chain = |b: &mut Builder, x: Id| {
                let x = b.cast(middle, x);
                b.cast(to, x)
            };
            let got = direct(from, &[v], |b, i| chain(b, i[0]));
            let folded = direct(from, &[], |b, _| {
                let c = constant(b, from, v);
                chain(b, c)
            });
            assert!(same(got, two), "{from:?} {middle:?} {to:?} of {v:?}: {got:?} not {two:?}");
            assert!(
                same(folded, two),
                "{from:?} {middle:?} {to:?} of constant {v:?}: {folded:?} not {two:?}"
            );
        }
    }
}

#[test]
fn rules_apply_where_they_should_and_nowhere_else() {
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let n = b.input(Type::I64);
    let [zero, minus_zero, one, two] = [0.0, -0.0, 1.0, 2.0].map(|v| b.number(Type::F32, v));
    assert_eq!((b.mul(x, one), b.div(x, one), b.sub(x, zero), b.add(x, minus_zero)), (x, x, x, x));
    let square = b.mul(x, x);
    assert_eq!(b.binary(Binary::Pow, x, two), square);
    let negative = b.neg(x);
    assert_eq!(b.neg(negative), x);
    assert_eq!((b.add(x, two), b.mul(two, x)), (b.add(two, x), b.mul(x, two)));
    let half = b.number(Type::F32, 0.5);
    assert_eq!(b.div(x, two), b.mul(x, half));
    // Not for floats: -0 + 0, infinity * 0, infinity - infinity.
    assert_ne!(b.add(x, zero), x);
    assert_ne!(b.mul(x, zero), zero);
    assert!(matches!(b.sub(x, x).index(), i if i > x.index()));
    let none = b.number(Type::I64, 0.0);
    assert_eq!((b.add(n, none), b.mul(n, none), b.sub(n, n)), (n, none, none));
    let condition = b.binary(Binary::Lt, x, one);
    assert_eq!(b.select(condition, x, x), x);
    let inner = b.select(condition, x, one);
    assert_eq!(b.select(condition, inner, two), b.select(condition, x, two));
    let wide = b.cast(Type::F64, x);
    assert_eq!(b.cast(Type::F32, wide), x);
    let narrow = b.cast(Type::I32, n);
    assert_ne!(b.cast(Type::I64, narrow), n);
    assert!(matches!(b.node(narrow), Node::Cast(Type::I32, _)));
}
