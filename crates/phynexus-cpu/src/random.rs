//! Random numbers from Philox blocks, many blocks beside each other.
//!
//! Every element follows from its own block by multiplications, additions and square roots that are rounded the same way
//! on every machine, so a seed gives the same bits whatever the processor and the number of threads.

use crate::simd::vectorised;
use crate::strided::{Ptr, split};
use half::{bf16, f16};
use phynexus_core::philox::{self, LANES};
use phynexus_core::{DType, Distribution, Error, Result, Task};

/// Blocks that are drawn at once.
const TILE: usize = 4 * LANES;
/// Blocks that are worth a job of their own.
const GRAIN: usize = 1 << 12;

/// Fills the contiguous output from the stream `seed` at block `counter`.
pub(crate) fn launch(distribution: Distribution, seed: u64, counter: u64, task: &Task<'_>) -> Result<()> {
    use DType::{BF16, F16, F32, F64, I64};
    match (distribution, task.outputs[0].dtype) {
        (Distribution::Uniform, F16) => fill(Uniform16, seed, counter, task),
        (Distribution::Uniform, BF16) => fill(UniformB16, seed, counter, task),
        (Distribution::Uniform, F32) => fill(Uniform32, seed, counter, task),
        (Distribution::Uniform, F64) => fill(Uniform64, seed, counter, task),
        (Distribution::Normal, F16) => fill(Normal16, seed, counter, task),
        (Distribution::Normal, BF16) => fill(NormalB16, seed, counter, task),
        (Distribution::Normal, F32) => fill(Normal32, seed, counter, task),
        (Distribution::Normal, F64) => fill(Normal64, seed, counter, task),
        (Distribution::Integer { low, span }, I64) => fill(Integer { low, span }, seed, counter, task),
        (_, dtype) => {
            return Err(Error::Type(format!(
                "{distribution:?} numbers are not drawn as {dtype}; draw and convert"
            )));
        }
    }
    Ok(())
}

/// Makes two elements of `WORDS` words.
trait Draw: Copy + Sync {
    type Out: Copy + Default + Send + Sync;
    const WORDS: usize = if size_of::<Self::Out>() <= 4 { 2 } else { 4 };
    fn draw(self, words: &[u32]) -> [Self::Out; 2];
}

fn fill<D: Draw>(draw: D, seed: u64, counter: u64, task: &Task<'_>) {
    let total = task.outputs[0].layout.elements();
    let out = Ptr::<D::Out>::of(&task.outputs[0]);
    let per_block = 8 / D::WORDS;
    split(total, GRAIN * per_block, total * 2, |range| {
        let counter = counter.wrapping_add((range.start / per_block) as u64);
        // SAFETY: the range lies within the output, and nobody else writes there.
        let out = unsafe { std::slice::from_raw_parts_mut(out.at(range.start as isize), range.len()) };
        // SAFETY: there is nothing that a caller must know.
        unsafe { fill_from::<D>(draw, seed, counter, out) }
    });
}

vectorised! {
    /// Fills `out` from block `counter` on.
    unsafe fn fill_from<D: Draw>(draw: D, seed: u64, counter: u64, out: &mut [D::Out]) {
        for (tile, out) in out.chunks_mut(TILE * 8 / D::WORDS).enumerate() {
            let first = counter.wrapping_add((tile * TILE) as u64);
            let mut words = [[0; 4]; TILE];
            for (some, words) in words.chunks_exact_mut(LANES).enumerate() {
                words.copy_from_slice(&philox::blocks(seed, first.wrapping_add((some * LANES) as u64)));
            }
            let mut drawn = [D::Out::default(); TILE * 4];
            for (words, drawn) in words.as_flattened().chunks_exact(D::WORDS).zip(drawn.chunks_exact_mut(2)) {
                drawn.copy_from_slice(&draw.draw(words));
            }
            out.copy_from_slice(&drawn[..out.len()]);
        }
    }
}

macro_rules! draw {
    ($name:ident, $out:ty, $words:ident => $elements:expr) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl Draw for $name {
            type Out = $out;
            #[inline(always)]
            fn draw(self, $words: &[u32]) -> [$out; 2] {
                $elements
            }
        }
    };
}

draw!(Uniform32, f32, w => [philox::uniform32(w[0]), philox::uniform32(w[1])]);
draw!(Uniform64, f64, w => [philox::uniform64(w[0], w[1]), philox::uniform64(w[2], w[3])]);
// The bits that a narrower float has no room for are cut off, not rounded, which could give 1.
draw!(Uniform16, f16, w => Uniform32.draw(w).map(|x| f16::from_f32(cut(x, 13))));
draw!(UniformB16, bf16, w => Uniform32.draw(w).map(|x| bf16::from_f32(cut(x, 16))));
draw!(Normal16, f16, w => Normal32.draw(w).map(f16::from_f32));
draw!(NormalB16, bf16, w => Normal32.draw(w).map(bf16::from_f32));
draw!(Normal32, f32, w => normal32(w[0], w[1]));
draw!(Normal64, f64, w => normal64(wide(w[0], w[1]), wide(w[2], w[3])));

/// The high half of a product of 64 bits with `span`: each value is drawn with a probability that is off by less than 2^-64,
/// a bias that no experiment can notice.
#[derive(Clone, Copy)]
struct Integer {
    low: i64,
    span: u64,
}

impl Draw for Integer {
    type Out = i64;
    #[inline(always)]
    fn draw(self, w: &[u32]) -> [i64; 2] {
        [wide(w[0], w[1]), wide(w[2], w[3])].map(|bits| {
            let scaled = (bits as u128 * self.span as u128) >> 64;
            self.low.wrapping_add(scaled as i64)
        })
    }
}

#[inline(always)]
fn wide(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// With the lowest `bits` bits of the mantissa set to zero.
#[inline(always)]
fn cut(x: f32, bits: u32) -> f32 {
    f32::from_bits(x.to_bits() >> bits << bits)
}

/// Box and Muller: two uniform words become a radius `sqrt(-2 ln u)` and an angle, and those two normal numbers. The series
/// are cut where the next term is less than half a unit in the last place of the result.
macro_rules! box_muller {
    ($name:ident, $float:ty, $word:ty, $signed:ty, $log:expr, $sin:expr, $cos:expr) => {
        #[inline(always)]
        fn $name(radius: $word, angle: $word) -> [$float; 2] {
            const MANTISSA: u32 = <$float>::MANTISSA_DIGITS - 1;
            const TURN: $float = (1u128 << <$word>::BITS) as $float;
            // u = m * 2^e with m in [sqrt(1/2), sqrt(2)), and ln m = 2 artanh((m - 1) / (m + 1)).
            let u = radius as $float * (1.0 / TURN) + 0.5 / TURN;
            let below = (std::f64::consts::FRAC_1_SQRT_2 as $float).to_bits();
            let exponent = u.to_bits().wrapping_sub(below) as $signed >> MANTISSA;
            let m = <$float>::from_bits(u.to_bits().wrapping_sub((exponent << MANTISSA) as $word));
            let s = (m - 1.0) / (m + 1.0);
            let log = exponent as $float * std::f64::consts::LN_2 as $float + 2.0 * s * series(s * s, $log);
            let r = (-2.0 * log).max(0.0).sqrt();
            // The angle is a quarter of a turn times `quarter`, and a rest of at most an eighth of a turn.
            let quarter = angle.wrapping_add(1 << (<$word>::BITS - 3)) >> (<$word>::BITS - 2);
            let rest = angle.wrapping_sub(quarter << (<$word>::BITS - 2)) as $signed;
            let x = rest as $float * (std::f64::consts::TAU as $float / TURN);
            let (sin, cos) = (x * series(x * x, $sin), series(x * x, $cos));
            let (a, b) = if quarter & 1 == 0 { (cos, sin) } else { (sin, cos) };
            let a = if quarter == 1 || quarter == 2 { -a } else { a };
            let b = if quarter >= 2 { -b } else { b };
            [r * a, r * b]
        }
    };
}

box_muller!(normal32, f32, u32, i32, &ODD[..5], &SIN[..5], &COS[..6]);
box_muller!(normal64, f64, u64, i64, &ODD, &SIN, &COS);

/// Of artanh(s) / s in s^2.
const ODD: [f64; 12] = {
    let mut terms = [0.0; 12];
    let mut n = 0;
    while n < terms.len() {
        terms[n] = 1.0 / (2 * n + 1) as f64;
        n += 1;
    }
    terms
};
/// Of sin(x) / x in x^2.
const SIN: [f64; 10] = alternating(1);
/// Of cos(x) in x^2.
const COS: [f64; 10] = alternating(0);

/// (-1)^n / (2 n + first)!
const fn alternating(first: usize) -> [f64; 10] {
    let mut terms = [1.0; 10];
    let mut n = 1;
    while n < terms.len() {
        let k = 2 * n + first;
        terms[n] = -terms[n - 1] / (k * (k - 1)) as f64;
        n += 1;
    }
    terms
}

/// The polynomial in `x` with these coefficients, the constant first.
#[inline(always)]
fn series<F: Real>(x: F, terms: &[f64]) -> F {
    terms.iter().rev().fold(F::from_f64(0.0), |sum, &term| sum * x + F::from_f64(term))
}

/// f32 or f64.
trait Real: Copy + std::ops::Mul<Output = Self> + std::ops::Add<Output = Self> {
    fn from_f64(x: f64) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
}

impl Real for f64 {
    #[inline(always)]
    fn from_f64(x: f64) -> f64 {
        x
    }
}
