//! A formula as straight-line vector code over one float type: what both backends translate.
//!
//! Truth values are lanes of all ones or zeros; writing bfloat16 is integer arithmetic on the lanes.

use phynexus_core::DType;

/// An instruction, by position.
pub(super) type Value = usize;

/// Functions of one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum One {
    Sqrt,
    Floor,
    Ceil,
    Round,
    /// The bits of each 32-bit lane, 16 to the right.
    High,
    /// The low halves of the 32-bit lanes side by side at the bottom of the vector; only stored.
    Narrow,
}

/// Functions of two vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Two {
    Add,
    Sub,
    Mul,
    Div,
    /// `a < b ? a : b`
    Min,
    /// `a > b ? a : b`
    Max,
    And,
    /// `!a & b`
    AndNot,
    Or,
    Xor,
    /// Of 32-bit integers.
    AddInt,
}

/// Comparisons; the `Not` ones are true of NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Eq,
    Lt,
    Le,
    NotEq,
    NotLt,
    NotLe,
}

/// One vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Inst {
    /// These bits in every lane.
    Const(u64),
    /// A control-table entry in every lane.
    Scalar(usize),
    /// Elements of an input, in the type that is computed in.
    Load(usize),
    One(One, Value),
    Two(Two, Value, Value),
    Test(Test, Value, Value),
    /// `mask ? yes : no`
    Select(Value, Value, Value),
}

impl Inst {
    pub fn operands(self) -> impl DoubleEndedIterator<Item = Value> {
        let (a, b, c) = match self {
            Inst::Const(_) | Inst::Scalar(_) | Inst::Load(_) => (None, None, None),
            Inst::One(_, a) => (Some(a), None, None),
            Inst::Two(_, a, b) | Inst::Test(_, a, b) => (Some(a), Some(b), None),
            Inst::Select(a, b, c) => (Some(a), Some(b), Some(c)),
        };
        [a, b, c].into_iter().flatten()
    }
}

/// The code of one vector of elements.
#[derive(Debug)]
pub(super) struct Program {
    /// Whether lanes are f64; f32 otherwise.
    pub double: bool,
    pub insts: Vec<Inst>,
    /// Whether an instruction gives the same for all elements.
    pub invariant: Vec<bool>,
    pub inputs: Vec<DType>,
    /// What is stored, and how; narrow floats other than float16 have been narrowed already.
    pub outputs: Vec<(Value, DType)>,
}

impl Program {
    /// Bytes of a lane.
    pub fn lane(&self) -> usize {
        if self.double { 8 } else { 4 }
    }

    /// The instructions whose results change from element to element, each store as early as it may be: after its
    /// value and after the last load, because an output may be the memory of an input.
    pub fn body(&self) -> Vec<Item> {
        let loaded = self.insts.iter().rposition(|i| matches!(i, Inst::Load(_))).unwrap_or(0);
        let mut items = vec![];
        for value in (0..self.insts.len()).filter(|&v| !self.invariant[v]) {
            items.push(Item::Inst(value));
            let ready = |v: Value| v == value && v > loaded || v <= loaded && value == loaded;
            let stores = self.outputs.iter().enumerate().filter(|(_, (v, _))| ready(*v));
            items.extend(stores.map(|(k, _)| Item::Store(k)));
        }
        items
    }
}

/// A step of a loop's body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    Inst(Value),
    /// Writes the output of that position.
    Store(usize),
}
