//! The rows of the table of formulas, with operands of all shapes and dtypes that they take.

use crate::cases::{Case, Draw, Operand};
use crate::common::Memory;
use phynexus::formula::Type;
use phynexus::formula::ops::{Op as Row, Promotion, ResultType, Special};
use phynexus::ops::map::{Map, result_dtype};
use phynexus::{DType, MapFn, Op, Value};

/// A table row over operands of `dtype`; those in `fixed` (a bit each) are numbers.
fn formula(row: Row, dtype: DType, fixed: u32, dims: &[Vec<usize>], memory: Memory) -> Option<Case> {
    let (about, ty) = (row.row(), dtype.compute());
    let mut operands = Vec::new();
    let mut scalars: Vec<Value> = Vec::new();
    for slot in 0..about.inputs {
        let (low, high) = about.domain.inputs[slot.min(about.domain.inputs.len() - 1)];
        let (own, draw) = match about.input_type(slot, ty) {
            Type::Bool => (DType::Bool, Draw::Whole(0, 2)),
            Type::I64 if ty != Type::I64 => (DType::I64, Draw::Whole(0, *dims[0].last()? as i64)),
            Type::F32 | Type::F64 => (dtype, Draw::Real(low, high)),
            _ if dtype == DType::U8 => (dtype, Draw::Whole(1, 9)),
            _ => (dtype, Draw::Whole(-5, 6)),
        };
        if matches!(draw, Draw::Whole(_, 0)) {
            return None; // no class to draw a label from
        }
        if fixed >> slot & 1 == 1 {
            scalars.push(Value::F(0.25 * low + 0.75 * high));
        } else {
            operands.push(Operand { dims: dims[slot].clone(), dtype: own, draw, memory });
        }
    }
    for (k, &value) in about.domain.scalars.iter().enumerate() {
        // In strided memory the label to ignore is one that occurs.
        let value =
            if about.special == Special::Label && k == 0 && memory == Memory::Strided { 0.0 } else { value };
        let integer = matches!(about.scalar_type(k, ty), Type::I64 | Type::I32);
        scalars.push(if integer { Value::I(value as i64) } else { Value::F(value) });
    }
    let outputs = (0..about.outputs).map(|_| result_dtype(row, dtype)).collect();
    let function = MapFn::of(row, ty, fixed).clone();
    let what = format!("{} of {} {dims:?}, {memory:?}, numbers {fixed:b}", row.name(), dtype);
    Some(Case {
        what,
        op: Op::Map(Map { function, scalars: scalars.into(), outputs, whole: false }),
        operands,
    })
}

fn accepts(promotion: Promotion, dtype: DType) -> bool {
    match promotion {
        Promotion::Float => dtype.is_float(),
        Promotion::Number => dtype != DType::Bool,
        Promotion::Any => true,
        Promotion::Integer => !dtype.is_float(),
        Promotion::Bool => dtype == DType::Bool,
    }
}

/// Shapes that broadcast together, or a row with what each row has in common.
fn row_dims(row: Row) -> Vec<Vec<Vec<usize>>> {
    let about = row.row();
    if !about.row_wise {
        let shapes: [[&[usize]; 3]; 6] = [
            [&[], &[], &[]],
            [&[0, 3], &[3], &[]],
            [&[5], &[5], &[5]],
            [&[2, 3], &[3], &[2, 1]],
            [&[3, 1], &[2, 1, 4], &[]],
            [&[2, 2, 1, 3], &[1, 2, 3, 1], &[3]],
        ];
        return shapes.iter().map(|s| s.iter().map(|d| d.to_vec()).collect()).collect();
    }
    let shapes: [&[usize]; 6] = [&[4], &[2, 5], &[2, 3, 4], &[2, 1, 3, 5], &[0, 4], &[2, 0]];
    let soft = matches!(row, Row::CrossEntropySoft | Row::CrossEntropySoftWeighted);
    let each = |dims: &&[usize]| {
        let n = dims.last().copied().unwrap_or(1);
        let mut label = dims.to_vec();
        label[dims.len() - 1] = 1;
        let second = match about.special {
            Special::Label => label,
            _ if soft => dims.to_vec(),
            _ => vec![n],
        };
        vec![dims.to_vec(), second, vec![n]]
    };
    shapes.iter().map(each).collect()
}

pub fn all(row: Row, cases: &mut Vec<Case>) {
    let about = row.row();
    let shapes = row_dims(row);
    for dtype in DType::ALL.into_iter().filter(|&d| accepts(about.promotion, d)) {
        let every = matches!(dtype, DType::F64 | DType::I64);
        for (i, dims) in shapes.iter().enumerate().filter(|(i, _)| every || *i == 3) {
            cases.extend(Memory::ALL.into_iter().filter_map(|m| formula(row, dtype, 0, dims, m)));
            if !about.row_wise && about.inputs >= 2 && i == 3 {
                cases.extend(formula(row, dtype, 0b10, dims, Memory::Permuted));
            }
            if about.inputs == 2 && !about.row_wise {
                cases.extend(formula(row, dtype, 0b01, dims, Memory::Whole));
            }
        }
    }
    if about.row_wise || about.result == ResultType::Bool || !accepts(about.promotion, DType::F64) {
        return;
    }
    for (dims, mean) in shapes.iter().flat_map(|d| [(d, true), (d, false)]) {
        let case = formula(row, DType::F64, 0, dims, Memory::Permuted);
        cases.extend(case.map(|mut case| {
            if let Op::Map(map) = &mut case.op {
                (map.function, map.whole) = (MapFn::reduced(row, Type::F64, mean).clone(), true);
            }
            case.what += if mean { ", mean" } else { ", sum" };
            case
        }));
    }
}

/// Rows of a size that threads share.
pub fn large(m: Memory, cases: &mut Vec<Case>) {
    for &row in Row::ALL {
        let dims = match row.row() {
            about if !about.row_wise => vec![vec![601, 499]; 3],
            about if about.special == Special::Label => vec![vec![700, 300], vec![700, 1], vec![300]],
            _ if matches!(row, Row::CrossEntropySoft | Row::CrossEntropySoftWeighted) => {
                vec![vec![700, 300], vec![700, 300], vec![300]]
            }
            _ => vec![vec![700, 300], vec![300], vec![300]],
        };
        let dtype = if accepts(row.row().promotion, DType::F32) { DType::F32 } else { DType::Bool };
        cases.extend(formula(row, dtype, 0, &dims, m));
    }
}
