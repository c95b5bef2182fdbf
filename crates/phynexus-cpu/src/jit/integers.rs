//! Integers beside floats of the same width, and tables.

use super::lower::Lower;
use super::program::{Inst, One, Test, Two, Value};
use phynexus_formula::{Binary, Constant, Id, Node, Reduction, Type, Unary};

impl Lower<'_> {
    pub fn integer(&mut self, value: i32) -> Value {
        self.inst(Inst::Const(value as u32 as u64))
    }

    pub fn unary_int(&mut self, op: Unary, a: Value) -> Option<Value> {
        Some(match op {
            Unary::Neg => match (self.truth(a), self.integer(0)) {
                (Some(mask), _) => mask,
                (None, zero) => self.two(Two::SubInt, zero, a),
            },
            Unary::Abs => self.one(One::AbsInt, a),
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Detach | Unary::FromBits => a,
            _ => return None,
        })
    }

    pub fn binary_int(&mut self, op: Binary, a: Value, b: Value) -> Option<Value> {
        Some(match op {
            Binary::Add => match self.truth(b) {
                Some(mask) => self.two(Two::SubInt, a, mask),
                None => self.two(Two::AddInt, a, b),
            },
            Binary::Sub => self.two(Two::SubInt, a, b),
            Binary::Mul => self.two(Two::MulInt, a, b),
            Binary::Min => self.two(Two::MinInt, a, b),
            Binary::Max => self.two(Two::MaxInt, a, b),
            Binary::And => self.two(Two::And, a, b),
            Binary::Or => self.two(Two::Or, a, b),
            Binary::Xor => self.two(Two::Xor, a, b),
            Binary::Eq => self.test(Test::EqInt, a, b),
            Binary::Ne => {
                let equal = self.test(Test::EqInt, a, b);
                self.not(equal)
            }
            Binary::Lt => self.test(Test::GtInt, b, a),
            Binary::Le => {
                let above = self.test(Test::GtInt, a, b);
                self.not(above)
            }
            Binary::Shl | Binary::Shr | Binary::Ushr => {
                let Inst::Const(distance) = self.program.insts[b] else { return None };
                let distance = (distance & 31) as u8;
                let a = match self.high_product(a) {
                    Some(product) if op == Binary::Ushr && distance >= 16 => product,
                    _ => a,
                };
                let shift = match op {
                    Binary::Shl => One::Left(distance),
                    Binary::Shr => One::Signed(distance),
                    _ => One::Right(distance),
                };
                self.one(shift, a)
            }
            _ => return None,
        })
    }

    /// The product of an upper half and a constant, as far as its own upper half goes.
    fn high_product(&mut self, v: Value) -> Option<Value> {
        let Inst::Two(Two::MulInt, half, factor) = self.program.insts[v] else { return None };
        match (self.program.insts[half], self.program.insts[factor]) {
            (Inst::One(One::Right(16), a), Inst::Const(factor @ ..0x1_0000)) => {
                let factor = self.inst(Inst::Const(factor << 16));
                Some(self.two(Two::MulHigh, a, factor))
            }
            _ => None,
        }
    }

    /// The truth value that the integer is 1 or 0 for: all ones are -1.
    fn truth(&self, v: Value) -> Option<Value> {
        let one = |v: Value| self.program.insts[v] == Inst::Const(1);
        match self.program.insts[v] {
            Inst::Two(Two::And, mask, bit) if one(bit) => {
                matches!(self.program.insts[mask], Inst::Test(..)).then_some(mask)
            }
            _ => None,
        }
    }

    /// Beyond the range of integers the nearest one, of NaN 0.
    pub fn truncated(&mut self, a: Value) -> Value {
        let (limit, most) = (self.number(2f64.powi(31)), self.integer(i32::MAX));
        let (int, large) = (self.one(One::ToInt, a), self.test(Test::Le, limit, a));
        let (int, number) = (self.select(large, most, int), self.test(Test::Eq, a, a));
        self.two(Two::And, int, number)
    }

    /// A reduction of the row.
    pub fn fold(&mut self, op: Reduction, a: Value) -> Option<Value> {
        let (op, neutral) = match op {
            Reduction::Sum => (Two::AddInt, 0),
            Reduction::Prod => (Two::MulInt, 1),
            Reduction::Max => (Two::MaxInt, i32::MIN),
            Reduction::Min => (Two::MinInt, i32::MAX),
        };
        let neutral = self.integer(neutral);
        (!self.program.is_steady(a)).then(|| self.inst(Inst::Fold(op, a, neutral)))
    }

    /// The position of the element in its row.
    pub fn position(&mut self) -> Value {
        let (first, lanes) = (self.inst(Inst::Position), self.inst(Inst::Lanes));
        self.two(Two::AddInt, first, lanes)
    }

    /// What a chain of choices looks up: the index, of which the lowest three bits count, and the eight entries.
    pub fn table(&self, id: Id) -> Option<(Id, [u32; 8])> {
        let entry = |id: Id| match self.formula.node(id) {
            Node::Const(c) if c.ty == Type::F32 => Some((c.as_f64() as f32).to_bits()),
            Node::Const(c) if c.ty == Type::I32 => Some(c.as_i64() as u32),
            _ => None,
        };
        let (mut at, mut chain, mut masked) = (id, vec![], None);
        while let Node::Select(condition, yes, no) = self.formula.node(at) {
            let Node::Binary(Binary::Eq, x, k) = self.formula.node(condition) else { return None };
            let known = |id: Id| if let Node::Const(c) = self.formula.node(id) { Some(c) } else { None };
            let (x, k) = known(x).map_or((x, known(k)), |c| (k, Some(c)));
            if k?.ty != Type::I32 || *masked.get_or_insert(x) != x {
                return None;
            }
            chain.push((k?.as_i64(), entry(yes)?));
            at = no;
        }
        let seven = |id: Id| self.formula.node(id) == Node::Const(Constant::int(Type::I32, 7));
        let index = match self.formula.node(masked?) {
            Node::Binary(Binary::And, x, mask) if seven(mask) => x,
            Node::Binary(Binary::And, mask, x) if seven(mask) => x,
            _ => return None,
        };
        let mut table = [entry(at)?; 8];
        for (k, value) in chain.into_iter().rev() {
            *table.get_mut(k as usize)? = value;
        }
        Some((index, table))
    }
}
