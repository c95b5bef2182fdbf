//! Factorizations and systems of equations, behind `neurenix.linalg`.

use crate::error::run;
use crate::tensor::{Made, PyTensor};
use phynexus::{Factorization, Tensor};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

type T<'a, 'py> = &'a Bound<'py, PyTensor>;

/// What a factorization takes, in elements of a cheap operation.
fn work(a: &Tensor) -> usize {
    a.shape().elements().saturating_mul(a.shape().last().copied().unwrap_or(1))
}

/// The factors of each matrix (..., rows, columns): "cholesky", "qr", "eigh" or "svd".
#[pyfunction]
#[pyo3(signature = (name, matrices, full=false))]
fn factor(py: Python<'_>, name: &str, matrices: T<'_, '_>, full: bool) -> PyResult<Vec<PyTensor>> {
    let how = match name {
        "cholesky" => Factorization::Cholesky,
        "qr" => Factorization::Qr { full },
        "eigh" => Factorization::Eigh,
        "svd" => Factorization::Svd { full },
        other => return Err(PyValueError::new_err(format!("no factorization is called {other:?}"))),
    };
    let a = &matrices.get().0;
    let factors = run(py, work(a), || phynexus::factor(a, how))?;
    Ok(factors.into_iter().map(PyTensor).collect())
}

/// X with A X = B.
#[pyfunction]
fn solve(py: Python<'_>, a: T<'_, '_>, b: T<'_, '_>) -> Made {
    let (a, b) = (&a.get().0, &b.get().0);
    run(py, work(a).saturating_add(work(b)), || phynexus::solve(a, b, Factorization::Solve)).map(PyTensor)
}

/// X with A X = B or Aᵀ X = B, where A is triangular.
#[pyfunction]
#[pyo3(signature = (a, b, upper, transposed=false, unit=false))]
fn solve_triangular(
    py: Python<'_>,
    a: T<'_, '_>,
    b: T<'_, '_>,
    upper: bool,
    transposed: bool,
    unit: bool,
) -> Made {
    let how = Factorization::SolveTriangular { upper, transposed, unit };
    let (a, b) = (&a.get().0, &b.get().0);
    run(py, work(a).saturating_add(work(b)), || phynexus::solve(a, b, how)).map(PyTensor)
}

/// One step for each (a, b, c) from `x / (safety * norm + eps)`.
#[pyfunction]
fn newton_schulz(py: Python<'_>, matrices: T<'_, '_>, steps: Vec<[f64; 3]>, eps: f64, safety: f64) -> Made {
    let x = &matrices.get().0;
    run(py, work(x), || phynexus::newton_schulz(x, &steps, eps, safety)).map(PyTensor)
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(factor, m)?)?;
    m.add_function(wrap_pyfunction!(solve, m)?)?;
    m.add_function(wrap_pyfunction!(solve_triangular, m)?)?;
    m.add_function(wrap_pyfunction!(newton_schulz, m)?)
}
