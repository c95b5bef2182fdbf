//! Running sums against the definition.

mod common;

use common::{Random, Tensor, assert_same, launch, rounded, same_bits};
use phynexus_core::{DType, Spec};

#[test]
fn any_view() {
    let mut random = Random::new(1);
    for case in 0..400 {
        let (dims, dtype) = (case % 5, DType::ALL[case / 5 % 8]);
        let sizes = random.shape(dims);
        let input = Tensor::strided(&mut random, dtype, &sizes, true, |r| r.small(dtype, true));
        let narrow = dtype != DType::Bool && random.below(2) == 0;
        let stored = if dtype.is_float() || narrow { dtype } else { DType::I64 };
        let output = Tensor::strided(&mut random, stored, &sizes, false, |_| 1.0);
        launch(Spec::CumSum, &[&input], &[&output]).unwrap();
        let row = sizes.last().copied().unwrap_or(1);
        let mut sum = 0.0;
        let wanted: Vec<f64> = (input.values().iter().enumerate())
            .map(|(i, v)| {
                sum = if i % row == 0 { *v } else { sum + v };
                rounded(stored, sum)
            })
            .collect();
        assert_same(&output.values(), &wanted, &format!("{:?} {dtype}", input.layout));
    }
}

#[test]
fn long_rows_are_accurate_and_threads_do_not_matter() {
    let n = 1_000_000;
    let (input, output) = (Tensor::new(DType::F32, &[n], &vec![0.1; n]), Tensor::empty(DType::F32, &[n]));
    launch(Spec::CumSum, &[&input], &[&output]).unwrap();
    for (i, sum) in output.values().iter().enumerate() {
        assert!((sum / ((i + 1) as f64 * 0.1f32 as f64) - 1.0).abs() < 6e-8, "{i}: {sum}");
    }
    let rows = Tensor::new(
        DType::F32,
        &[1000, 100],
        &(0..100_000).map(|i| (i % 97) as f64 * 0.1).collect::<Vec<_>>(),
    );
    same_bits("cumsum", || {
        let output = Tensor::empty(DType::F32, &[1000, 100]);
        launch(Spec::CumSum, &[&rows], &[&output]).unwrap();
        output.bytes()
    });
}
