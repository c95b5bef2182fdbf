//! Registers of x86: AVX2 with FMA, and AVX-512. Chosen at run time.

use super::pack::{Panel, panel};
use super::tile::{Dots, Tile, dots, rows};
use super::vector::{Vector, pick};
use std::arch::x86_64::*;

/// Eight (f32) or four (f64) lanes.
#[derive(Clone, Copy)]
pub(super) struct Avx2<V>(V);

/// Sixteen (f32) or eight (f64) lanes.
#[derive(Clone, Copy)]
pub(super) struct Avx512<V>(V);

/// One register type. The methods that differ in kind (parts, sums, transposing) are functions given by name.
macro_rules! register {
    (
        $kind:ident, $raw:ty, $elem:ty, $lanes:literal, $rows:literal, $side:literal, $features:literal, [$($n:literal)*],
        $zero:ident, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident,
        $at_least:expr, $load_part:expr, $store_part:expr, $sum:expr, $transpose:expr
    ) => {
        // SAFETY: the methods use the instruction set that the type stands for, and touch what the contract names.
        unsafe impl Vector for $kind<$raw> {
            type Elem = $elem;
            const LANES: usize = $lanes;
            const ROWS: usize = $rows;
            const SIDE: usize = $side;

            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn zero() -> Self {
                $kind($zero())
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn splat(p: *const $elem) -> Self {
                // SAFETY: the trait's contract.
                $kind($splat(unsafe { *p }))
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn load(p: *const $elem) -> Self {
                // SAFETY: the trait's contract.
                $kind(unsafe { $load(p) })
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn store(self, p: *mut $elem) {
                // SAFETY: the trait's contract.
                unsafe { $store(p, self.0) }
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn load_part(p: *const $elem, n: usize) -> Self {
                // SAFETY: the trait's contract.
                $kind(unsafe { $load_part(p, n) })
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn store_part(self, p: *mut $elem, n: usize) {
                // SAFETY: the trait's contract.
                unsafe { $store_part(self.0, p, n) }
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                $kind($fma(self.0, b.0, c.0))
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn plus(self, b: Self) -> Self {
                $kind($add(self.0, b.0))
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn at_least(self, least: Self) -> Self {
                $kind($at_least(self.0, least.0))
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn sum(self) -> $elem {
                $sum(self.0)
            }
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn transpose(from: *const $elem, from_row: isize, to: *mut $elem, to_row: usize) {
                // SAFETY: the trait's contract.
                unsafe { $transpose(from, from_row, to, to_row) }
            }
            #[target_feature(enable = $features)]
            unsafe fn run_rows(tile: &Tile<$elem>, r: usize, w: usize) {
                // SAFETY: passed on unchanged.
                unsafe { pick!(tile, r, w, $($n)*) }
            }
            #[target_feature(enable = $features)]
            unsafe fn run_dots(work: &Dots<$elem>) {
                // SAFETY: passed on unchanged.
                unsafe { dots::<Self>(work) }
            }
            #[target_feature(enable = $features)]
            unsafe fn run_panel(work: &Panel<$elem>) {
                // SAFETY: passed on unchanged.
                unsafe { panel::<Self>(work) }
            }
        }
    };
}

register!(
    Avx2, __m256, f32, 8, 6, 8, "avx2,fma", [1 2 3 4 5 6],
    _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_add_ps,
    |v, least| _mm256_blendv_ps(v, least, _mm256_cmp_ps::<_CMP_LE_OQ>(v, least)),
    load_part_8, store_part_8, sum_8, transpose_8
);
register!(
    Avx2, __m256d, f64, 4, 6, 4, "avx2,fma", [1 2 3 4 5 6],
    _mm256_setzero_pd, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd, _mm256_add_pd,
    |v, least| _mm256_blendv_pd(v, least, _mm256_cmp_pd::<_CMP_LE_OQ>(v, least)),
    load_part_4, store_part_4, sum_4, transpose_4
);
register!(
    Avx512, __m512, f32, 16, 12, 8, "avx512f,avx2,fma", [1 2 3 4 5 6 7 8 9 10 11 12],
    _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_add_ps,
    |v, least| _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask::<_CMP_LE_OQ>(v, least), least),
    |p, n| _mm512_maskz_loadu_ps((1u16 << n) - 1, p), |v, p, n| _mm512_mask_storeu_ps(p, (1u16 << n) - 1, v),
    |v| _mm512_reduce_add_ps(v), transpose_8
);
register!(
    Avx512, __m512d, f64, 8, 12, 4, "avx512f,avx2,fma", [1 2 3 4 5 6 7 8 9 10 11 12],
    _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd, _mm512_add_pd,
    |v, least| _mm512_mask_mov_pd(v, _mm512_cmp_pd_mask::<_CMP_LE_OQ>(v, least), least),
    |p, n| _mm512_maskz_loadu_pd((1u8 << n) - 1, p), |v, p, n| _mm512_mask_storeu_pd(p, (1u8 << n) - 1, v),
    |v| _mm512_reduce_add_pd(v), transpose_4
);

/// A window of this table is the mask of the first `n` of eight lanes.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_part_8(p: *const f32, n: usize) -> __m256 {
    // SAFETY: the window lies in the table for n <= 8; lanes outside the mask are not read.
    unsafe { _mm256_maskload_ps(p, _mm256_loadu_si256(MASK.as_ptr().add(8 - n).cast())) }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_part_4(p: *const f64, n: usize) -> __m256d {
    // SAFETY: the window lies in the table for n <= 4; lanes outside the mask are not read.
    unsafe { _mm256_maskload_pd(p, _mm256_loadu_si256(MASK.as_ptr().add(8 - 2 * n).cast())) }
}

// Masked stores are microcode on AMD before Zen 4: two or three plain ones are faster.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_part_8(v: __m256, mut p: *mut f32, n: usize) {
    let mut low = _mm256_castps256_ps128(v);
    // SAFETY: 4 + 2 + 1 elements as the bits of n say.
    unsafe {
        if n & 4 != 0 {
            _mm_storeu_ps(p, low);
            p = p.add(4);
            low = _mm256_extractf128_ps(v, 1);
        }
        if n & 2 != 0 {
            _mm_store_sd(p.cast(), _mm_castps_pd(low));
            p = p.add(2);
            low = _mm_movehl_ps(low, low);
        }
        if n & 1 != 0 {
            _mm_store_ss(p, low);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_part_4(v: __m256d, mut p: *mut f64, n: usize) {
    let mut low = _mm256_castpd256_pd128(v);
    // SAFETY: 2 + 1 elements as the bits of n say.
    unsafe {
        if n & 2 != 0 {
            _mm_storeu_pd(p, low);
            p = p.add(2);
            low = _mm256_extractf128_pd(v, 1);
        }
        if n & 1 != 0 {
            _mm_store_sd(p, low);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_8(v: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_4(v: __m256d) -> f64 {
    let two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_8(from: *const f32, from_row: isize, to: *mut f32, to_row: usize) {
    // SAFETY: both squares are valid by the caller's contract.
    unsafe {
        // Rows i and i + 4 meet in one register by 128-bit halves, so that no shuffle has to cross them later.
        let half = |i: isize, at: isize| {
            let (x, y) = (from.offset(i * from_row + at), from.offset((i + 4) * from_row + at));
            _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x)), _mm_loadu_ps(y), 1)
        };
        for side in 0..2 {
            let r: [__m256; 4] = std::array::from_fn(|i| half(i as isize, 4 * side as isize));
            let (a, b) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
            let (c, d) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
            let to = to.add(4 * side * to_row);
            _mm256_storeu_ps(to, _mm256_shuffle_ps(a, c, 0b01_00_01_00));
            _mm256_storeu_ps(to.add(to_row), _mm256_shuffle_ps(a, c, 0b11_10_11_10));
            _mm256_storeu_ps(to.add(2 * to_row), _mm256_shuffle_ps(b, d, 0b01_00_01_00));
            _mm256_storeu_ps(to.add(3 * to_row), _mm256_shuffle_ps(b, d, 0b11_10_11_10));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_4(from: *const f64, from_row: isize, to: *mut f64, to_row: usize) {
    // SAFETY: both squares are valid by the caller's contract.
    unsafe {
        let half = |i: isize, at: isize| {
            let (x, y) = (from.offset(i * from_row + at), from.offset((i + 2) * from_row + at));
            _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(x)), _mm_loadu_pd(y), 1)
        };
        for side in 0..2 {
            let (a, b) = (half(0, 2 * side as isize), half(1, 2 * side as isize));
            let to = to.add(2 * side * to_row);
            _mm256_storeu_pd(to, _mm256_unpacklo_pd(a, b));
            _mm256_storeu_pd(to.add(to_row), _mm256_unpackhi_pd(a, b));
        }
    }
}
