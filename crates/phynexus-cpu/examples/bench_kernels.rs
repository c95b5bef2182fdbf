//! Speed of the kernels that are no formulas and no products: `cargo run --release --example bench_kernels [FILTER]`.

use phynexus_core::{
    Buffer, DType, Distribution, Kernel, Layout, ReduceOp, ScatterOp, Shape, Spec, Task, View,
};
use phynexus_cpu::{cpu, num_threads, set_num_threads};
use std::time::Instant;

struct Tensor {
    buffer: Buffer,
    dtype: DType,
    layout: Layout,
}

impl Tensor {
    fn new(dtype: DType, sizes: &[usize], value: impl Fn(usize) -> usize) -> Tensor {
        let shape = Shape::new(sizes).expect("small");
        let bytes: Vec<u8> = (0..shape.elements())
            .flat_map(|i| match dtype {
                DType::F32 => (value(i) as f32).to_ne_bytes().to_vec(),
                DType::F64 => (value(i) as f64).to_ne_bytes().to_vec(),
                _ => (value(i) as u64).to_ne_bytes()[..dtype.size()].to_vec(),
            })
            .collect();
        let buffer = Buffer::new(cpu(), bytes.len()).expect("memory");
        cpu().write(&buffer, 0, &bytes).expect("memory");
        Tensor { buffer, dtype, layout: Layout::contiguous(shape) }
    }

    fn transposed(mut self) -> Tensor {
        self.layout = self.layout.permute(&[1, 0]);
        self
    }

    fn rows(mut self, sizes: &[usize]) -> Tensor {
        self.layout = Layout::strided(Shape::new(sizes).expect("small"), &[1, 0], 0);
        self
    }

    fn view(&self) -> View<'_> {
        View { buffer: &self.buffer, dtype: self.dtype, layout: &self.layout }
    }
}

/// Prints the best time of a launch, and how much memory of `bytes` a second that is.
fn bench(filter: &str, name: &str, spec: Spec, inputs: &[&Tensor], outputs: &[&Tensor], bytes: usize) {
    if !name.contains(filter) {
        return;
    }
    let inputs: Vec<View<'_>> = inputs.iter().map(|t| t.view()).collect();
    let outputs: Vec<View<'_>> = outputs.iter().map(|t| t.view()).collect();
    let kernel = Kernel::new(spec);
    kernel.compiled(cpu()).expect("valid");
    let tasks = [Task { inputs: &inputs, outputs: &outputs, scalars: &[] }];
    let threads = num_threads();
    let mut line = format!("{name:44}");
    for n in [1, threads] {
        set_num_threads(n);
        let mut best = f64::INFINITY;
        for _ in 0..20 {
            let (mut calls, start) = (0, Instant::now());
            while calls < 1 || start.elapsed().as_micros() < 2000 {
                let batch = if bytes < 100_000 { 32 } else { 1 }; // reading the clock takes time too
                (0..batch).for_each(|_| cpu().launch(&kernel, &tasks).expect("valid"));
                calls += batch;
            }
            best = best.min(start.elapsed().as_secs_f64() / calls as f64);
        }
        line += &format!("{:12.2} us {:7.1} GB/s", best * 1e6, bytes as f64 / best * 1e-9);
    }
    println!("{line}");
}

fn reductions(filter: &str) {
    use ReduceOp::{ArgMax, Max, Mean, Sum};
    for (op, dtype) in
        [(Sum, DType::F32), (Sum, DType::F64), (Sum, DType::BF16), (Sum, DType::I64), (Max, DType::F32)]
    {
        for n in [1, 500, 50_000, 10_000_000] {
            let (x, y) = (Tensor::new(dtype, &[n], |i| i % 7), Tensor::new(DType::F64, &[], |_| 0));
            let y = Tensor { dtype, ..y };
            bench(
                filter,
                &format!("{op:?} {dtype} ({n},)"),
                Spec::Reduce { op, axes: 1 },
                &[&x],
                &[&y],
                n * dtype.size(),
            );
        }
    }
    for (op, dtype) in
        [(Sum, DType::F32), (Sum, DType::F64), (Mean, DType::F32), (Max, DType::F32), (ArgMax, DType::F32)]
    {
        for (n, c) in [(100, 5), (64, 128), (128, 512), (256, 1024), (100_000, 10), (10_000, 1000)] {
            let y = if op == ArgMax { DType::I64 } else { dtype };
            let bytes = n * c * dtype.size();
            let (x, y0, y1) = (
                Tensor::new(dtype, &[n, c], |i| i % 7),
                Tensor::new(y, &[c], |_| 0),
                Tensor::new(y, &[n], |_| 0),
            );
            bench(
                filter,
                &format!("{op:?} {dtype} ({n}, {c}) rows"),
                Spec::Reduce { op, axes: 1 },
                &[&x],
                &[&y1],
                bytes,
            );
            let x = x.transposed();
            bench(
                filter,
                &format!("{op:?} {dtype} ({n}, {c}) columns"),
                Spec::Reduce { op, axes: 1 },
                &[&x],
                &[&y0],
                bytes,
            );
        }
    }
}

fn indexing(filter: &str) {
    for (vocabulary, width, n) in [(1000, 64, 4096), (50_000, 512, 8192)] {
        let table = Tensor::new(DType::F32, &[vocabulary, width], |i| i % 7);
        let index = Tensor::new(DType::I64, &[n], |i| i * 7919 % vocabulary).rows(&[n, width]);
        let rows = Tensor::new(DType::F32, &[n, width], |i| i % 7);
        let name = format!("({vocabulary}, {width}) f32, {n} rows");
        let bytes = n * width * 8;
        bench(
            filter,
            &format!("gather {name}"),
            Spec::Gather { axis: 0 },
            &[&table, &index],
            &[&rows],
            bytes,
        );
        let spec = Spec::Scatter { axis: 0, op: ScatterOp::Add };
        bench(filter, &format!("scatter add {name}"), spec, &[&index, &rows], &[&table], bytes * 3 / 2);
    }
    let n = 1_000_000;
    let (x, index) = (Tensor::new(DType::F32, &[n], |i| i), Tensor::new(DType::I64, &[n], |i| i * 7919 % n));
    let y = Tensor::new(DType::F32, &[n], |_| 0);
    bench(filter, "gather f32 elements (1000000,)", Spec::Gather { axis: 0 }, &[&x, &index], &[&y], n * 16);
    let spec = Spec::Scatter { axis: 0, op: ScatterOp::Add };
    bench(filter, "scatter add f32 elements (1000000,)", spec, &[&index, &x], &[&y], n * 20);
    let (half, found) = (Tensor::new(DType::Bool, &[n], |i| i % 2), Tensor::new(DType::I64, &[n / 2], |_| 0));
    bench(filter, "nonzero (1000000,)", Spec::Nonzero, &[&half], &[&found], n * 5);
    bench(filter, "cumsum f32 (1000000,)", Spec::CumSum, &[&x], &[&y], n * 8);
}

fn sorting(filter: &str) {
    for (rows, n) in [(10_000, 10), (1000, 1000), (1, 1_000_000)] {
        for dtype in [DType::F32, DType::F64] {
            let x = Tensor::new(dtype, &[rows, n], |i| i.wrapping_mul(2_654_435_761) % 1_000_003);
            let (y, order) =
                (Tensor::new(dtype, &[rows, n], |_| 0), Tensor::new(DType::I64, &[rows, n], |_| 0));
            let spec = Spec::Sort { descending: false };
            bench(
                filter,
                &format!("sort {dtype} ({rows}, {n})"),
                spec,
                &[&x],
                &[&y, &order],
                rows * n * dtype.size(),
            );
        }
    }
}

fn drawing(filter: &str) {
    for n in [1000, 1_000_000] {
        for dtype in [DType::F32, DType::F64, DType::F16] {
            let x = Tensor::new(dtype, &[n], |_| 0);
            for distribution in [Distribution::Uniform, Distribution::Normal] {
                let spec = Spec::Random { distribution, seed: 1, counter: 0 };
                bench(
                    filter,
                    &format!("{distribution:?} {dtype} ({n},)"),
                    spec,
                    &[],
                    &[&x],
                    n * dtype.size(),
                );
            }
        }
        let x = Tensor::new(DType::I64, &[n], |_| 0);
        let distribution = Distribution::Integer { low: 0, span: 10 };
        bench(
            filter,
            &format!("Integer ({n},)"),
            Spec::Random { distribution, seed: 1, counter: 0 },
            &[],
            &[&x],
            n * 8,
        );
    }
}

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    println!("{:44}{:>15}{:>28} threads", "", "1 thread", num_threads());
    reductions(&filter);
    indexing(&filter);
    sorting(&filter);
    drawing(&filter);
}
