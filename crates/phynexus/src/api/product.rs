//! Matrix products for operands of any number of dimensions.

use crate::op::{Op, apply1};
use crate::ops::matmul::{Linear, MatMul};
use crate::tensor::Tensor;
use phynexus_core::{Error, Result, Shape};
use phynexus_formula::ops::Op as Row;
use smallvec::SmallVec;

/// The product as NumPy's `@`: vectors count as a row on the left and a column on the right, leading dimensions broadcast.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (sa, sb) = (a.shape(), b.shape());
    if sa.is_empty() || sb.is_empty() {
        return Err(Error::Value(format!("matmul: operands need at least one dimension, got {sa} @ {sb}")));
    }
    if sa[sa.len() - 1] != sb[sb.len().saturating_sub(2)] {
        return Err(Error::Value(format!(
            "matmul: inner sizes differ, {sa} @ {sb}; expected {} == {}",
            sa[sa.len() - 1],
            sb[sb.len().saturating_sub(2)]
        )));
    }
    if sa.len() == 2 && sb.len() == 2 {
        return product(a, b);
    }
    if sa.len() >= 3 && sb.len() == 2 {
        // One large product instead of many: the rows of all batches are rows of one matrix.
        let (k, n) = (sb[0], sb[1]);
        let rows = sa[..sa.len() - 1].iter().product();
        let flat = super::reshape(a, Shape::new(&[rows, k])?)?;
        let mut dims = sa.to_vec();
        dims[sa.len() - 1] = n;
        return super::reshape(&product(&flat, b)?, Shape::new(&dims)?);
    }
    let wide_a = if sa.len() == 1 { super::reshape(a, Shape::new(&[1, sa[0]])?)? } else { a.clone() };
    let wide_b = if sb.len() == 1 { super::reshape(b, Shape::new(&[sb[0], 1])?)? } else { b.clone() };
    let wide = product(&wide_a, &wide_b)?;
    let mut dims = wide.shape().to_vec();
    if sb.len() == 1 {
        dims.pop();
    }
    if sa.len() == 1 {
        dims.remove(dims.len() - if sb.len() == 1 { 1 } else { 2 });
    }
    super::reshape(&wide, Shape::new(&dims)?)
}

fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply1(Op::MatMul(MatMul::default()), &[a, b])
}

/// `activation(x Wᵀ + b)` over the last dimension of x.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, activation: Option<Row>) -> Result<Tensor> {
    let shape = x.shape();
    let fused = activation.filter(|&row| Linear::can_fuse(row));
    let op = Op::Linear(Linear { activation: fused });
    let flat = match shape.len() {
        2 => None,
        0 => return Err(Error::Value("linear: the input needs at least one dimension, got a scalar".into())),
        n => Some(super::reshape(x, Shape::new(&[shape[..n - 1].iter().product(), shape[n - 1]])?)?),
    };
    let mut operands: SmallVec<[&Tensor; 3]> = SmallVec::new();
    operands.push(flat.as_ref().unwrap_or(x));
    operands.push(weight);
    operands.extend(bias);
    let mut y = apply1(op, &operands)?;
    if flat.is_some() {
        let mut dims = shape.to_vec();
        dims[shape.len() - 1] = y.shape()[1];
        y = super::reshape(&y, Shape::new(&dims)?)?;
    }
    match activation {
        Some(row) if fused.is_none() => super::unary(row, &y),
        _ => Ok(y),
    }
}
