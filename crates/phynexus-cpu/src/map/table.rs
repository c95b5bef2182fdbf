//! Which loop computes which node: the meaning of every function for every type, one line each.

use super::convert::Convert;
use super::loops::{
    Args, Each, Form, Run, Same, Value, binary as binary_loop, limited, limited_binary,
    select as select_loop, unary as unary_loop,
};
use super::loops::{expand as expand_loop, splat as splat_loop};
use super::math;
use super::operand::to_bf16;
use crate::functions;
use half::f16;
use phynexus_formula::{Binary, Type, Unary};

/// Bytes of a value in a block.
pub(super) fn size(ty: Type) -> usize {
    match ty {
        Type::Bool => 1,
        Type::F32 | Type::I32 => 4,
        Type::F64 | Type::I64 => 8,
    }
}

/// A loop by the size of the values that it only copies.
fn by_size(ty: Type, one: Run, four: Run, eight: Run) -> Run {
    match size(ty) {
        1 => one,
        4 => four,
        _ => eight,
    }
}

/// Repeats row values along their rows.
pub(super) fn expand(ty: Type) -> Run {
    by_size(ty, expand_loop::<u8>, expand_loop::<i32>, expand_loop::<i64>)
}

/// Repeats one value.
pub(super) fn splat(ty: Type) -> Run {
    by_size(ty, splat_loop::<u8>, splat_loop::<i32>, splat_loop::<i64>)
}

/// Copies values.
pub(super) fn copy(ty: Type) -> Run {
    unsafe fn raw<T: Value>(g: &Args) {
        // SAFETY: the operands hold n values.
        unsafe { std::ptr::copy(g.a, g.out, g.n * size_of::<T>()) }
    }
    by_size(ty, raw::<u8>, raw::<i32>, raw::<i64>)
}

/// `condition ? yes : no`; `same` says which of the three are one value for all.
pub(super) fn select(ty: Type, same: [bool; 3]) -> Run {
    fn forms<T: Value>(same: [bool; 3]) -> Run {
        match same {
            [false, false, false] => select_loop::<T, Each, Each, Each>,
            [false, false, true] => select_loop::<T, Each, Each, Same>,
            [false, true, false] => select_loop::<T, Each, Same, Each>,
            [false, true, true] => select_loop::<T, Each, Same, Same>,
            [true, false, false] => select_loop::<T, Same, Each, Each>,
            [true, false, true] => select_loop::<T, Same, Each, Same>,
            [true, true, false] => select_loop::<T, Same, Same, Each>,
            [true, true, true] => select_loop::<T, Same, Same, Same>,
        }
    }
    match size(ty) {
        1 => forms::<u8>(same),
        4 => forms::<i32>(same),
        _ => forms::<i64>(same),
    }
}

fn one<T: Value, R: Value, F: Fn(T) -> R + Copy>(_: F) -> Run {
    unary_loop::<T, R, F>
}

/// `binary` with the forms of its operands.
fn two<T: Value, R: Value, F: Fn(T, T) -> R + Copy>(_: F, same: [bool; 2]) -> Run {
    fn with<T: Value, R: Value, A: Form, F: Fn(T, T) -> R + Copy>(same: bool) -> Run {
        if same { binary_loop::<T, R, A, Same, F> } else { binary_loop::<T, R, A, Each, F> }
    }
    if same[0] { with::<T, R, Same, F>(same[1]) } else { with::<T, R, Each, F>(same[1]) }
}

/// For functions so slow that their operands may as well be arrays; None where one is not.
fn two_arrays<T: Value, F: Fn(T, T) -> T + Copy>(_: F, same: [bool; 2]) -> Option<Run> {
    (same == [false; 2]).then_some(binary_loop::<T, T, Each, Each, F>)
}

/// The same for functions whose vectorised form has a limited range.
fn near<T: Value, F, P, S>(_: F, _: P, _: S, same: [bool; 2]) -> Option<Run>
where
    F: Fn(T, T) -> T + Copy,
    P: Fn(T, T) -> bool + Copy,
    S: Fn(T, T) -> T + Copy,
{
    (same == [false; 2]).then_some(limited_binary::<T, F, P, S>)
}

/// A function of one operand of type `ty`; None where the type has no such function.
pub(super) fn unary(op: Unary, ty: Type) -> Option<Run> {
    Some(match ty {
        Type::F32 => match op {
            Unary::Neg => one(|x: f32| -x),
            Unary::Abs => one(|x: f32| x.abs()),
            Unary::Sign => one(|x: f32| (x > 0.0) as i32 as f32 - (x < 0.0) as i32 as f32),
            Unary::Exp => one(functions::exp::<f32>),
            Unary::Exp2 => one(functions::exp2::<f32>),
            Unary::Log => one(functions::log::<f32>),
            Unary::Log1p => one(functions::log1p::<f32>),
            Unary::Expm1 => one(functions::expm1::<f32>),
            Unary::Sqrt => one(|x: f32| x.sqrt()),
            Unary::Rsqrt => one(|x: f32| 1.0 / x.sqrt()),
            Unary::Sin => periodic(math::sin, |x: f32| x.sin()),
            Unary::Cos => periodic(math::cos, |x: f32| x.cos()),
            Unary::Tanh => one(functions::tanh::<f32>),
            Unary::Sigmoid => one(functions::sigmoid::<f32>),
            Unary::Erf => one(functions::erf::<f32>),
            Unary::Floor => one(|x: f32| x.floor()),
            Unary::Ceil => one(|x: f32| x.ceil()),
            Unary::Round => one(|x: f32| x.round_ties_even()),
            Unary::Not => one(|x: f32| (x == 0.0) as u8),
            Unary::IsNan => one(|x: f32| x.is_nan() as u8),
            Unary::IsFinite => one(|x: f32| x.is_finite() as u8),
            Unary::RoundBf16 => one(|x: f32| to_bf16(x).to_f32()),
            Unary::RoundF16 => one(|x: f32| f16::from_f32(x).to_f32()),
            Unary::Detach | Unary::Bits => copy(ty),
            Unary::FromBits => return None,
        },
        Type::F64 => match op {
            Unary::Neg => one(|x: f64| -x),
            Unary::Abs => one(|x: f64| x.abs()),
            Unary::Sign => one(|x: f64| (x > 0.0) as i32 as f64 - (x < 0.0) as i32 as f64),
            Unary::Exp => one(f64::exp),
            Unary::Exp2 => one(f64::exp2),
            Unary::Log => one(f64::ln),
            Unary::Log1p => one(f64::ln_1p),
            Unary::Expm1 => one(f64::exp_m1),
            Unary::Sqrt => one(|x: f64| x.sqrt()),
            Unary::Rsqrt => one(|x: f64| 1.0 / x.sqrt()),
            Unary::Sin => one(f64::sin),
            Unary::Cos => one(f64::cos),
            Unary::Tanh => one(f64::tanh),
            Unary::Sigmoid => one(math::sigmoid64),
            Unary::Erf => one(math::erf64),
            Unary::Floor => one(|x: f64| x.floor()),
            Unary::Ceil => one(|x: f64| x.ceil()),
            Unary::Round => one(|x: f64| x.round_ties_even()),
            Unary::Not => one(|x: f64| (x == 0.0) as u8),
            Unary::IsNan => one(|x: f64| x.is_nan() as u8),
            Unary::IsFinite => one(|x: f64| x.is_finite() as u8),
            Unary::Detach | Unary::Bits => copy(ty),
            Unary::FromBits | Unary::RoundBf16 | Unary::RoundF16 => return None,
        },
        Type::I32 => match op {
            Unary::Neg => one(i32::wrapping_neg),
            Unary::Abs => one(i32::wrapping_abs),
            Unary::Sign => one(i32::signum),
            Unary::Not => one(|x: i32| !x),
            Unary::IsNan => one(|_: i32| 0u8),
            Unary::IsFinite => one(|_: i32| 1u8),
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Detach | Unary::FromBits => copy(ty),
            _ => return None,
        },
        Type::I64 => match op {
            Unary::Neg => one(i64::wrapping_neg),
            Unary::Abs => one(i64::wrapping_abs),
            Unary::Sign => one(i64::signum),
            Unary::Not => one(|x: i64| !x),
            Unary::IsNan => one(|_: i64| 0u8),
            Unary::IsFinite => one(|_: i64| 1u8),
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Detach | Unary::FromBits => copy(ty),
            _ => return None,
        },
        Type::Bool => match op {
            Unary::Not => one(|x: u8| x ^ 1),
            Unary::IsNan => one(|_: u8| 0u8),
            Unary::IsFinite => one(|_: u8| 1u8),
            // minus true is true again, as any number that is not zero
            Unary::Neg
            | Unary::Abs
            | Unary::Sign
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Detach => copy(ty),
            _ => return None,
        },
    })
}

/// Sine and cosine: vectorised up to where their reduction is exact, beyond by the standard library.
fn periodic<F: Fn(f32) -> f32 + Copy, S: Fn(f32) -> f32 + Copy>(_: F, _: S) -> Run {
    fn by<F: Fn(f32) -> f32 + Copy, P: Fn(f32) -> bool + Copy, S: Fn(f32) -> f32 + Copy>(_: P) -> Run {
        limited::<f32, F, P, S>
    }
    by::<F, _, S>(|x: f32| x.abs() > math::PERIODIC_LIMIT)
}

/// A function of two operands of type `ty`; `same` says which are one value for all. None where the type has no such
/// function or it takes arrays only.
pub(super) fn binary(op: Binary, ty: Type, same: [bool; 2]) -> Option<Run> {
    macro_rules! float {
        ($t:ident, $min:path, $max:path, $floor_div:expr, $rem:expr, $atan2:expr, $pow:expr) => {
            match op {
                Binary::Add => two(|a: $t, b: $t| a + b, same),
                Binary::Sub => two(|a: $t, b: $t| a - b, same),
                Binary::Mul => two(|a: $t, b: $t| a * b, same),
                Binary::Div => two(|a: $t, b: $t| a / b, same),
                Binary::FloorDiv => return $floor_div(same),
                Binary::Rem => return $rem(same),
                Binary::Pow => return two_arrays($pow, same),
                Binary::Min => two($min, same),
                Binary::Max => two($max, same),
                Binary::Atan2 => return two_arrays($atan2, same),
                Binary::Eq => two(|a: $t, b: $t| (a == b) as u8, same),
                Binary::Ne => two(|a: $t, b: $t| (a != b) as u8, same),
                Binary::Lt => two(|a: $t, b: $t| (a < b) as u8, same),
                Binary::Le => two(|a: $t, b: $t| (a <= b) as u8, same),
                Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr | Binary::Ushr => {
                    return None
                }
                Binary::Within => return None,
            }
        };
    }
    macro_rules! int {
        ($t:ident, $unsigned:ident) => {
            match op {
                Binary::Add => two($t::wrapping_add, same),
                Binary::Sub => two($t::wrapping_sub, same),
                Binary::Mul => two($t::wrapping_mul, same),
                Binary::FloorDiv => {
                    let fast = |a: $t, b: $t| math::near_floor_div(a as i64, b as i64) as $t;
                    let slow = |a: $t, b: $t| math::floor_div(a as i64, b as i64) as $t;
                    return near(fast, |a: $t, b: $t| math::far_integers(a as i64, b as i64), slow, same);
                }
                Binary::Rem => {
                    let fast = |a: $t, b: $t| math::near_modulo(a as i64, b as i64) as $t;
                    let slow = |a: $t, b: $t| math::modulo(a as i64, b as i64) as $t;
                    return near(fast, |a: $t, b: $t| math::far_integers(a as i64, b as i64), slow, same);
                }
                Binary::Pow => return two_arrays(|a: $t, b: $t| math::power(a as i64, b as i64) as $t, same),
                Binary::Min => two(|a: $t, b: $t| a.min(b), same),
                Binary::Max => two(|a: $t, b: $t| a.max(b), same),
                Binary::And => two(|a: $t, b: $t| a & b, same),
                Binary::Or => two(|a: $t, b: $t| a | b, same),
                Binary::Xor => two(|a: $t, b: $t| a ^ b, same),
                Binary::Shl => two(|a: $t, b: $t| a.wrapping_shl(b as u32), same),
                Binary::Shr => two(|a: $t, b: $t| a.wrapping_shr(b as u32), same),
                Binary::Ushr => two(|a: $t, b: $t| (a as $unsigned).wrapping_shr(b as u32) as $t, same),
                Binary::Eq => two(|a: $t, b: $t| (a == b) as u8, same),
                Binary::Ne => two(|a: $t, b: $t| (a != b) as u8, same),
                Binary::Lt => two(|a: $t, b: $t| (a < b) as u8, same),
                Binary::Le => two(|a: $t, b: $t| (a <= b) as u8, same),
                Binary::Within => two(|a: $t, _: $t| a, same),
                Binary::Div | Binary::Atan2 => return None,
            }
        };
    }
    Some(match ty {
        Type::F32 => {
            let floor_div = |same| near(math::near_floor_div32, math::far, math::floor_div32, same);
            let rem = |same| near(math::near_rem32, math::far, math::rem32, same);
            float!(f32, math::min32, math::max32, floor_div, rem, functions::atan2::<f32>, math::pow32)
        }
        Type::F64 => {
            let floor_div = |same| two_arrays(math::floor_div64, same);
            let rem = |same| two_arrays(math::rem64, same);
            let pow = |a: f64, b: f64| if b == 2.0 { a * a } else { a.powf(b) };
            float!(f64, math::min64, math::max64, floor_div, rem, f64::atan2, pow)
        }
        Type::I32 => int!(i32, u32),
        Type::I64 => int!(i64, u64),
        Type::Bool => match op {
            Binary::Add | Binary::Or | Binary::Max => two(|a: u8, b: u8| a | b, same),
            Binary::Mul | Binary::And | Binary::Min | Binary::FloorDiv => two(|a: u8, b: u8| a & b, same),
            Binary::Sub | Binary::Xor | Binary::Ne => two(|a: u8, b: u8| a ^ b, same),
            Binary::Eq => two(|a: u8, b: u8| (a == b) as u8, same),
            Binary::Lt => two(|a: u8, b: u8| (a < b) as u8, same),
            Binary::Le | Binary::Pow => two(|a: u8, b: u8| (a <= b) as u8, same),
            Binary::Rem => two(|a: u8, b: u8| (a > b) as u8, same),
            Binary::Div | Binary::Atan2 | Binary::Shl | Binary::Shr | Binary::Ushr | Binary::Within => {
                return None;
            }
        },
    })
}

/// Conversion from one type to another.
pub(super) fn cast(from: Type, to: Type) -> Run {
    macro_rules! from {
        ($t:ident) => {
            match to {
                Type::F32 => one(<$t as Convert<f32>>::convert),
                Type::F64 => one(<$t as Convert<f64>>::convert),
                Type::I32 => one(<$t as Convert<i32>>::convert),
                Type::I64 => one(<$t as Convert<i64>>::convert),
                Type::Bool => one(|x: $t| (x != 0 as $t) as u8),
            }
        };
    }
    match from {
        _ if from == to => copy(to),
        Type::F32 => from!(f32),
        Type::F64 => from!(f64),
        Type::I32 => from!(i32),
        Type::I64 => from!(i64),
        Type::Bool => from!(u8),
    }
}
