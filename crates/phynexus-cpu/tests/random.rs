//! Random numbers: their distribution, their place in the stream, and that they depend on nothing else.

mod common;

use Distribution::{Integer, Normal, Uniform};
use common::{Tensor, launch, same_bits};
use phynexus_core::{DType, Distribution, Error, Spec, philox};

const N: usize = 400_000;
const FLOATS: [DType; 4] = [DType::F16, DType::BF16, DType::F32, DType::F64];

fn draw(dtype: DType, distribution: Distribution, seed: u64, counter: u64, n: usize) -> Tensor {
    let output = Tensor::empty(dtype, &[n]);
    launch(Spec::Random { distribution, seed, counter }, &[], &[&output]).unwrap();
    output
}

/// The greatest distance between the distribution of the values and `cdf` (Kolmogorov and Smirnov).
fn distance(mut values: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    values.iter().enumerate().map(|(i, &v)| (cdf(v) - (i as f64 + 0.5) / n).abs()).fold(0.0, f64::max)
}

/// The integral of the normal density, by Simpson's rule.
fn normal_cdf(x: f64) -> f64 {
    let (steps, end) = (200, x.clamp(-8.0, 8.0));
    let h = end / steps as f64;
    let weight = |i: usize| if i == 0 || i == steps { 1.0 } else { [2.0, 4.0][i % 2] };
    let sum: f64 = (0..=steps).map(|i| weight(i) * (-0.5 * (i as f64 * h).powi(2)).exp()).sum();
    0.5 + sum * h / 3.0 / std::f64::consts::TAU.sqrt()
}

fn moments(values: &[f64]) -> [f64; 4] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let central = |k| values.iter().map(|v| (v - mean).powi(k)).sum::<f64>() / n;
    [mean, central(2), central(3), central(4)]
}

/// Five standard errors of each estimate; the seed is fixed, so that this either always passes or never.
#[test]
fn uniform() {
    for dtype in FLOATS {
        let values = draw(dtype, Uniform, 3, 0, N).values();
        assert!(values.iter().all(|v| (0.0..1.0).contains(v)), "{dtype}");
        let coarse = if dtype == DType::BF16 { 2e-3 } else { 3e-4 }; // cutting bits off makes numbers smaller
        let [mean, variance, ..] = moments(&values);
        assert!(
            (mean - 0.5).abs() < 2.5e-3 && (variance - 1.0 / 12.0).abs() < 1e-3,
            "{dtype} {mean} {variance}"
        );
        assert!(distance(values, |x| x) < 1.95 / (N as f64).sqrt() + coarse, "{dtype}");
    }
}

#[test]
fn normal() {
    for dtype in FLOATS {
        let values = draw(dtype, Normal, 4, 0, N).values();
        let [mean, variance, skew, kurtosis] = moments(&values);
        assert!(mean.abs() < 8e-3 && (variance - 1.0).abs() < 1.2e-2, "{dtype} {mean} {variance}");
        assert!(skew.abs() < 2e-2 && (kurtosis - 3.0).abs() < 8e-2, "{dtype} {skew} {kurtosis}");
        let pairs: f64 = values.chunks(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / (N / 2) as f64;
        assert!(pairs.abs() < 1.2e-2, "{dtype} {pairs}");
        let coarse = if dtype == DType::BF16 { 2e-3 } else { 3e-4 }; // many values are rounded to one
        assert!(distance(values, normal_cdf) < 1.95 / (N as f64).sqrt() + coarse, "{dtype}");
    }
}

/// The same words through the standard library's logarithm, sine and cosine.
#[test]
fn normals_are_exact_to_the_last_bits() {
    let turn = std::f64::consts::TAU;
    let narrow = draw(DType::F32, Normal, 5, 9, 4000).values();
    let wide = draw(DType::F64, Normal, 5, 9, 4000).values();
    for i in 0..2000 {
        let words = philox::block(5, 9 + i as u64 / 2);
        let (radius, angle) = (words[i % 2 * 2], words[i % 2 * 2 + 1]);
        let r = (-2.0 * ((radius as f32 as f64 + 0.5) / 2f64.powi(32)).ln()).sqrt();
        let (sin, cos) = (turn * angle as f64 / 2f64.powi(32)).sin_cos();
        for (found, exact) in [(narrow[2 * i], r * cos), (narrow[2 * i + 1], r * sin)] {
            assert!((found - exact).abs() < 6e-7 * r.max(1e-3), "{found} {exact}");
        }
        let words = philox::block(5, 9 + i as u64);
        let unit = |high: u32, low: u32| ((high as u64) << 32 | low as u64) as f64 / 2f64.powi(64);
        let r = (-2.0 * unit(words[0], words[1]).ln()).sqrt();
        let (sin, cos) = (turn * unit(words[2], words[3])).sin_cos();
        for (found, exact) in [(wide[2 * i], r * cos), (wide[2 * i + 1], r * sin)] {
            assert!((found - exact).abs() < 2e-15 * r.max(1.0), "{found} {exact}");
        }
    }
}

#[test]
fn uniforms_are_philox_words() {
    let (narrow, wide) =
        (draw(DType::F32, Uniform, 6, 2, 400).values(), draw(DType::F64, Uniform, 6, 2, 400).values());
    for i in 0..400 {
        assert_eq!(narrow[i], philox::uniform32(philox::block(6, 2 + i as u64 / 4)[i % 4]) as f64);
        let words = philox::block(6, 2 + i as u64 / 2);
        assert_eq!(wide[i], philox::uniform64(words[i % 2 * 2], words[i % 2 * 2 + 1]));
    }
}

#[test]
fn integers() {
    let values = draw(DType::I64, Integer { low: -3, span: 7 }, 1, 0, 70_000).values();
    for value in -3..4 {
        let count = values.iter().filter(|&&v| v == value as f64).count();
        assert!((9_500..10_500).contains(&count), "{value}: {count}");
    }
    assert_eq!(draw(DType::I64, Integer { low: 5, span: 1 }, 1, 0, 9).values(), [5.0; 9]);
    let all = draw(DType::I64, Integer { low: i64::MIN, span: u64::MAX }, 1, 0, 1000).values();
    assert!(all.iter().any(|&v| v > 4e18) && all.iter().any(|&v| v < -4e18));
}

#[test]
fn only_seed_and_position_matter() {
    let kinds = [(DType::I64, Integer { low: 0, span: 1 << 40 })];
    let kinds = FLOATS.into_iter().flat_map(|d| [(d, Uniform), (d, Normal)]).chain(kinds);
    for (dtype, distribution) in kinds {
        let whole = draw(dtype, distribution, 8, u64::MAX - 5, 50_003).bytes();
        let per_block = distribution.per_block(dtype) as usize;
        for blocks in [1, 7, 33, 4096] {
            let n = blocks * per_block;
            let first = draw(dtype, distribution, 8, u64::MAX - 5, n);
            let second = draw(dtype, distribution, 8, (u64::MAX - 5).wrapping_add(blocks as u64), 50_003 - n);
            assert!(whole == [first.bytes(), second.bytes()].concat(), "{dtype} {distribution:?} {blocks}");
        }
        assert!(whole != draw(dtype, distribution, 9, u64::MAX - 5, 50_003).bytes());
        same_bits("random", || draw(dtype, distribution, 8, 0, 50_003).bytes());
    }
}

#[test]
fn other_dtypes_are_refused() {
    let output = Tensor::empty(DType::I32, &[3]);
    let error =
        launch(Spec::Random { distribution: Uniform, seed: 0, counter: 0 }, &[], &[&output]).unwrap_err();
    assert!(matches!(error, Error::Type(_)), "{error}");
}
