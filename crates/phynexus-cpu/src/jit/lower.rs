//! From formulas to programs.
//!
//! Everything that is not one instruction of a vector unit is expanded here, so that the backends cannot differ in it.

use super::program::{BYTES, Inst, One, Program, Space, Test, Two, Value, When};
use phynexus_core::DType;
use phynexus_formula::{Binary, Constant, Formula, Id, Node, Rank, Type, Unary};
use std::collections::HashMap;

impl Program {
    /// The code for `formula`, if it is made of vector instructions alone. Inputs that are `by_row` have one value for
    /// each row.
    pub fn new(formula: &Formula, inputs: &[DType], outputs: &[DType], by_row: &[bool]) -> Option<Program> {
        let double = (0..formula.nodes().len()).any(|i| formula.ty(Id(i as u32)) == Type::F64);
        let ty = if double { Type::F64 } else { Type::F32 };
        if formula.outputs().is_empty()
            || inputs.len() != formula.inputs().len()
            || outputs.len() != formula.outputs().len()
        {
            return None;
        }
        let mut lower = Lower {
            ty,
            formula,
            program: Program {
                double,
                insts: vec![],
                when: vec![],
                inputs: inputs.to_vec(),
                outputs: vec![],
            },
            by_row,
            known: HashMap::new(),
            place: Vec::with_capacity(formula.nodes().len()),
        };
        for i in 0..formula.nodes().len() {
            let value = lower.node(Id(i as u32))?;
            lower.place.push(value);
        }
        for (&id, &dtype) in formula.outputs().iter().zip(outputs) {
            let fits = lower.computes(dtype.compute()) && dtype.compute() == formula.ty(id);
            let value = lower.operand(id);
            let value = match (lower.program.when[value].space, formula.rank(id)) {
                (Space::Element, Rank::Element) if fits => lower.stored(value, dtype),
                (Space::Row, Rank::Row) if fits && dtype.size() == 4 => value,
                _ => return None,
            };
            lower.program.outputs.push((value, dtype));
        }
        lower.program.prune();
        lower.program.settle();
        Some(lower.program)
    }
}

pub(super) struct Lower<'a> {
    ty: Type,
    pub formula: &'a Formula,
    pub program: Program,
    by_row: &'a [bool],
    known: HashMap<Inst, Value>,
    place: Vec<Value>,
}

/// The place of an input or a position that nothing has used yet: loads stand at the first use, where they hold no register in vain.
const NOT_LOADED: Value = Value::MAX;

impl Lower<'_> {
    /// Whether lanes may be of the type; truth values are beside any.
    fn computes(&self, ty: Type) -> bool {
        ty == self.ty || ty == Type::I32 && !self.program.double
    }

    pub fn inst(&mut self, inst: Inst) -> Value {
        let program = &mut self.program;
        *self.known.entry(inst).or_insert_with(|| {
            let of = |v: Value| program.when[v];
            let pass = inst.operands().map(|v| of(v).pass).max().unwrap_or(0);
            let when = match inst {
                Inst::Load(_) | Inst::Position => When { space: Space::Element, pass },
                Inst::LoadRow(_) => When { space: Space::Row, pass },
                Inst::Fold(..) => When { space: Space::Row, pass: pass + 1 },
                _ => {
                    When { space: inst.operands().map(|v| of(v).space).max().unwrap_or(Space::Launch), pass }
                }
            };
            program.insts.push(inst);
            program.when.push(when);
            program.insts.len() - 1
        })
    }

    pub fn operand(&mut self, id: Id) -> Value {
        match (self.place[id.index()], self.formula.node(id)) {
            (NOT_LOADED, Node::Input { slot, .. }) if self.by_row[slot as usize] => {
                self.inst(Inst::LoadRow(slot as usize))
            }
            (NOT_LOADED, Node::Input { slot, .. }) => self.inst(Inst::Load(slot as usize)),
            (value, _) => value,
        }
    }

    pub fn one(&mut self, op: One, a: Value) -> Value {
        self.inst(Inst::One(op, a))
    }

    pub fn two(&mut self, op: Two, a: Value, b: Value) -> Value {
        use Two::{Add, AddInt, And, MaxInt, MinInt, Mul, MulInt, Or, Xor};
        let commutes = matches!(op, Add | Mul | And | Or | Xor | AddInt | MulInt | MinInt | MaxInt);
        // Second operands may be in memory, and values that never change are the first to be there.
        let swap = commutes && self.program.is_steady(a) && !self.program.is_steady(b);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        self.inst(Inst::Two(op, a, b))
    }

    pub fn test(&mut self, test: Test, a: Value, b: Value) -> Value {
        self.inst(Inst::Test(test, a, b))
    }

    pub fn select(&mut self, mask: Value, yes: Value, no: Value) -> Value {
        match self.program.insts[mask] {
            Inst::Test(Test::Lt, a, b) if (a, b) == (yes, no) => self.inst(Inst::Two(Two::Min, a, b)),
            Inst::Test(Test::Lt, a, b) if (a, b) == (no, yes) => self.inst(Inst::Two(Two::Max, b, a)),
            _ => self.inst(Inst::Select(mask, yes, no)),
        }
    }

    pub fn number(&mut self, value: f64) -> Value {
        let bits = if self.program.double { value.to_bits() } else { (value as f32).to_bits() as u64 };
        self.inst(Inst::Const(bits))
    }

    pub fn ones(&mut self) -> Value {
        self.inst(Inst::Const(if self.program.double { u64::MAX } else { u32::MAX as u64 }))
    }

    pub fn not(&mut self, mask: Value) -> Value {
        let opposite = |test| match test {
            Test::Eq => Some(Test::NotEq),
            Test::Lt => Some(Test::NotLt),
            Test::Le => Some(Test::NotLe),
            Test::NotEq => Some(Test::Eq),
            Test::NotLt => Some(Test::Lt),
            Test::NotLe => Some(Test::Le),
            Test::EqInt | Test::GtInt => None,
        };
        if let Inst::Test(test, a, b) = self.program.insts[mask]
            && let Some(test) = opposite(test)
        {
            return self.test(test, a, b);
        }
        let ones = self.ones();
        self.two(Two::Xor, mask, ones)
    }

    /// A truth value from any operand.
    fn mask(&mut self, id: Id) -> Option<Value> {
        match self.formula.ty(id) {
            Type::Bool => Some(self.operand(id)),
            ty if ty == self.ty => {
                let (value, zero) = (self.operand(id), self.number(0.0));
                Some(self.test(Test::NotEq, value, zero))
            }
            ty if self.computes(ty) => {
                let (value, zero) = (self.operand(id), self.integer(0));
                let equal = self.test(Test::EqInt, value, zero);
                Some(self.not(equal))
            }
            _ => None,
        }
    }

    fn node(&mut self, id: Id) -> Option<Value> {
        let (ty, node) = (self.formula.ty(id), self.formula.node(id));
        if !self.computes(ty) && ty != Type::Bool {
            return matches!(node, Node::Index).then_some(NOT_LOADED);
        }
        Some(match node {
            Node::Const(c) => self.constant(c),
            Node::Input { slot, .. } => {
                let stored = self.program.inputs[slot as usize];
                let fits = ty != Type::Bool && stored.compute() == ty;
                return (fits && (stored.size() == 4 || !self.by_row[slot as usize])).then_some(NOT_LOADED);
            }
            Node::Scalar { slot, .. } if ty != Type::Bool => self.inst(Inst::Scalar(slot as usize)),
            Node::Scalar { slot, .. } if !self.program.double => {
                let (word, zero) = (self.inst(Inst::Scalar(slot as usize)), self.integer(0));
                let is_false = self.test(Test::EqInt, word, zero);
                self.not(is_false)
            }
            Node::Unary(Unary::Not, a) => {
                let mask = self.mask(a)?;
                self.not(mask)
            }
            Node::Unary(op, a) if self.formula.ty(a) == self.ty => {
                let a = self.operand(a);
                return self.unary(op, a);
            }
            Node::Unary(op, a) if self.formula.ty(a) == Type::I32 => {
                let a = self.operand(a);
                return self.unary_int(op, a);
            }
            Node::Binary(op, a, b) => {
                let operands = self.formula.ty(a);
                if !self.computes(operands) && operands != Type::Bool {
                    return None;
                }
                let (a, b) = (self.operand(a), self.operand(b));
                return match operands {
                    Type::I32 => self.binary_int(op, a, b),
                    Type::Bool => self.logic(op, a, b),
                    _ => self.binary(op, a, b),
                };
            }
            Node::Reduce(op, a) if ty == Type::I32 => {
                let a = self.operand(a);
                return self.fold(op, a);
            }
            Node::Select(..) if let Some((index, table)) = self.table(id) => {
                let (index, table) = (self.operand(index), self.inst(Inst::Table(table)));
                self.two(Two::Lookup, index, table)
            }
            Node::Select(c, yes, no) => {
                let mask = self.mask(c)?;
                let (yes, no) = (self.operand(yes), self.operand(no));
                self.select(mask, yes, no)
            }
            Node::Cast(Type::Bool, a) => return self.mask(a),
            Node::Cast(to, a) if self.formula.ty(a) == Type::Bool => {
                let one = if to == Type::I32 { self.integer(1) } else { self.number(1.0) };
                let mask = self.operand(a);
                self.two(Two::And, mask, one)
            }
            Node::Cast(Type::I32, a) if self.formula.node(a) == Node::Index => self.position(),
            Node::Cast(Type::I32, a) if self.formula.ty(a) == Type::F32 => {
                let a = self.operand(a);
                self.truncated(a)
            }
            Node::Cast(Type::F32, a) if self.formula.ty(a) == Type::I32 => {
                let a = self.operand(a);
                self.one(One::ToFloat, a)
            }
            _ => return None,
        })
    }

    fn constant(&mut self, c: Constant) -> Value {
        match c.ty {
            Type::Bool if c.as_i64() != 0 => self.ones(),
            Type::Bool => self.inst(Inst::Const(0)),
            Type::I32 => self.integer(c.as_i64() as i32),
            _ => self.number(c.as_f64()),
        }
    }

    fn abs(&mut self, a: Value) -> Value {
        let sign = self.number(-0.0);
        self.two(Two::AndNot, sign, a)
    }

    fn unary(&mut self, op: Unary, a: Value) -> Option<Value> {
        Some(match op {
            Unary::Neg => {
                let sign = self.number(-0.0);
                self.two(Two::Xor, a, sign)
            }
            Unary::Abs => self.abs(a),
            Unary::Sign => {
                let (zero, one) = (self.number(0.0), self.number(1.0));
                let (positive, negative) = (self.test(Test::Lt, zero, a), self.test(Test::Lt, a, zero));
                let (positive, negative) =
                    (self.two(Two::And, positive, one), self.two(Two::And, negative, one));
                self.two(Two::Sub, positive, negative)
            }
            Unary::Sqrt => self.one(One::Sqrt, a),
            Unary::Rsqrt => {
                let (one, root) = (self.number(1.0), self.one(One::Sqrt, a));
                self.two(Two::Div, one, root)
            }
            Unary::Floor => self.one(One::Floor, a),
            Unary::Ceil => self.one(One::Ceil, a),
            Unary::Round => self.one(One::Round, a),
            Unary::IsNan => self.test(Test::NotEq, a, a),
            Unary::IsFinite => {
                let (size, infinity) = (self.abs(a), self.number(f64::INFINITY));
                self.test(Test::Lt, size, infinity)
            }
            Unary::Detach => a,
            Unary::Bits if !self.program.double => a,
            Unary::RoundBf16 if !self.program.double => {
                let (bits, high) = (self.bfloat16(a), self.integer(!0xffff));
                self.two(Two::And, bits, high)
            }
            Unary::RoundF16 if !self.program.double => self.one(One::Half, a),
            _ if !self.program.double => return self.function(op, a),
            _ => return None,
        })
    }

    fn binary(&mut self, op: Binary, a: Value, b: Value) -> Option<Value> {
        Some(match op {
            Binary::Add => self.two(Two::Add, a, b),
            Binary::Sub => self.two(Two::Sub, a, b),
            Binary::Mul => self.two(Two::Mul, a, b),
            Binary::Div => self.two(Two::Div, a, b),
            Binary::Min => self.extremum(Two::Min, a, b),
            Binary::Max => self.extremum(Two::Max, a, b),
            Binary::Eq => self.test(Test::Eq, a, b),
            Binary::Ne => self.test(Test::NotEq, a, b),
            Binary::Lt => self.test(Test::Lt, a, b),
            Binary::Le => self.test(Test::Le, a, b),
            Binary::Atan2 if !self.program.double => self.angle(a, b),
            _ => return None,
        })
    }

    /// NaN if either is, the second of two equals. The instruction itself gives `b` if either is NaN, so that only
    /// a NaN in `a` has to be looked for.
    fn extremum(&mut self, op: Two, a: Value, b: Value) -> Value {
        match (self.known_number(a), self.known_number(b)) {
            (true, _) => self.two(op, a, b),
            (_, true) => {
                let (low, high) = if op == Two::Min { (b, a) } else { (a, b) };
                let mask = self.test(Test::NotLe, low, high);
                self.select(mask, a, b)
            }
            _ => {
                let (result, nan) = (self.two(op, a, b), self.test(Test::NotEq, a, a));
                self.select(nan, a, result)
            }
        }
    }

    /// Whether the value is a constant and not NaN.
    fn known_number(&self, v: Value) -> bool {
        match self.program.insts[v] {
            Inst::Const(bits) if self.program.double => !f64::from_bits(bits).is_nan(),
            Inst::Const(bits) => !f32::from_bits(bits as u32).is_nan(),
            _ => false,
        }
    }

    fn logic(&mut self, op: Binary, a: Value, b: Value) -> Option<Value> {
        Some(match op {
            Binary::And | Binary::Min | Binary::Mul => self.two(Two::And, a, b),
            Binary::Or | Binary::Max => self.two(Two::Or, a, b),
            Binary::Xor | Binary::Ne => self.two(Two::Xor, a, b),
            Binary::Eq => {
                let differ = self.two(Two::Xor, a, b);
                self.not(differ)
            }
            _ => return None,
        })
    }

    /// Lanes whose upper half is the lane rounded to nearest even; NaNs stay NaN.
    fn bfloat16(&mut self, a: Value) -> Value {
        let [half, one, quiet] = [0x7fff, 1, 0x40_0000].map(|bits| self.integer(bits));
        let high = self.one(One::Right(16), a);
        let odd = self.two(Two::And, high, one);
        let up = self.two(Two::AddInt, odd, half);
        let rounded = self.two(Two::AddInt, a, up);
        let (nan, quieted) = (self.test(Test::NotEq, a, a), self.two(Two::Or, a, quiet));
        self.select(nan, quieted, rounded)
    }

    /// The value as an output of that dtype wants it.
    fn stored(&mut self, value: Value, dtype: DType) -> Value {
        match dtype {
            DType::BF16 => {
                let bits = self.bfloat16(value);
                let high = self.one(One::Right(16), bits);
                self.one(One::Narrow, high)
            }
            DType::U8 => {
                let bytes = self.inst(Inst::Table(BYTES));
                self.two(Two::Bytes, value, bytes)
            }
            _ => value,
        }
    }
}
