//! Factorizations of matrices: each matrix of a batch on one thread, so that bits do not depend on how many there are.

use crate::pool;
use crate::strided::Ptr;
use faer::linalg::cholesky::llt::factor::LltError;
use faer::linalg::solvers::{Llt, PartialPivLu, Qr, SelfAdjointEigen, Solve, Svd};
use faer::linalg::triangular_solve as triangular;
use faer::traits::RealField;
use faer::{Mat, MatRef, Par, Side};
use phynexus_core::{DType, Error, Factorization, Result, Task, View, reserve};
use std::sync::Mutex;

/// Numbers that matrices are factored in.
trait Number: RealField + Copy {
    const NAN: Self;
    fn finite(self) -> bool;
    /// The largest power of two that is not larger, at least the smallest normal one.
    fn power(self) -> Self;
}

macro_rules! number {
    ($($t:ty, $exponent:literal);*) => {$(
        impl Number for $t {
            const NAN: $t = <$t>::NAN;
            fn finite(self) -> bool {
                self.is_finite()
            }
            fn power(self) -> $t {
                <$t>::from_bits(self.to_bits() & $exponent).max(<$t>::MIN_POSITIVE)
            }
        }
    )*};
}
number!(f32, 0x7f80_0000; f64, 0x7ff0_0000_0000_0000);

/// Factors every matrix of the batch; of several that cannot be, the first is the error.
pub(crate) fn launch(how: Factorization, task: &Task<'_>) -> Result<()> {
    match task.inputs[0].dtype {
        DType::F32 => each::<f32>(how, task),
        DType::F64 => each::<f64>(how, task),
        other => Err(Error::Type(format!("matrices of {other} cannot be factored; convert with .float()"))),
    }
}

fn each<T: Number>(how: Factorization, task: &Task<'_>) -> Result<()> {
    let [batch, m, n] = sizes(&task.inputs[0]);
    let columns = task.inputs.get(1).map_or(n, |b| sizes(b)[2]);
    let work = batch.saturating_mul(m * n).saturating_mul(columns.min(m));
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    pool::run(batch, work, &|i| {
        if let Err(error) = one::<T>(how, task, i) {
            let mut first = failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if first.as_ref().is_none_or(|(known, _)| i < *known) {
                *first = Some((i, error));
            }
        }
    });
    let failed = failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

fn sizes(view: &View<'_>) -> [usize; 3] {
    let shape = view.layout.shape();
    [shape[0], shape[1], shape[2]]
}

/// A copy of matrix `i`: it is changed in place, and its alignment, which decides how sums are cut, is always the same.
fn copied<T: Number>(view: &View<'_>, i: usize) -> Mat<T> {
    let ([_, m, n], strides) = (sizes(view), view.layout.strides());
    let at = Ptr::<T>::of(view).at(i as isize * strides[0]);
    // SAFETY: an element of matrix i of the view.
    Mat::from_fn(m, n, |r, c| unsafe { *at.offset(r as isize * strides[1] + c as isize * strides[2]) })
}

/// Writes result `i`, a matrix or a vector.
fn put<T: Number>(view: &View<'_>, i: usize, element: impl Fn(usize, usize) -> T) {
    let (shape, strides) = (view.layout.shape(), view.layout.strides());
    let at = Ptr::<T>::of(view).at(i as isize * strides[0]);
    let (columns, step) = if shape.len() == 3 { (shape[2], strides[2]) } else { (1, 0) };
    for r in 0..shape[1] {
        for c in 0..columns {
            // SAFETY: an element of matrix i of the view, which no other thread writes.
            unsafe { *at.offset(r as isize * strides[1] + c as isize * step) = element(r, c) }
        }
    }
}

fn put_matrix<T: Number>(view: &View<'_>, i: usize, matrix: MatRef<'_, T>) {
    put(view, i, |r, c| matrix[(r, c)]);
}

/// The first element that is NaN or infinite.
fn nonfinite<T: Number>(a: &Mat<T>) -> Option<(usize, usize)> {
    (0..a.ncols()).flat_map(|c| (0..a.nrows()).map(move |r| (r, c))).find(|&at| !a[at].finite())
}

fn check_finite<T: Number>(what: &str, a: &Mat<T>, i: usize) -> Result<()> {
    let Some((r, c)) = nonfinite(a) else { return Ok(()) };
    Err(Error::Value(format!(
        "{what}: element ({r}, {c}) of matrix {i} of the batch is {:?}; all elements must be finite",
        a[(r, c)]
    )))
}

/// Divides by a power of two, so that no square of an element overflows or vanishes; returns it.
fn tame<T: Number>(a: &mut Mat<T>) -> T {
    let sizes = a.col_iter().flat_map(|c| c.iter()).map(T::abs_impl);
    let power = sizes.fold(T::zero_impl(), |x, y| if y > x { y } else { x }).power();
    let factor = T::one_impl() / power;
    a.col_iter_mut().for_each(|c| c.iter_mut().for_each(|x| *x *= factor));
    power
}

fn no_convergence(what: &str, i: usize) -> Error {
    Error::Runtime(format!("{what}: matrix {i} of the batch did not converge; scale it, or use float64"))
}

/// For each column 1 or -1: what makes its largest element positive. No factorization decides the signs of vectors.
fn signs<T: Number>(basis: MatRef<'_, T>) -> Vec<T> {
    let (zero, one) = (T::zero_impl(), T::one_impl());
    let ends = |(low, high): (T, T), &x: &T| (if x < low { x } else { low }, if x > high { x } else { high });
    let sign = |c| {
        let (low, high) = basis.col(c).iter().fold((zero, zero), ends);
        if -low > high { -one } else { one }
    };
    (0..basis.ncols()).map(sign).collect()
}

/// A MemoryError where there is no room for what factoring a matrix takes, since the library would end the process.
fn check_memory<T>(how: Factorization, task: &Task<'_>) -> Result<()> {
    let [_, m, n] = sizes(&task.inputs[0]);
    let (most, least) = (m.max(n), m.min(n));
    let whole = matches!(how, Factorization::Qr { full: true } | Factorization::Svd { full: true });
    let right = task.inputs.get(1).map_or(0, |b| sizes(b)[1] * sizes(b)[2]);
    let elements = 4 * most * if whole { most } else { least } + 6 * least * least + 2 * right;
    reserve::<T>(elements).map(drop)
}

fn one<T: Number>(how: Factorization, task: &Task<'_>, i: usize) -> Result<()> {
    let out = task.outputs;
    check_memory::<T>(how, task)?;
    let mut a = copied::<T>(&task.inputs[0], i);
    match how {
        Factorization::Cholesky => {
            let llt = Llt::new(a.as_ref(), Side::Lower).map_err(|LltError::NonPositivePivot { index }| {
                Error::Value(format!(
                    "cholesky: matrix {i} of the batch is not positive definite: pivot {index} is not positive; add a \
                     small multiple of the identity if it should be"
                ))
            })?;
            put_matrix(&out[0], i, llt.L());
        }
        Factorization::Qr { .. } if nonfinite(&a).is_some() => {
            out.iter().for_each(|view| put(view, i, |_, _| T::NAN));
        }
        Factorization::Qr { full } => {
            let power = tame(&mut a);
            let qr = Qr::new(a.as_ref());
            let q = if full { qr.compute_Q() } else { qr.compute_thin_Q() };
            let r = qr.thin_R();
            put_matrix(&out[0], i, q.as_ref());
            put(&out[1], i, |row, c| if row < r.nrows() { r[(row, c)] * power } else { T::zero_impl() });
        }
        Factorization::Eigh => {
            for c in 0..a.ncols() {
                (0..c).for_each(|r| a[(r, c)] = a[(c, r)]);
            }
            check_finite("eigh", &a, i)?;
            let power = tame(&mut a);
            let eigen =
                SelfAdjointEigen::new(a.as_ref(), Side::Lower).map_err(|_| no_convergence("eigh", i))?;
            put(&out[0], i, |r, _| eigen.S()[r] * power);
            let signs = signs(eigen.U());
            put(&out[1], i, |r, c| eigen.U()[(r, c)] * signs[c]);
        }
        Factorization::Svd { full } => {
            check_finite("svd", &a, i)?;
            let power = tame(&mut a);
            let svd = if full { Svd::new(a.as_ref()) } else { Svd::new_thin(a.as_ref()) };
            let svd = svd.map_err(|_| no_convergence("svd", i))?;
            let signs = signs(svd.U());
            put(&out[0], i, |r, c| svd.U()[(r, c)] * signs[c]);
            put(&out[1], i, |r, _| svd.S()[r] * power);
            put(&out[2], i, |r, c| svd.V()[(c, r)] * *signs.get(r).unwrap_or(&T::one_impl()));
        }
        Factorization::Solve if nonfinite(&a).is_some() => put(&out[0], i, |_, _| T::NAN),
        Factorization::Solve => {
            let lu = PartialPivLu::new(a.as_ref());
            if let Some(pivot) = (0..a.nrows()).find(|&k| lu.U()[(k, k)] == T::zero_impl()) {
                return Err(Error::Value(format!(
                    "solve: matrix {i} of the batch is singular: pivot {pivot} is zero"
                )));
            }
            put_matrix(&out[0], i, lu.solve(copied::<T>(&task.inputs[1], i)).as_ref());
        }
        Factorization::SolveTriangular { upper, transposed, unit } => {
            let mut x = copied::<T>(&task.inputs[1], i);
            let a = if transposed { a.transpose() } else { a.as_ref() };
            match (upper != transposed, unit) {
                (false, false) => triangular::solve_lower_triangular_in_place(a, x.as_mut(), Par::Seq),
                (false, true) => triangular::solve_unit_lower_triangular_in_place(a, x.as_mut(), Par::Seq),
                (true, false) => triangular::solve_upper_triangular_in_place(a, x.as_mut(), Par::Seq),
                (true, true) => triangular::solve_unit_upper_triangular_in_place(a, x.as_mut(), Par::Seq),
            }
            put_matrix(&out[0], i, x.as_ref());
        }
    }
    Ok(())
}
