//! Formulas as text: the same formula again, and errors where a text is none.

mod common;

use common::Rng;
use phynexus_formula::ops::{Op, Promotion};
use phynexus_formula::{Binary, Builder, Constant, Formula, Type, Unary, differentiate};

fn again(f: &Formula) {
    let text = f.to_string();
    let read: Formula = text.parse().unwrap_or_else(|error| panic!("{error} of\n{text}"));
    assert_eq!(&read, f, "{text}");
}

/// All operations of the table and their derivatives, of all types that they may have.
fn known() -> Vec<Formula> {
    let mut found = Vec::new();
    for &op in Op::ALL {
        for &ty in Type::ALL {
            let takes = match op.row().promotion {
                Promotion::Float => ty.is_float(),
                Promotion::Number => ty != Type::Bool,
                Promotion::Any => true,
                Promotion::Integer => !ty.is_float(),
                Promotion::Bool => ty == Type::Bool,
            };
            if !takes {
                continue;
            }
            let f = op.formula(ty);
            if op.row().differentiable && ty.is_float() {
                let wanted: Vec<usize> = (0..f.inputs().len()).filter(|&k| f.inputs()[k] == ty).collect();
                found.push(differentiate(&f, &wanted).formula);
            }
            found.push(f);
        }
    }
    found
}

#[test]
fn operations_and_derivatives_are_read_as_they_were() {
    known().iter().for_each(again);
}

#[test]
fn constants_keep_their_bits() {
    let floats = [0.1, -0.0, 1e-45, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324, 1.0 / 3.0];
    let mut constants: Vec<Constant> = vec![
        Constant { ty: Type::F64, bits: 0xfff0_0000_0000_0123 },
        Constant { ty: Type::F32, bits: 0x7ff8_0000_2000_0000 },
        Constant::int(Type::I32, i32::MIN.into()),
        Constant::int(Type::I64, i64::MAX),
        Constant::int(Type::Bool, 1),
    ];
    for value in floats {
        constants.extend([Constant::float(Type::F32, value), Constant::float(Type::F64, value)]);
    }
    let mut b = Builder::new();
    let ids: Vec<_> = constants.iter().map(|&c| b.constant(c)).collect();
    again(&b.finish(&ids));
}

/// Operands that nothing reads stay declared, and those that are read late keep their place.
#[test]
fn operands_stay_where_they_were_declared() {
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let y = b.unary(Unary::Exp, x);
    let [_, late] = [Type::I64, Type::F32].map(|ty| b.input(ty));
    let n = b.length();
    let s = b.scalar(Type::F64);
    let sum = b.binary(Binary::Add, y, late);
    again(&b.finish(&[sum, n, s, sum]));
}

#[test]
fn what_is_no_formula_is_said_with_its_line() {
    let head = "inputs float32 float32 bool\n\nscalars float64\n0 = input 0\n1 = input 2\n2 = scalar 0\n";
    for (line, tail, message) in [
        (7, "4 = neg 0", "expected \"3 = ...\", found \"4\""),
        (7, "3 neg 0", "expected \"3 = ...\", found \"3\""),
        (7, "3 =", "a node is missing"),
        (7, "3 = input 3", "input 3 is none of the 3 that there are"),
        (7, "3 = input 70000", "input 70000 is none of the 3 that there are"),
        (7, "3 = input 5000000000", "\"5000000000\" is no number of an operand"),
        (7, "3 = neg 3", "\"3\" is no earlier node"),
        (7, "3 = neg 1", "no node is \"neg\" of (bool)"),
        (7, "3 = add 0 2", "no node is \"add\" of (float32, float64)"),
        (7, "3 = shl 0 0", "no node is \"shl\" of (float32, float32)"),
        (7, "3 = select 0 0 0", "no node is \"select\" of (float32, float32, float32)"),
        (7, "3 = cast float16 0", "no node is \"cast float16\" of (float32)"),
        (7, "3 = reduce mean 0", "no node is \"reduce mean\" of (float32)"),
        (7, "3 = int32 2147483648", "\"2147483648\" is no int32"),
        (7, "3 = float32 nan:0", "\"nan:0\" is no float32"),
        (7, "outputs 3", "outputs are the numbers of one or more nodes"),
        (7, "outputs", "outputs are the numbers of one or more nodes"),
        (8, "outputs 0\nmore", "the formula has ended, but \"more\" follows"),
        (6, "", "the formula ends without outputs"),
    ] {
        let error = format!("{head}{tail}").parse::<Formula>().unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (line, message), "{tail}");
    }
    for text in ["", "inputs float32", "inputs float8\nscalars\n", "scalars\ninputs\n"] {
        assert!(text.parse::<Formula>().is_err());
    }
}

/// Texts with a word or a letter changed are read or refused; what is read is a formula that can be written again.
#[test]
fn broken_texts_break_nothing() {
    let words: Vec<&str> =
        "0 1 7 input add neg select cast float32 bool int64 reduce sum nan:1 = outputs".split(' ').collect();
    let mut rng = Rng(7);
    let mut read = 0;
    for f in known() {
        let text = f.to_string();
        let parts: Vec<&str> = text.split_inclusive([' ', '\n']).collect();
        for _ in 0..20 {
            let place = rng.below(parts.len());
            let mut broken = parts[..place].concat();
            let end = if parts[place].ends_with('\n') { "\n" } else { " " };
            match rng.below(3) {
                0 => broken += &parts[place][rng.below(parts[place].len())..],
                1 => broken += &(words[rng.below(words.len())].to_owned() + end),
                _ => {}
            }
            broken += &parts[place + 1..].concat();
            if let Ok(f) = broken.parse::<Formula>() {
                again(&f);
                read += 1;
            }
        }
    }
    assert!(read > 100, "{read} were read");
}
