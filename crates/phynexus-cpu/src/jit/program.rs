//! A formula as straight-line vector code: what all backends translate.
//!
//! Lanes are of one width: f64, or f32 and i32 side by side. Truth values are lanes of all ones or zeros; writing
//! bfloat16 is integer arithmetic on the lanes.

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
    /// Of integers.
    AbsInt,
    /// An integer as a float.
    ToFloat,
    /// A float as an integer, truncated; what has no integer gives anything.
    ToInt,
    /// The nearest float16, as a float.
    Half,
    /// Shifts of integers by so many bits: to the left, to the right with zeros, to the right with the sign.
    Left(u8),
    Right(u8),
    Signed(u8),
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
    /// Of integers, as the following.
    AddInt,
    SubInt,
    MulInt,
    MinInt,
    MaxInt,
    /// The upper halves multiplied without signs: the upper half of that in its place, below it zeros, as in `b`.
    MulHigh,
    /// The entry of the table `b` that the lowest three bits of the lane say.
    Lookup,
    /// The lowest byte of each lane, to be stored so; `b` is [`BYTES`].
    Bytes,
}

/// Which bytes of 128 bits are the lowest of their lanes, as a table.
pub(super) const BYTES: [u32; 8] = {
    let (lowest, none) = (0x0c08_0400, 0x8080_8080);
    [lowest, none, none, none, lowest, none, none, none]
};

/// Comparisons; the `Not` ones are true of NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Eq,
    Lt,
    Le,
    NotEq,
    NotLt,
    NotLe,
    /// Of integers.
    EqInt,
    /// Of integers.
    GtInt,
}

/// One vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Inst {
    /// These bits in every lane.
    Const(u64),
    /// These bits in the first eight lanes, and again in the next eight.
    Table([u32; 8]),
    /// The numbers of the lanes, as integers.
    Lanes,
    /// A control-table entry in every lane.
    Scalar(usize),
    /// The position of the first lane's element, in every lane.
    Position,
    /// Elements of an input, in the type that is computed in.
    Load(usize),
    /// The one value of an input for the row, in every lane.
    LoadRow(usize),
    /// All values `a` of the row joined by a function of integers, in every lane; `b` changes nothing.
    Fold(Two, Value, Value),
    One(One, Value),
    Two(Two, Value, Value),
    Test(Test, Value, Value),
    /// `mask ? yes : no`
    Select(Value, Value, Value),
}

impl Inst {
    pub fn operands(self) -> impl DoubleEndedIterator<Item = Value> {
        let (a, b, c) = match self {
            Inst::Const(_) | Inst::Table(_) | Inst::Lanes | Inst::Scalar(_) | Inst::Position => {
                (None, None, None)
            }
            Inst::Load(_) | Inst::LoadRow(_) => (None, None, None),
            Inst::One(_, a) => (Some(a), None, None),
            Inst::Two(_, a, b) | Inst::Test(_, a, b) | Inst::Fold(_, a, b) => (Some(a), Some(b), None),
            Inst::Select(a, b, c) => (Some(a), Some(b), Some(c)),
        };
        [a, b, c].into_iter().flatten()
    }

    /// The instruction with its operands replaced.
    fn map(self, f: impl Fn(Value) -> Value) -> Inst {
        match self {
            Inst::One(op, a) => Inst::One(op, f(a)),
            Inst::Two(op, a, b) => Inst::Two(op, f(a), f(b)),
            Inst::Test(test, a, b) => Inst::Test(test, f(a), f(b)),
            Inst::Fold(op, a, b) => Inst::Fold(op, f(a), f(b)),
            Inst::Select(a, b, c) => Inst::Select(f(a), f(b), f(c)),
            inst => inst,
        }
    }
}

/// How often a value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    Launch,
    Row,
    Element,
}

/// When a value is there: for elements in that pass over the row, for rows before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub space: Space,
    pub pass: usize,
}

/// The code of one vector of elements; where the formula reduces rows, in several passes over each row.
#[derive(Debug)]
pub(super) struct Program {
    /// Whether lanes are f64; f32 otherwise.
    pub double: bool,
    pub insts: Vec<Inst>,
    pub when: Vec<When>,
    pub inputs: Vec<DType>,
    /// What is stored, and how; narrow floats other than float16 have been narrowed already.
    pub outputs: Vec<(Value, DType)>,
}

impl Program {
    /// Bytes of a lane.
    pub fn lane(&self) -> usize {
        if self.double { 8 } else { 4 }
    }

    /// Drops the instructions that no output needs.
    pub fn prune(&mut self) {
        let mut needed = vec![false; self.insts.len()];
        self.outputs.iter().for_each(|&(v, _)| needed[v] = true);
        for (v, inst) in self.insts.iter().enumerate().rev() {
            if needed[v] {
                inst.operands().for_each(|o| needed[o] = true);
            }
        }
        let mut place = vec![0; needed.len()];
        let (insts, when) = (std::mem::take(&mut self.insts), std::mem::take(&mut self.when));
        for v in (0..needed.len()).filter(|&v| needed[v]) {
            place[v] = self.insts.len();
            self.insts.push(insts[v].map(|o| place[o]));
            self.when.push(when[v]);
        }
        self.outputs.iter_mut().for_each(|(v, _)| *v = place[*v]);
    }

    /// Leaves to the last pass what no reduction needs: long divisions run beside all else there.
    pub fn settle(&mut self) {
        let last = self.passes() - 1;
        let soonest: Vec<usize> = self.when.iter().map(|when| when.pass).collect();
        let mut pass = vec![last; self.insts.len()];
        for v in (0..self.insts.len()).rev() {
            if let Inst::Fold(_, a, _) = self.insts[v] {
                pass[a] = pass[a].min(soonest[a]);
            } else if !self.is_steady(v) {
                let own = pass[v];
                self.insts[v].operands().for_each(|o| pass[o] = pass[o].min(own));
            }
        }
        for (when, pass) in self.when.iter_mut().zip(pass) {
            if when.space == Space::Element {
                when.pass = pass;
            }
        }
    }

    /// Whether an instruction gives the same for all elements of a row.
    pub fn is_steady(&self, v: Value) -> bool {
        self.when[v].space != Space::Element
    }

    /// The values of that space that come to be in or before the pass.
    pub fn values(&self, space: Space, pass: usize) -> impl Iterator<Item = Value> {
        (0..self.insts.len()).filter(move |&v| self.when[v].space == space && self.when[v].pass == pass)
    }

    /// Whether there are values that rows have one of.
    pub fn in_rows(&self) -> bool {
        self.when.iter().any(|when| when.space == Space::Row)
    }

    /// How often the code goes over a row.
    pub fn passes(&self) -> usize {
        (0..self.insts.len())
            .filter(|&v| !self.is_steady(v))
            .map(|v| self.when[v].pass + 1)
            .max()
            .unwrap_or(1)
    }

    /// The reductions of a pass.
    pub fn folds(&self, pass: usize) -> Vec<Value> {
        let of_pass = |v: &Value| matches!(self.insts[*v], Inst::Fold(_, a, _) if self.when[a].pass == pass);
        (0..self.insts.len()).filter(of_pass).collect()
    }

    /// What a pass needs of earlier ones.
    fn earlier(&self, pass: usize) -> impl Iterator<Item = Value> {
        let operands = self.values(Space::Element, pass).flat_map(|v| self.insts[v].operands());
        let outputs = self.outputs.iter().map(|(v, _)| *v).filter(move |_| pass + 1 == self.passes());
        operands.chain(outputs).filter(move |&v| !self.is_steady(v) && self.when[v].pass < pass)
    }

    /// The elements that are kept from one pass to a later one.
    pub fn kept(&self) -> Vec<Value> {
        let mut kept: Vec<Value> = (0..self.passes()).flat_map(|pass| self.earlier(pass)).collect();
        kept.sort_unstable();
        kept.dedup();
        kept
    }

    /// The instructions of a pass whose results change from element to element. Stores are in the last pass, each as early
    /// as it may be: after its value and after the last load, because an output may be the memory of an input.
    pub fn body(&self, pass: usize) -> Vec<Item> {
        let loads = |v: &Value| matches!(self.insts[*v], Inst::Load(_));
        let loaded = self.values(Space::Element, pass).filter(loads).last().unwrap_or(0);
        let (kept, folds) = (self.kept(), self.folds(pass));
        let mut stores: Vec<usize> = (0..self.outputs.len())
            .filter(|&k| pass + 1 == self.passes() && !self.is_steady(self.outputs[k].0))
            .collect();
        let (mut items, mut here) = (vec![], vec![]);
        let mut fetch = |items: &mut Vec<Item>, v: Value| {
            if self.when[v].pass < pass && kept.contains(&v) && !here.contains(&v) {
                here.push(v);
                items.push(Item::Fetch(v));
            }
        };
        for value in self.values(Space::Element, pass) {
            self.insts[value].operands().for_each(|operand| fetch(&mut items, operand));
            items.push(Item::Inst(value));
            if kept.contains(&value) {
                items.push(Item::Keep(value));
            }
            let joins = |fold: &Value| matches!(self.insts[*fold], Inst::Fold(_, a, _) if a == value);
            items.extend(folds.iter().filter(|fold| joins(fold)).map(|&fold| Item::Fold(fold)));
            stores.retain(|&k| {
                let v = self.outputs[k].0;
                let ready = self.when[v].pass == pass && v <= value && loaded <= value;
                if ready {
                    items.push(Item::Store(k));
                }
                !ready
            });
        }
        for k in stores {
            fetch(&mut items, self.outputs[k].0);
            items.push(Item::Store(k));
        }
        items
    }
}

/// A step of a loop's body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    Inst(Value),
    /// Brings back what an earlier pass kept.
    Fetch(Value),
    /// Keeps a value for later passes.
    Keep(Value),
    /// Joins a vector of its values to what the reduction has so far.
    Fold(Value),
    /// Writes the output of that position.
    Store(usize),
}
