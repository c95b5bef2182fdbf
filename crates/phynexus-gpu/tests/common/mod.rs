//! What tests of kernels need: the null device, buffers on it, and the validator.
#![allow(dead_code)]

use phynexus_core::{Buffer, DType, Device, Kernel, Layout, Result, Shape, Spec, Task, Value, View};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use phynexus_gpu::Null;

pub const DIALECTS: [Dialect; 3] = [Dialect::Wgsl, Dialect::Cuda, Dialect::Hip];

/// Panics unless this is valid WGSL.
pub fn validate(name: &str, source: &str) {
    let module = match naga::front::wgsl::parse_str(source) {
        Ok(module) => module,
        Err(error) => panic!("{name}: {}\n{source}", error.emit_to_string(source)),
    };
    let mut validator = naga::valid::Validator::new(
        naga::valid::ValidationFlags::all(),
        naga::valid::Capabilities::default(),
    );
    if let Err(error) = validator.validate(&module) {
        panic!("{name}: {}\n{source}", error.emit_to_string(source));
    }
}

/// Whether all brackets are closed; C is not compiled here.
pub fn balanced(source: &str) -> bool {
    let count = |c: char| source.matches(c).count();
    count('(') == count(')') && count('{') == count('}') && count('[') == count(']')
}

/// An operand: how it is stored, its shape, and its strides where it is not contiguous.
pub type Operand<'a> = (DType, &'a [usize], Option<&'a [isize]>);

/// The texts of all programs that a launch runs.
pub fn printed(
    dialect: Dialect,
    spec: Spec,
    inputs: &[Operand<'_>],
    outputs: &[Operand<'_>],
    scalars: &[Value],
) -> Result<Vec<(String, String)>> {
    let device = Null::leak(dialect);
    let buffer = Buffer::new(device, 1 << 20)?;
    let layout = |(_, shape, strides): &Operand<'_>| {
        let shape = Shape::new(shape).unwrap();
        strides.map_or(Layout::contiguous(shape), |strides| Layout::strided(shape, strides, 0))
    };
    let layouts: Vec<Layout> = inputs.iter().chain(outputs).map(layout).collect();
    let views: Vec<View<'_>> = inputs
        .iter()
        .chain(outputs)
        .zip(&layouts)
        .map(|((dtype, ..), layout)| View { buffer: &buffer, dtype: *dtype, layout })
        .collect();
    let (ins, outs) = views.split_at(inputs.len());
    device.launch(&Kernel::new(spec), &[Task { inputs: ins, outputs: outs, scalars }])?;
    let texts = device.printed();
    for (name, text) in &texts {
        match dialect {
            Dialect::Wgsl => validate(name, text),
            _ => assert!(balanced(text) && text.contains("extern \"C\" __global__"), "{name}:\n{text}"),
        }
    }
    Ok(texts)
}

/// How values of a type are stored if nothing else is asked for.
pub fn stored(ty: Type) -> DType {
    match ty {
        Type::Bool => DType::Bool,
        Type::I32 => DType::I32,
        Type::I64 => DType::I64,
        Type::F32 => DType::F32,
        Type::F64 => DType::F64,
    }
}
