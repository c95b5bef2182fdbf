//! Transcendental functions as instructions: the functions of [`crate::functions`], called with values of a program.

use super::lower::Lower;
use super::program::{Inst, One, Test, Two, Value};
use crate::functions::{self, Float, Int};
use phynexus_formula::Unary;
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Sub};

/// A value of the program that grows with every operation on it.
#[derive(Clone, Copy)]
struct Lanes<'a, 'f> {
    lower: &'a RefCell<&'a mut Lower<'f>>,
    value: Value,
}

/// The same, seen as integers.
#[derive(Clone, Copy)]
struct Bits<'a, 'f>(Lanes<'a, 'f>);

impl Lower<'_> {
    /// A function of f32.
    pub fn function(&mut self, op: Unary, a: Value) -> Option<Value> {
        let lower = RefCell::new(self);
        let x = Lanes { lower: &lower, value: a };
        let y = match op {
            Unary::Exp => functions::exp(x),
            Unary::Exp2 => functions::exp2(x),
            Unary::Expm1 => functions::expm1(x),
            Unary::Log => functions::log(x),
            Unary::Log1p => functions::log1p(x),
            Unary::Tanh => functions::tanh(x),
            Unary::Sigmoid => functions::sigmoid(x),
            Unary::Erf => functions::erf(x),
            _ => return None,
        };
        Some(y.value)
    }

    /// `atan2(y, x)` of f32.
    pub fn angle(&mut self, y: Value, x: Value) -> Value {
        let lower = RefCell::new(self);
        let [y, x] = [y, x].map(|value| Lanes { lower: &lower, value });
        functions::atan2(y, x).value
    }
}

impl Lanes<'_, '_> {
    fn make(self, f: impl FnOnce(&mut Lower<'_>) -> Value) -> Self {
        let value = f(&mut self.lower.borrow_mut());
        Lanes { value, ..self }
    }

    fn two(self, op: Two, other: Self) -> Self {
        self.make(|lower| lower.two(op, self.value, other.value))
    }

    fn test(self, test: Test, other: Self) -> Self {
        self.make(|lower| lower.test(test, self.value, other.value))
    }

    fn one(self, op: One) -> Self {
        self.make(|lower| lower.one(op, self.value))
    }

    fn integer(self, value: i32) -> Self {
        self.make(|lower| lower.integer(value))
    }
}

macro_rules! arithmetic {
    ($($of:ident $name:ident),*) => {$(
        impl $of for Lanes<'_, '_> {
            type Output = Self;
            fn $name(self, other: Self) -> Self {
                self.two(Two::$of, other)
            }
        }
    )*};
}
arithmetic!(Add add, Sub sub, Mul mul, Div div);

impl<'a, 'f> Float for Lanes<'a, 'f> {
    type Int = Bits<'a, 'f>;
    type Truth = Self;

    fn number(self, value: f32) -> Self {
        self.make(|lower| lower.inst(Inst::Const(value.to_bits() as u64)))
    }
    fn abs(self) -> Self {
        self.number(-0.0).two(Two::AndNot, self)
    }
    fn copysign(self, sign: Self) -> Self {
        let bit = self.number(-0.0);
        self.abs().two(Two::Or, sign.two(Two::And, bit))
    }
    fn less(self, other: Self) -> Self {
        self.test(Test::Lt, other)
    }
    fn at_most(self, other: Self) -> Self {
        self.test(Test::Le, other)
    }
    fn equals(self, other: Self) -> Self {
        self.test(Test::Eq, other)
    }
    fn bits(self) -> Bits<'a, 'f> {
        Bits(self)
    }
    fn choose(truth: Self, yes: Self, no: Self) -> Self {
        truth.make(|lower| lower.select(truth.value, yes.value, no.value))
    }
}

impl<'a, 'f> Int for Bits<'a, 'f> {
    type Float = Lanes<'a, 'f>;

    fn plus(self, constant: i32) -> Self {
        Bits(self.0.two(Two::AddInt, self.0.integer(constant)))
    }
    fn minus(self, other: Self) -> Self {
        Bits(self.0.two(Two::SubInt, other.0))
    }
    fn and(self, constant: i32) -> Self {
        Bits(self.0.two(Two::And, self.0.integer(constant)))
    }
    fn left<const DISTANCE: u8>(self) -> Self {
        Bits(self.0.one(One::Left(DISTANCE)))
    }
    fn right<const DISTANCE: u8>(self) -> Self {
        Bits(self.0.one(One::Signed(DISTANCE)))
    }
    fn float(self) -> Lanes<'a, 'f> {
        self.0.one(One::ToFloat)
    }
    fn as_bits(self) -> Lanes<'a, 'f> {
        self.0
    }
    fn pick(self, table: &[f32; 8]) -> Lanes<'a, 'f> {
        let table = Inst::Table(table.map(f32::to_bits));
        self.0.make(|lower| {
            let table = lower.inst(table);
            lower.two(Two::Lookup, self.0.value, table)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jit::{Backend, compile_with};
    use phynexus_core::DType;
    use phynexus_formula::{Binary, Builder, Formula, Id, Type};

    fn formula(inputs: usize, f: impl FnOnce(&mut Builder, &[Id]) -> Id) -> Formula {
        let mut b = Builder::new();
        let inputs: Vec<Id> = (0..inputs).map(|_| b.input(Type::F32)).collect();
        let result = f(&mut b, &inputs);
        b.finish(&[result])
    }

    /// What code for the formula gives, by every backend that this processor can run.
    fn run(f: &Formula, operands: &[&[f32]], scalars: &[u64]) -> Vec<Vec<u32>> {
        let inputs = vec![DType::F32; operands.len()];
        let backends = Backend::ALL.into_iter().filter(|b| b.is_available());
        let run = |backend| {
            let code = compile_with(backend, f, &inputs, &[DType::F32]).expect("has code");
            let mut out = vec![0u32; operands[0].len()];
            let mut at: Vec<*const u8> = operands.iter().map(|o| o.as_ptr().cast()).collect();
            at.push(out.as_mut_ptr().cast());
            // SAFETY: all operands have as many elements.
            unsafe { code.call(at.as_ptr(), scalars.as_ptr(), 0, out.len()) };
            out
        };
        backends.map(run).collect()
    }

    fn same(found: u32, expected: f32) -> bool {
        found == expected.to_bits() || f32::from_bits(found).is_nan() && expected.is_nan()
    }

    fn sample() -> Vec<f32> {
        let all = (0..=u32::MAX).step_by(40_009).map(f32::from_bits);
        all.chain([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.625, 0.95, 1.0]).collect()
    }

    #[test]
    fn code_gives_the_bits_of_the_loops() {
        type Case = (Unary, fn(f32) -> f32);
        let cases: [Case; 8] = [
            (Unary::Exp, functions::exp),
            (Unary::Exp2, functions::exp2),
            (Unary::Expm1, functions::expm1),
            (Unary::Log, functions::log),
            (Unary::Log1p, functions::log1p),
            (Unary::Tanh, functions::tanh),
            (Unary::Sigmoid, functions::sigmoid),
            (Unary::Erf, functions::erf),
        ];
        let xs = sample();
        for (op, loops) in cases {
            for found in run(&formula(1, |b, x| b.unary(op, x[0])), &[&xs], &[]) {
                for (&x, y) in xs.iter().zip(found) {
                    assert!(same(y, loops(x)), "{op:?} of {x:e}: {y:#x}, not {:#x}", loops(x).to_bits());
                }
            }
        }
        let mut ys = xs.clone();
        ys.rotate_left(xs.len() / 3);
        let angle = formula(2, |b, x| b.binary(Binary::Atan2, x[0], x[1]));
        for found in run(&angle, &[&ys, &xs], &[]) {
            for ((&x, &y), z) in xs.iter().zip(&ys).zip(found) {
                assert!(same(z, functions::atan2(y, x)), "atan2 of {y:e}, {x:e}: {z:#x}");
            }
        }
    }

    #[test]
    fn truth_values_come_from_the_control_table() {
        let mut b = Builder::new();
        let (x, truth) = (b.input(Type::F32), b.scalar(Type::Bool));
        let no = b.neg(x);
        let result = b.select(truth, x, no);
        let f = b.finish(&[result]);
        for (word, expected) in [(1, 2.5f32), (0, -2.5)] {
            for found in run(&f, &[&[2.5; 19]], &[word]) {
                assert_eq!(found, [expected.to_bits(); 19]);
            }
        }
    }
}
