//! Tensors for testing kernels: values as f64, random strided views, launches.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod formula;

use half::{bf16, f16};
use phynexus_core::{Buffer, DType, Kernel, Layout, Result, Shape, Spec, Task, View, philox};
use phynexus_cpu::{cpu, set_num_threads};

/// A stream of reproducible random numbers.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed << 32)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 += 1;
        philox::block(7, self.0)[0] as usize % n
    }

    /// Sizes from 0 to 9.
    pub fn shape(&mut self, dims: usize) -> Vec<usize> {
        (0..dims).map(|_| [0, 1, 1, 2, 2, 3, 3, 5, 5, 8, 8, 9][self.below(12)]).collect()
    }

    /// Small whole numbers; with `nan`, sometimes NaN.
    pub fn small(&mut self, dtype: DType, nan: bool) -> f64 {
        let nan = nan && dtype.is_float() && self.below(40) == 0;
        match dtype {
            _ if nan => f64::NAN,
            DType::Bool => self.below(2) as f64,
            DType::U8 => self.below(5) as f64,
            _ => self.below(9) as f64 - 4.0,
        }
    }
}

/// Memory and a view of it.
#[derive(Debug)]
pub struct Tensor {
    pub buffer: Buffer,
    pub dtype: DType,
    pub layout: Layout,
}

impl Tensor {
    /// Contiguous, from values in row-major order.
    pub fn new(dtype: DType, sizes: &[usize], values: &[f64]) -> Tensor {
        let shape = Shape::new(sizes).unwrap();
        assert_eq!(shape.elements(), values.len());
        let buffer = Buffer::new(cpu(), values.len() * dtype.size()).unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|&v| encode(dtype, v)).collect();
        cpu().write(&buffer, 0, &bytes).unwrap();
        Tensor { buffer, dtype, layout: Layout::contiguous(shape) }
    }

    /// Contiguous, filled with a value that no test expects.
    pub fn empty(dtype: DType, sizes: &[usize]) -> Tensor {
        let n = sizes.iter().product();
        Tensor::new(dtype, sizes, &vec![if dtype == DType::Bool { 1.0 } else { 77.0 }; n])
    }

    /// A view of shape `sizes` with permuted, stepped, reversed, shifted and, if `expand`, repeated dimensions.
    pub fn strided(
        random: &mut Random,
        dtype: DType,
        sizes: &[usize],
        expand: bool,
        mut value: impl FnMut(&mut Random) -> f64,
    ) -> Tensor {
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        if random.below(2) == 0 {
            order.reverse();
        }
        let kinds: Vec<usize> = sizes.iter().map(|_| random.below(if expand { 6 } else { 5 })).collect();
        let room = |d: usize| match kinds[d] {
            0 => 2 * sizes[d],
            1 => sizes[d] + 1,
            5 => 1,
            _ => sizes[d],
        };
        let base: Vec<usize> = order.iter().map(|&d| room(d)).collect();
        let values: Vec<f64> = (0..base.iter().product()).map(|_| value(random)).collect();
        let mut tensor = Tensor::new(dtype, &base, &values);
        let back: Vec<usize> =
            (0..sizes.len()).map(|d| order.iter().position(|&o| o == d).unwrap()).collect();
        tensor.layout = tensor.layout.permute(&back);
        for (d, &size) in sizes.iter().enumerate() {
            tensor.layout = match kinds[d] {
                0 => tensor.layout.slice(d, 0, size, 2),
                1 => tensor.layout.slice(d, 1, size, 1),
                2 => tensor.layout.slice(d, size.saturating_sub(1), size, -1),
                _ => tensor.layout,
            };
        }
        tensor.layout = tensor.layout.broadcast(&Shape::new(sizes).unwrap()).unwrap();
        tensor
    }

    pub fn view(&self) -> View<'_> {
        View { buffer: &self.buffer, dtype: self.dtype, layout: &self.layout }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.buffer.bytes()];
        cpu().read(&self.buffer, 0, &mut bytes).unwrap();
        bytes
    }

    /// All values in row-major order.
    pub fn values(&self) -> Vec<f64> {
        let (bytes, size) = (self.bytes(), self.dtype.size());
        positions(&self.layout)
            .into_iter()
            .map(|at| decode(self.dtype, &bytes[at * size..][..size]))
            .collect()
    }
}

/// Where each element stands, in row-major order, one index after the other.
pub fn positions(layout: &Layout) -> Vec<usize> {
    let sizes = layout.shape().to_vec();
    (0..layout.elements())
        .map(|at| {
            let (mut rest, mut place) = (at, layout.offset() as isize);
            for d in (0..sizes.len()).rev() {
                place += (rest % sizes[d]) as isize * layout.strides()[d];
                rest /= sizes[d];
            }
            place as usize
        })
        .collect()
}

pub fn encode(dtype: DType, v: f64) -> Vec<u8> {
    match dtype {
        DType::Bool => vec![(v != 0.0) as u8],
        DType::U8 => vec![v as i64 as u8],
        DType::I32 => (v as i64 as i32).to_ne_bytes().to_vec(),
        DType::I64 => (v as i64).to_ne_bytes().to_vec(),
        DType::F16 => f16::from_f64(v).to_ne_bytes().to_vec(),
        DType::BF16 => bf16::from_f64(v).to_ne_bytes().to_vec(),
        DType::F32 => (v as f32).to_ne_bytes().to_vec(),
        DType::F64 => v.to_ne_bytes().to_vec(),
    }
}

pub fn decode(dtype: DType, b: &[u8]) -> f64 {
    match dtype {
        DType::Bool | DType::U8 => b[0] as f64,
        DType::I32 => i32::from_ne_bytes(b.try_into().unwrap()) as f64,
        DType::I64 => i64::from_ne_bytes(b.try_into().unwrap()) as f64,
        DType::F16 => f16::from_ne_bytes(b.try_into().unwrap()).to_f64(),
        DType::BF16 => bf16::from_ne_bytes(b.try_into().unwrap()).to_f64(),
        DType::F32 => f32::from_ne_bytes(b.try_into().unwrap()) as f64,
        DType::F64 => f64::from_ne_bytes(b.try_into().unwrap()),
    }
}

/// What `v` is once it is stored as `dtype`.
pub fn rounded(dtype: DType, v: f64) -> f64 {
    decode(dtype, &encode(dtype, v))
}

/// Equal, where NaN equals NaN.
pub fn assert_same(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        assert!(a == b || a.is_nan() && b.is_nan(), "{what}: element {i} is {a}, expected {b}");
    }
}

pub fn launch(spec: Spec, inputs: &[&Tensor], outputs: &[&Tensor]) -> Result<()> {
    let inputs: Vec<View<'_>> = inputs.iter().map(|t| t.view()).collect();
    let outputs: Vec<View<'_>> = outputs.iter().map(|t| t.view()).collect();
    let kernel = Kernel::new(spec);
    kernel.compiled(cpu())?;
    cpu().launch(&kernel, &[Task { inputs: &inputs, outputs: &outputs, scalars: &[] }])
}

/// The same bytes from 1, 2 and 3 threads.
pub fn same_bits(what: &str, result: impl Fn() -> Vec<u8>) {
    let bits = [1, 2, 3].map(|threads| {
        set_num_threads(threads);
        result()
    });
    assert!(bits[0] == bits[1] && bits[0] == bits[2], "{what} depends on the number of threads");
}
