//! Operations without operands: random numbers, one value, evenly spaced numbers.

use crate::array::Array;
use crate::machine::with_float64;
use crate::node::Context;
use crate::op::{Few, Needs, Operation, Spec};
use crate::ops::{launch, one};
use crate::tensor::Tensor;
use phynexus_core::{DType, Distribution, Kernel, Once, Result, Spec as KernelSpec, Task, Value};
use phynexus_formula::{Binary, Builder, Type};

macro_rules! source {
    ($name:ident, $text:literal, $run:expr) => {
        impl Operation for $name {
            fn name(&self) -> &str {
                $text
            }
            fn infer(&self, _: &[Spec]) -> Result<Few<Spec>> {
                Ok(one(self.spec))
            }
            fn run(&self, _: &[&Array]) -> Result<Few<Array>> {
                let out = Array::empty(self.spec.shape, self.spec.dtype, self.spec.device)?;
                if out.elements() > 0 {
                    let run: fn(&$name, &Array) -> Result<()> = $run;
                    run(self, &out)?;
                }
                Ok(one(out))
            }
            fn saves(&self, _: u32) -> Option<Needs> {
                None
            }
            fn grad(&self, _: &Context) -> Result<Few<Option<Tensor>>> {
                Ok(Few::new())
            }
        }
    };
}

/// Random numbers: the same for the same seed and counter.
#[derive(Clone, Debug)]
pub struct Random {
    /// Shape, dtype and device of the result.
    pub spec: Spec,
    /// What is drawn.
    pub distribution: Distribution,
    /// The key of the stream.
    pub seed: u64,
    /// The first block of it.
    pub counter: u64,
}

source!(Random, "random", |op, out| {
    let Random { distribution, seed, counter, .. } = *op;
    launch(KernelSpec::Random { distribution, seed, counter }, &[], out)
});

/// One value everywhere.
#[derive(Clone, Debug)]
pub struct Fill {
    /// Shape, dtype and device of the result.
    pub spec: Spec,
    /// The value.
    pub value: Value,
}

source!(Fill, "full", |op, out| out.fill(op.value));

/// `start + i * step`.
#[derive(Clone, Debug)]
pub struct Range {
    /// Shape, dtype and device of the result: one dimension.
    pub spec: Spec,
    /// The first number.
    pub start: Value,
    /// The distance to the next.
    pub step: Value,
    /// The last number, a float: the second half is counted back from it, so that both ends are exact.
    pub end: Option<f64>,
}

/// Computes in float64 or int64 whatever the dtype, then rounds once. Scalars: start, step, and for a range with an end
/// also end, last index, first index counted from the end.
fn range_kernel(dtype: DType, has_end: bool) -> Kernel {
    let ty = if dtype.is_float() { Type::F64 } else { Type::I64 };
    let mut b = Builder::new();
    let (start, step, i) = (b.scalar(ty), b.scalar(ty), b.index());
    let i = b.cast(ty, i);
    let offset = b.mul(i, step);
    let mut x = b.add(start, offset);
    if has_end {
        let (end, last, half) = (b.scalar(ty), b.scalar(ty), b.scalar(ty));
        let left = b.sub(last, i);
        let back = b.mul(left, step);
        let from_end = b.sub(end, back);
        let first_half = b.binary(Binary::Lt, i, half);
        x = b.select(first_half, x, from_end);
    }
    let x = b.cast(dtype.compute(), x);
    Kernel::new(KernelSpec::Map { formula: b.finish(&[x]), inputs: vec![], outputs: vec![dtype] })
}

source!(Range, "arange", |op, out| {
    static KERNELS: [[Once<Kernel>; 8]; 2] = [const { [const { Once::new() }; 8] }; 2];
    let (dtype, has_end) = (op.spec.dtype, op.end.is_some());
    let kernel = KERNELS[has_end as usize][dtype as usize].get_or_init(|| range_kernel(dtype, has_end));
    let count = out.elements();
    let mut scalars = vec![op.start, op.step];
    if let Some(end) = op.end {
        scalars.extend([end, (count - 1) as f64, (count / 2) as f64].map(Value::F));
    }
    let fill = |out: &Array| {
        let task = Task { inputs: &[], outputs: &[out.view()], scalars: &scalars };
        out.device().launch(kernel, &[task])
    };
    let (device, place) = (out.device(), with_float64(out.device()));
    if place.id() == device.id() {
        return fill(out);
    }
    let made = Array::empty(op.spec.shape, dtype, place)?;
    fill(&made)?;
    device.write(out.buffer(), 0, &made.to_bytes()?)
});
