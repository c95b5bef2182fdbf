//! Scatter against the definition.

mod common;

use common::{Random, Tensor, assert_same, launch, rounded, same_bits};
use phynexus_core::{DType, Error, ScatterOp, Shape, Spec};

/// In row-major order, rounded after each addition.
fn expected(op: ScatterOp, axis: usize, index: &Tensor, source: &Tensor, output: &Tensor) -> Vec<f64> {
    let (sizes, size, dtype) = (source.layout.shape(), output.layout.shape()[axis], output.dtype);
    let after: usize = sizes[axis + 1..].iter().product();
    let mut values = output.values();
    for (at, (&pick, &new)) in index.values().iter().zip(&source.values()).enumerate() {
        let place = &mut values[(at / after / sizes[axis] * size + pick as usize) * after + at % after];
        *place = if op == ScatterOp::Set { new } else { rounded(dtype, *place + new) };
    }
    values
}

#[test]
fn any_view() {
    let mut random = Random::new(1);
    for case in 0..1200 {
        let (dims, dtype) = (1 + case % 4, DType::ALL[case / 4 % 8]);
        let sizes = random.shape(dims);
        let axis = random.below(dims);
        let (mut to, size) = (sizes.clone(), 1 + random.below(6));
        to[axis] = size;
        let value = |r: &mut Random| r.small(dtype, false) * if dtype.is_float() { 0.3 } else { 1.0 };
        let source = Tensor::strided(&mut random, dtype, &sizes, true, value);
        let index = Tensor::strided(&mut random, DType::I64, &sizes, true, |r| r.below(size) as f64);
        let output = Tensor::strided(&mut random, dtype, &to, false, value);
        for op in [ScatterOp::Add, ScatterOp::Set] {
            let wanted = expected(op, axis, &index, &source, &output);
            launch(Spec::Scatter { axis, op }, &[&index, &source], &[&output]).unwrap();
            let what = format!("{op:?} {dtype} axis {axis} {:?} by {:?}", output.layout, index.layout);
            assert_same(&output.values(), &wanted, &what);
        }
    }
}

/// The shapes that are cut into jobs: few or many rows, wide or narrow, the index along the first or the last dimension.
#[test]
fn large_views() {
    let mut random = Random::new(2);
    for (sizes, size, axis, expand) in [
        ([3000, 67], 50, 0, true),
        ([3000, 300], 5, 0, true),
        ([20, 9000], 8, 0, false),
        ([500, 300], 40, 1, false),
        ([1, 100_000], 7, 1, false),
        ([100_000, 1], 7, 0, false),
    ] {
        let n: usize = sizes.iter().product();
        let mut picked = sizes;
        if expand {
            picked[1 - axis] = 1;
        }
        let picks: Vec<f64> = (0..picked.iter().product()).map(|_| random.below(size) as f64).collect();
        let mut index = Tensor::new(DType::I64, &picked, &picks);
        index.layout = index.layout.broadcast(&Shape::new(&sizes).unwrap()).unwrap();
        let values: Vec<f64> = (0..n).map(|_| random.below(1000) as f64 * 0.37).collect();
        let mut to = sizes;
        to[axis] = size;
        for dtype in [DType::F32, DType::F64, DType::I32] {
            let source = Tensor::new(dtype, &sizes, &values);
            let zeros = vec![0.0; to.iter().product()];
            let wanted = expected(ScatterOp::Add, axis, &index, &source, &Tensor::new(dtype, &to, &zeros));
            same_bits("scatter", || {
                let output = Tensor::new(dtype, &to, &zeros);
                let spec = Spec::Scatter { axis, op: ScatterOp::Add };
                launch(spec, &[&index, &source], &[&output]).unwrap();
                assert_same(&output.values(), &wanted, &format!("{dtype} {sizes:?}"));
                output.bytes()
            });
        }
    }
}

#[test]
fn truth_values_stay_truth_values() {
    let (index, source) =
        (Tensor::new(DType::I64, &[3], &[0.0; 3]), Tensor::new(DType::Bool, &[3], &[1.0; 3]));
    let output = Tensor::new(DType::Bool, &[2], &[0.0; 2]);
    launch(Spec::Scatter { axis: 0, op: ScatterOp::Add }, &[&index, &source], &[&output]).unwrap();
    assert_eq!(output.bytes(), [1, 0]);
}

#[test]
fn nothing_is_written_where_an_index_is_out_of_range() {
    let (index, source) =
        (Tensor::new(DType::I64, &[3], &[0.0, 1.0, 7.0]), Tensor::new(DType::F32, &[3], &[1.0; 3]));
    let output = Tensor::new(DType::F32, &[5], &[0.0; 5]);
    let error =
        launch(Spec::Scatter { axis: 0, op: ScatterOp::Add }, &[&index, &source], &[&output]).unwrap_err();
    assert_eq!(
        error,
        Error::Index("index 7 is out of range for size 5 of dimension 0, expected 0 to 4".into())
    );
    assert_eq!(output.values(), [0.0; 5]);
}
