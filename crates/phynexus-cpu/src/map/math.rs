//! Transcendental functions of f32 without branches, so that loops over them vectorise; at most 2 units in the last
//! place off, on the whole range. Polynomials are minimax fits on the reduced arguments (those of exp, log, tanh, sin and
//! cos as in S. Moshier's Cephes library). The few functions that the standard library lacks follow at the end.

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has so few digits that small multiples of it are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding this rounds to an integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// The value of a polynomial, highest coefficient first.
macro_rules! horner {
    ($x:expr, $first:expr $(, $next:expr)*) => {{
        let y = $first;
        $(let y = y * $x + $next;)*
        y
    }};
}

/// `x = n ln 2 + r` with |r| <= ln 2 / 2 + a bit: r and n.
#[inline(always)]
fn split(x: f32) -> (f32, i32) {
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    (x - n * LN2_HIGH - n * LN2_LOW, shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

/// 2^n in two factors, neither of which overflows or is denormal where |n| < 250.
#[inline(always)]
fn powers(n: i32) -> (f32, f32) {
    let half = n >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    (power(half), power(n - half))
}

/// `(e^r - 1 - r) / r^2` for |r| < 0.35.
#[inline(always)]
fn exp_tail(r: f32) -> f32 {
    horner!(r, 1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5)
}

/// x within bounds; NaN stays.
#[inline(always)]
fn within(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let (r, n) = split(within(x, -105.0, 89.0));
    let (s, t) = powers(n);
    (exp_tail(r) * (r * r) + r + 1.0) * s * t
}

/// What is left of x beside the nearest integer is exact, and so are powers to integers.
#[inline(always)]
pub(super) fn exp2(x: f32) -> f32 {
    let x = within(x, -151.0, 129.0);
    let shifted = x + ROUND;
    let r = (x - (shifted - ROUND)) * std::f32::consts::LN_2;
    let (s, t) = powers(shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32);
    (exp_tail(r) * (r * r) + r + 1.0) * s * t
}

#[inline(always)]
pub(super) fn expm1(x: f32) -> f32 {
    let (r, n) = split(within(x, -20.0, 89.0));
    let (s, t) = powers(n);
    let y = ((exp_tail(r) * (r * r) + r) * s + (s - 1.0 / t)) * t;
    if x == 0.0 { x } else { y } // keeps the sign of zero
}

#[inline(always)]
pub(super) fn log(x: f32) -> f32 {
    let (big, power) = if x < f32::MIN_POSITIVE { (x * 8_388_608.0, -23.0) } else { (x, 0.0) };
    // The mantissa m lies in [sqrt(1/2), sqrt(2)): what is above 3F3504F3 (sqrt(1/2)) carries into the exponent.
    let bits = big.to_bits().wrapping_sub(0x3F35_04F3);
    let n = (bits as i32 >> 23) as f32 + power;
    let m = f32::from_bits((bits & 0x007F_FFFF).wrapping_add(0x3F35_04F3)) - 1.0;
    let z = m * m;
    let p = horner!(
        m,
        7.037_683_6e-2,
        -0.115_146_1,
        0.116_769_98,
        -0.124_201_41,
        0.142_493_23,
        -0.166_680_58,
        0.200_007_14,
        -0.25,
        0.333_333_3
    );
    let y = m * z * p + n * LN2_LOW - 0.5 * z;
    let y = m + y + n * LN2_HIGH;
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x >= 0.0 { y } else { f32::NAN }
}

#[inline(always)]
pub(super) fn log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let lost = (x - (u - 1.0)) / u; // what rounding took from u
    let y = log(u) + if u > 0.0 && u < f32::INFINITY { lost } else { 0.0 };
    if u == 1.0 { x } else { y }
}

#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let z = x * x;
    let small =
        horner!(z, -5.704_988_6e-3, 2.063_909e-2, -5.373_971_5e-2, 0.133_314_42, -0.333_332_8) * z * x + x;
    let a = x.abs();
    let large = 1.0 - 2.0 / (exp(a + a) + 1.0);
    (if a < 0.625 { small } else { large }).copysign(x)
}

#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let s = 1.0 + e;
    let lost = e - (s - 1.0); // what rounding took from s
    let y = (if x < 0.0 { e } else { 1.0 }) / s;
    y - y * lost * (1.5 - 0.5 * s) // about y * lost / s
}

#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let (a, z) = (x.abs(), x * x);
    let small = horner!(
        z,
        8.215_423e-5,
        -8.105_965e-4,
        5.197_797e-3,
        -2.685_810_4e-2,
        0.112_836_726,
        -0.376_126_32,
        0.128_379_17
    ) * x
        + x;
    let t = if a > 4.0 { 4.0 } else { a };
    let log_erfc = horner!(
        t,
        -4.426_967_3e-6,
        3.930_134_7e-5,
        8.187_436e-5,
        -3.020_251e-3,
        2.282_153_6e-2,
        -0.105_404_16,
        -0.635_551_5,
        -0.128_567_93
    ) * t
        - t;
    let large = 1.0 - exp(log_erfc);
    (if a < 0.95 { small } else { large }).copysign(x)
}

/// Up to here `sin` and `cos` are right.
pub(super) const PERIODIC_LIMIT: f32 = 1e5;

/// `x = n pi/2 + r`: r, and n. pi/2 in two parts, of which the first times n is exact.
#[inline(always)]
fn quarter(x: f32) -> (f32, i32) {
    const ROUND64: f64 = 6_755_399_441_055_744.0;
    let x = x as f64;
    let shifted = x * std::f64::consts::FRAC_2_PI + ROUND64;
    let n = shifted - ROUND64;
    let r = x - n * 1.570_796_326_734_125_6 - n * 6.077_100_506_506_192e-11;
    (r as f32, shifted.to_bits() as i32)
}

/// Sine of `r + n pi/2`.
#[inline(always)]
fn wave(r: f32, n: i32) -> f32 {
    let z = r * r;
    let sine = horner!(z, -1.951_529_6e-4, 8.332_161e-3, -0.166_666_55) * z * r + r;
    let cosine = horner!(z, 2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    let y = if n & 1 == 0 { sine } else { cosine };
    if n & 2 == 0 { y } else { -y }
}

#[inline(always)]
pub(super) fn sin(x: f32) -> f32 {
    let (r, n) = quarter(x);
    if x == 0.0 { x } else { wave(r, n) }
}

#[inline(always)]
pub(super) fn cos(x: f32) -> f32 {
    let (r, n) = quarter(x);
    wave(r, n.wrapping_add(1))
}

macro_rules! extremum {
    ($name:ident, $t:ident, $before:tt) => {
        /// NaN if either is NaN; of two zeros of either sign the second, as processors and compiled code do it.
        #[inline(always)]
        pub(super) fn $name(a: $t, b: $t) -> $t {
            let y = if a $before b { a } else { b };
            if a.is_nan() { a } else { y }
        }
    };
}
extremum!(min32, f32, <);
extremum!(max32, f32, >);
extremum!(min64, f64, <);
extremum!(max64, f64, >);

pub(super) fn sigmoid64(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// By its series up to 3 (all terms have one sign, nothing cancels), beyond by the continued fraction of its complement.
pub(super) fn erf64(x: f64) -> f64 {
    let (a, z) = (x.abs(), x * x);
    if a < 3.0 {
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > f64::EPSILON * 0.1 * sum.abs() {
            term *= 2.0 * z / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-z).exp() * sum
    } else if a < 6.0 {
        let fraction = (1..=60).rev().fold(a, |below, k| a + k as f64 * 0.5 / below);
        let complement = (-z).exp() / (fraction * std::f64::consts::PI.sqrt());
        (1.0 - complement).copysign(x)
    } else {
        if x.is_nan() { x } else { x.signum() }
    }
}

macro_rules! division {
    ($t:ident, $floor_div:ident, $rem:ident) => {
        /// Of the divisor's sign; the remainder of the exact quotient.
        pub(super) fn $rem(a: $t, b: $t) -> $t {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
        }

        /// The exact quotient rounded towards minus infinity: the rounded quotient could be a whole number too large.
        pub(super) fn $floor_div(a: $t, b: $t) -> $t {
            if b == 0.0 {
                return a / b;
            }
            let rest = a % b;
            let down = rest != 0.0 && (rest < 0.0) != (b < 0.0);
            let quotient = (a - rest) / b - down as u8 as $t;
            if quotient == 0.0 {
                return (0.0 as $t).copysign(a / b);
            }
            let floor = quotient.floor();
            if quotient - floor > 0.5 { floor + 1.0 } else { floor }
        }
    };
}
division!(f32, floor_div32, rem32);
division!(f64, floor_div64, rem64);

/// Rounds towards minus infinity; 0 where the divisor is 0.
pub(super) fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let (quotient, remainder) = (a.wrapping_div(b), a.wrapping_rem(b));
    quotient - (remainder != 0 && (remainder < 0) != (b < 0)) as i64
}

/// Of the divisor's sign; `a` where the divisor is 0.
pub(super) fn modulo(a: i64, b: i64) -> i64 {
    a.wrapping_sub(b.wrapping_mul(floor_div(a, b)))
}

/// Wraps; negative exponents round towards zero.
pub(super) fn power(base: i64, exponent: i64) -> i64 {
    match (base, exponent) {
        (1, _) => 1,
        (-1, e) => 1 - 2 * (e & 1),
        (_, ..0) => 0,
        (mut base, mut e) => {
            let mut result = 1i64;
            while e > 0 {
                if e & 1 == 1 {
                    result = result.wrapping_mul(base);
                }
                base = base.wrapping_mul(base);
                e >>= 1;
            }
            result
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest distance from `right` in units in the last place of its f32, over a dense sample of all f32 in
    /// `low..high` of either sign.
    fn error(ours: fn(f32) -> f32, right: fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let mut worst = 0.0f64;
        for bits in (low.to_bits()..=high.to_bits()).step_by(997).chain([high.to_bits()]) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let (y, z) = (ours(x), right(x as f64));
                let rounded = z as f32;
                if rounded.is_nan() || rounded.is_infinite() || y.is_infinite() || y.is_nan() {
                    let same = y.is_nan() && rounded.is_nan() || y == rounded;
                    // the last float before the overflow may go either way
                    assert!(
                        same || rounded.abs() > 3.4e38 && !y.is_nan() && y.signum() == rounded.signum(),
                        "{x}: {y}, {z}"
                    );
                    continue;
                }
                let unit = (rounded.abs().next_up() as f64 - rounded.abs() as f64).max(2f64.powi(-149));
                let off = (y as f64 - z).abs() / unit;
                assert!(off < 1000.0, "{x:e}: {y:e}, not {z:e}");
                worst = worst.max(off);
            }
        }
        worst
    }

    #[test]
    fn functions_are_right_to_two_units() {
        type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f32);
        let cases: [Case; 10] = [
            ("exp", exp, f64::exp, f32::INFINITY),
            ("exp2", exp2, f64::exp2, f32::INFINITY),
            ("expm1", expm1, f64::exp_m1, f32::INFINITY),
            ("log", log, f64::ln, f32::INFINITY),
            ("log1p", log1p, f64::ln_1p, f32::INFINITY),
            ("tanh", tanh, f64::tanh, f32::INFINITY),
            ("sigmoid", sigmoid, sigmoid64, f32::INFINITY),
            ("erf", erf, erf64, f32::INFINITY),
            ("sin", sin, f64::sin, PERIODIC_LIMIT),
            ("cos", cos, f64::cos, PERIODIC_LIMIT),
        ];
        for (name, ours, right, high) in cases {
            let worst = error(ours, right, 0.0, high);
            println!("{name}: {worst:.2} ulp");
            assert!(worst <= 2.0, "{name}: {worst} units");
            if high == f32::INFINITY {
                assert!(ours(f32::NAN).is_nan(), "{name} of NaN");
            }
            let zero = ours(-0.0);
            assert_eq!(zero.to_bits(), (right(-0.0) as f32).to_bits(), "{name} of -0");
        }
    }

    #[test]
    fn erf_in_double_precision() {
        // Abramowitz and Stegun, table 7.1, and mpmath for the last ones.
        let table = [(0.02, 0.0225645747), (0.5, 0.5204998778), (1.0, 0.8427007929), (2.0, 0.9953222650)];
        for (x, y) in table {
            assert!((erf64(x) - y).abs() < 1e-10, "{x}");
            assert_eq!(erf64(-x), -erf64(x));
        }
        assert!((erf64(2.999_999_999_999) - erf64(3.0)).abs() < 2e-15);
        assert!((erf64(5.999_999_9) - 1.0).abs() < 1e-15);
        assert!(erf64(f64::NAN).is_nan());
    }

    #[test]
    fn extrema() {
        assert!(
            min32(f32::NAN, 1.0).is_nan() && min32(1.0, f32::NAN).is_nan() && max64(1.0, f64::NAN).is_nan()
        );
        assert!(min32(0.0, -0.0).is_sign_negative() && min32(-0.0, 0.0).is_sign_positive());
        assert!(max32(0.0, -0.0).is_sign_negative() && max32(-0.0, 0.0).is_sign_positive());
        assert_eq!((min32(1.0, 2.0), max32(1.0, 2.0), max32(f32::INFINITY, 2.0)), (1.0, 2.0, f32::INFINITY));
    }
}
