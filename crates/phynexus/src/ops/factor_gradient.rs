//! Gradients of factorizations, in products, masks and triangular solves. Symmetric operands get symmetric gradients,
//! although one triangle alone was read.

use super::factor::{sides, solved};
use super::matmul::product;
use crate::api;
use crate::node::Context;
use crate::op::Few;
use crate::ops::one;
use crate::ops::shape::Range;
use crate::tensor::Tensor;
use phynexus_core::{DType, Factorization, Result, Shape, Value};
use phynexus_formula::ops::Op as Row;
use smallvec::SmallVec;

fn mm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    product(a, false, b, false)
}

/// Aᵀ B.
fn tm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    product(a, true, b, false)
}

/// A Bᵀ.
fn mt(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    product(a, false, b, true)
}

fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    api::add(a, b)
}

fn sub(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    api::binary(Row::Sub, a, b)
}

fn transposed(a: &Tensor) -> Result<Tensor> {
    let n = a.shape().len();
    let mut order: SmallVec<[usize; 8]> = (0..n).collect();
    order.swap(n - 1, n - 2);
    api::permute(a, &order)
}

/// (A + Aᵀ) / 2.
fn symmetric(a: &Tensor) -> Result<Tensor> {
    api::scale(&add(a, &transposed(a)?)?, 0.5)
}

/// A vector (..., n) as a row (..., 1, n) or a column (..., n, 1).
fn line(v: &Tensor, as_row: bool) -> Result<Tensor> {
    let mut dims = v.shape().to_vec();
    dims.insert(dims.len() - as_row as usize, 1);
    api::reshape(v, Shape::new(&dims)?)
}

/// Where the row stands in this relation to the column.
fn places(a: &Tensor, relation: Row) -> Result<Tensor> {
    let shape = a.shape();
    let (m, n) = sides(&shape);
    let numbers = |n: usize, dims: [usize; 2]| {
        let numbers = api::arange(Value::I(0), Value::I(n as i64), Value::I(1), DType::I64, a.device())?;
        api::reshape(&numbers, Shape::new(&dims)?)
    };
    api::binary(relation, &numbers(m, [m, 1])?, &numbers(n, [1, n])?)
}

/// The elements whose row stands in this relation to their column, zeros elsewhere.
fn keep(a: &Tensor, relation: Row) -> Result<Tensor> {
    api::where_(&places(a, relation)?, a.into(), 0.0.into())
}

/// The lower triangle with half of the diagonal.
fn lower_half(a: &Tensor) -> Result<Tensor> {
    api::scale(&add(&keep(a, Row::Ge)?, &keep(a, Row::Gt)?)?, 0.5)
}

const LOWER: Factorization = Factorization::SolveTriangular { upper: false, transposed: true, unit: false };

/// L⁻ᵀ Φ(Lᵀ gL) L⁻¹, where Φ takes the lower triangle and half of the diagonal.
pub(super) fn cholesky(context: &Context) -> Result<Tensor> {
    let l = context.output(0);
    let inner = solved(LOWER, l, &lower_half(&tm(l, &context.grad(0)?)?)?)?;
    symmetric(&solved(LOWER, l, &transposed(&inner)?)?)
}

/// V (diag(gw) + (Vᵀ gV) / E) Vᵀ with E = wⱼ - wᵢ off the diagonal.
pub(super) fn eigh(context: &Context) -> Result<Tensor> {
    let (w, v) = (context.output(0), context.output(1));
    let mut inner = scattered(&line(&context.grad(0)?, true)?)?;
    if context.reached(1) {
        let turn = divided(&tm(v, &context.grad(1)?)?, &line(w, true)?, &line(w, false)?)?;
        inner = add(&inner, &turn)?;
    }
    symmetric(&mt(&mm(v, &inner)?, v)?)
}

/// Rows (..., 1, n) as diagonals.
fn scattered(row: &Tensor) -> Result<Tensor> {
    let mut dims = row.shape().to_vec();
    let at = dims.len();
    dims[at - 2] = dims[at - 1];
    keep(&api::expand(row, Shape::new(&dims)?)?, Row::Eq)
}

/// A / (b - c) off the diagonal, 0 on it.
fn divided(a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    let gap = sub(b, c)?;
    let gap = api::where_(&places(a, Row::Ne)?, (&gap).into(), 1.0.into())?;
    keep(&api::binary(Row::Div, a, &gap)?, Row::Ne)
}

/// U (diag(gs) + (skew(Uᵀ gU) / E) S + S (skew(Vᵀ gV) / E)) Vᵀ with E = sⱼ² - sᵢ², and what leaves the spaces of U and V.
pub(super) fn svd(context: &Context) -> Result<Tensor> {
    let (u, s, vh) = (context.output(0), context.output(1), context.output(2));
    let (row, column) = (line(s, true)?, line(s, false)?);
    let (m, n) = sides(&context.input_spec(0).shape);
    let turn = |inner: &Tensor| {
        let squares = (api::mul(&row, &row)?, api::mul(&column, &column)?);
        divided(&sub(inner, &transposed(inner)?)?, &squares.0, &squares.1)
    };
    let mut inner = scattered(&line(&context.grad(1)?, true)?)?;
    let mut outside = None;
    if context.reached(0) {
        let g = context.grad(0)?;
        let projected = tm(u, &g)?;
        inner = add(&inner, &api::mul(&turn(&projected)?, &row)?)?;
        if m > n {
            let rest = api::binary(Row::Div, &sub(&g, &mm(u, &projected)?)?, &row)?;
            outside = Some(mm(&rest, vh)?);
        }
    }
    if context.reached(2) {
        let g = context.grad(2)?;
        let projected = mt(vh, &g)?;
        inner = add(&inner, &api::mul(&column, &turn(&projected)?)?)?;
        if n > m {
            let rest = api::binary(Row::Div, &sub(&g, &tm(&projected, vh)?)?, &column)?;
            outside = Some(mm(u, &rest)?);
        }
    }
    let within = mm(&mm(u, &inner)?, vh)?;
    outside.map_or(Ok(within.clone()), |outside| add(&within, &outside))
}

/// Columns `from` to `to`.
fn columns(a: &Tensor, from: usize, to: usize) -> Result<Tensor> {
    let mut ranges: SmallVec<[Range; 4]> =
        a.shape().iter().map(|&size| Range { start: 0, size, step: 1 }).collect();
    let last = ranges.len() - 1;
    ranges[last] = Range { start: from, size: to - from, step: 1 };
    api::slice(a, ranges)
}

/// (gQ + Q M) R⁻ᵀ with M the upper triangle of gR Rᵀ - Qᵀ gQ made symmetric; columns beyond the square give
/// their gradient Q gR, and through Q what they add to gQ.
pub(super) fn qr(context: &Context) -> Result<Tensor> {
    let (q, r) = (context.output(0), context.output(1));
    let (mut gq, gr) = (context.grad(0)?, context.grad(1)?);
    let (m, n) = sides(&context.input_spec(0).shape);
    if m >= n {
        return square_qr(q, r, &gq, &gr);
    }
    let (r_rest, gr_rest) = (columns(r, m, n)?, columns(&gr, m, n)?);
    gq = add(&gq, &mm(q, &mt(&r_rest, &gr_rest)?)?)?;
    let first = square_qr(q, &columns(r, 0, m)?, &gq, &columns(&gr, 0, m)?)?;
    api::cat(&[first, mm(q, &gr_rest)?], -1)
}

fn square_qr(q: &Tensor, r: &Tensor, gq: &Tensor, gr: &Tensor) -> Result<Tensor> {
    let upper = transposed(&sub(&mt(gr, r)?, &tm(q, gq)?)?)?;
    let inner = api::scale(&symmetric(&lower_half(&upper)?)?, 2.0)?;
    let g = add(gq, &mm(q, &inner)?)?;
    let how = Factorization::SolveTriangular { upper: true, transposed: false, unit: false };
    transposed(&solved(how, r, &transposed(&g)?)?)
}

/// gB = A⁻ᵀ gX, gA = -gB Xᵀ.
pub(super) fn solve(context: &Context) -> Result<Few<Option<Tensor>>> {
    let gb = solved(Factorization::Solve, &transposed(context.input(0))?, &context.grad(0)?)?;
    let mut grads: Few<Option<Tensor>> = one(None);
    if context.wants(0) {
        grads[0] = Some(api::scale(&mt(&gb, context.output(0))?, -1.0)?);
    }
    grads.push(context.wants(1).then_some(gb));
    Ok(grads)
}

/// The same, in the triangle that was read.
pub(super) fn solve_triangular(
    context: &Context,
    upper: bool,
    turned: bool,
    unit: bool,
) -> Result<Few<Option<Tensor>>> {
    let how = Factorization::SolveTriangular { upper, transposed: !turned, unit };
    let gb = solved(how, context.input(0), &context.grad(0)?)?;
    let mut grads: Few<Option<Tensor>> = one(None);
    if context.wants(0) {
        let x = context.output(0);
        let full = if turned { mt(x, &gb)? } else { mt(&gb, x)? };
        let relation = match (upper, unit) {
            (false, false) => Row::Ge,
            (false, true) => Row::Gt,
            (true, false) => Row::Le,
            (true, true) => Row::Lt,
        };
        grads[0] = Some(keep(&api::scale(&full, -1.0)?, relation)?);
    }
    grads.push(context.wants(1).then_some(gb));
    Ok(grads)
}
