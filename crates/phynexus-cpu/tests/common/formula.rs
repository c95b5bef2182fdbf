//! Formulas as kernels, and what they should give.

use super::{Tensor, rounded};
use phynexus_core::{DType, Kernel, Spec, Task, Value, View};
use phynexus_cpu::cpu;
use phynexus_formula::ops::Promotion;
use phynexus_formula::{Formula, Rank, Type, evaluate};

/// How values of a formula type may be stored.
pub fn storage(ty: Type) -> &'static [DType] {
    match ty {
        Type::F32 => &[DType::F32, DType::BF16, DType::F16],
        Type::F64 => &[DType::F64],
        Type::I32 => &[DType::I32, DType::U8],
        Type::I64 => &[DType::I64],
        Type::Bool => &[DType::Bool],
    }
}

/// The types in which a row of the operation table computes.
pub fn types(promotion: Promotion) -> &'static [Type] {
    match promotion {
        Promotion::Float => &[Type::F32, Type::F64],
        Promotion::Number => &[Type::F32, Type::F64, Type::I32, Type::I64],
        Promotion::Any => &[Type::F32, Type::F64, Type::I32, Type::I64, Type::Bool],
        Promotion::Integer => &[Type::I32, Type::I64, Type::Bool],
        Promotion::Bool => &[Type::Bool],
    }
}

/// A number of that type.
pub fn value(ty: Type, v: f64) -> Value {
    if ty.is_float() { Value::F(v) } else { Value::I(v as i64) }
}

/// One launch over these tensors.
pub fn launch(kernel: &Kernel, inputs: &[&Tensor], outputs: &[&Tensor], scalars: &[Value]) {
    let inputs: Vec<View<'_>> = inputs.iter().map(|t| t.view()).collect();
    let outputs: Vec<View<'_>> = outputs.iter().map(|t| t.view()).collect();
    cpu().launch(kernel, &[Task { inputs: &inputs, outputs: &outputs, scalars }]).unwrap();
}

/// A formula as a kernel for tensors of these dtypes.
pub fn map(formula: &Formula, inputs: &[&Tensor], outputs: &[&Tensor]) -> Kernel {
    let dtypes = |tensors: &[&Tensor]| tensors.iter().map(|t| t.dtype).collect();
    Kernel::new(Spec::Map { formula: formula.clone(), inputs: dtypes(inputs), outputs: dtypes(outputs) })
}

/// Shape of output `k` for operands of shape `sizes`.
pub fn output_sizes(formula: &Formula, k: usize, sizes: &[usize]) -> Vec<usize> {
    let mut sizes = sizes.to_vec();
    if formula.reduces()
        && formula.rank(formula.outputs()[k]) != Rank::Element
        && let Some(last) = sizes.last_mut()
    {
        *last = 1;
    }
    sizes
}

/// Runs the formula over the tensors and compares it with the evaluation of each row.
pub fn check(
    what: &str,
    formula: &Formula,
    inputs: &[Tensor],
    outputs: &[Tensor],
    sizes: &[usize],
    scalars: &[Value],
) {
    let values: Vec<Vec<f64>> = inputs.iter().map(Tensor::values).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let outputs: Vec<&Tensor> = outputs.iter().collect();
    launch(&map(formula, &inputs, &outputs), &inputs, &outputs, scalars);
    let length = sizes.last().copied().unwrap_or(1);
    let results: Vec<Vec<f64>> = outputs.iter().map(|t| t.values()).collect();
    let rows = sizes.iter().rev().skip(1).product::<usize>();
    for row in 0..if length == 0 { 0 } else { rows } {
        let row_inputs: Vec<Vec<Value>> = values
            .iter()
            .zip(formula.inputs())
            .map(|(all, &ty)| all[row * length..][..length].iter().map(|&v| value(ty, v)).collect())
            .collect();
        for (k, expected) in evaluate(formula, &row_inputs, scalars).iter().enumerate() {
            let ty = formula.ty(formula.outputs()[k]);
            let per_row = output_sizes(formula, k, sizes).iter().product::<usize>() / rows;
            for (i, &found) in results[k][row * per_row..][..per_row].iter().enumerate() {
                let exact = expected[i % expected.len()].as_f64();
                let stored = rounded(outputs[k].dtype, exact);
                let tolerance = match outputs[k].dtype {
                    DType::F64 => 1e-11, // what the evaluation itself loses in sums of 300,000
                    DType::F32 => 2e-6,
                    DType::F16 => 1.1e-3,
                    DType::BF16 => 8e-3,
                    _ => 0.0,
                };
                let near = found == stored
                    || found.is_nan() && stored.is_nan()
                    || (found - stored).abs() <= tolerance * stored.abs().max(1.0);
                assert!(
                    near,
                    "{what} {ty:?} {sizes:?} row {row} output {k}[{i}]: {found}, expected {stored}"
                );
            }
        }
    }
}
