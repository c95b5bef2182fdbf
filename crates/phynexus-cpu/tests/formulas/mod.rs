//! Random formulas with data that is full of special values, and what they should give.

use half::{bf16, f16};
use phynexus_core::DType;
use phynexus_formula::{Binary, Builder, Formula, Id, Rank, Type, Unary, Value, evaluate};

/// xorshift64*
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
    /// A number that `dtype` can store; one in three is special.
    pub fn number(&mut self, dtype: DType) -> f64 {
        let tiny = if dtype == DType::F64 { f64::from_bits(3) } else { f32::from_bits(3) as f64 };
        let least = if dtype == DType::F64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE as f64 };
        let most = if dtype == DType::F64 { f64::MAX } else { f32::MAX as f64 };
        let special = [0.0, f64::INFINITY, f64::NAN, tiny, least, most, 1.0, 0.5, 1.5, 2.5, 4.0, 16777217.0];
        let value = if self.below(3) == 0 {
            self.pick(&special) * if self.below(2) == 0 { 1.0 } else { -1.0 }
        } else {
            (self.next() as i64 as f64 / i64::MAX as f64) * 2f64.powi(self.below(24) as i32 - 12)
        };
        decode(dtype, &encode(dtype, value))
    }
}

fn encode(dtype: DType, value: f64) -> Vec<u8> {
    match dtype {
        DType::F16 => f16::from_f32(value as f32).to_le_bytes().to_vec(),
        DType::BF16 => bf16::from_f32(value as f32).to_le_bytes().to_vec(),
        DType::F32 => (value as f32).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

fn decode(dtype: DType, bytes: &[u8]) -> f64 {
    match dtype {
        DType::F16 => f16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        DType::BF16 => bf16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        DType::F32 => f32::from_le_bytes(bytes.try_into().unwrap()) as f64,
        _ => f64::from_le_bytes(bytes.try_into().unwrap()),
    }
}

/// Equal bits; any NaN equals any other.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// Inputs and outputs, control table, first element, end.
pub type Call<'a> = &'a dyn Fn(*const *const u8, *const u64, usize, usize);

/// A formula with its storage and data.
pub struct Case {
    pub formula: Formula,
    pub inputs: Vec<DType>,
    pub outputs: Vec<DType>,
    data: Vec<Vec<f64>>,
    pub scalars: Vec<f64>,
}

impl Case {
    pub fn new(
        rng: &mut Rng,
        formula: Formula,
        inputs: Vec<DType>,
        outputs: Vec<DType>,
        elements: usize,
    ) -> Case {
        let data = inputs.iter().map(|&d| (0..elements).map(|_| rng.number(d)).collect()).collect();
        let stored = |ty| if ty == Type::F64 { DType::F64 } else { DType::F32 };
        let scalars = formula.scalars().iter().map(|&ty| rng.number(stored(ty))).collect();
        Case { formula, inputs, outputs, data, scalars }
    }

    /// The same with data between -1 and 1, so that no NaN hides the rest.
    pub fn moderate(mut self, rng: &mut Rng) -> Case {
        for (&dtype, column) in self.inputs.iter().zip(&mut self.data) {
            column.fill_with(|| decode(dtype, &encode(dtype, rng.next() as i64 as f64 / i64::MAX as f64)));
        }
        self
    }

    pub fn plain(rng: &mut Rng, formula: Formula, elements: usize) -> Case {
        let stored = |ty: Type| if ty == Type::F64 { DType::F64 } else { DType::F32 };
        let inputs = formula.inputs().iter().map(|&ty| stored(ty)).collect();
        let outputs = formula.outputs().iter().map(|&id| stored(formula.ty(id))).collect();
        Case::new(rng, formula, inputs, outputs, elements)
    }

    fn expected(&self) -> Vec<Vec<f64>> {
        let inputs: Vec<Vec<Value>> =
            self.data.iter().map(|column| column.iter().map(|&v| Value::F(v)).collect()).collect();
        let scalars: Vec<Value> = self.scalars.iter().map(|&v| Value::F(v)).collect();
        let results = evaluate(&self.formula, &inputs, &scalars);
        let stored = |(column, &dtype): (&Vec<Value>, &DType)| {
            column.iter().map(|v| decode(dtype, &encode(dtype, v.as_f64()))).collect()
        };
        results.iter().zip(&self.outputs).map(stored).collect()
    }

    /// Runs elements `start..end`, with the first outputs in the place of the inputs or in memory that holds 77 before.
    fn run(&self, call: Call, start: usize, end: usize, in_place: bool) -> Vec<Vec<f64>> {
        let mut buffers: Vec<Vec<u8>> = vec![];
        for (&dtype, column) in self.inputs.iter().zip(&self.data) {
            // one byte too many, so that addresses are odd
            buffers.push([vec![0], column.iter().flat_map(|&v| encode(dtype, v)).collect()].concat());
        }
        let elements = self.data[0].len();
        let mut place = vec![];
        for (k, &dtype) in self.outputs.iter().enumerate() {
            if in_place && k < self.inputs.len() && self.inputs[k] == dtype {
                place.push(k);
            } else {
                place.push(buffers.len());
                buffers.push([vec![0], encode(dtype, 77.0).repeat(elements)].concat());
            }
        }
        let addresses: Vec<*mut u8> = buffers.iter_mut().map(|b| b[1..].as_mut_ptr()).collect();
        let operands: Vec<*const u8> =
            (0..self.inputs.len()).chain(place.iter().copied()).map(|i| addresses[i].cast_const()).collect();
        let scalars = self.formula.scalars().iter().zip(&self.scalars);
        let scalars: Vec<u64> = scalars
            .map(|(&ty, &v)| if ty == Type::F64 { v.to_bits() } else { (v as f32).to_bits() as u64 })
            .collect();
        call(operands.as_ptr(), scalars.as_ptr(), start, end);
        let read = |(&i, &dtype): (&usize, &DType)| {
            buffers[i][1..].chunks_exact(dtype.size()).map(|bytes| decode(dtype, bytes)).collect()
        };
        place.iter().zip(&self.outputs).map(read).collect()
    }

    /// What `call`, which is `what`, computes of elements `start..end`; `call` may rely on the operands being as long.
    pub fn check(&self, what: &str, call: Call, start: usize, end: usize, in_place: bool) {
        let expected = self.expected();
        for (k, column) in self.run(call, start, end, in_place).iter().enumerate() {
            for (i, &got) in column.iter().enumerate() {
                let outside = !(start..end).contains(&i);
                let before = if in_place && self.inputs.get(k) == Some(&self.outputs[k]) {
                    self.data[k][i]
                } else {
                    77.0
                };
                let want = if outside { before } else { expected[k][i] };
                assert!(
                    same(got, want),
                    "{what}, elements {start}..{end}: output {k}[{i}] is {got:e}, not {want:e}, of {:?}\n{:#?}",
                    self.data.iter().map(|c| c[i]).collect::<Vec<_>>(),
                    self.formula
                );
            }
        }
    }
}

const UNARY: [Unary; 9] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Sign,
    Unary::Sqrt,
    Unary::Rsqrt,
    Unary::Floor,
    Unary::Ceil,
    Unary::Round,
    Unary::Detach,
];
const BINARY: [Binary; 6] = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max];
const LOGIC: [Binary; 5] = [Binary::And, Binary::Or, Binary::Xor, Binary::Eq, Binary::Ne];
const COMPARE: [Binary; 4] = [Binary::Eq, Binary::Ne, Binary::Lt, Binary::Le];

/// A formula of random nodes; its outputs are the last floats that depend on the elements.
pub fn random_formula(rng: &mut Rng, ty: Type, inputs: usize, nodes: usize, outputs: usize) -> Formula {
    let mut b = Builder::new();
    let dtype = if ty == Type::F64 { DType::F64 } else { DType::F32 };
    let mut floats: Vec<Id> = (0..inputs).map(|_| b.input(ty)).collect();
    floats.extend([b.scalar(ty), b.scalar(ty)]);
    for _ in 0..2 {
        let value = rng.number(dtype);
        floats.push(b.number(ty, value));
    }
    let mut masks = vec![b.binary(Binary::Lt, floats[0], floats[inputs])];
    let mut elements = vec![];
    for _ in 0..nodes {
        // half of the operands are recent, so that values are both short- and long-lived
        let (recent, mask) = (floats.len().saturating_sub(4), masks[rng.below(masks.len())]);
        let [x, y] =
            [(); 2].map(|()| if rng.below(2) == 0 { rng.pick(&floats) } else { rng.pick(&floats[recent..]) });
        let id = match rng.below(12) {
            0..3 => b.unary(rng.pick(&UNARY), x),
            3..7 => b.binary(rng.pick(&BINARY), x, y),
            7 => b.select(mask, x, y),
            8 => b.cast(ty, mask),
            9 => b.binary(rng.pick(&COMPARE), x, y),
            10 => match rng.below(4) {
                0 => b.unary(Unary::Not, mask),
                1 => b.unary(rng.pick(&[Unary::IsNan, Unary::IsFinite, Unary::Not]), x),
                2 => b.cast(Type::Bool, x),
                _ => b.select(mask, masks[0], mask),
            },
            _ => b.binary(rng.pick(&LOGIC), masks[rng.below(masks.len())], mask),
        };
        match b.ty(id) {
            Type::Bool => masks.push(id),
            _ => floats.push(id),
        }
        if b.ty(id) == ty && b.rank(id) == Rank::Element {
            elements.push(id);
        }
    }
    while elements.len() < outputs {
        elements.push(b.mul(floats[0], floats[inputs]));
    }
    let results: Vec<Id> = elements[elements.len() - outputs..].to_vec();
    b.finish(&results)
}
