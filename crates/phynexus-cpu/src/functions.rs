//! Transcendental functions of f32, each written once: over [`Float`] they are loops that vectorise and, for compiled
//! formulas, instructions. No branches; at most 2 units in the last place off, on the whole range. Polynomials are minimax
//! fits on the reduced arguments (those of exp, log and tanh as in S. Moshier's Cephes library).

use std::ops::{Add, Div, Mul, Sub};

/// An f32, or what stands for one.
pub(crate) trait Float:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// Its bits, wrapping.
    type Int: Int<Float = Self>;
    /// What a comparison gives, false for NaN.
    type Truth: Copy;

    /// A constant beside this value.
    fn number(self, value: f32) -> Self;
    fn abs(self) -> Self;
    fn copysign(self, sign: Self) -> Self;
    fn less(self, other: Self) -> Self::Truth;
    fn at_most(self, other: Self) -> Self::Truth;
    fn equals(self, other: Self) -> Self::Truth;
    fn bits(self) -> Self::Int;
    fn choose(truth: Self::Truth, yes: Self, no: Self) -> Self;
}

/// An i32, or what stands for one.
pub(crate) trait Int: Copy {
    type Float;
    fn plus(self, constant: i32) -> Self;
    fn minus(self, other: Self) -> Self;
    fn and(self, constant: i32) -> Self;
    fn left<const DISTANCE: u8>(self) -> Self;
    /// To the right with the sign.
    fn right<const DISTANCE: u8>(self) -> Self;
    /// The number as a float.
    fn float(self) -> Self::Float;
    /// The float of these bits.
    fn as_bits(self) -> Self::Float;
    /// The entry that the lowest three bits say.
    fn pick(self, table: &[f32; 8]) -> Self::Float;
}

impl Float for f32 {
    type Int = i32;
    type Truth = bool;

    #[inline(always)]
    fn number(self, value: f32) -> f32 {
        value
    }
    #[inline(always)]
    fn abs(self) -> f32 {
        f32::abs(self)
    }
    #[inline(always)]
    fn copysign(self, sign: f32) -> f32 {
        f32::copysign(self, sign)
    }
    #[inline(always)]
    fn less(self, other: f32) -> bool {
        self < other
    }
    #[inline(always)]
    fn at_most(self, other: f32) -> bool {
        self <= other
    }
    #[inline(always)]
    fn equals(self, other: f32) -> bool {
        self == other
    }
    #[inline(always)]
    fn bits(self) -> i32 {
        self.to_bits() as i32
    }
    #[inline(always)]
    fn choose(truth: bool, yes: f32, no: f32) -> f32 {
        if truth { yes } else { no }
    }
}

impl Int for i32 {
    type Float = f32;

    #[inline(always)]
    fn plus(self, constant: i32) -> i32 {
        self.wrapping_add(constant)
    }
    #[inline(always)]
    fn minus(self, other: i32) -> i32 {
        self.wrapping_sub(other)
    }
    #[inline(always)]
    fn and(self, constant: i32) -> i32 {
        self & constant
    }
    #[inline(always)]
    fn left<const DISTANCE: u8>(self) -> i32 {
        self << DISTANCE
    }
    #[inline(always)]
    fn right<const DISTANCE: u8>(self) -> i32 {
        self >> DISTANCE
    }
    #[inline(always)]
    fn float(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn as_bits(self) -> f32 {
        f32::from_bits(self as u32)
    }
    #[inline(always)]
    fn pick(self, table: &[f32; 8]) -> f32 {
        table[(self & 7) as usize]
    }
}

/// ln 2 in two parts; the first has so few digits that small multiples of it are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding this rounds to an integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;
const ROUND_BITS: i32 = ROUND.to_bits() as i32;

/// The value of a polynomial, highest coefficient first.
macro_rules! horner {
    ($x:expr, $first:expr $(, $next:expr)*) => {{
        let y = $x.number($first);
        $(let y = y * $x + $x.number($next);)*
        y
    }};
}

/// `x = n ln 2 + r` with |r| <= ln 2 / 2 + a bit: r and n.
#[inline(always)]
fn split<F: Float>(x: F) -> (F, F::Int) {
    let shifted = x * x.number(std::f32::consts::LOG2_E) + x.number(ROUND);
    let n = shifted - x.number(ROUND);
    let r = x - n * x.number(LN2_HIGH) - n * x.number(LN2_LOW);
    (r, shifted.bits().plus(ROUND_BITS.wrapping_neg()))
}

/// 2^n in two factors, neither of which overflows or is denormal where |n| < 250.
#[inline(always)]
fn powers<I: Int>(n: I) -> (I::Float, I::Float) {
    let half = n.right::<1>();
    let power = |n: I| n.plus(127).left::<23>().as_bits();
    (power(half), power(n.minus(half)))
}

/// `(e^r - 1 - r) / r^2` for |r| < 0.35.
#[inline(always)]
fn exp_tail<F: Float>(r: F) -> F {
    horner!(r, 1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5)
}

/// x within bounds; NaN stays.
#[inline(always)]
fn within<F: Float>(x: F, low: f32, high: f32) -> F {
    let (low, high) = (x.number(low), x.number(high));
    let x = F::choose(high.less(x), high, x);
    F::choose(x.less(low), low, x)
}

#[inline(always)]
fn grown<F: Float>(r: F, n: F::Int) -> F {
    let (s, t) = powers(n);
    (exp_tail(r) * (r * r) + r + r.number(1.0)) * s * t
}

#[inline(always)]
pub(crate) fn exp<F: Float>(x: F) -> F {
    let (r, n) = split(within(x, -105.0, 89.0));
    grown(r, n)
}

/// What is left of x beside the nearest integer is exact, and so are powers to integers.
#[inline(always)]
pub(crate) fn exp2<F: Float>(x: F) -> F {
    let x = within(x, -151.0, 129.0);
    let shifted = x + x.number(ROUND);
    let r = (x - (shifted - x.number(ROUND))) * x.number(std::f32::consts::LN_2);
    grown(r, shifted.bits().plus(ROUND_BITS.wrapping_neg()))
}

#[inline(always)]
pub(crate) fn expm1<F: Float>(x: F) -> F {
    let (r, n) = split(within(x, -20.0, 89.0));
    let (s, t) = powers(n);
    let one = x.number(1.0);
    let y = ((exp_tail(r) * (r * r) + r) * s + (s - one / t)) * t;
    F::choose(x.equals(x.number(0.0)), x, y) // keeps the sign of zero
}

#[inline(always)]
pub(crate) fn log<F: Float>(x: F) -> F {
    let tiny = x.less(x.number(f32::MIN_POSITIVE));
    let big = F::choose(tiny, x * x.number(8_388_608.0), x);
    let power = F::choose(tiny, x.number(-23.0), x.number(0.0));
    // The mantissa m lies in [sqrt(1/2), sqrt(2)): what is above 3F3504F3 (sqrt(1/2)) carries into the exponent.
    let bits = big.bits().plus(-0x3F35_04F3);
    let n = bits.right::<23>().float() + power;
    let m = bits.and(0x007F_FFFF).plus(0x3F35_04F3).as_bits() - x.number(1.0);
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
    let y = m * z * p + n * x.number(LN2_LOW) - x.number(0.5) * z;
    let y = m + y + n * x.number(LN2_HIGH);
    let y = F::choose(x.equals(x.number(f32::INFINITY)), x, y);
    let y = F::choose(x.equals(x.number(0.0)), x.number(f32::NEG_INFINITY), y);
    F::choose(x.number(0.0).at_most(x), y, x.number(f32::NAN))
}

#[inline(always)]
pub(crate) fn log1p<F: Float>(x: F) -> F {
    let (zero, one) = (x.number(0.0), x.number(1.0));
    let u = one + x;
    let lost = (x - (u - one)) / u; // what rounding took from u
    let lost = F::choose(u.less(x.number(f32::INFINITY)), F::choose(zero.less(u), lost, zero), zero);
    F::choose(u.equals(one), x, log(u) + lost)
}

#[inline(always)]
pub(crate) fn tanh<F: Float>(x: F) -> F {
    let z = x * x;
    let small =
        horner!(z, -5.704_988_6e-3, 2.063_909e-2, -5.373_971_5e-2, 0.133_314_42, -0.333_332_8) * z * x + x;
    let (a, one) = (x.abs(), x.number(1.0));
    let large = one - x.number(2.0) / (exp(a + a) + one);
    F::choose(a.less(x.number(0.625)), small, large).copysign(x)
}

#[inline(always)]
pub(crate) fn sigmoid<F: Float>(x: F) -> F {
    let (zero, one) = (x.number(0.0), x.number(1.0));
    let e = exp(x.number(-0.0) - x.abs());
    let s = one + e;
    let lost = e - (s - one); // what rounding took from s
    let y = F::choose(x.less(zero), e, one) / s;
    y - y * lost * (x.number(1.5) - x.number(0.5) * s) // about y * lost / s
}

/// Of erf in the eight intervals of width 1/2 up to 4 (in the first of erf x / x): polynomials of twice the distance from the
/// middle, highest coefficient first. Minimax fits.
const ERF: [[f32; 8]; 7] = [
    [
        -2.801_973_3e-4,
        -4.230_079_4e-4,
        3.200_013_3e-4,
        1.417_269_8e-4,
        -4.318_748_7e-5,
        -2.607_976_8e-5,
        -4.297_515_7e-6,
        -3.261_443_7e-7,
    ],
    [
        -1.092_828_5e-3,
        -1.601_833_4e-3,
        -1.461_838_1e-3,
        1.865_474_3e-4,
        3.306_681_5e-4,
        8.830_667e-5,
        1.039_414_75e-5,
        6.314_028e-7,
    ],
    [
        5.563_329_4e-3,
        9.420_1e-3,
        -3.825_650_7e-4,
        -3.006_718_3e-3,
        -1.193_107e-3,
        -2.035_995_4e-4,
        -1.787_807_4e-5,
        -8.605_285e-7,
    ],
    [
        1.308_647_9e-2,
        3.340_880_9e-3,
        2.094_040_4e-2,
        1.127_220_9e-2,
        2.715_87e-3,
        3.447_760_8e-4,
        2.440_242_1e-5,
        9.889_696e-7,
    ],
    [
        -8.383_771e-2,
        -0.120_549_81,
        -7.391_3e-2,
        -2.308_903_8e-2,
        -4.017_531e-3,
        -4.030_675_3e-4,
        -2.371_803_8e-5,
        -8.266_171e-7,
    ],
    [
        -9.058_274e-2,
        0.321_465_8,
        0.118_260_61,
        2.638_741_8e-2,
        3.571_150_1e-3,
        2.931_471e-4,
        1.459_682_2e-5,
        4.409_431e-7,
    ],
    [
        1.105_305_6,
        0.711_155_65,
        0.922_900_14,
        0.986_671_7,
        0.998_537_3,
        0.999_899_4,
        0.999_995_7,
        0.999_999_9,
    ],
];

#[inline(always)]
pub(crate) fn erf<F: Float>(x: F) -> F {
    let (a, last) = (x.abs(), x.number(3.999_999_8));
    let place = F::choose(last.less(a), last, a) * x.number(2.0) - x.number(0.5);
    let shifted = place + x.number(ROUND);
    let d = place - (shifted - x.number(ROUND));
    let interval = shifted.bits();
    let [first, rest @ ..] = &ERF;
    let mut y = interval.pick(first);
    for coefficients in rest {
        y = y * d + interval.pick(coefficients);
    }
    // The middle of two intervals belongs to the even one.
    F::choose(a.at_most(x.number(0.5)), a * y, y).copysign(x)
}

/// The angle of the point (x, y), with C's signs for zeros and infinities.
#[inline(always)]
pub(crate) fn atan2<F: Float>(y: F, x: F) -> F {
    let (zero, one) = (x.number(0.0), x.number(1.0));
    let (a, b) = (y.abs(), x.abs());
    let steep = b.less(a);
    let (low, high) = (F::choose(steep, b, a), F::choose(steep, a, b));
    // Sums of large numbers must not overflow, nor may small ones lose digits.
    let up = F::choose(high.less(x.number(1e-20)), x.number(2f32.powi(40)), one);
    let scale = F::choose(x.number(1e38).less(high), x.number(0.25), up);
    let (low, high) = (low * scale, high * scale);
    // Near the diagonal the angle to that is so small that its error does not count.
    let far = (high * x.number(0.66)).less(low);
    let top = F::choose(far, low - high, low);
    let z = top / F::choose(far, low + high, high);
    let z = F::choose(top.equals(zero), zero, z); // 0/0 at the origin
    let s = z * z;
    let r = horner!(
        s,
        -1.720_625e-2,
        5.075_957e-2,
        -8.257_951e-2,
        0.109_557_346,
        -0.142_697_1,
        0.199_992_05,
        -0.333_333_2
    ) * s
        * z
        + z;
    let diagonal = x.number(std::f32::consts::FRAC_PI_4);
    let r = F::choose(low.equals(x.number(f32::INFINITY)), diagonal, F::choose(far, r + diagonal, r));
    let r = F::choose(steep, x.number(std::f32::consts::FRAC_PI_2) - r, r);
    let left = one.copysign(x).less(zero);
    let r = F::choose(left, x.number(std::f32::consts::PI) - r, r);
    let r = r.copysign(y);
    F::choose(x.equals(x), F::choose(y.equals(y), r, y), x)
}
