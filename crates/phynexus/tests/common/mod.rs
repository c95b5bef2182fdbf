//! What the tests of the engine share: numbers, operands in all kinds of memory, results as numbers and bits.
#![allow(dead_code)]

use phynexus::{Array, DType, Layout, Shape, Tensor, cpu};

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

pub fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).unwrap()
}

/// How an array lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// One element after the other.
    Whole,
    /// The first dimension innermost.
    Permuted,
    /// Every second element of something larger, backwards.
    Strided,
}

impl Memory {
    pub const ALL: [Memory; 3] = [Memory::Whole, Memory::Permuted, Memory::Strided];
}

/// A contiguous array of these numbers.
pub fn array(values: &[f64], dims: &[usize], dtype: DType) -> Array {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let doubles = Array::from_bytes(&bytes, shape(dims), DType::F64, cpu()).unwrap();
    if dtype == DType::F64 { doubles } else { doubles.cast(dtype).unwrap() }
}

/// The same in other memory.
pub fn placed(values: &[f64], dims: &[usize], dtype: DType, memory: Memory) -> Array {
    let whole = array(values, dims, dtype);
    let empty = |dims: &[usize]| Array::full(shape(dims), phynexus::Value::I(1), dtype, cpu()).unwrap();
    let view = match memory {
        Memory::Whole => return whole,
        Memory::Permuted => {
            let order: Vec<usize> = (0..dims.len()).rev().collect();
            let base = empty(&order.iter().map(|&a| dims[a]).collect::<Vec<_>>());
            base.with_layout(base.layout().permute(&order))
        }
        Memory::Strided => {
            let base = empty(&dims.iter().map(|n| 2 * n + 1).collect::<Vec<_>>());
            let backwards =
                |layout: Layout, (a, &n): (usize, &usize)| layout.slice(a, (2 * n).saturating_sub(1), n, -2);
            base.with_layout(dims.iter().enumerate().fold(*base.layout(), backwards))
        }
    };
    view.write_from(&whole).unwrap();
    view
}

pub fn tensor(values: &[f64], dims: &[usize]) -> Tensor {
    Tensor::new(array(values, dims, DType::F64))
}

/// A leaf that requires gradients.
pub fn leaf(values: &[f64], dims: &[usize]) -> Tensor {
    let t = tensor(values, dims);
    t.set_requires_grad(true).unwrap();
    t
}

pub fn integers(values: &[i64], dims: &[usize]) -> Tensor {
    Tensor::new(array(&values.iter().map(|&v| v as f64).collect::<Vec<_>>(), dims, DType::I64))
}

/// The elements, row-major.
pub fn numbers(a: &Array) -> Vec<f64> {
    let bytes = a.cast(DType::F64).unwrap().to_bytes().unwrap();
    bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

pub fn values(t: &Tensor) -> Vec<f64> {
    numbers(&t.array())
}

/// The gradient of a leaf.
pub fn grad_of(t: &Tensor) -> Vec<f64> {
    values(&t.grad().expect("the leaf has a gradient"))
}

pub fn near(found: &[f64], expected: &[f64], tolerance: f64) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(f, e)| (f - e).abs() <= tolerance * e.abs().max(1.0))
}

/// The error's text; panics where there is none.
pub fn error<T>(result: phynexus::Result<T>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(e) => e.to_string(),
    }
}
