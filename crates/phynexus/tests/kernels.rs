//! All kinds of kernel on the GPUs that are there, for every dtype and any layout, against the CPU's.
//!
//! `NEURENIX_SOFTWARE_GPU=1` lets a processor play a GPU. Without any, the tests say so and pass.

#[path = "../../phynexus-cpu/tests/common/mod.rs"]
mod common;

use common::{Random, Tensor, decode, positions};
use phynexus_core::{
    Buffer, DType, Device, DeviceType, Distribution, Error, Kernel, Layout, ReduceOp, Result, ScatterOp,
    Shape, Spec, Task, View,
};
use phynexus_formula::{Builder, Type, ops::Op};
use std::sync::{Mutex, PoisonError};

fn gpus() -> Vec<&'static dyn Device> {
    let mut found = phynexus::available_devices();
    found.retain(|device| device.id().kind != DeviceType::Cpu);
    if found.is_empty() {
        eprintln!(
            "skipped: no GPU is there; a software one needs mesa-vulkan-drivers and NEURENIX_SOFTWARE_GPU=1"
        );
    }
    found
}

/// What a kernel finds wrong is raised to whoever reads next: one run at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The values of the outputs on a device; the memory that they begin with is the given tensors'.
fn run(
    device: &'static dyn Device,
    spec: &Spec,
    inputs: &[&Tensor],
    outputs: &[&Tensor],
) -> Result<Vec<Vec<f64>>> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let copy = |t: &&Tensor| {
        let buffer = Buffer::new(device, t.buffer.bytes())?;
        device.write(&buffer, 0, &t.bytes())?;
        Ok(buffer)
    };
    let buffers = inputs.iter().chain(outputs).map(copy).collect::<Result<Vec<Buffer>>>()?;
    let tensors = inputs.iter().chain(outputs).zip(&buffers);
    let views: Vec<View<'_>> = tensors.map(|(t, buffer)| View { buffer, ..t.view() }).collect();
    let (ins, outs) = views.split_at(inputs.len());
    device.launch(&Kernel::new(spec.clone()), &[Task { inputs: ins, outputs: outs, scalars: &[] }])?;
    let values = |(view, t): (&View<'_>, &&Tensor)| {
        let mut bytes = vec![0; view.buffer.bytes()];
        device.read(view.buffer, 0, &mut bytes)?;
        let size = t.dtype.size();
        Ok(positions(view.layout)
            .into_iter()
            .map(|at| decode(t.dtype, &bytes[at * size..][..size]))
            .collect())
    };
    outs.iter().zip(outputs).map(values).collect()
}

/// The GPUs' values are the CPU's, but for `tolerance` of their size. What WebGPU lacks it says: float64, products and
/// scattered sums of int64, and int64 beyond int32.
fn agree(spec: &Spec, inputs: &[&Tensor], outputs: &[&Tensor], tolerance: f64) {
    let what = format!("{spec:?} of {:?}", inputs.iter().map(|t| (t.dtype, t.layout)).collect::<Vec<_>>());
    let expected = run(phynexus::cpu(), spec, inputs, outputs).unwrap();
    let is_empty = |t: &&Tensor| t.layout.elements() == 0;
    let idle = outputs.iter().all(is_empty) || inputs.iter().any(is_empty);
    for gpu in gpus() {
        let found = run(gpu, spec, inputs, outputs);
        if gpu.id().kind == DeviceType::WebGpu && lacks(spec, inputs, outputs) {
            assert!(idle || matches!(&found, Err(Error::Type(m)) if m.contains("32")), "{what}: {found:?}");
            continue;
        }
        let too_large = |v: &f64| *v > i32::MAX as f64 || *v < i32::MIN as f64;
        let wide =
            expected.iter().zip(outputs).any(|(v, t)| t.dtype == DType::I64 && v.iter().any(too_large));
        if gpu.id().kind == DeviceType::WebGpu && wide {
            assert!(matches!(found, Err(Error::Value(_))), "{what}: {found:?}");
            continue;
        }
        let found = found.unwrap_or_else(|e| panic!("{what}: {e}"));
        for (i, (a, b)) in found.iter().flatten().zip(expected.iter().flatten()).enumerate() {
            let close = (a - b).abs() <= tolerance * b.abs().max(1e-3);
            assert!(a == b || close || a.is_nan() && b.is_nan(), "{what}: element {i} is {a}, expected {b}");
        }
    }
}

fn lacks(spec: &Spec, inputs: &[&Tensor], outputs: &[&Tensor]) -> bool {
    let sums = matches!(spec, Spec::MatMul { .. } | Spec::Scatter { op: ScatterOp::Add, .. });
    let doubles = inputs.iter().chain(outputs).any(|t| t.dtype == DType::F64);
    doubles || sums && outputs[0].dtype == DType::I64
}

fn reduced(op: ReduceOp, dtype: DType) -> DType {
    match op {
        ReduceOp::Sum | ReduceOp::Prod if !dtype.is_float() => DType::I64,
        ReduceOp::ArgMax | ReduceOp::ArgMin => DType::I64,
        ReduceOp::Any | ReduceOp::All => DType::Bool,
        _ => dtype,
    }
}

/// Some units in the last place.
fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        DType::F32 => 2e-6,
        _ => 1e-12,
    }
}

/// Sums of small whole numbers are exact; products and means are rounded.
fn reduce(op: ReduceOp, axes: usize, input: &Tensor) {
    let (dtype, shape) = (input.dtype, input.layout.shape());
    let (kept, depth) = (&shape[..shape.len() - axes], shape[shape.len() - axes..].iter().product::<usize>());
    let ordered = matches!(op, ReduceOp::Max | ReduceOp::Min | ReduceOp::ArgMax | ReduceOp::ArgMin);
    if depth == 0 && ordered || op == ReduceOp::Mean && !dtype.is_float() {
        return;
    }
    let tolerance = match op {
        ReduceOp::Mean | ReduceOp::Prod if dtype.is_float() => rounding(dtype),
        _ => 0.0,
    };
    let output = Tensor::empty(reduced(op, dtype), kept);
    agree(&Spec::Reduce { op, axes }, &[input], &[&output], tolerance);
}

#[test]
fn reductions() {
    let mut random = Random::new(1);
    for case in 0..420 {
        let (dtype, dims) = (DType::ALL[case % 8], 1 + case / 8 % 4);
        let sizes = random.shape(dims);
        let op = ReduceOp::EVERY[case % 9];
        let input = Tensor::strided(&mut random, dtype, &sizes, true, |r| r.small(dtype, true));
        reduce(op, 1 + random.below(dims), &input);
    }
}

/// Rows and columns, short, long, and longer than a group takes.
#[test]
fn large_reductions() {
    let mut random = Random::new(2);
    for sizes in [[1, 300_000], [7, 40_000], [40_000, 7], [700, 700], [3, 4097]] {
        let n = sizes.iter().product();
        for (k, &op) in ReduceOp::EVERY.iter().enumerate() {
            let dtype = [DType::F32, DType::I32, DType::U8][k % 3];
            let values: Vec<f64> = match op {
                ReduceOp::Prod => (0..n).map(|_| if random.below(9) == 0 { 1.0 } else { -1.0 }).collect(),
                ReduceOp::All => (0..n).map(|i| f64::from(i % 1000 != 999)).collect(),
                _ => (0..n).map(|_| random.small(dtype, false)).collect(),
            };
            let values = if dtype == DType::U8 { values.iter().map(|v| v.abs()).collect() } else { values };
            let mut input = Tensor::new(dtype, &sizes, &values);
            reduce(op, 1, &input);
            reduce(op, 2, &input);
            input.layout = input.layout.permute(&[1, 0]);
            reduce(op, 1, &input);
        }
    }
}

#[test]
fn more_groups_than_one_dimension_of_a_dispatch_has() {
    let n = 65_536 * 256 + 77;
    let bytes: Vec<u8> = (0..n).map(|i| u8::from(i % 7 == 3)).collect();
    let buffer = Buffer::new(phynexus::cpu(), n).unwrap();
    phynexus::cpu().write(&buffer, 0, &bytes).unwrap();
    let layout = Layout::contiguous(Shape::new(&[n, 1]).unwrap());
    let input = Tensor { buffer, dtype: DType::Bool, layout };
    agree(&Spec::Reduce { op: ReduceOp::Any, axes: 1 }, &[&input], &[&Tensor::empty(DType::Bool, &[n])], 0.0);
}

#[test]
fn sums_are_accurate() {
    let n = 1 << 20;
    let mut random = Random::new(3);
    let values: Vec<f64> = (0..n).map(|_| f64::from(random.below(1 << 24) as u32 as f32 / 1e6f32)).collect();
    for sizes in [[1, n], [n, 1]] {
        let mut input = Tensor::new(DType::F32, &sizes, &values);
        if sizes[0] > 1 {
            input.layout = input.layout.permute(&[1, 0]);
        }
        let output = Tensor::empty(DType::F32, &[1]);
        agree(&Spec::Reduce { op: ReduceOp::Sum, axes: 1 }, &[&input], &[&output], 2e-7);
    }
}

#[test]
fn products() {
    let mut random = Random::new(4);
    let shapes = [
        [1, 1, 1, 1],
        [2, 3, 5, 4],
        [1, 65, 67, 33],
        [3, 64, 16, 64],
        [2, 100, 130, 1],
        [1, 1, 200, 70],
        [2, 5, 0, 6],
        [1, 0, 3, 2],
    ];
    for (case, [batch, m, k, n]) in (0..7).flat_map(|c| shapes.map(|s| (c, s))) {
        let dtype = DType::ALL[1 + case];
        let mut operand =
            |sizes: &[usize]| Tensor::strided(&mut random, dtype, sizes, true, |r| r.small(dtype, false));
        let (a, b, bias) = (operand(&[batch, m, k]), operand(&[batch, k, n]), operand(&[n]));
        let out = Tensor::strided(&mut random, dtype, &[batch, m, n], false, |r| r.small(dtype, false));
        for (with_bias, accumulate) in [(false, false), (true, false), (false, true), (true, true)] {
            let relu = || Op::Relu.formula(Type::F32);
            let epilogue = (with_bias && dtype == DType::F32).then(relu);
            let spec = Spec::MatMul { bias: with_bias, accumulate, epilogue, symmetric: false, sums: false };
            let inputs = [&a, &b, &bias];
            agree(&spec, if with_bias { &inputs } else { &inputs[..2] }, &[&out], 0.0);
        }
        if dtype.is_float() {
            let mut c = Builder::new();
            let (x, beside) = (c.input(dtype.compute()), c.input(dtype.compute()));
            let difference = c.sub(x, beside);
            let epilogue = Some(c.finish(&[difference]));
            let beside = Tensor::strided(&mut random, dtype, &[batch, m, n], true, |r| r.small(dtype, false));
            let sums = Tensor::empty(dtype, &[batch, m]);
            let spec = Spec::MatMul { bias: true, accumulate: false, epilogue, symmetric: false, sums: true };
            agree(&spec, &[&a, &b, &bias, &beside], &[&out, &sums], 0.0);
        }
    }
}

/// Views of sizes in which `axis` has an index below `size`.
fn indexed(random: &mut Random, dims: usize) -> (Vec<usize>, usize, usize, Tensor) {
    let (sizes, axis, size) = (random.shape(dims), random.below(dims), 1 + random.below(6));
    let index = Tensor::strided(random, DType::I64, &sizes, true, |r| r.below(size) as f64);
    (sizes, axis, size, index)
}

#[test]
fn gathers_and_scatters() {
    let mut random = Random::new(5);
    for case in 0..280 {
        let (dtype, dims) = (DType::ALL[case % 8], 1 + case / 8 % 4);
        let (sizes, axis, size, index) = indexed(&mut random, dims);
        let mut other = sizes.clone();
        other[axis] = size;
        let value = |r: &mut Random| r.small(dtype, false) * if dtype.is_float() { 0.3 } else { 1.0 };
        let data = Tensor::strided(&mut random, dtype, &other, true, value);
        let result = Tensor::strided(&mut random, dtype, &sizes, false, value);
        agree(&Spec::Gather { axis }, &[&data, &index], &[&result], 0.0);
        let target = Tensor::strided(&mut random, dtype, &other, false, value);
        let source = Tensor::strided(&mut random, dtype, &sizes, true, value);
        for op in [ScatterOp::Set, ScatterOp::Add] {
            agree(&Spec::Scatter { axis, op }, &[&index, &source], &[&target], 0.0);
        }
    }
}

/// Few lines with many indices are sorted first; every addition is still made in its place.
#[test]
fn large_scatters() {
    let mut random = Random::new(6);
    for (sizes, size, axis) in [
        ([3000, 67], 50, 0),
        ([1, 20_000], 7, 1),
        ([20_000, 1], 7000, 0),
        ([5, 1025], 1, 1),
        ([513, 9], 3, 0),
        ([3, 5000], 8, 0),
    ] {
        let n: usize = sizes.iter().product();
        let picks: Vec<f64> = (0..n).map(|_| random.below(size) as f64).collect();
        let index = Tensor::new(DType::I64, &sizes, &picks);
        let mut to = sizes;
        to[axis] = size;
        for dtype in [DType::F32, DType::F16, DType::Bool, DType::U8] {
            let source = Tensor::new(
                dtype,
                &sizes,
                &(0..n).map(|_| random.below(200) as f64 * 0.37).collect::<Vec<_>>(),
            );
            let target = Tensor::new(dtype, &to, &vec![0.0; to.iter().product()]);
            for op in [ScatterOp::Set, ScatterOp::Add] {
                agree(&Spec::Scatter { axis, op }, &[&index, &source], &[&target], 0.0);
            }
        }
    }
}

#[test]
fn wrong_indices_are_errors() {
    let data = Tensor::new(DType::F32, &[3], &[1.0, 2.0, 3.0]);
    for (bad, count) in [(3.0, 4), (-1.0, 4), (7.0, 2000)] {
        let mut picks = vec![0.0; count];
        picks[count / 2] = bad;
        let (index, other) = (Tensor::new(DType::I64, &[count], &picks), Tensor::empty(DType::F32, &[count]));
        let scatter = Spec::Scatter { axis: 0, op: ScatterOp::Add };
        for (spec, inputs, output) in
            [(Spec::Gather { axis: 0 }, [&data, &index], &other), (scatter, [&index, &other], &data)]
        {
            let expected = format!("index {bad} is out of range for size 3 of dimension 0, expected 0 to 2");
            for gpu in gpus() {
                let found = run(gpu, &spec, &inputs, &[output]);
                assert_eq!(found, Err(Error::Index(expected.clone())), "{spec:?}");
            }
        }
    }
}

#[test]
fn sorting() {
    let mut random = Random::new(7);
    let sort = |input: &Tensor| {
        let sizes = input.layout.shape();
        let (values, order) = (Tensor::empty(input.dtype, sizes), Tensor::empty(DType::I64, sizes));
        for descending in [false, true] {
            agree(&Spec::Sort { descending }, &[input], &[&values, &order], 0.0);
        }
    };
    for case in 0..140 {
        let (dtype, dims) = (DType::ALL[case % 8], case / 8 % 4);
        let sizes = random.shape(dims);
        sort(&Tensor::strided(&mut random, dtype, &sizes, true, |r| r.small(dtype, true)));
    }
    for (sizes, most) in [
        ([3, 1023], 50),
        ([3, 1024], 5000),
        ([3, 1025], 50),
        ([1, 10_000], 1 << 20),
        ([2, 5000], 9),
        ([300, 17], 30),
        ([70, 130], 1000),
    ] {
        let values: Vec<f64> =
            (0..sizes.iter().product()).map(|_| random.below(most) as f64 - 20.0).collect();
        for dtype in [DType::F32, DType::I32, DType::F16] {
            sort(&Tensor::new(dtype, &sizes, &values));
        }
    }
}

#[test]
fn true_elements() {
    let mut random = Random::new(8);
    let sizes = [vec![0], vec![1], vec![9, 8, 5], vec![4096], vec![4097], vec![300, 700], vec![2_000_000]];
    for (case, sizes) in (0..3).flat_map(|c| sizes.iter().map(move |s| (c, s))) {
        let input = Tensor::strided(&mut random, DType::Bool, sizes, false, |r| match case {
            0 => f64::from(r.below(3) == 0),
            _ => f64::from(case == 1),
        });
        let count = input.values().iter().filter(|v| **v != 0.0).count();
        let output = Tensor::strided(&mut random, DType::I64, &[count], false, |_| 77.0);
        agree(&Spec::Nonzero, &[&input], &[&output], 0.0);
    }
}

#[test]
fn running_sums() {
    let mut random = Random::new(9);
    for case in 0..140 {
        let dtype = DType::ALL[1 + case % 7];
        let sizes = random.shape(1 + case / 7 % 3);
        let input = Tensor::strided(&mut random, dtype, &sizes, true, |r| r.small(dtype, false));
        let output = Tensor::empty(if dtype.is_float() { dtype } else { DType::I64 }, &sizes);
        agree(&Spec::CumSum, &[&input], &[&output], 0.0);
    }
}

#[test]
fn random_numbers() {
    let floats = [DType::F32, DType::F16, DType::BF16, DType::F64];
    for (seed, counter) in [(0, 0), (1 << 40 | 77, u64::from(u32::MAX) - 3), (u64::MAX, u64::MAX - 2)] {
        for n in [0, 1, 5, 70_001] {
            let draw = |distribution, dtype, tolerance| {
                let spec = Spec::Random { distribution, seed, counter };
                agree(&spec, &[], &[&Tensor::empty(dtype, &[n])], tolerance);
            };
            floats.into_iter().for_each(|dtype| draw(Distribution::Uniform, dtype, 0.0));
            floats.into_iter().for_each(|dtype| draw(Distribution::Normal, dtype, rounding(dtype)));
            for (low, span) in [(0, 10), (-5, 3), (i64::from(i32::MIN), 1 << 32), (1 << 40, 7), (-3, 1)] {
                draw(Distribution::Integer { low, span }, DType::I64, 0.0);
            }
        }
    }
}
