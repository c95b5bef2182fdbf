//! Gather and nonzero against the definition.

mod common;

use common::{Random, Tensor, assert_same, launch, same_bits};
use phynexus_core::{DType, Error, Spec};

#[test]
fn any_view() {
    let mut random = Random::new(1);
    for case in 0..600 {
        let (dims, dtype) = (1 + case % 4, DType::ALL[case / 4 % 8]);
        let sizes = random.shape(dims);
        let axis = random.below(dims);
        let (mut from, size) = (sizes.clone(), 1 + random.below(6));
        from[axis] = size;
        let input = Tensor::strided(&mut random, dtype, &from, true, |r| r.small(dtype, true));
        let index = Tensor::strided(&mut random, DType::I64, &sizes, true, |r| r.below(size) as f64);
        let output = Tensor::strided(&mut random, dtype, &sizes, false, |_| 1.0);
        launch(Spec::Gather { axis }, &[&input, &index], &[&output]).unwrap();
        let (values, picks) = (input.values(), index.values());
        let after: usize = sizes[axis + 1..].iter().product();
        let wanted: Vec<f64> = (picks.iter().enumerate())
            .map(|(at, &pick)| values[(at / after / sizes[axis] * size + pick as usize) * after + at % after])
            .collect();
        assert_same(&output.values(), &wanted, &format!("{:?} by {:?}", input.layout, index.layout));
    }
}

/// An embedding: the index is repeated along the row.
fn embedding(vocabulary: usize, width: usize, rows: usize) -> (Tensor, Tensor) {
    let values: Vec<f64> = (0..vocabulary * width).map(|i| (i % 1021) as f64).collect();
    let picks: Vec<f64> = (0..rows).map(|i| (i * 7919 % vocabulary) as f64).collect();
    let mut index = Tensor::new(DType::I64, &[rows, 1], &picks);
    index.layout = index.layout.broadcast(&phynexus_core::Shape::new(&[rows, width]).unwrap()).unwrap();
    (Tensor::new(DType::F32, &[vocabulary, width], &values), index)
}

#[test]
fn rows_of_a_large_table() {
    let (table, index) = embedding(501, 67, 3000);
    let output = Tensor::empty(DType::F32, &[3000, 67]);
    launch(Spec::Gather { axis: 0 }, &[&table, &index], &[&output]).unwrap();
    let wanted: Vec<f64> =
        (0..3000 * 67).map(|i| ((i / 67 * 7919 % 501 * 67 + i % 67) % 1021) as f64).collect();
    assert_same(&output.values(), &wanted, "rows");
    same_bits("gather", || {
        launch(Spec::Gather { axis: 0 }, &[&table, &index], &[&output]).unwrap();
        output.bytes()
    });
}

#[test]
fn out_of_range() {
    let input = Tensor::new(DType::F32, &[5], &[0.0; 5]);
    for (bad, named) in
        [(5.0, "5"), (-1.0, "-1"), (i64::MAX as f64, "9223372036854775807"), (i64::MIN as f64, "-922")]
    {
        let mut picks = vec![4.0; 100];
        picks[70] = bad;
        picks[90] = 1000.0;
        let index = Tensor::new(DType::I64, &[100], &picks);
        let output = Tensor::empty(DType::F32, &[100]);
        let error = launch(Spec::Gather { axis: 0 }, &[&input, &index], &[&output]).unwrap_err();
        assert!(matches!(error, Error::Index(_)));
        let expected = format!("index {named}");
        assert!(error.message().starts_with(&expected), "{error}");
        assert!(error.message().contains("size 5 of dimension 0, expected 0 to 4"), "{error}");
    }
    let (empty, index) = (Tensor::new(DType::F32, &[0], &[]), Tensor::new(DType::I64, &[1], &[0.0]));
    let error =
        launch(Spec::Gather { axis: 0 }, &[&empty, &index], &[&Tensor::empty(DType::F32, &[1])]).unwrap_err();
    assert_eq!(error.message(), "index 0 is out of range for size 0 of dimension 0, which is empty");
}

#[test]
fn nonzero() {
    let mut random = Random::new(2);
    for case in 0..100 {
        let sizes = random.shape(case % 5);
        let mask = Tensor::strided(&mut random, DType::Bool, &sizes, true, |r| r.small(DType::Bool, false));
        let wanted: Vec<f64> =
            (mask.values().iter().enumerate()).filter(|(_, v)| **v != 0.0).map(|(i, _)| i as f64).collect();
        let output = Tensor::empty(DType::I64, &[wanted.len()]);
        launch(Spec::Nonzero, &[&mask], &[&output]).unwrap();
        assert_same(&output.values(), &wanted, &format!("{:?}", mask.layout));
        let short = Tensor::empty(DType::I64, &[wanted.len() + 1]);
        assert!(launch(Spec::Nonzero, &[&mask], &[&short]).is_err());
    }
}
