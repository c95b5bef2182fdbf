//! Times of formulas on this machine, in nanoseconds for a launch.
//! `cargo run --release -p phynexus-cpu --example bench_map`

use phynexus_core::{Buffer, DType, Kernel, Layout, Shape, Spec, Task, Value, View};
use phynexus_cpu::{cpu, jit, set_num_threads};
use phynexus_formula::{Builder, Formula, Type, Unary, ops::Op};
use std::hint::black_box;
use std::time::Instant;

fn best(mut f: impl FnMut()) -> f64 {
    (0..20).for_each(|_| f());
    let start = Instant::now();
    f();
    let times = (2e5 / start.elapsed().as_nanos().max(1) as f64).clamp(1.0, 1000.0) as u32;
    let mut best = f64::MAX;
    let end = Instant::now();
    while end.elapsed().as_millis() < 150 {
        let start = Instant::now();
        (0..times).for_each(|_| f());
        best = best.min(start.elapsed().as_nanos() as f64 / times as f64);
    }
    best
}

struct Case {
    buffers: Vec<Buffer>,
    layouts: Vec<Layout>,
    kernel: Kernel,
    inputs: usize,
}

impl Case {
    /// Operands of these shapes, broadcast to the first one's; outputs likewise, except those of one element a row.
    fn new(formula: &Formula, shapes: &[&[usize]], outputs: &[&[usize]]) -> Case {
        let full = Shape::new(shapes[0]).unwrap();
        let mut buffers = vec![];
        let mut layouts = vec![];
        for (k, sizes) in shapes.iter().chain(outputs).enumerate() {
            let shape = Shape::new(sizes).unwrap();
            let buffer = Buffer::new(cpu(), shape.elements() * 4).unwrap();
            let values: Vec<u8> =
                (0..shape.elements()).flat_map(|i| (0.1 + (i % 97) as f32 * 0.01).to_ne_bytes()).collect();
            cpu().write(&buffer, 0, &values).unwrap();
            buffers.push(buffer);
            let layout = Layout::contiguous(shape);
            layouts.push(if k < shapes.len() { layout.broadcast(&full).unwrap() } else { layout });
        }
        let dtypes = |n| vec![DType::F32; n];
        let (inputs, outputs) = (dtypes(shapes.len()), dtypes(formula.outputs().len()));
        let spec = Spec::Map { formula: formula.clone(), inputs, outputs };
        Case { buffers, layouts, kernel: Kernel::new(spec), inputs: shapes.len() }
    }

    fn time(&self, scalars: &[Value], in_place: Option<&[usize]>) -> f64 {
        let view = |k: usize| View { buffer: &self.buffers[k], dtype: DType::F32, layout: &self.layouts[k] };
        let inputs: Vec<View<'_>> = (0..self.inputs).map(view).collect();
        let outputs: Vec<View<'_>> = match in_place {
            Some(which) => which.iter().map(|&k| view(k)).collect(),
            None => (self.inputs..self.buffers.len()).map(view).collect(),
        };
        let task = [Task { inputs: &inputs, outputs: &outputs, scalars }];
        best(|| cpu().launch(black_box(&self.kernel), black_box(&task)).unwrap())
    }
}

/// Adam's rule: parameter, gradient and two states to parameter and states.
fn adam() -> Formula {
    let mut b = Builder::new();
    let [p, g, m, v] = [(); 4].map(|_| b.input(Type::F32));
    let [c1, d1, c2, d2, size, eps] = [(); 6].map(|_| b.scalar(Type::F32));
    let (m0, m1) = (b.mul(c1, m), b.mul(d1, g));
    let m = b.add(m0, m1);
    let g2 = b.mul(g, g);
    let (v0, v1) = (b.mul(c2, v), b.mul(d2, g2));
    let v = b.add(v0, v1);
    let root = b.unary(Unary::Sqrt, v);
    let below = b.add(root, eps);
    let above = b.mul(size, m);
    let step = b.div(above, below);
    let p = b.sub(p, step);
    b.finish(&[p, m, v])
}

fn main() {
    let f = |op: Op| op.formula(Type::F32);
    let print =
        |name: &str, ns: f64, n: usize| println!("{name:40} {ns:12.0} ns  {:8.3} ns/element", ns / n as f64);
    for threads in [1, 2] {
        set_num_threads(threads);
        println!("threads: {threads}");
        for n in [1, 500, 8192, 1_000_000] {
            let case = Case::new(&f(Op::Add), &[&[n], &[n]], &[&[n]]);
            print(&format!("add {n}"), case.time(&[], None), n);
        }
        print("relu 64x128", Case::new(&f(Op::Relu), &[&[64, 128]], &[&[64, 128]]).time(&[], None), 8192);
        let bias = Case::new(&f(Op::Add), &[&[64, 10], &[10]], &[&[64, 10]]);
        print("bias 64x10", bias.time(&[], None), 640);
        let bias = Case::new(&f(Op::Add), &[&[128, 512], &[512]], &[&[128, 512]]);
        print("bias 128x512", bias.time(&[], None), 128 * 512);
        for op in [Op::Exp, Op::Tanh, Op::Sigmoid, Op::Gelu, Op::Log, Op::Sin] {
            let case = Case::new(&f(op), &[&[16384]], &[&[16384]]);
            print(&format!("{} 16384", op.name()), case.time(&[], None), 16384);
        }
        for (rows, n) in [(64, 10), (128, 512), (16, 4000), (4, 20_000), (1, 1_000_000)] {
            let case = Case::new(&f(Op::Softmax), &[&[rows, n]], &[&[rows, n]]);
            print(&format!("softmax {rows}x{n}"), case.time(&[], None), rows * n);
        }
        let shapes: [&[usize]; 3] = [&[128, 512], &[512], &[512]];
        let case = Case::new(&f(Op::LayerNorm), &shapes, &[&[128, 512]]);
        print("layer_norm 128x512", case.time(&[Value::F(1e-5)], None), 128 * 512);
        let scalars = [0.9, 0.1, 0.999, 0.001, 0.01, 1e-8].map(Value::F);
        for n in [500, 17_000, 50_000, 10_000_000] {
            let shape: &[usize] = &[n];
            let case = Case::new(&adam(), &[shape; 4], &[]);
            let ns = case.time(&scalars, Some(&[0, 2, 3]));
            print(&format!("adam {n}"), ns, n);
        }
    }
    let code = jit::compile(&adam(), &[DType::F32; 4], &[DType::F32; 3]);
    let Some(code) = code else { return };
    for n in [500, 17_000, 50_000, 10_000_000] {
        let buffers: Vec<Vec<f32>> = (0..4).map(|_| vec![0.1; n]).collect();
        let operands = [0, 1, 2, 3, 0, 2, 3].map(|k: usize| buffers[k].as_ptr().cast::<u8>());
        let scalars = [0.9f32, 0.1, 0.999, 0.001, 0.01, 1e-8].map(|v| v.to_bits() as u64);
        // SAFETY: the operands have n elements each and are what the function was compiled for.
        let ns = best(|| unsafe { code.call(operands.as_ptr(), scalars.as_ptr(), 0, n) });
        print(&format!("adam {n}, machine code, 1 thread"), ns, n);
    }
}
