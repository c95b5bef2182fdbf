//! What several tests need: a small generator of numbers, and samples of an operation's domain.
#![allow(dead_code)]

use phynexus_formula::ops::{Op, Special};
use phynexus_formula::{Type, Value};

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A row of inputs from the operation's domain, computed in `ty`.
pub fn sample(op: Op, ty: Type, length: usize, rng: &mut Rng) -> Vec<Vec<Value>> {
    let row = op.row();
    let label = rng.below(length) as i64;
    (0..row.inputs)
        .map(|k| {
            let (low, high) = row.domain.inputs[k.min(row.domain.inputs.len() - 1)];
            let draw = |rng: &mut Rng| {
                let v = rng.uniform(low, high);
                match row.input_type(k, ty) {
                    Type::Bool => Value::I((v > 0.5 * (low + high)) as i64),
                    Type::I64 if row.special == Special::Label => Value::I(label),
                    t if t.is_int() => Value::I(v.round() as i64),
                    Type::F32 => Value::F(v as f32 as f64),
                    _ => Value::F(v),
                }
            };
            (0..length).map(|_| draw(rng)).collect()
        })
        .collect()
}

/// The usual scalars of an operation.
pub fn scalars(op: Op, ty: Type) -> Vec<Value> {
    let number = |(k, v): (usize, &f64)| {
        if op.row().scalar_type(k, ty).is_float() { Value::F(*v) } else { Value::I(*v as i64) }
    };
    op.row().domain.scalars.iter().enumerate().map(number).collect()
}

pub fn floats(values: &[f64]) -> Vec<Value> {
    values.iter().map(|&v| Value::F(v)).collect()
}

pub fn numbers(values: &[Value]) -> Vec<f64> {
    values.iter().map(|v| v.as_f64()).collect()
}

/// The same bits; NaNs are all one.
pub fn same(a: Value, b: Value) -> bool {
    match (a, b) {
        (Value::F(a), Value::F(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (a, b) => a == b,
    }
}
