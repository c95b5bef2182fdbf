//! WGSL is parsed and validated; C is compared as text.

use phynexus_formula::ops::{Op, Special};
use phynexus_formula::print::{Buffer, Dialect, PrintError, Storage, kernel};
use phynexus_formula::{Binary, Builder, Formula, Type, Unary, hoist};

fn validate(name: &str, source: &str) {
    let module = match naga::front::wgsl::parse_str(source) {
        Ok(module) => module,
        Err(error) => panic!("{name}: {}\n{source}", error.emit_to_string(source)),
    };
    // A function of WGSL itself that naga lets through only when asked, for the sake of old OpenGL.
    let capabilities =
        naga::valid::Capabilities::default() | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    if let Err(error) = validator.validate(&module) {
        panic!("{name}: {}\n{source}", error.emit_to_string(source));
    }
}

/// The formula as WGSL can have it: labels as I32.
fn with_small_labels(op: Op, ty: Type) -> Formula {
    let small = |ty: Type| if ty == Type::I64 { Type::I32 } else { ty };
    let row = op.row();
    let mut b = Builder::new();
    let inputs: Vec<_> = (0..row.inputs).map(|k| b.input(small(row.input_type(k, ty)))).collect();
    let scalars: Vec<_> = (0..row.scalars).map(|k| b.scalar(small(row.scalar_type(k, ty)))).collect();
    let outputs = (row.build)(&mut b, &inputs, &scalars);
    b.finish(&outputs)
}

fn element_type(op: Op) -> Type {
    use phynexus_formula::ops::Promotion;
    match op.row().promotion {
        Promotion::Bool => Type::Bool,
        Promotion::Integer => Type::I32,
        _ => Type::F32,
    }
}

fn balanced(source: &str) -> bool {
    let count = |c: char| source.matches(c).count();
    count('(') == count(')') && count('{') == count('}') && count('[') == count(']')
}

#[test]
fn every_operation_and_its_derivative_is_valid_wgsl_and_looks_like_c() {
    for &op in Op::ALL {
        let f = with_small_labels(op, element_type(op));
        let wanted: Vec<usize> = (0..f.inputs().len()).filter(|&k| f.inputs()[k].is_float()).collect();
        let mut formulas = vec![(op.name().to_string(), f.clone())];
        if op.row().differentiable {
            formulas.push((
                format!("gradient of {}", op.name()),
                phynexus_formula::differentiate(&f, &wanted).formula,
            ));
        }
        for (name, f) in formulas {
            let buffers = Buffer::all(&f);
            validate(&name, &kernel(&f, Dialect::Wgsl, &buffers).unwrap_or_else(|e| panic!("{name}: {e}")));
            for dialect in [Dialect::Cuda, Dialect::Hip] {
                let source = kernel(&f, dialect, &buffers).unwrap();
                assert!(balanced(&source) && source.contains("extern \"C\" __global__"), "{name}:\n{source}");
            }
        }
    }
}

#[test]
fn integers_are_valid_too() {
    use phynexus_formula::ops::Promotion;
    for &op in Op::ALL {
        let row = op.row();
        if matches!(row.promotion, Promotion::Number | Promotion::Any | Promotion::Integer)
            && row.special != Special::Label
        {
            let f = with_small_labels(op, Type::I32);
            validate(op.name(), &kernel(&f, Dialect::Wgsl, &Buffer::all(&f)).unwrap());
            let f = op.formula(Type::I64);
            assert!(balanced(&kernel(&f, Dialect::Hip, &Buffer::all(&f)).unwrap()));
        }
    }
}

#[test]
fn bits_shifts_and_rounding() {
    for ty in [Type::I32, Type::I64] {
        let mut b = Builder::new();
        let (x, i) = (b.input(if ty == Type::I32 { Type::F32 } else { Type::F64 }), b.input(ty));
        let bits = b.unary(Unary::Bits, x);
        let moved = [Binary::Shl, Binary::Shr, Binary::Ushr].map(|op| b.binary(op, bits, i));
        let back = b.unary(Unary::FromBits, i);
        let mut outputs = vec![moved[0], moved[1], moved[2], back];
        if ty == Type::I32 {
            outputs.extend([Unary::RoundBf16, Unary::RoundF16].map(|op| b.unary(op, x)));
        }
        let f = b.finish(&outputs);
        let source = kernel(&f, Dialect::Cuda, &Buffer::all(&f)).unwrap();
        assert!(balanced(&source) && source.contains("(unsigned"), "{source}");
        if ty == Type::I32 {
            validate("bits", &kernel(&f, Dialect::Wgsl, &Buffer::all(&f)).unwrap());
            assert!(source.contains("__float_as_int(") && source.contains("float_to_half("), "{source}");
        }
    }
}

/// SGD with momentum: parameter, gradient, momentum; learning rate and momentum.
fn sgd() -> Formula {
    let mut b = Builder::new();
    let [p, g, m] = [(); 3].map(|_| b.input(Type::F32));
    let [lr, mu] = [(); 2].map(|_| b.scalar(Type::F32));
    let m = b.mul(mu, m);
    let m = b.add(m, g);
    let step = b.mul(lr, m);
    let p = b.sub(p, step);
    b.finish(&[p, m])
}

const IN_PLACE: [Buffer; 3] = [
    Buffer { storage: Storage::F32, input: Some(0), output: Some(0) },
    Buffer { storage: Storage::BF16, input: Some(1), output: None },
    Buffer { storage: Storage::F32, input: Some(2), output: Some(1) },
];

#[test]
fn an_optimizer_in_place() {
    let source = kernel(&sgd(), Dialect::Wgsl, &IN_PLACE).unwrap();
    validate("sgd", &source);
    assert!(source.contains("var<storage, read_write> b0: array<f32>;"), "{source}");
    assert!(source.contains("var<storage, read> b1: array<u32>;"), "{source}");
    let golden = "\
__device__ long long locate(const long long *numbers, int k, long long element) {
    const long long *entry = numbers + 11 + 9 * k;
    long long at = entry[0];
    for (long long d = numbers[2]; d > 0; d--) {
        const long long size = numbers[2 + d];
        at += element % size * entry[d];
        element /= size;
    }
    return at;
}
extern \"C\" __global__ void __launch_bounds__(256) kernel_main(float *b0, const unsigned short *b1, float *b2, \
const long long *numbers, const unsigned char *control) {
const long long block = blockIdx.x + (long long)blockIdx.y * gridDim.x;
const int local = threadIdx.x;
const long long i = block * 256 + local;
if (i >= numbers[0]) return;
const float v3 = *(const float *)(control + 0);
const float v4 = *(const float *)(control + 8);
const long long p0 = locate(numbers, 0, i);
const long long p1 = locate(numbers, 1, i);
const long long p2 = locate(numbers, 2, i);
const float v0 = b0[p0];
const float v1 = __uint_as_float((unsigned)b1[p1] << 16);
const float v2 = b2[p2];
const float v5 = v2 * v4;
const float v6 = v1 + v5;
const float v7 = v3 * v6;
const float v8 = v0 - v7;
b0[p0] = v8;
b2[p2] = v6;
}
";
    assert_eq!(kernel(&sgd(), Dialect::Cuda, &IN_PLACE).unwrap(), golden);
    assert_eq!(kernel(&sgd(), Dialect::Hip, &IN_PLACE).unwrap(), golden);
}

/// Adam with hyperparameters in F64: WGSL has it once the host does that arithmetic.
#[test]
fn adam_is_valid_once_hoisted() {
    let mut b = Builder::new();
    let [p, g, m, v] = [(); 4].map(|_| b.input(Type::F32));
    let [lr, b1, b2, eps, t] = [(); 5].map(|_| b.scalar(Type::F64));
    let one = b.number(Type::F64, 1.0);
    let narrow = |b: &mut Builder, x| b.cast(Type::F32, x);
    let decay = |b: &mut Builder, beta, state, new| {
        let rest = b.sub(one, beta);
        let (beta, rest) = (narrow(b, beta), narrow(b, rest));
        let (old, new) = (b.mul(beta, state), b.mul(rest, new));
        b.add(old, new)
    };
    let m = decay(&mut b, b1, m, g);
    let squares = b.mul(g, g);
    let v = decay(&mut b, b2, v, squares);
    let power = b.binary(Binary::Pow, b1, t);
    let correction = b.sub(one, power);
    let size = b.div(lr, correction);
    let (size, eps) = (b.cast(Type::F32, size), b.cast(Type::F32, eps));
    let root = b.unary(Unary::Sqrt, v);
    let (bottom, top) = (b.add(root, eps), b.mul(size, m));
    let update = b.div(top, bottom);
    let p = b.sub(p, update);
    let f = b.finish(&[p, m, v]);
    let error = kernel(&f, Dialect::Wgsl, &Buffer::all(&f)).unwrap_err();
    assert_eq!(error, PrintError::Type(Dialect::Wgsl, Type::F64));
    assert!(error.to_string().contains("hoist"));
    let kernel_formula = hoist(&f).kernel;
    validate("adam", &kernel(&kernel_formula, Dialect::Wgsl, &Buffer::all(&kernel_formula)).unwrap());
    assert!(kernel(&f, Dialect::Cuda, &Buffer::all(&f)).unwrap().contains("pow(v"));
}

#[test]
fn numbers_that_wgsl_cannot_write() {
    let mut b = Builder::new();
    let x = b.input(Type::F32);
    let mut sum = x;
    for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-45, f32::MAX as f64, 1e-8, -3.0] {
        let c = b.number(Type::F32, v);
        sum = b.binary(Binary::Max, sum, c);
    }
    let f = b.finish(&[sum]);
    let source = kernel(&f, Dialect::Wgsl, &Buffer::all(&f)).unwrap();
    validate("numbers", &source);
    assert!(source.contains("from_bits(2139095040u)"), "{source}");
}

#[test]
fn packed_operands_are_read_but_not_written_in_wgsl() {
    for storage in [Storage::F16, Storage::BF16, Storage::U8] {
        let ty = storage.ty();
        let f = Op::Neg.formula(ty);
        let read = Buffer { storage, input: Some(0), output: None };
        let write = Buffer { storage: Storage::of(ty), input: None, output: Some(0) };
        validate("packed", &kernel(&f, Dialect::Wgsl, &[read, write]).unwrap());
        let in_place = Buffer { output: Some(0), ..read };
        assert_eq!(kernel(&f, Dialect::Wgsl, &[in_place]), Err(PrintError::Store(Dialect::Wgsl, storage)));
        assert!(balanced(&kernel(&f, Dialect::Cuda, &[in_place]).unwrap()));
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let f = Op::Add.formula(Type::I64);
    let error = kernel(&f, Dialect::Wgsl, &Buffer::all(&f)).unwrap_err();
    assert!(error.to_string().contains("I32"), "{error}");
    let message = |buffers: &[Buffer]| kernel(&f, Dialect::Cuda, buffers).unwrap_err().to_string();
    assert_eq!(message(&Buffer::all(&f)[1..]), "input 0 needs exactly one buffer, not 0");
    let mut wrong = Buffer::all(&f);
    wrong[2].storage = Storage::F32;
    assert_eq!(message(&wrong), "output 0 is computed in I64, which a buffer of F32 does not hold");
}
