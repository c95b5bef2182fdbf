//! Functions of f32 that need f64 on the way, and those of numbers of other types that the standard library lacks.

use super::convert::Convert;

/// The value of a polynomial, highest coefficient first.
macro_rules! horner {
    ($x:expr, $first:expr $(, $next:expr)*) => {{
        let y = $first;
        $(let y = y * $x + $next;)*
        y
    }};
}

/// Up to here `sin` and `cos` are right.
pub(super) const PERIODIC_LIMIT: f32 = 1e5;

/// `x = n pi/2 + r`: r, and n. pi/2 in two parts, of which the first times n is exact.
#[inline(always)]
fn quarter(x: f32) -> (f32, i32) {
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
        /// Of the divisor's sign, a remainder of 0 as well; the remainder of the exact quotient.
        pub(super) fn $rem(a: $t, b: $t) -> $t {
            let rest = a % b;
            if rest == 0.0 {
                return (0.0 as $t).copysign(b);
            }
            if (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
        }

        /// The exact quotient rounded towards minus infinity: the rounded quotient could be a whole number too large.
        /// With an infinite operand, `floor(a / b)`.
        pub(super) fn $floor_div(a: $t, b: $t) -> $t {
            if b == 0.0 || a.is_infinite() || b.is_infinite() {
                return (a / b).floor();
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

/// What is left of a truncated division, and its quotient: exact where that is not [`far`].
#[inline(always)]
fn divided(a: f32, b: f32) -> (f64, f64) {
    let quotient = (a as f64 / b as f64).trunc();
    (a as f64 - quotient * b as f64, quotient)
}

/// Where [`near_rem32`] and [`near_floor_div32`] are not right: quotients that are large or no numbers.
#[inline(always)]
pub(super) fn far(a: f32, b: f32) -> bool {
    let quotient = (a / b).abs();
    quotient.is_nan() | (quotient >= 4_194_304.0) | b.is_infinite()
}

/// As [`rem32`], without branches.
#[inline(always)]
pub(super) fn near_rem32(a: f32, b: f32) -> f32 {
    let (rest, _) = divided(a, b);
    let rest = if rest == 0.0 { (0.0f32).copysign(b) } else { rest as f32 };
    if (rest != 0.0) & ((rest < 0.0) != (b < 0.0)) { rest + b } else { rest }
}

/// As [`floor_div32`], without branches.
#[inline(always)]
pub(super) fn near_floor_div32(a: f32, b: f32) -> f32 {
    let (rest, quotient) = divided(a, b);
    let down = if (rest != 0.0) & ((rest < 0.0) != (b < 0.0)) { 1.0 } else { 0.0 };
    let quotient = quotient - down;
    if quotient == 0.0 { (0.0f32).copysign(a / b) } else { quotient as f32 }
}

/// Where [`near_floor_div`] is not right: numbers that f64 does not hold.
#[inline(always)]
pub(super) fn far_integers(a: i64, b: i64) -> bool {
    const MOST: u64 = 1 << 52;
    (a.unsigned_abs() >= MOST) | (b.unsigned_abs() >= MOST)
}

/// As [`floor_div`], by a division of f64, which vectorises.
#[inline(always)]
pub(super) fn near_floor_div(a: i64, b: i64) -> i64 {
    let quotient: i64 = (a as f64 / b as f64).convert();
    let quotient = if b == 0 { 0 } else { quotient };
    let rest = a.wrapping_sub(quotient.wrapping_mul(b));
    let down = (rest != 0) & ((rest < 0) != (b < 0)) & (b != 0);
    quotient.wrapping_sub(down as i64)
}

/// As [`modulo`], likewise.
#[inline(always)]
pub(super) fn near_modulo(a: i64, b: i64) -> i64 {
    a.wrapping_sub(b.wrapping_mul(near_floor_div(a, b)))
}

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

/// `a` to the power `b`, by the logarithm to base 2 in f64, which leaves no more than half a unit in the last place and a
/// hundred-thousandth. Without branches; special values are C's.
#[inline(always)]
pub(super) fn pow32(a: f32, b: f32) -> f32 {
    let (base, exponent) = (a.abs() as f64, b as f64);
    // base = m 2^e with m in [sqrt(1/2), sqrt(2)): what is above the bits of sqrt(1/2) carries into the exponent.
    let above = base.to_bits().wrapping_sub(SQRT_HALF);
    let e = to_float(above >> 52);
    let m = f64::from_bits((above & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    // log2 m = 2 artanh(s) / ln 2
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = horner!(
        z,
        1.0 / 17.0,
        1.0 / 15.0,
        1.0 / 13.0,
        1.0 / 11.0,
        1.0 / 9.0,
        1.0 / 7.0,
        1.0 / 5.0,
        1.0 / 3.0
    );
    let log = (s + s * z * series) * (2.0 * std::f64::consts::LOG2_E) + e;
    let log = if base == 0.0 { f64::NEG_INFINITY } else { log };
    let log = if base == f64::INFINITY { f64::INFINITY } else { log };
    let y = exponent * log;
    let y = if log == 0.0 { 0.0 } else { y }; // 1 to any power
    let y = if y > 300.0 { 300.0 } else { y };
    let y = if y < -300.0 { -300.0 } else { y };
    let shifted = y + ROUND64;
    let n = shifted - ROUND64;
    let r = (y - n) * std::f64::consts::LN_2;
    let fraction = horner!(
        r,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0
    );
    let size = f64::from_bits(fraction.to_bits().wrapping_add(shifted.to_bits() << 52)) as f32;
    let half = exponent * 0.5;
    let whole = whole(exponent) == exponent;
    let odd = whole & (self::whole(half) != half);
    let size = if a.is_sign_negative() & odd { -size } else { size };
    let size = if (a < 0.0) & !whole & (base < f64::INFINITY) { f32::NAN } else { size };
    let size = if a.is_nan() | b.is_nan() { f32::NAN } else { size };
    if (b == 0.0) | (a == 1.0) { 1.0 } else { size }
}

/// Adding this to less than 2^51 rounds to an integer, which then stands in the low bits.
const ROUND64: f64 = 6_755_399_441_055_744.0;
/// The bits of sqrt(1/2).
const SQRT_HALF: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();

/// A small two's complement number of 12 bits as a float: no instruction before AVX-512 converts 64-bit integers.
#[inline(always)]
fn to_float(bits: u64) -> f64 {
    let signed = (bits.wrapping_add(2048) & 4095).wrapping_sub(2048);
    f64::from_bits(ROUND64.to_bits().wrapping_add(signed)) - ROUND64
}

/// Without what is behind the point, or another number that is no equal: exact for what an f32 may be.
#[inline(always)]
fn whole(x: f64) -> f64 {
    if x.abs() < 2_251_799_813_685_248.0 { (x + ROUND64) - ROUND64 } else { x }
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
    use crate::functions::{atan2, erf, exp, exp2, expm1, log, log1p, sigmoid, tanh};

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
    fn angles_are_right_to_two_units() {
        let sizes = (0..=140).map(|k| 10f32.powf(k as f32 * 0.55 - 38.5) * (1.0 + 0.37 * (k % 3) as f32));
        let special = [0.0, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, f32::from_bits(1)];
        let positive: Vec<f32> = sizes.chain(special).chain((1..200).map(|k| k as f32 * 0.01)).collect();
        let all: Vec<f32> = positive.iter().flat_map(|&x| [x, -x]).collect();
        let mut worst = 0.0f64;
        for &y in &all {
            for &x in &all {
                let (ours, right) = (atan2(y, x), (y as f64).atan2(x as f64));
                let rounded = right as f32;
                let unit = (rounded.abs().next_up() as f64 - rounded.abs() as f64).max(2f64.powi(-149));
                worst = worst.max((ours as f64 - right).abs() / unit);
                assert_eq!(ours.is_sign_negative(), y.is_sign_negative(), "atan2({y}, {x})");
            }
        }
        assert!(worst <= 2.0, "{worst} units");
        assert!(atan2(f32::NAN, 1.0).is_nan() && atan2(1.0, f32::NAN).is_nan());
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

    #[test]
    fn powers_are_right_to_a_unit() {
        let sizes = (0..=90).map(|k| 10f32.powf(k as f32 * 0.85 - 38.5) * (1.0 + 0.37 * (k % 3) as f32));
        let bases: Vec<f32> = sizes.chain((1..300).map(|k| k as f32 * 0.013)).collect();
        let exponents: Vec<f32> =
            (-120..=120).map(|k| k as f32 * 0.33).chain([0.1, 7.0, 1e-3, 1e3]).collect();
        let mut worst = 0.0f64;
        for &a in &bases {
            for &b in &exponents {
                let (ours, right) = (pow32(a, b), (a as f64).powf(b as f64));
                let rounded = right as f32;
                if rounded.is_infinite() {
                    assert_eq!(ours, rounded, "{a} to {b}");
                    continue;
                }
                let unit = (rounded.next_up() as f64 - rounded as f64).max(2f64.powi(-149));
                worst = worst.max((ours as f64 - right).abs() / unit);
            }
        }
        assert!(worst < 0.501, "{worst} units");
        let special = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 1e-40, 16_777_215.0, 1e10, f32::INFINITY];
        let special: Vec<f32> = special.into_iter().flat_map(|x| [x, -x]).chain([f32::NAN]).collect();
        for &a in &special {
            for &b in &special {
                let (ours, right) = (pow32(a, b), (a as f64).powf(b as f64) as f32);
                let same = ours.to_bits() == right.to_bits() || ours.is_nan() && right.is_nan();
                assert!(same, "{a} to {b} is {right}, not {ours}");
            }
        }
    }

    #[test]
    fn divisions_that_vectorise_are_the_plain_ones() {
        let special = [0.0, 0.1, 1.0, 1.5, 3.0, 7.0, 1e-40, 4_194_303.0, 1e10, f32::INFINITY];
        let numbers = (1..150).map(|k| (k * k) as f32 * 0.071).chain(special);
        let numbers: Vec<f32> = numbers.flat_map(|x| [x, -x]).chain([f32::NAN]).collect();
        for &a in &numbers {
            for &b in numbers.iter().filter(|&&b| !far(a, b)) {
                let (rest, quotient) = (near_rem32(a, b), near_floor_div32(a, b));
                assert_eq!(rest.to_bits(), rem32(a, b).to_bits(), "{a} % {b}");
                assert_eq!(quotient.to_bits(), floor_div32(a, b).to_bits(), "{a} // {b}");
            }
        }
        let most = 1 << 52;
        let whole = [0, 1, 2, 3, 7, 10, 1000, 4096, 999_983, most / 3, most - 2, most - 1];
        let whole: Vec<i64> = whole.into_iter().flat_map(|x| [x, -x]).collect();
        for &a in &whole {
            for &b in whole.iter().filter(|&&b| !far_integers(a, b)) {
                assert_eq!(
                    (near_floor_div(a, b), near_modulo(a, b)),
                    (floor_div(a, b), modulo(a, b)),
                    "{a}, {b}"
                );
            }
        }
        assert!(far_integers(most, 1) && far_integers(1, i64::MIN) && !far_integers(1 - most, most - 1));
    }
}
