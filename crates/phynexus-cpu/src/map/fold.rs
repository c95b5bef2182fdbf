//! Reductions over rows: sixteen running values, joined in a fixed order; floats in f64, integers in i64.

use super::loops::{Args, Run, Value};
use crate::simd::vectorised;
use phynexus_formula::{Reduction, Type};

/// How one reduction of one type is computed: whole rows at once, or piece by piece.
#[derive(Clone, Copy)]
pub(super) struct Fold {
    /// One result for each row of a block.
    pub rows: Run,
    /// The result of a piece, in the bits of the wide type.
    pub piece: unsafe fn(*const u8, usize) -> u64,
    /// Joins the results of two neighbouring pieces.
    pub join: fn(u64, u64) -> u64,
    /// What one row value of this type looks like, from the result of all pieces.
    pub finish: fn(u64) -> u64,
}

impl Fold {
    pub fn new(op: Reduction, ty: Type) -> Fold {
        fn by_type<F: Join<f64>, I: Join<i64>>(ty: Type) -> Fold {
            fn of<T: Wide, J: Join<T::Wide>>() -> Fold {
                Fold { rows: rows::<T, J>, piece: piece::<T, J>, join: join::<T, J>, finish: finish::<T> }
            }
            match ty {
                Type::F32 => of::<f32, F>(),
                Type::F64 => of::<f64, F>(),
                Type::I32 => of::<i32, I>(),
                Type::I64 => of::<i64, I>(),
                Type::Bool => of::<u8, I>(),
            }
        }
        match (op, ty) {
            (Reduction::Max, Type::F32) => {
                return Fold { rows: extreme_rows::<Max>, ..by_type::<Max, Max>(ty) };
            }
            (Reduction::Min, Type::F32) => {
                return Fold { rows: extreme_rows::<Min>, ..by_type::<Min, Min>(ty) };
            }
            _ => {}
        }
        match op {
            Reduction::Sum => by_type::<Sum, Sum>(ty),
            Reduction::Prod => by_type::<Prod, Prod>(ty),
            Reduction::Max => by_type::<Max, Max>(ty),
            Reduction::Min => by_type::<Min, Min>(ty),
        }
    }

    /// The result of all pieces: neighbours are joined, then neighbours of those, and so on.
    pub fn tree(&self, pieces: &mut [u64]) -> u64 {
        let mut n = pieces.len();
        while n > 1 {
            for i in 0..n / 2 {
                pieces[i] = (self.join)(pieces[2 * i], pieces[2 * i + 1]);
            }
            if n % 2 == 1 {
                pieces[n / 2] = pieces[n - 1];
            }
            n = n.div_ceil(2);
        }
        (self.finish)(pieces[0])
    }
}

/// A type and what it is accumulated in.
trait Wide: Value {
    type Wide: Copy + 'static;
    fn widen(self) -> Self::Wide;
    fn narrow(wide: Self::Wide) -> Self;
    fn to_bits(wide: Self::Wide) -> u64;
    fn from_bits(bits: u64) -> Self::Wide;
}

macro_rules! wide {
    ($t:ident, $wide:ident, $narrow:expr, $to:expr, $from:expr) => {
        impl Wide for $t {
            type Wide = $wide;
            #[inline(always)]
            fn widen(self) -> $wide {
                self as $wide
            }
            #[inline(always)]
            fn narrow(wide: $wide) -> $t {
                $narrow(wide)
            }
            fn to_bits(wide: $wide) -> u64 {
                $to(wide)
            }
            fn from_bits(bits: u64) -> $wide {
                $from(bits)
            }
        }
    };
}
wide!(f32, f64, |w| w as f32, f64::to_bits, f64::from_bits);
wide!(f64, f64, |w| w, f64::to_bits, f64::from_bits);
wide!(i32, i64, |w| w as i32, |w| w as u64, |b| b as i64);
wide!(i64, i64, |w| w, |w| w as u64, |b| b as i64);
wide!(u8, i64, |w| (w != 0) as u8, |w| w as u64, |b| b as i64);

trait Join<W: Copy>: 'static {
    const START: W;
    fn join(a: W, b: W) -> W;
}

struct Sum;
struct Prod;
struct Max;
struct Min;

macro_rules! joins {
    ($name:ident, $float:expr, $int:expr, $a:ident, $b:ident, $of_floats:expr, $of_ints:expr) => {
        impl Join<f64> for $name {
            const START: f64 = $float;
            #[inline(always)]
            fn join($a: f64, $b: f64) -> f64 {
                $of_floats
            }
        }
        impl Join<i64> for $name {
            const START: i64 = $int;
            #[inline(always)]
            fn join($a: i64, $b: i64) -> i64 {
                $of_ints
            }
        }
    };
}
joins!(Sum, 0.0, 0, a, b, a + b, a.wrapping_add(b));
joins!(Prod, 1.0, 1, a, b, a * b, a.wrapping_mul(b));
joins!(Max, f64::NEG_INFINITY, i64::MIN, a, b, if b > a || b.is_nan() { b } else { a }, a.max(b));
joins!(Min, f64::INFINITY, i64::MAX, a, b, if b < a || b.is_nan() { b } else { a }, a.min(b));

const LANES: usize = 16;
/// Longer pieces are halved, so that rounding errors grow as those of pairwise summation.
const STRAIGHT: usize = 1024;

/// # Safety
/// `a` must hold `n` values.
#[inline(always)]
unsafe fn straight<T: Wide, J: Join<T::Wide>>(a: *const T, n: usize) -> T::Wide {
    // SAFETY: all indices are below n.
    let at = |i: usize| unsafe { a.add(i).read_unaligned() }.widen();
    if n < LANES {
        return (0..n).fold(J::START, |sum, i| J::join(sum, at(i)));
    }
    let mut lanes: [T::Wide; LANES] = std::array::from_fn(at);
    let mut i = LANES;
    while i + LANES <= n {
        for (lane, value) in lanes.iter_mut().enumerate() {
            *value = J::join(*value, at(i + lane));
        }
        i += LANES;
    }
    for rest in i..n {
        lanes[rest - i] = J::join(lanes[rest - i], at(rest));
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = J::join(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

vectorised! {
    unsafe fn rows<T: Wide, J: Join<T::Wide>>(g: &Args) {
        let mut row = 0;
        // Short rows are chains of dependent operations: eight go side by side.
        while g.len < LANES && row + 8 <= g.rows {
            // SAFETY: `a` holds rows * len values and `out` one for each row.
            unsafe {
                let from = g.a.cast::<T>().add(row * g.len);
                let mut values = [J::START; 8];
                for i in 0..g.len {
                    for (k, value) in values.iter_mut().enumerate() {
                        *value = J::join(*value, from.add(k * g.len + i).read_unaligned().widen());
                    }
                }
                g.out.cast::<T>().add(row).cast::<[T; 8]>().write_unaligned(values.map(T::narrow));
            }
            row += 8;
        }
        for row in row..g.rows {
            // SAFETY: `a` holds rows * len values and `out` one for each row.
            unsafe {
                let from = g.a.cast::<T>().add(row * g.len);
                let value = if g.len <= STRAIGHT { straight::<T, J>(from, g.len) } else { T::from_bits(piece::<T, J>(from.cast(), g.len)) };
                g.out.cast::<T>().add(row).write_unaligned(T::narrow(value));
            }
        }
    }
}

/// Which of two floats an extremum is, where neither is NaN.
trait Order: Join<f64> {
    fn before(a: f32, b: f32) -> bool;
}

impl Order for Max {
    #[inline(always)]
    fn before(a: f32, b: f32) -> bool {
        a > b
    }
}

impl Order for Min {
    #[inline(always)]
    fn before(a: f32, b: f32) -> bool {
        a < b
    }
}

/// Elements that an extremum is looked for in beside each other: their order does not matter.
const WIDE: usize = 64;

vectorised! {
    /// As [`rows`] for the extrema of floats, which need no wider type.
    unsafe fn extreme_rows<J: Order>(g: &Args) {
        if g.len < WIDE {
            // SAFETY: the contract is passed on.
            return unsafe { rows::<f32, J>(g) };
        }
        for row in 0..g.rows {
            // SAFETY: `a` holds rows * len values and `out` one for each row.
            unsafe {
                let from = g.a.cast::<f32>().add(row * g.len);
                let mut best: [f32; WIDE] = std::array::from_fn(|i| from.add(i).read_unaligned());
                let mut nan = best.map(|x| x.is_nan() as u32);
                // The last elements may be looked at once more.
                let last = g.len - WIDE;
                let mut i = WIDE.min(last);
                loop {
                    for lane in 0..WIDE {
                        let x = from.add(i + lane).read_unaligned();
                        best[lane] = if J::before(x, best[lane]) { x } else { best[lane] };
                        nan[lane] |= x.is_nan() as u32;
                    }
                    if i == last {
                        break;
                    }
                    i = (i + WIDE).min(last);
                }
                let mut width = WIDE / 2;
                while width > 0 {
                    for lane in 0..width {
                        let other = best[lane + width];
                        best[lane] = if J::before(other, best[lane]) { other } else { best[lane] };
                        nan[lane] |= nan[lane + width];
                    }
                    width /= 2;
                }
                let result = if nan[0] == 0 { best[0] } else { f32::NAN };
                g.out.cast::<f32>().add(row).write_unaligned(result);
            }
        }
    }
}

vectorised! {
    unsafe fn piece<T: Wide, J: Join<T::Wide>>(a: *const u8, n: usize) -> u64 {
        // SAFETY: `a` holds n values.
        unsafe {
            if n <= STRAIGHT {
                return T::to_bits(straight::<T, J>(a.cast(), n));
            }
            let half = (n / 2).next_multiple_of(LANES);
            let rest = a.cast::<T>().add(half).cast();
            join::<T, J>(piece::<T, J>(a, half), piece::<T, J>(rest, n - half))
        }
    }
}

fn join<T: Wide, J: Join<T::Wide>>(a: u64, b: u64) -> u64 {
    T::to_bits(J::join(T::from_bits(a), T::from_bits(b)))
}

fn finish<T: Wide>(bits: u64) -> u64 {
    let mut cell = 0u64;
    // SAFETY: every value type fits into a cell.
    unsafe { (&raw mut cell).cast::<T>().write(T::narrow(T::from_bits(bits))) };
    cell
}
