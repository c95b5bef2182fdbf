//! The nodes of a formula and the formula itself.

/// What arithmetic happens in. How values are *stored* (float16, uint8 ...) belongs to buffers, not to formulas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    /// 32-bit IEEE float; float16 and bfloat16 buffers are computed in it too.
    F32,
    /// 64-bit IEEE float.
    F64,
    /// 32-bit integer, wrapping; uint8 buffers are computed in it and truncated when stored.
    I32,
    /// 64-bit integer, wrapping.
    I64,
    /// Truth value.
    Bool,
}

impl Type {
    /// Whether this is F32 or F64.
    pub fn is_float(self) -> bool {
        matches!(self, Type::F32 | Type::F64)
    }
    /// Whether this is I32 or I64.
    pub fn is_int(self) -> bool {
        matches!(self, Type::I32 | Type::I64)
    }
}

/// A constant: floats by the bits of their f64, integers and truth values by their i64, so that it can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Constant {
    /// The type of the constant.
    pub ty: Type,
    /// `f64::to_bits` for floats (already rounded to f32 for F32), `i64 as u64` otherwise.
    pub bits: u64,
}

impl Constant {
    /// A float constant, rounded to f32 where the type asks for it.
    pub fn float(ty: Type, value: f64) -> Constant {
        debug_assert!(ty.is_float());
        let value = if ty == Type::F32 { value as f32 as f64 } else { value };
        Constant { ty, bits: value.to_bits() }
    }
    /// An integer or (0 and 1) a truth value, wrapped to the type.
    pub fn int(ty: Type, value: i64) -> Constant {
        let value = match ty {
            Type::I32 => value as i32 as i64,
            Type::Bool => (value != 0) as i64,
            _ => value,
        };
        Constant { ty, bits: value as u64 }
    }
    /// A number of any type from an f64 (truncated for integers).
    pub fn number(ty: Type, value: f64) -> Constant {
        if ty.is_float() { Constant::float(ty, value) } else { Constant::int(ty, value as i64) }
    }
    /// The value as f64.
    pub fn as_f64(self) -> f64 {
        if self.ty.is_float() { f64::from_bits(self.bits) } else { self.bits as i64 as f64 }
    }
    /// The value as i64 (floats are truncated).
    pub fn as_i64(self) -> i64 {
        if self.ty.is_float() { f64::from_bits(self.bits) as i64 } else { self.bits as i64 }
    }
}

/// A node of a formula, by position; operands come before their users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u32);

impl Id {
    /// The position as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Functions of one operand; the result has the operand's type unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    Abs,
    /// -1, 0 or 1; 0 for NaN.
    Sign,
    Exp,
    Exp2,
    Log,
    Log1p,
    Expm1,
    Sqrt,
    Rsqrt,
    Sin,
    Cos,
    Tanh,
    Sigmoid,
    Erf,
    Floor,
    Ceil,
    /// To the nearest integer, ties to even.
    Round,
    /// Bool -> Bool.
    Not,
    /// Float -> Bool.
    IsNan,
    /// Float -> Bool: neither NaN nor infinite.
    IsFinite,
    /// The operand, but without a derivative.
    Detach,
    /// F32 -> I32 and F64 -> I64: the same bits.
    Bits,
    /// I32 -> F32 and I64 -> F64: the same bits.
    FromBits,
    /// F32: the nearest bfloat16, ties to even, as F32.
    RoundBf16,
    /// F32: the nearest float16, ties to even, as F32; what is too large becomes infinite.
    RoundF16,
}

impl Unary {
    /// The type of the result for an operand of type `ty`.
    pub fn result(self, ty: Type) -> Type {
        match (self, ty) {
            (Unary::Not | Unary::IsNan | Unary::IsFinite, _) => Type::Bool,
            (Unary::Bits, Type::F32) => Type::I32,
            (Unary::Bits, Type::F64) => Type::I64,
            (Unary::FromBits, Type::I32) => Type::F32,
            (Unary::FromBits, Type::I64) => Type::F64,
            _ => ty,
        }
    }
}

/// Functions of two operands of one type; the result has their type unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// Float only.
    Div,
    /// Rounds the exact quotient towards minus infinity, as Python's `//`: `(a - rem(a, b)) / b`. An integer divided by
    /// zero gives 0 (callers check before), a float `a / b`.
    FloorDiv,
    /// What is left of an exact division, with the sign of the divisor, as Python's `%`; of a float by zero NaN.
    Rem,
    /// The exponent 2 multiplies; integers with a negative exponent round towards zero.
    Pow,
    /// NaN if either is NaN.
    Min,
    /// NaN if either is NaN.
    Max,
    /// -> Bool
    Eq,
    /// -> Bool
    Ne,
    /// -> Bool
    Lt,
    /// -> Bool
    Le,
    /// Bool, or bitwise on integers.
    And,
    /// Bool, or bitwise on integers.
    Or,
    /// Bool, or bitwise on integers.
    Xor,
    Atan2,
    /// Of an integer, to the left; of the distance the lowest five (I64: six) bits count, as for the other shifts.
    Shl,
    /// Of an integer, to the right, repeating its sign.
    Shr,
    /// Of an integer, to the right, filling up with zeros.
    Ushr,
    /// The first operand, an integer, which is an index below the second: where it is not, a GPU reports an `IndexError`.
    /// Elsewhere whoever launches the formula looks before.
    Within,
}

/// Reductions over the row (see [`Rank`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Reduction {
    Sum,
    Prod,
    /// NaN if any is NaN.
    Max,
    /// NaN if any is NaN.
    Min,
}

/// One node. `Input` and `Scalar` refer to the formula's operands by slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// A constant.
    Const(Constant),
    /// The element of tensor operand `slot`.
    #[allow(missing_docs)]
    Input { slot: u32, ty: Type },
    /// Entry `slot` of the control table: the same for all elements, changes from launch to launch.
    #[allow(missing_docs)]
    Scalar { slot: u32, ty: Type },
    /// Position of the element in its row, I64.
    Index,
    /// Number of elements of the row, I64.
    Length,
    /// A function of one operand.
    Unary(Unary, Id),
    /// A function of two operands.
    Binary(Binary, Id, Id),
    /// `condition ? yes : no`.
    Select(Id, Id, Id),
    /// Conversion as C's: floats to integers truncate, to Bool is `!= 0`.
    Cast(Type, Id),
    /// A reduction over the row; the result is the same for all its elements.
    Reduce(Reduction, Id),
}

/// How often a node changes. A kernel sees its operands as rows of elements: a whole tensor is one row for an
/// optimizer, the last dimension is the row of a softmax; for a plain elementwise formula rows mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rank {
    /// Constants, control-table entries and what is made of them alone.
    Scalar,
    /// Reductions and what is made of them and scalars.
    Row,
    /// Everything else.
    Element,
}

/// A formula: nodes in order, and which of them are the results. Made by [`crate::Builder`], immutable then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Formula {
    pub(crate) nodes: Vec<Node>,
    pub(crate) types: Vec<Type>,
    pub(crate) ranks: Vec<Rank>,
    pub(crate) outputs: Vec<Id>,
    pub(crate) inputs: Vec<Type>,
    pub(crate) scalars: Vec<Type>,
}

impl Formula {
    /// All nodes, operands before users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
    /// The results. An output of rank `Row` or `Scalar` has one value for each row.
    pub fn outputs(&self) -> &[Id] {
        &self.outputs
    }
    /// Types of the tensor operands (also of those that nothing reads).
    pub fn inputs(&self) -> &[Type] {
        &self.inputs
    }
    /// Types of the control-table entries.
    pub fn scalars(&self) -> &[Type] {
        &self.scalars
    }
    /// The type of a node.
    pub fn ty(&self, id: Id) -> Type {
        self.types[id.index()]
    }
    /// The rank of a node.
    pub fn rank(&self, id: Id) -> Rank {
        self.ranks[id.index()]
    }
    /// The node itself.
    pub fn node(&self, id: Id) -> Node {
        self.nodes[id.index()]
    }
    /// Whether any node is a reduction.
    pub fn reduces(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n, Node::Reduce(..)))
    }
    /// Whether it works on rows: it reduces, or asks where in its row an element stands or how long that is.
    pub fn is_row_wise(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n, Node::Reduce(..) | Node::Index | Node::Length))
    }
    /// Whether a node is a result or an operand of another.
    pub fn is_used(&self, id: Id) -> bool {
        self.outputs.contains(&id) || self.nodes.iter().any(|n| n.operands().any(|o| o == id))
    }
    /// Whether tensor operand `slot` is read at all.
    pub fn reads(&self, slot: usize) -> bool {
        self.nodes.iter().any(|n| matches!(n, Node::Input { slot: s, .. } if *s as usize == slot))
    }
    /// The tensor operands that are read, and the entries of the control table.
    pub fn read_slots(&self) -> [Vec<bool>; 2] {
        let mut read = [vec![false; self.inputs.len()], vec![false; self.scalars.len()]];
        for node in &self.nodes {
            match *node {
                Node::Input { slot, .. } => read[0][slot as usize] = true,
                Node::Scalar { slot, .. } => read[1][slot as usize] = true,
                _ => {}
            }
        }
        read
    }
}

impl Node {
    /// The operands of the node.
    pub fn operands(&self) -> impl Iterator<Item = Id> + use<> {
        let (a, b, c) = match *self {
            Node::Unary(_, a) | Node::Cast(_, a) | Node::Reduce(_, a) => (Some(a), None, None),
            Node::Binary(_, a, b) => (Some(a), Some(b), None),
            Node::Select(a, b, c) => (Some(a), Some(b), Some(c)),
            _ => (None, None, None),
        };
        [a, b, c].into_iter().flatten()
    }
}
