//! The device itself: memory, order, errors. Kernels are compared with the CPU's.
//!
//! `NEURENIX_SOFTWARE_GPU=1` lets a processor play the GPU. Without any, each test says on stderr that it was skipped, and
//! fails where `NEURENIX_NO_SKIP` is set.

use phynexus_core::{Buffer, DType, Device, Error, Kernel, Layout, Result, Shape, Spec, Task, Value, View};
use phynexus_formula::ops::Op;
use phynexus_formula::{Binary, Builder, Formula, Type};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The GPU, and the right to it: tests count what it does, and what goes wrong is raised to whoever reads next.
fn gpu() -> Option<(&'static dyn Device, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let found = phynexus_webgpu::devices().first();
    if found.is_none() {
        skipped("no GPU is there; a software one needs mesa-vulkan-drivers and NEURENIX_SOFTWARE_GPU=1");
    }
    found.map(|gpu| (gpu as &dyn Device, ALONE.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Says so past the harness, which would keep what is printed to itself.
fn skipped(why: &str) {
    assert!(std::env::var_os("NEURENIX_NO_SKIP").is_none(), "{why}");
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    std::io::stderr().write_all(format!("SKIPPED {test}: {why}\n").as_bytes()).unwrap();
}

fn buffer(device: &'static dyn Device, bytes: &[u8]) -> Buffer {
    let buffer = Buffer::new(device, bytes.len()).unwrap();
    device.write(&buffer, 0, bytes).unwrap();
    buffer
}

fn bytes(buffer: &Buffer) -> Result<Vec<u8>> {
    let mut out = vec![0; buffer.bytes()];
    buffer.device().read(buffer, 0, &mut out)?;
    Ok(out)
}

fn map(formula: Formula, inputs: &[DType], outputs: &[DType]) -> Kernel {
    Kernel::new(Spec::Map { formula, inputs: inputs.to_vec(), outputs: outputs.to_vec() })
}

/// The result of a kernel of one input and one output.
fn run(device: &'static dyn Device, kernel: &Kernel, from: (DType, &[u8]), to: DType) -> Result<Vec<u8>> {
    let n = from.1.len() / from.0.size();
    let (source, target) = (buffer(device, from.1), Buffer::new(device, n * to.size())?);
    let layout = Layout::contiguous(Shape::new(&[n])?);
    let view = |buffer, dtype| View { buffer, dtype, layout: &layout };
    let task = Task { inputs: &[view(&source, from.0)], outputs: &[view(&target, to)], scalars: &[] };
    device.launch(kernel, &[task])?;
    bytes(&target)
}

#[test]
fn bytes_come_back_wherever_they_are() {
    let Some((gpu, _alone)) = gpu() else { return };
    let data: Vec<u8> = (0..100_003u32).map(|i| (i * 7 % 251) as u8).collect();
    let whole = buffer(gpu, &data);
    assert_eq!(bytes(&whole).unwrap(), data);
    for (offset, length) in [(0, 1), (1, 2), (3, 70_001), (5, 4), (100_002, 1), (17, 0)] {
        let mut out = vec![0; length];
        gpu.read(&whole, offset, &mut out).unwrap();
        assert_eq!(out, data[offset..offset + length]);
    }
    let mut expected = data;
    for (offset, length) in [(1, 2), (4, 4), (99_999, 4), (7, 66_000), (100_001, 1)] {
        let patch: Vec<u8> = (0..length).map(|i| (255 - i % 200) as u8).collect();
        gpu.write(&whole, offset, &patch).unwrap();
        expected[offset..offset + length].copy_from_slice(&patch);
        assert_eq!(bytes(&whole).unwrap(), expected, "{offset} {length}");
    }
    assert!(matches!(gpu.write(&whole, 100_000, &[0; 4]), Err(Error::Value(_))));
}

#[test]
fn what_is_written_later_does_not_disturb_what_was_queued_before() {
    let Some((gpu, _alone)) = gpu() else { return };
    let double = {
        let mut b = Builder::new();
        let x = b.input(Type::F32);
        let y = b.add(x, x);
        map(b.finish(&[y]), &[DType::F32], &[DType::F32])
    };
    let layout = Layout::contiguous(Shape::new(&[4]).unwrap());
    let floats = |v: f32| [v; 4].map(f32::to_le_bytes).concat();
    let (source, target) = (buffer(gpu, &floats(1.0)), buffer(gpu, &floats(0.0)));
    fn view<'a>(buffer: &'a Buffer, layout: &'a Layout) -> View<'a> {
        View { buffer, dtype: DType::F32, layout }
    }
    let task = Task { inputs: &[view(&source, &layout)], outputs: &[view(&target, &layout)], scalars: &[] };
    gpu.launch(&double, &[task]).unwrap();
    gpu.write(&source, 0, &floats(5.0)).unwrap();
    assert_eq!(bytes(&target).unwrap(), floats(2.0));
    // Memory that is given back while a kernel that reads it still waits may be somebody else's at once.
    gpu.launch(&double, &[task]).unwrap();
    drop(source);
    let other = buffer(gpu, &floats(9.0));
    assert_eq!(bytes(&target).unwrap(), floats(10.0));
    assert_eq!(bytes(&other).unwrap(), floats(9.0));
}

#[test]
fn every_value_is_converted_as_the_cpu_does_it() {
    let Some((gpu, _alone)) = gpu() else { return };
    let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let floats: Vec<u8> = (0..40_000u32)
        .map(|i| f32::from_bits(i.wrapping_mul(0x9E37_79B9)))
        .chain([0.0, -0.0, 65504.0, 65519.9, 65520.0, 1e-8, 6e-8, 5.9e-8, 3.0e-5, -6.1e-5, f32::INFINITY])
        .flat_map(f32::to_le_bytes)
        .collect();
    let cases = [
        (DType::F16, &halves, DType::F32),
        (DType::BF16, &halves, DType::F32),
        (DType::F32, &floats, DType::F16),
        (DType::F32, &floats, DType::BF16),
        (DType::F16, &halves, DType::BF16),
        (DType::F32, &floats, DType::Bool),
    ];
    for (from, data, to) in cases {
        let mut b = Builder::new();
        let x = b.input(from.compute());
        let y = b.cast(to.compute(), x);
        let kernel = map(b.finish(&[y]), &[from], &[to]);
        let [ours, theirs] = [gpu, phynexus_cpu::cpu()].map(|d| run(d, &kernel, (from, data), to).unwrap());
        let size = to.size();
        for (i, (a, b)) in ours.chunks(size).zip(theirs.chunks(size)).enumerate() {
            let tiny = from == DType::F32 && {
                let x = f32::from_le_bytes(data[4 * i..][..4].try_into().unwrap());
                x.abs() < f32::MIN_POSITIVE // GPUs may take what is below the normal numbers for 0
            };
            assert!(
                a == b || nan(a, to) && nan(b, to) || tiny,
                "{from} to {to}: element {i} is {a:?}, not {b:?}"
            );
        }
    }
}

fn nan(bytes: &[u8], dtype: DType) -> bool {
    match dtype {
        DType::F16 => half::f16::from_le_bytes([bytes[0], bytes[1]]).is_nan(),
        DType::BF16 => half::bf16::from_le_bytes([bytes[0], bytes[1]]).is_nan(),
        DType::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).is_nan(),
        _ => false,
    }
}

#[test]
fn int64_that_int32_does_not_hold_is_an_error_and_then_forgotten() {
    let Some((gpu, _alone)) = gpu() else { return };
    let same = {
        let mut b = Builder::new();
        let x = b.input(Type::I64);
        map(b.finish(&[x]), &[DType::I64], &[DType::I64])
    };
    let bytes_of = |values: &[i64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let fine = bytes_of(&[0, -1, i32::MAX as i64, i32::MIN as i64]);
    assert_eq!(run(gpu, &same, (DType::I64, &fine), DType::I64).unwrap(), fine);
    for wide in [1 << 31, -(1i64 << 31) - 1, i64::MAX, i64::MIN] {
        let error = run(gpu, &same, (DType::I64, &bytes_of(&[5, wide])), DType::I64).unwrap_err();
        assert!(matches!(&error, Error::Value(m) if m.contains("int32")), "{error}");
        assert_eq!(run(gpu, &same, (DType::I64, &fine), DType::I64).unwrap(), fine);
    }
}

#[test]
fn many_tensors_are_one_kernel_and_one_submission() {
    let Some((gpu, _alone)) = gpu() else { return };
    let scale = {
        let mut b = Builder::new();
        let (x, by) = (b.input(Type::F32), b.scalar(Type::F32));
        let y = b.binary(Binary::Mul, x, by);
        map(b.finish(&[y]), &[DType::F32], &[DType::F32])
    };
    let sizes = [1, 5, 256, 257, 1000, 3];
    let buffers: Vec<Buffer> = sizes
        .iter()
        .map(|&n| buffer(gpu, &vec![1.5f32; n].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()))
        .collect();
    let layouts: Vec<Layout> = sizes.iter().map(|&n| Layout::contiguous(Shape::new(&[n]).unwrap())).collect();
    let views: Vec<[View<'_>; 1]> = buffers
        .iter()
        .zip(&layouts)
        .map(|(buffer, layout)| [View { buffer, dtype: DType::F32, layout }])
        .collect();
    let scalars: Vec<[Value; 1]> = (0..sizes.len()).map(|i| [Value::F(i as f64)]).collect();
    let tasks: Vec<Task<'_>> =
        views.iter().zip(&scalars).map(|(v, s)| Task { inputs: v, outputs: v, scalars: s }).collect();
    gpu.launch(&scale, &tasks).unwrap();
    for (i, (buffer, n)) in buffers.iter().zip(sizes).enumerate() {
        assert_eq!(
            bytes(buffer).unwrap(),
            vec![1.5 * i as f32; n].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn what_the_device_lacks_is_an_error() {
    let Some((gpu, _alone)) = gpu() else { return };
    assert!(matches!(gpu.check_dtype(DType::F64), Err(Error::Type(m)) if m.contains("float32")));
    assert!(matches!(gpu.allocate(1 << 40), Err(Error::Memory(_))));
    let wide = map(Op::Exp.formula(Type::F64), &[DType::F64], &[DType::F64]);
    let zero = run(gpu, &wide, (DType::F64, &[0; 8]), DType::F64);
    assert!(matches!(&zero, Err(Error::Type(m)) if m.contains("float32")), "{zero:?}");
    assert!(gpu.synchronize().is_ok());
}
