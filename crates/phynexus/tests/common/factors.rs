//! Factorizations, of matrices that have well separated singular values.

use crate::cases::{Case, Draw, Operand, add, real};
use crate::common::Memory;
use phynexus::ops::factor::Factor;
use phynexus::ops::newton_schulz::NewtonSchulz;
use phynexus::{DType, Factorization, Op};

fn drawn(dims: &[usize], draw: Draw, memory: Memory) -> Operand {
    Operand { draw, ..real(dims, memory) }
}

fn triangular() -> impl Iterator<Item = Factorization> {
    (0..8).map(|bits| Factorization::SolveTriangular {
        upper: bits & 1 != 0,
        transposed: bits & 2 != 0,
        unit: bits & 4 != 0,
    })
}

fn newton_schulz() -> Op {
    let steps = [[3.4445, -4.775, 2.0315], [1.5, -0.5, 0.0]].into();
    Op::NewtonSchulz(NewtonSchulz { steps, eps: 1e-7, safety: 1.02 })
}

pub fn all(m: Memory, cases: &mut Vec<Case>) {
    let op = |how| Op::Factor(Factor { how });
    for dims in [&[1, 1][..], &[3, 3], &[2, 3, 3], &[0, 2, 2], &[2, 1, 2, 2], &[0, 0]] {
        for how in [Factorization::Cholesky, Factorization::Eigh] {
            add(cases, op(how), vec![drawn(dims, Draw::Symmetric, m)]);
        }
        let mut right = dims.to_vec();
        right[dims.len() - 1] = 2;
        for how in triangular().chain([Factorization::Solve]) {
            add(cases, op(how), vec![drawn(dims, Draw::Dominant, m), real(&right, m)]);
        }
    }
    for dims in [&[1, 1][..], &[3, 3], &[4, 2], &[2, 4], &[2, 3, 2], &[0, 2, 3], &[3, 0], &[0, 2]] {
        for how in [Factorization::Qr { full: false }, Factorization::Svd { full: false }] {
            add(cases, op(how), vec![drawn(dims, Draw::Dominant, m)]);
        }
        add(cases, newton_schulz(), vec![real(dims, m)]);
    }
}

/// Batches that threads share, and products of which half is computed.
pub fn large(m: Memory, cases: &mut Vec<Case>) {
    let op = |how| Op::Factor(Factor { how });
    for dtype in [DType::F32, DType::F64] {
        let of = |dims: &[usize], draw| Operand { dtype, ..drawn(dims, draw, m) };
        for how in [Factorization::Cholesky, Factorization::Eigh] {
            add(cases, op(how), vec![of(&[9, 33, 33], Draw::Symmetric)]);
        }
        for how in [Factorization::Qr { full: false }, Factorization::Svd { full: false }] {
            add(cases, op(how), vec![of(&[9, 40, 33], Draw::Dominant)]);
        }
        for how in triangular().chain([Factorization::Solve]) {
            let right = Operand { dtype, ..real(&[9, 33, 21], m) };
            add(cases, op(how), vec![of(&[9, 33, 33], Draw::Dominant), right]);
        }
        for dims in [[3, 130, 170], [3, 170, 130], [9, 60, 60]] {
            add(cases, newton_schulz(), vec![Operand { dtype, ..real(&dims, m) }]);
        }
    }
}
