//! Conversions between dtypes: what they mean, and loops that do nothing else.

use super::operand::to_bf16;
use crate::element::f16_to_f32;
use crate::simd::vectorised;
use phynexus_core::{DType, Task, View};
use phynexus_formula::{Formula, Node};
use std::ops::Range;

/// A number of one type as one of another, as C's conversion; what does not fit becomes the nearest that does, NaN 0.
pub(super) trait Convert<To> {
    fn convert(self) -> To;
}

macro_rules! plain {
    ($($from:ty => $($to:ty),*;)*) => {$($(
        impl Convert<$to> for $from {
            #[inline(always)]
            fn convert(self) -> $to {
                self as $to
            }
        }
    )*)*};
}

plain! {
    u8 => f32, f64, i32, i64;
    i32 => f32, f64, i32, i64;
    i64 => f32, f64, i32, i64;
    f32 => f32, f64;
    f64 => f32, f64;
}

/// Floats to integers as `as` does it, but in a form that vectorises: only what fits is converted.
macro_rules! truncated {
    ($from:ty, $to:ty, $largest:expr) => {
        impl Convert<$to> for $from {
            #[inline(always)]
            fn convert(self) -> $to {
                const LEAST: $from = <$to>::MIN as $from;
                let x = if self > LEAST { self } else { LEAST };
                let x = if x < $largest { x } else { $largest };
                let x = if self.is_nan() { 0.0 } else { x };
                // SAFETY: x is a number between the least integer and the largest float that is no more than the largest.
                let y: $to = unsafe { x.to_int_unchecked() };
                if self >= -LEAST { <$to>::MAX } else { y }
            }
        }
    };
}

truncated!(f32, i32, 2_147_483_520.0);
truncated!(f64, i32, 2_147_483_647.0);
truncated!(f32, i64, 9_223_371_487_098_961_920.0);
truncated!(f64, i64, 9_223_372_036_854_774_784.0);

/// A dtype as it is stored, and how its values come into the type that is computed in and out of that.
trait Stored: Copy + 'static {
    type Bits: Copy + 'static;
    type Computed: Copy + 'static;
    fn load(bits: Self::Bits) -> Self::Computed;
    fn store(value: Self::Computed) -> Self::Bits;
}

macro_rules! stored {
    ($name:ident, $bits:ty, $computed:ty, $load:expr, $store:expr) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl Stored for $name {
            type Bits = $bits;
            type Computed = $computed;
            #[inline(always)]
            fn load(bits: $bits) -> $computed {
                $load(bits)
            }
            #[inline(always)]
            fn store(value: $computed) -> $bits {
                $store(value)
            }
        }
    };
}

stored!(Bool, u8, u8, |x| x, |x| x);
stored!(U8, u8, i32, |x: u8| x as i32, |x: i32| x as u8);
stored!(I32, i32, i32, |x| x, |x| x);
stored!(I64, i64, i64, |x| x, |x| x);
stored!(F16, u16, f32, half_to_float, float_to_half);
stored!(BF16, u16, f32, |x: u16| f32::from_bits((x as u32) << 16), |x: f32| to_bf16(x).to_bits());
stored!(F32, f32, f32, |x| x, |x| x);
stored!(F64, f64, f64, |x| x, |x| x);

/// A float16 of these bits, without branches.
#[inline(always)]
fn half_to_float(bits: u16) -> f32 {
    f16_to_f32(half::f16::from_bits(bits))
}

/// The bits of the nearest float16, ties to even, without branches; NaNs become quiet and keep their upper bits.
#[inline(always)]
fn float_to_half(x: f32) -> u16 {
    let bits = x.to_bits();
    let size = bits & 0x7fff_ffff;
    let odd = size >> 13 & 1;
    let normal = size.wrapping_add(0x0fff + odd).wrapping_sub(0x3800_0000) >> 13;
    // Adding a half leaves of a subnormal number what is to be stored, rounded.
    let small = (f32::from_bits(size) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let half = if size < 0x3880_0000 { small } else { normal };
    let half = if size >= 0x477f_f000 { 0x7c00 } else { half };
    let half = if size > 0x7f80_0000 { 0x7e00 | size >> 13 & 0x03ff } else { half };
    (half | bits >> 16 & 0x8000) as u16
}

type Loop = unsafe fn(*const u8, *mut u8, usize);

vectorised! {
    /// Converts `n` values; no two of the operands overlap.
    unsafe fn convert<S: Stored, D: Stored, F: Fn(S::Computed) -> D::Computed>(from: *const u8, to: *mut u8, n: usize, f: F) {
        let (from, to) = (from.cast::<S::Bits>(), to.cast::<D::Bits>());
        for i in 0..n {
            // SAFETY: the caller says that there are n values.
            unsafe { to.add(i).write_unaligned(D::store(f(S::load(from.add(i).read_unaligned())))) };
        }
    }
}

fn number<S: Stored, D: Stored>() -> Loop
where
    S::Computed: Convert<D::Computed>,
{
    // SAFETY: the contract is passed on.
    |from, to, n| unsafe { convert::<S, D, _>(from, to, n, Convert::convert) }
}

fn truth<S: Stored>() -> Loop
where
    S::Computed: Default + PartialEq,
{
    // SAFETY: the contract is passed on.
    |from, to, n| unsafe {
        convert::<S, Bool, _>(from, to, n, |x: S::Computed| (x != S::Computed::default()) as u8);
    }
}

fn loop_of(from: DType, to: DType) -> Loop {
    macro_rules! from {
        ($from:ident) => {
            match to {
                DType::Bool => truth::<$from>(),
                DType::U8 => number::<$from, U8>(),
                DType::I32 => number::<$from, I32>(),
                DType::I64 => number::<$from, I64>(),
                DType::F16 => number::<$from, F16>(),
                DType::BF16 => number::<$from, BF16>(),
                DType::F32 => number::<$from, F32>(),
                DType::F64 => number::<$from, F64>(),
            }
        };
    }
    match from {
        DType::Bool => from!(Bool),
        DType::U8 => from!(U8),
        DType::I32 => from!(I32),
        DType::I64 => from!(I64),
        DType::F16 => from!(F16),
        DType::BF16 => from!(BF16),
        DType::F32 => from!(F32),
        DType::F64 => from!(F64),
    }
}

/// A formula that only converts contiguous values from one dtype to another.
pub(super) struct Conversion(Loop);

impl Conversion {
    /// The conversion that a formula is, if it is one.
    pub fn new(formula: &Formula, inputs: &[DType], outputs: &[DType]) -> Option<Conversion> {
        let (&[from], &[to], &[output]) = (inputs, outputs, formula.outputs()) else { return None };
        let is_input = |id| matches!(formula.node(id), Node::Input { .. });
        let converts = match formula.node(output) {
            Node::Cast(_, a) => is_input(a),
            _ => is_input(output),
        };
        (converts && from != to).then(|| Conversion(loop_of(from, to)))
    }

    /// Converts a range of the elements, if they are contiguous and apart from the results; says whether it did.
    pub fn run(&self, task: &Task<'_>, range: &Range<usize>) -> bool {
        let (from, to) = (&task.inputs[0], &task.outputs[0]);
        let at = |view: &View<'_>, index: usize| {
            (view.buffer.handle() as *mut u8).wrapping_add((view.layout.offset() + index) * view.dtype.size())
        };
        let count = from.layout.elements();
        let apart = at(from, count) <= at(to, 0) || at(to, count) <= at(from, 0);
        if !apart || !from.layout.is_contiguous() || !to.layout.is_contiguous() {
            return false;
        }
        // SAFETY: both views have these elements, of these dtypes.
        unsafe { (self.0)(at(from, range.start), at(to, range.start), range.len()) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn floats_become_the_nearest_integers_below() {
        let special = [0.0, 0.9, 1.5, 2_147_483_520.0, 2_147_483_648.0, 9.3e18, 1e30, f32::INFINITY];
        for x in special.into_iter().flat_map(|x| [x, -x]).chain([f32::NAN]) {
            assert_eq!((Convert::<i32>::convert(x), Convert::<i64>::convert(x)), (x as i32, x as i64), "{x}");
        }
        let special =
            [0.0, 0.9, 2_147_483_647.5, 2_147_483_648.0, 9.223_372_036_854_775e18, 1e30, f64::INFINITY];
        for x in special.into_iter().flat_map(|x| [x, -x]).chain([f64::NAN]) {
            assert_eq!((Convert::<i32>::convert(x), Convert::<i64>::convert(x)), (x as i32, x as i64), "{x}");
        }
    }

    #[test]
    fn float16_is_that_of_the_half_crate() {
        for bits in 0..=u16::MAX {
            let (ours, right) = (half_to_float(bits), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == right.to_bits() || ours.is_nan() && right.is_nan(), "{bits:#x}");
        }
        for bits in (0..=u32::MAX).step_by(5_003).chain((0..=u16::MAX as u32).map(|high| high << 16 | 0x1000))
        {
            let x = f32::from_bits(bits);
            assert_eq!(float_to_half(x), f16::from_f32(x).to_bits(), "{x:e}");
        }
    }
}
