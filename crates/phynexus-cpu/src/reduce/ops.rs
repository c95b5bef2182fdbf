//! The functions that reductions are made of.

use crate::element::{Element, Key, Wide};
use phynexus_core::DType;
use std::array::from_fn;
use std::marker::PhantomData;

/// How many elements of a row are taken beside each other.
pub(super) const LANES: usize = 32;
/// The same for what is left of it.
const FEW: usize = LANES / 4;

/// A reduction of elements `In` into `Acc`; `merge` is associative but for rounding.
pub(super) trait Reducer: Sized + 'static {
    type In: Element;
    type Acc: Copy + Send + Sync;
    /// How many elements one lane takes, one after the other.
    const RUN: usize;
    /// Whether the position of an element matters.
    const POSITIONS: bool;

    fn identity() -> Self::Acc;
    /// `acc` and the element `x` at position `at`.
    fn take(acc: Self::Acc, x: Self::In, at: usize) -> Self::Acc;
    /// `a` and `b`, where `a` comes first.
    fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// Reduces `count` elements, the first of which has position `at`.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn row(from: *const Self::In, stride: isize, count: usize, at: usize) -> Self::Acc;
    /// Writes the result as `dtype`, divided by `count` for a mean.
    ///
    /// # Safety
    /// `place` must be the aligned address of an element of that dtype.
    unsafe fn store(acc: Self::Acc, count: Option<usize>, dtype: DType, place: *mut u8);
}

/// A function of two numbers with a neutral one.
pub(super) trait Monoid: 'static {
    fn identity<W: Wide>() -> W;
    fn fold<W: Wide>(a: W, b: W) -> W;
}

/// What elements are accumulated in.
pub(super) trait Kept<T>: 'static {
    type Acc: Wide;
    fn keep(x: T) -> Self::Acc;
}

/// As i64 or f64: sums and products.
pub(super) struct Widened;
/// As they are compared: extrema.
pub(super) struct Own;

impl<T: Element> Kept<T> for Widened {
    type Acc = T::Wide;
    #[inline(always)]
    fn keep(x: T) -> T::Wide {
        x.widen()
    }
}

impl<T: Element> Kept<T> for Own {
    type Acc = T::Own;
    #[inline(always)]
    fn keep(x: T) -> T::Own {
        x.own()
    }
}

/// A [`Monoid`] over the elements `T`, kept as `K` says.
pub(super) struct Fold<T, K, M>(PhantomData<(T, K, M)>);

macro_rules! monoid {
    ($(#[$meta:meta])* $name:ident, $identity:ident, $a:ident, $b:ident, $fold:expr) => {
        $(#[$meta])*
        pub(super) struct $name;
        impl Monoid for $name {
            #[inline(always)]
            fn identity<W: Wide>() -> W {
                W::$identity
            }
            #[inline(always)]
            #[allow(clippy::eq_op, reason = "NaN differs from itself")]
            fn fold<W: Wide>($a: W, $b: W) -> W {
                $fold
            }
        }
    };
}

monoid!(Sum, ZERO, a, b, a.plus(b));
monoid!(Prod, ONE, a, b, a.times(b));
monoid!(
    /// NaN stays: it is taken as it comes, and nothing is greater than it afterwards.
    Max, LOWEST, a, b, if b > a || b != b { b } else { a }
);
monoid!(
    /// As [`Max`].
    Min, HIGHEST, a, b, if b < a || b != b { b } else { a }
);
monoid!(Any, ZERO, a, b, if b != W::ZERO { W::ONE } else { a });
monoid!(All, ONE, a, b, if b == W::ZERO { W::ZERO } else { a });

impl<T: Element, K: Kept<T>, M: Monoid> Reducer for Fold<T, K, M> {
    type In = T;
    type Acc = K::Acc;
    // What f64 adds to the error of narrower floats is nothing; sums of f64 themselves are cut into short runs.
    const RUN: usize = if size_of::<T>() == 8 { 32 } else { 1024 };
    const POSITIONS: bool = false;

    #[inline(always)]
    fn identity() -> K::Acc {
        M::identity()
    }
    #[inline(always)]
    fn take(acc: K::Acc, x: T, _at: usize) -> K::Acc {
        M::fold(acc, K::keep(x))
    }
    #[inline(always)]
    fn merge(a: K::Acc, b: K::Acc) -> K::Acc {
        M::fold(a, b)
    }
    #[inline(always)]
    unsafe fn row(from: *const T, stride: isize, count: usize, _at: usize) -> K::Acc {
        // SAFETY: the caller says that these are readable.
        let element = |i: usize| K::keep(unsafe { *from.offset(i as isize * stride) });
        let (mut i, mut few, mut acc) = (0, [M::identity(); FEW], M::identity());
        if count >= LANES {
            let mut wide: [K::Acc; LANES] = [M::identity(); LANES];
            while i + LANES <= count {
                for (lane, acc) in wide.iter_mut().enumerate() {
                    *acc = M::fold(*acc, element(i + lane));
                }
                i += LANES;
            }
            let half: [K::Acc; LANES / 2] = from_fn(|l| M::fold(wide[l], wide[l + LANES / 2]));
            few = from_fn(|l| M::fold(half[l], half[l + FEW]));
        }
        if count >= FEW {
            while i + FEW <= count {
                for (lane, acc) in few.iter_mut().enumerate() {
                    *acc = M::fold(*acc, element(i + lane));
                }
                i += FEW;
            }
            let four: [K::Acc; 4] = from_fn(|l| M::fold(few[l], few[l + 4]));
            acc = M::fold(M::fold(four[0], four[2]), M::fold(four[1], four[3]));
        }
        while i < count {
            acc = M::fold(acc, element(i));
            i += 1;
        }
        acc
    }
    unsafe fn store(acc: K::Acc, count: Option<usize>, dtype: DType, place: *mut u8) {
        // SAFETY: passed on.
        unsafe {
            match count {
                Some(count) => (acc.as_f64() / count as f64).store(dtype, place),
                None => acc.store(dtype, place),
            }
        }
    }
}

/// The position of the first maximum or minimum; NaN wins either.
pub(super) struct Arg<T, const MAX: bool>(PhantomData<T>);

impl<T: Element, const MAX: bool> Arg<T, MAX> {
    /// The position that nothing has yet.
    const NOWHERE: usize = usize::MAX;

    #[inline(always)]
    fn key(x: T) -> T::Key {
        if MAX || x.is_nan() { x.key() } else { !x.key() }
    }
}

impl<T: Element, const MAX: bool> Reducer for Arg<T, MAX> {
    type In = T;
    type Acc = (T::Key, usize);
    const RUN: usize = 1024;
    const POSITIONS: bool = true;

    #[inline(always)]
    fn identity() -> Self::Acc {
        (T::Key::MIN, Self::NOWHERE)
    }
    #[inline(always)]
    fn take(acc: Self::Acc, x: T, at: usize) -> Self::Acc {
        Self::merge(acc, (Self::key(x), at))
    }
    #[inline(always)]
    fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc {
        if b.0 > a.0 || a.1 == Self::NOWHERE { b } else { a }
    }
    /// The maximum of a block first, which vectorises, and its position only where it is a new one.
    #[inline(always)]
    unsafe fn row(from: *const T, stride: isize, count: usize, at: usize) -> Self::Acc {
        const BLOCK: usize = 512;
        // SAFETY: the caller says that these are readable.
        let key = |i: usize| Self::key(unsafe { *from.offset(i as isize * stride) });
        let mut best = Self::identity();
        let mut start = 0;
        while start < count {
            let end = count.min(start + BLOCK);
            let mut top = [T::Key::MIN; LANES];
            let mut i = start;
            while i + LANES <= end {
                for (lane, top) in top.iter_mut().enumerate() {
                    *top = (*top).max(key(i + lane));
                }
                i += LANES;
            }
            let mut most = top.into_iter().fold(T::Key::MIN, Ord::max);
            while i < end {
                most = most.max(key(i));
                i += 1;
            }
            if most > best.0 || best.1 == Self::NOWHERE {
                let mut first = start;
                while key(first) != most {
                    first += 1;
                }
                best = (most, at + first);
            }
            start = end;
        }
        best
    }
    unsafe fn store(acc: Self::Acc, _count: Option<usize>, dtype: DType, place: *mut u8) {
        // SAFETY: passed on.
        unsafe { (acc.1 as i64).store(dtype, place) }
    }
}
