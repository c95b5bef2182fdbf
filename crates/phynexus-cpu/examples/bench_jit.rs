//! Compiled optimizer rules against loops written by hand, on one thread.
//!
//! `cargo run --release -p phynexus-cpu --example bench_jit`

use phynexus_core::DType;
use phynexus_cpu::jit::{Backend, Function, compile_with};
use phynexus_formula::{Builder, Formula, Type, Unary};
use std::time::Instant;

/// `m = b1 m + c1 (g + wd p)`, `v = b2 v + c2 (g + wd p)^2`, `p -= size m / (sqrt(v vhat) + eps)`
fn adam() -> Formula {
    let mut b = Builder::new();
    let [p, g, m, v] = [(); 4].map(|()| b.input(Type::F32));
    let [b1, c1, b2, c2, size, vhat, eps, wd] = [(); 8].map(|()| b.scalar(Type::F32));
    let decay = b.mul(wd, p);
    let g = b.add(g, decay);
    let (old, new) = (b.mul(b1, m), b.mul(c1, g));
    let m = b.add(old, new);
    let (old, new) = (b.mul(b2, v), b.mul(c2, g));
    let new = b.mul(new, g);
    let v = b.add(old, new);
    let corrected = b.mul(v, vhat);
    let root = b.unary(Unary::Sqrt, corrected);
    let (above, below) = (b.mul(size, m), b.add(root, eps));
    let step = b.div(above, below);
    let p = b.sub(p, step);
    b.finish(&[p, m, v])
}

/// `m = mu m + g`, `p -= lr m`
fn momentum() -> Formula {
    let mut b = Builder::new();
    let [p, g, m] = [(); 3].map(|()| b.input(Type::F32));
    let [mu, lr] = [(); 2].map(|()| b.scalar(Type::F32));
    let old = b.mul(mu, m);
    let m = b.add(old, g);
    let step = b.mul(lr, m);
    let p = b.sub(p, step);
    b.finish(&[p, m])
}

#[inline(always)]
fn adam_loop(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], s: &[f32; 8]) {
    let [b1, c1, b2, c2, size, vhat, eps, wd] = *s;
    for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        let g = g + wd * *p;
        *m = b1 * *m + c1 * g;
        *v = b2 * *v + c2 * g * g;
        *p -= size * *m / ((*v * vhat).sqrt() + eps);
    }
}

#[inline(always)]
fn momentum_loop(p: &mut [f32], g: &[f32], m: &mut [f32], s: &[f32; 8]) {
    for ((p, &g), m) in p.iter_mut().zip(g).zip(m) {
        *m = s[0] * *m + g;
        *p -= s[1] * *m;
    }
}

/// # Safety
/// The processor has AVX2.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2"))]
unsafe fn adam_by_hand(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], s: &[f32; 8]) {
    adam_loop(p, g, m, v, s);
}

/// # Safety
/// The processor has AVX2.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2"))]
unsafe fn momentum_by_hand(p: &mut [f32], g: &[f32], m: &mut [f32], s: &[f32; 8]) {
    momentum_loop(p, g, m, s);
}

/// The least time of a run in µs, of as many as take about half a second.
fn least(mut run: impl FnMut()) -> f64 {
    run();
    let (begin, mut least) = (Instant::now(), f64::INFINITY);
    while begin.elapsed().as_secs_f64() < 0.5 {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64() * 1e6);
    }
    least
}

fn main() {
    // The step is so small that no run gets as far as denormal numbers, which are slow.
    let scalars = [0.9, 0.1, 0.999, 0.001, 1e-12, 1.0, 1e-8, 1e-2f32];
    let bits = scalars.map(|s| s.to_bits() as u64);
    for (name, formula, states) in [("adam", adam(), 2), ("momentum", momentum(), 1)] {
        let (inputs, outputs) = (vec![DType::F32; 2 + states], vec![DType::F32; 1 + states]);
        let mut functions: Vec<(Backend, Function)> = vec![];
        for backend in Backend::ALL {
            let us = least(|| drop(compile_with(backend, &formula, &inputs, &outputs)));
            if let Some(function) = compile_with(backend, &formula, &inputs, &outputs) {
                println!("{name}: {backend:?} compiles in {us:.0} µs");
                functions.push((backend, function));
            }
        }
        for n in [17_000, 50_000, 1_000_000, 10_000_000] {
            let mut data = vec![vec![0.5f32; n]; 4];
            let bytes = (n * 4 * (3 + 2 * states)) as f64;
            let show = |what: &str, us: f64| {
                println!("{name:9} n={n:<9} {what:10} {us:9.1} µs {:6.1} GB/s", bytes / us * 1e-3);
            };
            let [p, g, m, v] = &mut data[..] else { unreachable!() };
            show(
                "by hand",
                least(|| {
                    // SAFETY: checked by the reader of the table.
                    unsafe {
                        if states == 2 {
                            adam_by_hand(p, g, m, v, &scalars)
                        } else {
                            momentum_by_hand(p, g, m, &scalars)
                        }
                    }
                }),
            );
            let at: Vec<*const u8> = data.iter_mut().map(|c| c.as_mut_ptr().cast_const().cast()).collect();
            let operands: Vec<*const u8> = match states {
                2 => vec![at[0], at[1], at[2], at[3], at[0], at[2], at[3]],
                _ => vec![at[0], at[1], at[2], at[0], at[2]],
            };
            for (backend, function) in &functions {
                // SAFETY: the operands have n elements; the outputs are the inputs in place.
                let us = least(|| unsafe { function.call(operands.as_ptr(), bits.as_ptr(), 0, n) });
                show(&format!("{backend:?}"), us);
            }
        }
    }
    for n in [50_000, 10_000_000] {
        let (from, mut to) = (vec![1f32; n], vec![0f32; n]);
        let us = least(|| std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from)));
        println!("copy of {n} f32: {us:.1} µs, {:.1} GB/s read and written", n as f64 * 8e-3 / us);
    }
}
