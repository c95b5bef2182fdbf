//! From formulas to programs.
//!
//! Everything that is not one instruction of a vector unit is expanded here, so that the backends cannot differ in it.

use super::program::{Inst, One, Program, Test, Two, Value};
use phynexus_core::DType;
use phynexus_formula::{Binary, Constant, Formula, Id, Node, Rank, Type, Unary};
use std::collections::HashMap;

impl Program {
    /// The code for `formula`, if it is made of vector instructions alone.
    pub fn new(formula: &Formula, inputs: &[DType], outputs: &[DType]) -> Option<Program> {
        let ty = formula.ty(*formula.outputs().first()?);
        if !ty.is_float()
            || inputs.len() != formula.inputs().len()
            || outputs.len() != formula.outputs().len()
        {
            return None;
        }
        let mut lower = Lower {
            ty,
            formula,
            program: Program {
                double: ty == Type::F64,
                insts: vec![],
                invariant: vec![],
                inputs: inputs.to_vec(),
                outputs: vec![],
            },
            known: HashMap::new(),
            place: Vec::with_capacity(formula.nodes().len()),
        };
        for i in 0..formula.nodes().len() {
            let value = lower.node(Id(i as u32))?;
            lower.place.push(value);
        }
        for (&id, &dtype) in formula.outputs().iter().zip(outputs) {
            if formula.ty(id) != ty || dtype.compute() != ty || formula.rank(id) != Rank::Element {
                return None;
            }
            let value = lower.operand(id);
            let value = if dtype == DType::BF16 { lower.bfloat16(value) } else { value };
            lower.program.outputs.push((value, dtype));
        }
        Some(lower.program)
    }
}

struct Lower<'a> {
    ty: Type,
    formula: &'a Formula,
    program: Program,
    known: HashMap<Inst, Value>,
    place: Vec<Value>,
}

/// The place of an input that nothing has used yet: loads stand at the first use, where they hold no register in vain.
const NOT_LOADED: Value = Value::MAX;

impl Lower<'_> {
    fn inst(&mut self, inst: Inst) -> Value {
        let program = &mut self.program;
        *self.known.entry(inst).or_insert_with(|| {
            let invariant = !matches!(inst, Inst::Load(_)) && inst.operands().all(|v| program.invariant[v]);
            program.insts.push(inst);
            program.invariant.push(invariant);
            program.insts.len() - 1
        })
    }

    fn operand(&mut self, id: Id) -> Value {
        match (self.place[id.index()], self.formula.node(id)) {
            (NOT_LOADED, Node::Input { slot, .. }) => self.inst(Inst::Load(slot as usize)),
            (value, _) => value,
        }
    }

    fn one(&mut self, op: One, a: Value) -> Value {
        self.inst(Inst::One(op, a))
    }

    fn two(&mut self, op: Two, a: Value, b: Value) -> Value {
        let commutes = matches!(op, Two::Add | Two::Mul | Two::And | Two::Or | Two::Xor | Two::AddInt);
        // Second operands may be in memory, and values that never change are the first to be there.
        let swap = commutes && self.program.invariant[a] && !self.program.invariant[b];
        let (a, b) = if swap { (b, a) } else { (a, b) };
        self.inst(Inst::Two(op, a, b))
    }

    fn test(&mut self, test: Test, a: Value, b: Value) -> Value {
        self.inst(Inst::Test(test, a, b))
    }

    fn select(&mut self, mask: Value, yes: Value, no: Value) -> Value {
        self.inst(Inst::Select(mask, yes, no))
    }

    fn number(&mut self, value: f64) -> Value {
        let bits = if self.program.double { value.to_bits() } else { (value as f32).to_bits() as u64 };
        self.inst(Inst::Const(bits))
    }

    fn ones(&mut self) -> Value {
        self.inst(Inst::Const(if self.program.double { u64::MAX } else { u32::MAX as u64 }))
    }

    fn not(&mut self, mask: Value) -> Value {
        if let Inst::Test(test, a, b) = self.program.insts[mask] {
            let opposite = match test {
                Test::Eq => Test::NotEq,
                Test::Lt => Test::NotLt,
                Test::Le => Test::NotLe,
                Test::NotEq => Test::Eq,
                Test::NotLt => Test::Lt,
                Test::NotLe => Test::Le,
            };
            return self.test(opposite, a, b);
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
            _ => None,
        }
    }

    fn node(&mut self, id: Id) -> Option<Value> {
        let (ty, node) = (self.formula.ty(id), self.formula.node(id));
        if ty != self.ty && ty != Type::Bool {
            return None;
        }
        Some(match node {
            Node::Const(c) => self.constant(c),
            Node::Input { slot, .. } => {
                let stored = self.program.inputs[slot as usize];
                return (ty == self.ty && stored.compute() == ty).then_some(NOT_LOADED);
            }
            Node::Scalar { slot, .. } if ty == self.ty => self.inst(Inst::Scalar(slot as usize)),
            Node::Unary(Unary::Not, a) => {
                let mask = self.mask(a)?;
                self.not(mask)
            }
            Node::Unary(op, a) if self.formula.ty(a) == self.ty => {
                let a = self.operand(a);
                return self.unary(op, a);
            }
            Node::Binary(op, a, b) => {
                let operands = self.formula.ty(a);
                let (a, b) = (self.operand(a), self.operand(b));
                return if operands == self.ty { self.binary(op, a, b) } else { self.logic(op, a, b) };
            }
            Node::Select(c, yes, no) => {
                let mask = self.mask(c)?;
                let (yes, no) = (self.operand(yes), self.operand(no));
                self.select(mask, yes, no)
            }
            Node::Cast(Type::Bool, a) => return self.mask(a),
            Node::Cast(_, a) if self.formula.ty(a) == Type::Bool => {
                let (mask, one) = (self.operand(a), self.number(1.0));
                self.two(Two::And, mask, one)
            }
            _ => return None,
        })
    }

    fn constant(&mut self, c: Constant) -> Value {
        match c.ty {
            Type::Bool if c.as_i64() != 0 => self.ones(),
            Type::Bool => self.inst(Inst::Const(0)),
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

    /// The upper half of each lane, rounded to nearest even; NaNs stay NaN.
    fn bfloat16(&mut self, a: Value) -> Value {
        let [half, one, quiet] = [0x7fff, 1, 0x40_0000].map(|bits| self.inst(Inst::Const(bits)));
        let high = self.one(One::High, a);
        let odd = self.two(Two::And, high, one);
        let up = self.two(Two::AddInt, odd, half);
        let rounded = self.two(Two::AddInt, a, up);
        let (nan, quieted) = (self.test(Test::NotEq, a, a), self.two(Two::Or, a, quiet));
        let bits = self.select(nan, quieted, rounded);
        let high = self.one(One::High, bits);
        self.one(One::Narrow, high)
    }
}
