//! Speed of matrix products: `cargo run --release --example bench_matmul [THREADS...]`. One line for each layer: the three
//! products of a training step, forward (with bias and ReLU) in the order NT, gradient of the input NN, gradient of the
//! weight TN, each in microseconds and GFLOP/s, and in brackets what the crate `gemm` reaches on one thread in NN order.

use gemm::{Parallelism, gemm};
use phynexus_core::{Buffer, DType, Kernel, Layout, Shape, Spec, Task, View};
use phynexus_cpu::{cpu, num_threads, set_num_threads};
use phynexus_formula::{Binary, Builder, Formula, Type};
use std::time::Instant;

/// Batch, inputs, outputs, how often.
const LAYERS: [(usize, usize, usize, usize); 20] = [
    (100, 10, 5, 1),
    (100, 5, 1, 1),
    (64, 64, 128, 1),
    (64, 128, 64, 1),
    (64, 64, 10, 1),
    (128, 784, 512, 1),
    (128, 512, 512, 1),
    (128, 512, 10, 1),
    (256, 1024, 1024, 1),
    (256, 256, 256, 1),
    (512, 512, 512, 1),
    (1024, 1024, 1024, 1),
    (2048, 2048, 2048, 1),
    (1, 1024, 1024, 1),
    (1, 784, 128, 1),
    (1024, 1024, 1, 1),
    (4096, 64, 64, 1),
    (8, 8, 8, 256),
    (64, 64, 64, 32),
    (128, 64, 128, 64),
];

struct Tensor {
    buffer: Buffer,
    layout: Layout,
}

impl Tensor {
    fn new(sizes: &[usize]) -> Tensor {
        let shape = Shape::new(sizes).expect("small");
        let bytes: Vec<u8> =
            (0..shape.elements()).flat_map(|i| ((i % 13) as f32 - 6.0).to_ne_bytes()).collect();
        let buffer = Buffer::new(cpu(), bytes.len()).expect("memory");
        cpu().write(&buffer, 0, &bytes).expect("memory");
        Tensor { buffer, layout: Layout::contiguous(shape) }
    }

    fn view<'a>(&'a self, layout: &'a Layout) -> View<'a> {
        View { buffer: &self.buffer, dtype: DType::F32, layout }
    }
}

fn relu() -> Formula {
    let mut b = Builder::new();
    let (x, zero) = (b.input(Type::F32), b.number(Type::F32, 0.0));
    let condition = b.binary(Binary::Le, x, zero);
    let y = b.select(condition, zero, x);
    b.finish(&[y])
}

/// The best of several rounds, in seconds.
fn time(mut f: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let (mut calls, start) = (0, Instant::now());
        while calls < 1 || start.elapsed().as_micros() < 3000 {
            (0..8).for_each(|_| f());
            calls += 8;
        }
        best = best.min(start.elapsed().as_secs_f64() / calls as f64);
    }
    best
}

fn layer((rows, inputs, outputs, batch): (usize, usize, usize, usize)) {
    let (x, w) = (Tensor::new(&[batch, rows, inputs]), Tensor::new(&[batch, outputs, inputs]));
    let (y, bias) = (Tensor::new(&[batch, rows, outputs]), Tensor::new(&[outputs]));
    let turned = |t: &Tensor| t.layout.permute(&[0, 2, 1]);
    let (w_turned, y_turned) = (turned(&w), turned(&y));
    let flop = 2.0 * (rows * inputs * outputs * batch) as f64;
    let mut line = format!("{:2} x{batch:4} {rows:5} {inputs:5} {outputs:5}", num_threads());
    let products = [
        ("NT", true, x.view(&x.layout), w.view(&w_turned), [batch, rows, outputs]),
        ("NN", false, y.view(&y.layout), w.view(&w.layout), [batch, rows, inputs]),
        ("TN", false, y.view(&y_turned), x.view(&x.layout), [batch, outputs, inputs]),
    ];
    for (order, forward, a, b, sizes) in products {
        let spec = Spec::MatMul {
            bias: forward,
            accumulate: false,
            epilogue: forward.then(relu),
            symmetric: false,
            sums: false,
        };
        let (kernel, out) = (Kernel::new(spec), Tensor::new(&sizes));
        let (inputs, outs) = ([a, b, bias.view(&bias.layout)], [out.view(&out.layout)]);
        let task = Task { inputs: &inputs[..2 + forward as usize], outputs: &outs, scalars: &[] };
        let seconds = time(|| cpu().launch(&kernel, &[task]).expect("valid"));
        line += &format!(" | {order} {:9.2} us {:6.1}", seconds * 1e6, flop / seconds / 1e9);
    }
    if batch == 1 {
        let (m, n, k) = (rows, inputs, outputs);
        let mut out = vec![0f32; m * n];
        let (a, b) = (y.buffer.handle() as *const f32, w.buffer.handle() as *const f32);
        let (down_a, down_b) = (k as isize, n as isize);
        // SAFETY: three dense matrices of the sizes that are said.
        let seconds = time(|| unsafe {
            let c = out.as_mut_ptr();
            gemm(
                m,
                n,
                k,
                c,
                1,
                down_b,
                false,
                a,
                1,
                down_a,
                b,
                1,
                down_b,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        });
        line += &format!(" | gemm {:6.1}", flop / seconds / 1e9);
    }
    println!("{line}");
}

fn main() {
    let mut threads: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    if threads.is_empty() {
        threads = vec![1, num_threads()];
    }
    for n in threads {
        set_num_threads(n);
        LAYERS.into_iter().for_each(layer);
    }
}
