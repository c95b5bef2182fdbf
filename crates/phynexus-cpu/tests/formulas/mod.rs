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
        if !dtype.is_float() {
            let word = self.next() as i32 >> self.below(32);
            return rounded(dtype, word as f64);
        }
        let tiny = if dtype == DType::F64 { f64::from_bits(3) } else { f32::from_bits(3) as f64 };
        let least = if dtype == DType::F64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE as f64 };
        let most = if dtype == DType::F64 { f64::MAX } else { f32::MAX as f64 };
        let special = [0.0, f64::INFINITY, f64::NAN, tiny, least, most, 1.0, 0.5, 1.5, 2.5, 4.0, 16777217.0];
        let value = if self.below(3) == 0 {
            self.pick(&special) * if self.below(2) == 0 { 1.0 } else { -1.0 }
        } else {
            (self.next() as i64 as f64 / i64::MAX as f64) * 2f64.powi(self.below(24) as i32 - 12)
        };
        rounded(dtype, value)
    }
}

fn encode(dtype: DType, value: f64) -> Vec<u8> {
    match dtype {
        DType::F16 => f16::from_f32(value as f32).to_le_bytes().to_vec(),
        DType::BF16 => bf16::from_f32(value as f32).to_le_bytes().to_vec(),
        DType::F32 => (value as f32).to_le_bytes().to_vec(),
        DType::I32 => (value as i32).to_le_bytes().to_vec(),
        DType::U8 => vec![value as i64 as u8],
        _ => value.to_le_bytes().to_vec(),
    }
}

fn decode(dtype: DType, bytes: &[u8]) -> f64 {
    match dtype {
        DType::F16 => f16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        DType::BF16 => bf16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        DType::F32 => f32::from_le_bytes(bytes.try_into().unwrap()) as f64,
        DType::I32 => i32::from_le_bytes(bytes.try_into().unwrap()) as f64,
        DType::U8 => bytes[0] as f64,
        _ => f64::from_le_bytes(bytes.try_into().unwrap()),
    }
}

/// What `value` is once it is stored; of bfloat16 the way over float32 counts, others lose bits before they round.
pub fn rounded(dtype: DType, value: f64) -> f64 {
    decode(dtype, &encode(dtype, value))
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
        let scalars = formula.scalars().iter().map(|&ty| rng.number(stored(ty))).collect();
        Case { formula, inputs, outputs, data, scalars }
    }

    /// The same with data between -1 and 1, so that no NaN hides the rest.
    pub fn moderate(mut self, rng: &mut Rng) -> Case {
        for (&dtype, column) in self.inputs.iter().zip(&mut self.data) {
            column.fill_with(|| rounded(dtype, rng.next() as i64 as f64 / i64::MAX as f64));
        }
        self
    }

    pub fn plain(rng: &mut Rng, formula: Formula, elements: usize) -> Case {
        let inputs = formula.inputs().iter().map(|&ty| stored(ty)).collect();
        let outputs = formula.outputs().iter().map(|&id| stored(formula.ty(id))).collect();
        Case::new(rng, formula, inputs, outputs, elements)
    }

    fn expected(&self) -> Vec<Vec<f64>> {
        let number = |float: bool| move |&v: &f64| if float { Value::F(v) } else { Value::I(v as i64) };
        let columns = self.data.iter().zip(&self.inputs);
        let inputs: Vec<Vec<Value>> =
            columns.map(|(column, dtype)| column.iter().map(number(dtype.is_float())).collect()).collect();
        let scalars = self.scalars.iter().zip(self.formula.scalars());
        let scalars: Vec<Value> = scalars.map(|(v, ty)| number(ty.is_float())(v)).collect();
        let results = evaluate(&self.formula, &inputs, &scalars);
        let stored = |(column, &dtype): (&Vec<Value>, &DType)| {
            column.iter().map(|v| rounded(dtype, v.as_f64())).collect()
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
            .map(|(&ty, &v)| match ty {
                Type::F64 => v.to_bits(),
                Type::I32 => v as i32 as u32 as u64,
                _ => (v as f32).to_bits() as u64,
            })
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

fn stored(ty: Type) -> DType {
    match ty {
        Type::F64 => DType::F64,
        Type::I32 => DType::I32,
        _ => DType::F32,
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

const INTEGERS: [Binary; 8] =
    [Binary::Add, Binary::Sub, Binary::Mul, Binary::Min, Binary::Max, Binary::And, Binary::Or, Binary::Xor];
const SHIFTS: [Binary; 3] = [Binary::Shl, Binary::Shr, Binary::Ushr];

/// A chain of choices by the lowest three bits of an integer.
pub fn lookup(b: &mut Builder, index: Id, entries: [f64; 8]) -> Id {
    let seven = b.number(Type::I32, 7.0);
    let index = b.binary(Binary::And, index, seven);
    let mut result = b.number(Type::F32, entries[7]);
    for (k, entry) in entries.into_iter().enumerate().take(7).rev() {
        let (k, entry) = (b.number(Type::I32, k as f64), b.number(Type::F32, entry));
        let here = b.binary(Binary::Eq, index, k);
        result = b.select(here, entry, result);
    }
    result
}

/// A formula of random nodes over floats (the even inputs) and integers; its outputs are the last two of either kind.
pub fn mixed_formula(rng: &mut Rng, nodes: usize, halves: bool) -> Formula {
    let mut b = Builder::new();
    let mut kinds = [vec![], vec![]];
    for k in 0..4 {
        kinds[k % 2].push(b.input([Type::F32, Type::I32][k % 2]));
    }
    let position = b.index();
    let numbers =
        [b.scalar(Type::I32), b.number(Type::I32, rng.number(DType::I32)), b.cast(Type::I32, position)];
    kinds[1].extend(numbers);
    kinds[0].push(b.scalar(Type::F32));
    for _ in 0..nodes {
        let [floats, ints] = &kinds;
        let (x, y) = (rng.pick(floats), rng.pick(&floats[floats.len() / 2..]));
        let (i, j) = (rng.pick(ints), rng.pick(&ints[ints.len() / 2..]));
        let node = match rng.below(14) {
            0..3 => b.binary(rng.pick(&BINARY), x, y),
            3..6 => b.binary(rng.pick(&INTEGERS), i, j),
            6 if rng.below(4) == 0 => {
                let (half, factor) = (b.number(Type::I32, 16.0), rng.below(1 << 16));
                let (upper, factor) = (b.binary(Binary::Ushr, i, half), b.number(Type::I32, factor as f64));
                let (product, by) = (b.mul(upper, factor), b.number(Type::I32, rng.below(32) as f64));
                b.binary(Binary::Ushr, product, by)
            }
            6 => {
                let distance = b.number(Type::I32, rng.below(40) as f64);
                b.binary(rng.pick(&SHIFTS), i, distance)
            }
            7 => {
                // which bits a NaN has is not said
                let (nan, some) = (b.unary(Unary::IsNan, x), b.number(Type::F32, 1.5));
                let number = b.select(nan, some, x);
                b.unary(Unary::Bits, number)
            }
            8 => b.unary(Unary::FromBits, i),
            9 => match rng.below(3) {
                0 => b.unary(Unary::RoundBf16, x),
                1 if halves => b.unary(Unary::RoundF16, x),
                _ => b.unary(rng.pick(&UNARY), x),
            },
            10 => b.unary(rng.pick(&[Unary::Neg, Unary::Abs, Unary::Detach]), i),
            11 => {
                let entries = std::array::from_fn(|_| rng.number(DType::F32));
                lookup(&mut b, i, entries)
            }
            12 => b.cast(if rng.below(2) == 0 { Type::I32 } else { Type::F32 }, rng.pick(&[x, i])),
            _ => {
                let mask = match rng.below(3) {
                    0 => b.binary(rng.pick(&COMPARE), i, j),
                    1 => b.binary(rng.pick(&COMPARE), x, y),
                    _ => b.cast(Type::Bool, i),
                };
                if rng.below(2) == 0 { b.select(mask, x, y) } else { b.select(mask, i, j) }
            }
        };
        let kind = (b.ty(node) == Type::I32) as usize;
        if !kinds[kind].contains(&node) && b.rank(node) == Rank::Element {
            kinds[kind].push(node);
        }
    }
    let [floats, ints] = &kinds;
    let element = |list: &[Id]| {
        list.iter().rev().copied().filter(|&id| b.rank(id) == Rank::Element).take(2).collect::<Vec<_>>()
    };
    let outputs = [element(floats), element(ints)].concat();
    b.finish(&outputs)
}
