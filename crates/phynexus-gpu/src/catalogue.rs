//! Every program of the kinds that are no formulas, and of conversions, as text: to be compiled where no GPU is.

use crate::null::Null;
use phynexus_core::{
    Buffer, DType, Device, Distribution, Error, Kernel, Layout, ReduceOp, Result, ScatterOp, Shape, Spec,
    Task, View,
};
use phynexus_formula::print::Dialect;
use phynexus_formula::{Builder, Type, differentiate, ops::Op};

/// An operand: how it is stored, and its shape.
type Operand = (DType, &'static [usize]);

/// Names and texts for a language: of each kind, for every dtype that it has there, and sizes that need all of its passes.
pub fn programs(dialect: Dialect) -> Result<Vec<(String, String)>> {
    let device = Null::leak(dialect);
    let mut found: Vec<(String, String)> = Vec::new();
    for (spec, inputs, outputs) in launches() {
        match launch(device, spec, &inputs, &outputs) {
            Ok(()) | Err(Error::Type(_)) => {} // a dtype that the language lacks
            Err(error) => return Err(error),
        }
        for program in device.printed() {
            if !found.contains(&program) {
                found.push(program);
            }
        }
    }
    Ok(found)
}

fn launch(device: &'static Null, spec: Spec, inputs: &[Operand], outputs: &[Operand]) -> Result<()> {
    let buffer = Buffer::new(device, 1 << 20)?;
    let layouts = inputs.iter().chain(outputs).map(|(_, shape)| Ok(Layout::contiguous(Shape::new(shape)?)));
    let layouts: Vec<Layout> = layouts.collect::<Result<_>>()?;
    let views = inputs.iter().chain(outputs).zip(&layouts);
    let views: Vec<View<'_>> =
        views.map(|(&(dtype, _), layout)| View { buffer: &buffer, dtype, layout }).collect();
    let (inputs, outputs) = views.split_at(inputs.len());
    device.launch(&Kernel::new(spec), &[Task { inputs, outputs, scalars: &[] }])
}

fn launches() -> Vec<(Spec, Vec<Operand>, Vec<Operand>)> {
    let mut all: Vec<(Spec, Vec<Operand>, Vec<Operand>)> = Vec::new();
    for dtype in DType::ALL {
        for to in DType::ALL {
            let mut b = Builder::new();
            let x = b.input(dtype.compute());
            let y = b.cast(to.compute(), x);
            let spec = Spec::Map { formula: b.finish(&[y]), inputs: vec![dtype], outputs: vec![to] };
            all.push((spec, vec![(dtype, &[5])], vec![(to, &[5])]));
        }
        for (op, shape) in ReduceOp::EVERY.into_iter().flat_map(|op| [(op, &[2, 3][..]), (op, &[2, 9000])]) {
            all.push((Spec::Reduce { op, axes: 1 }, vec![(dtype, shape)], vec![(reduced(op, dtype), &[2])]));
        }
        for (bias, accumulate) in [(false, false), (true, false), (false, true)] {
            let mut inputs: Vec<Operand> = vec![(dtype, &[1, 2, 3]), (dtype, &[1, 3, 4])];
            inputs.extend(bias.then_some((dtype, &[4][..])));
            let epilogue = (bias && dtype.compute() == Type::F32).then(|| Op::Sigmoid.formula(Type::F32));
            let spec = Spec::MatMul { bias, accumulate, epilogue, symmetric: false, sums: false };
            all.push((spec, inputs, vec![(dtype, &[1, 2, 4])]));
        }
        if dtype.is_float() {
            let (product, passage) =
                (&[1, 2, 4][..], differentiate(&Op::Tanh.formula(dtype.compute()), &[0]));
            for (epilogue, sums) in [(Some(passage.formula), false), (None, true)] {
                let mut inputs: Vec<Operand> = vec![(dtype, &[1, 2, 3]), (dtype, &[1, 3, 4])];
                inputs.extend((!sums).then_some((dtype, product)));
                let outputs = [Some((dtype, product)), sums.then_some((dtype, &[1, 2][..]))];
                let spec = Spec::MatMul { bias: false, accumulate: false, epilogue, symmetric: false, sums };
                all.push((spec, inputs, outputs.into_iter().flatten().collect()));
            }
        }
        all.push((Spec::Gather { axis: 0 }, vec![(dtype, &[5]), (DType::I64, &[4])], vec![(dtype, &[4])]));
        for (op, shape) in
            [ScatterOp::Set, ScatterOp::Add].into_iter().flat_map(|op| [(op, &[4][..]), (op, &[2000])])
        {
            all.push((
                Spec::Scatter { axis: 0, op },
                vec![(DType::I64, shape), (dtype, shape)],
                vec![(dtype, &[5])],
            ));
        }
        for (descending, shape) in [(false, &[7][..]), (false, &[3000]), (true, &[7]), (true, &[3000])] {
            all.push((
                Spec::Sort { descending },
                vec![(dtype, shape)],
                vec![(dtype, shape), (DType::I64, shape)],
            ));
        }
        let sums = if dtype.is_float() { dtype } else { DType::I64 };
        all.push((Spec::CumSum, vec![(dtype, &[2, 3])], vec![(sums, &[2, 3])]));
        for distribution in
            [Distribution::Uniform, Distribution::Normal, Distribution::Integer { low: 0, span: 10 }]
        {
            all.push((Spec::Random { distribution, seed: 0, counter: 0 }, vec![], vec![(dtype, &[9])]));
        }
    }
    all.push((Spec::Nonzero, vec![(DType::Bool, &[9])], vec![(DType::I64, &[3])]));
    all
}

/// What comes out of a reduction.
fn reduced(op: ReduceOp, dtype: DType) -> DType {
    match op {
        ReduceOp::Sum | ReduceOp::Prod if !dtype.is_float() => DType::I64,
        ReduceOp::ArgMax | ReduceOp::ArgMin => DType::I64,
        ReduceOp::Any | ReduceOp::All => DType::Bool,
        _ => dtype,
    }
}
