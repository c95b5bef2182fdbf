//! Random numbers: a thread makes one Philox block, and the same bits of it as any other device.

use super::{MUL_HIGH, THREADS, cached, groups};
use crate::launch::{Gpu, Kind};
use crate::program::{Operand, Parts};
use crate::table::{Place, Record, word};
use phynexus_core::{DType, Distribution, Error, Result, Task};
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;

/// Words of a task: elements, seed, counter, least value, span; numbers of 64 bits by their lower words first.
const WORDS: usize = 9;

pub(super) struct Random {
    pub distribution: Distribution,
    pub seed: u64,
    pub counter: u64,
    pub dialect: Dialect,
}

/// Ten rounds over the counter `c0 c1 c2 c3`.
const ROUNDS: &str = "\
let i = group * 256u + local;
var c0 = word(task, 3u) + i;
var c1 = word(task, 4u) + select(0u, 1u, c0 < i);
var c2 = 0u;
var c3 = 0u;
var key0 = word(task, 1u);
var key1 = word(task, 2u);
for (var n = 0u; n < 10u; n++) {
let p = c0 * 0xd2511f53u;
let q = c2 * 0xcd9e8d57u;
let p_high = mul_high(c0, 0xd2511f53u);
let q_high = mul_high(c2, 0xcd9e8d57u);
c0 = q_high ^ c1 ^ key0;
c1 = q;
c2 = p_high ^ c3 ^ key1;
c3 = p;
key0 += 0x9e3779b9u;
key1 += 0xbb67ae85u;
}
";

/// Two uniform words become a radius and an angle (Box and Muller), and those a cosine or a sine of it; series are cut where
/// the next term is less than half a unit in the last place.
const NORMAL: &str = "\
fn radius_of(bits: u32) -> f32 {
    let u: f32 = f32(bits) * 2.3283064365386963e-10f + 1.1641532182693481e-10f;
    let exponent: i32 = (bitcast<i32>(u) - 0x3f3504f3) >> 23u;
    let m: f32 = bitcast<f32>(bitcast<i32>(u) - exponent * 8388608);
    let s: f32 = (m - 1.0f) / (m + 1.0f);
    let z: f32 = s * s;
    let series: f32 = (((0.11111111f * z + 0.14285715f) * z + 0.2f) * z + 0.33333334f) * z + 1.0f;
    let log_u: f32 = f32(exponent) * 0.6931472f + 2.0f * s * series;
    return sqrt(max(-2.0f * log_u, 0.0f));
}
fn wave(angle: u32, is_sine: bool) -> f32 {
    let quarter: u32 = (angle + 0x20000000u) >> 30u;
    let x: f32 = f32(bitcast<i32>(angle - (quarter << 30u))) * 1.4629180792671596e-9f;
    let z: f32 = x * x;
    let sine: f32 = x * ((((2.7557319e-6f * z - 1.9841270e-4f) * z + 8.3333333e-3f) * z - 1.6666667e-1f) * z + 1.0f);
    let cosine: f32 = ((((-2.7557319e-7f * z + 2.4801587e-5f) * z - 1.3888889e-3f) * z + 4.1666668e-2f) * z - 0.5f) * z + 1.0f;
    let odd: bool = (quarter & 1u) == 1u;
    let size: f32 = select(cosine, sine, odd != is_sine);
    let down: bool = select(quarter == 1u || quarter == 2u, quarter >= 2u, is_sine);
    return select(size, -size, down);
}
";

/// The same in float64, which is C alone.
const NORMAL_WIDE: &str = "\
fn radius_of(bits: u64) -> f64 {
    let u: f64 = f64(bits) * 5.421010862427522e-20 + 2.710505431213761e-20;
    return sqrt(max(-2.0 * log(u), 0.0));
}
fn wave(angle: u64, is_sine: bool) -> f64 {
    let turn: f64 = f64(bitcast<i64>(angle)) * 1.0842021724855044e-19;
    return is_sine ? sinpi(turn) : cospi(turn);
}
";

/// The upper half of a product of 64 bits and 64 bits, and a number added: the result must fit where there are 32 alone.
const INTEGER: &str = "\
fn integer(high: u32, low: u32, task: u32) -> OUT {
    let span_low = word(task, 7u);
    let span_high = word(task, 8u);
    let a = low * span_high;
    let b = high * span_low;
    let c = high * span_high;
    let m = mul_high(low, span_low) + a;
    let n = m + b;
    let carry = select(0u, 1u, m < a) + select(0u, 1u, n < b);
    let d = mul_high(low, span_high) + mul_high(high, span_low);
    let e = d + carry;
    let f = e + c;
    let over = select(0u, 1u, d < mul_high(high, span_low)) + select(0u, 1u, e < carry) + select(0u, 1u, f < c);
    let sum = f + word(task, 5u);
    let upper = mul_high(high, span_high) + over + word(task, 6u) + select(0u, 1u, sum < f);
    return RESULT;
}
";

impl Random {
    fn parts(&self, dtype: DType) -> Result<Parts> {
        let wide = dtype.size() == 8;
        let mut functions = MUL_HIGH.to_string();
        let element = |n: usize| match (self.distribution, dtype) {
            (Distribution::Uniform, DType::F32) => format!("f32(c{n} >> 8u) * 5.9604644775390625e-8f"),
            // The bits that a narrower float has no room for are cut off, not rounded, which could give 1.
            (Distribution::Uniform, DType::F16 | DType::BF16) => {
                let cut = if dtype == DType::F16 { "13u" } else { "16u" };
                format!("cut(f32(c{n} >> 8u) * 5.9604644775390625e-8f, {cut})")
            }
            (Distribution::Normal, _) if !wide => {
                format!("radius_of(c{}) * wave(c{}, {})", n & 2, n | 1, n & 1 == 1)
            }
            (Distribution::Integer { .. }, _) => format!("integer(c{}, c{}, task)", 2 * n, 2 * n + 1),
            (Distribution::Normal, _) => format!("radius_of(w0) * wave(w1, {})", n == 1),
            (Distribution::Uniform, _) => format!("f64(w{n} >> 11) * 1.1102230246251565e-16"),
        };
        let mut body = ROUNDS.to_string();
        match self.distribution {
            Distribution::Uniform if dtype.size() == 2 => {
                functions += "fn cut(x: f32, bits: u32) -> f32 {\n    return bitcast<f32>((bitcast<u32>(x) >> bits) << bits);\n}\n";
            }
            Distribution::Normal if !wide => functions += NORMAL,
            Distribution::Normal => functions += NORMAL_WIDE,
            Distribution::Integer { .. } => {
                let result = match self.dialect {
                    Dialect::Wgsl => ("i32", "narrow_i64(sum, upper)"),
                    _ => ("i64", "(i64)((unsigned long long)upper << 32 | sum)"),
                };
                functions += &INTEGER.replace("OUT", result.0).replace("RESULT", result.1);
            }
            Distribution::Uniform => {}
        }
        if dtype == DType::F64 {
            functions = format!("typedef unsigned long long u64;\n{functions}");
            body += "let w0 = (u64)c0 << 32 | c1;\nlet w1 = (u64)c2 << 32 | c3;\n";
        }
        let each = self.distribution.per_block(dtype) as usize;
        for n in 0..each {
            body += &format!(
                "if (i * {each}u + {n}u < word(task, 0u)) {{ store_0(base_0(task) + i * {each}u + {n}u, {}); }}\n",
                element(n)
            );
        }
        Ok(Parts {
            functions,
            operands: vec![Operand { dtype, stores: true }],
            words: WORDS,
            threads: THREADS,
            body,
            ..Parts::default()
        })
    }
}

impl Kind for Random {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        for task in tasks {
            let output = &task.outputs[0];
            let (dtype, elements) = (output.dtype, output.layout.elements());
            let integers = matches!(self.distribution, Distribution::Integer { .. });
            if integers != (dtype == DType::I64) || !(integers || dtype.is_float()) {
                return Err(Error::Type(format!(
                    "{:?} numbers are not drawn as {dtype}; draw and convert",
                    self.distribution
                )));
            }
            if elements == 0 {
                continue;
            }
            let (kind, low, span) = match self.distribution {
                Distribution::Uniform => ("uniform", 0, 0),
                Distribution::Normal => ("normal", 0, 0),
                Distribution::Integer { low, span } => ("integer", low as u64, span),
            };
            let program = cached(self.dialect, format!("{kind} {dtype}"), || self.parts(dtype))?;
            let mut words: SmallVec<[u32; 12]> =
                SmallVec::from_slice(&[word("the number of elements of a tensor", elements)?]);
            words.extend(
                [self.seed, self.counter, low, span].into_iter().flat_map(|n| [n as u32, (n >> 32) as u32]),
            );
            let blocks = elements.div_ceil(self.distribution.per_block(dtype) as usize);
            let operands = std::iter::once(Place::of(output)).collect();
            let record = Record { groups: groups(blocks), words, operands, scalars: SmallVec::new() };
            gpu.dispatch(&program, &[record])?;
        }
        Ok(())
    }
}
