//! Builds formulas: every node once (hash-consing), simplified as it is made.

use crate::node::{Binary, Constant, Formula, Id, Node, Rank, Reduction, Type, Unary};
use crate::simplify;
use std::collections::HashMap;

/// Makes a [`Formula`] node by node. Asking twice for the same node gives the same [`Id`].
///
/// ```
/// use phynexus_formula::{Builder, Type};
/// let mut b = Builder::new();
/// let (x, y) = (b.input(Type::F32), b.input(Type::F32));
/// let sum = b.add(x, y);
/// let formula = b.finish(&[sum]);
/// assert_eq!(formula.inputs().len(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Builder {
    nodes: Vec<Node>,
    types: Vec<Type>,
    ranks: Vec<Rank>,
    known: HashMap<Node, Id>,
    inputs: Vec<Type>,
    scalars: Vec<Type>,
}

impl Builder {
    /// An empty builder.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A builder whose operands are declared, but are no nodes yet.
    pub(crate) fn over(inputs: Vec<Type>, scalars: Vec<Type>) -> Builder {
        Builder { inputs, scalars, ..Builder::default() }
    }

    /// Types of the tensor operands that were declared.
    pub(crate) fn inputs(&self) -> &[Type] {
        &self.inputs
    }

    /// Types of the entries of the control table that were declared.
    pub(crate) fn scalars(&self) -> &[Type] {
        &self.scalars
    }

    /// Declares the next tensor operand.
    pub fn input(&mut self, ty: Type) -> Id {
        self.inputs.push(ty);
        self.insert(Node::Input { slot: (self.inputs.len() - 1) as u32, ty })
    }

    /// Declares the next entry of the control table.
    pub fn scalar(&mut self, ty: Type) -> Id {
        self.scalars.push(ty);
        self.insert(Node::Scalar { slot: (self.scalars.len() - 1) as u32, ty })
    }

    /// A constant.
    pub fn constant(&mut self, c: Constant) -> Id {
        self.insert(Node::Const(c))
    }

    /// A constant of type `ty` from a number.
    pub fn number(&mut self, ty: Type, value: f64) -> Id {
        self.constant(Constant::number(ty, value))
    }

    /// The element's position in its row.
    pub fn index(&mut self) -> Id {
        self.insert(Node::Index)
    }

    /// The number of elements of the row.
    pub fn length(&mut self) -> Id {
        self.insert(Node::Length)
    }

    /// A function of one operand.
    pub fn unary(&mut self, op: Unary, a: Id) -> Id {
        self.make(Node::Unary(op, a))
    }

    /// A function of two operands of one type.
    ///
    /// # Panics
    /// If the types differ: callers promote first.
    pub fn binary(&mut self, op: Binary, a: Id, b: Id) -> Id {
        assert_eq!(self.ty(a), self.ty(b), "{op:?} of operands of different types");
        self.make(Node::Binary(op, a, b))
    }

    /// `condition ? yes : no`.
    pub fn select(&mut self, condition: Id, yes: Id, no: Id) -> Id {
        assert_eq!(self.ty(yes), self.ty(no), "select of operands of different types");
        self.make(Node::Select(condition, yes, no))
    }

    /// Conversion to another type; to the same type it is the operand itself.
    pub fn cast(&mut self, ty: Type, a: Id) -> Id {
        if self.ty(a) == ty { a } else { self.make(Node::Cast(ty, a)) }
    }

    /// A reduction over the row.
    pub fn reduce(&mut self, op: Reduction, a: Id) -> Id {
        self.make(Node::Reduce(op, a))
    }

    /// The type of a node made so far.
    pub fn ty(&self, id: Id) -> Type {
        self.types[id.index()]
    }

    /// The rank of a node made so far.
    pub fn rank(&self, id: Id) -> Rank {
        self.ranks[id.index()]
    }

    /// A node made so far.
    pub fn node(&self, id: Id) -> Node {
        self.nodes[id.index()]
    }

    /// The formula of these outputs, without the nodes that they do not need.
    pub fn finish(self, outputs: &[Id]) -> Formula {
        let mut needed = vec![false; self.nodes.len()];
        for id in outputs {
            needed[id.index()] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if needed[i] {
                self.nodes[i].operands().for_each(|o| needed[o.index()] = true);
            }
        }
        let mut place = vec![Id(u32::MAX); self.nodes.len()];
        let (mut nodes, mut types, mut ranks) = (vec![], vec![], vec![]);
        for i in (0..self.nodes.len()).filter(|&i| needed[i]) {
            place[i] = Id(nodes.len() as u32);
            nodes.push(renumber(self.nodes[i], |id| place[id.index()]));
            types.push(self.types[i]);
            ranks.push(self.ranks[i]);
        }
        let outputs = outputs.iter().map(|id| place[id.index()]).collect();
        Formula { nodes, types, ranks, outputs, inputs: self.inputs, scalars: self.scalars }
    }

    /// Copies `formula` in, with its operands replaced by nodes of this builder; returns its outputs.
    pub fn inline(&mut self, formula: &Formula, inputs: &[Id], scalars: &[Id]) -> Vec<Id> {
        let place = self.inline_nodes(formula, inputs, scalars);
        formula.outputs.iter().map(|id| place[id.index()]).collect()
    }

    /// As [`Builder::inline`], but returns where every node of `formula` went.
    pub(crate) fn inline_nodes(&mut self, formula: &Formula, inputs: &[Id], scalars: &[Id]) -> Vec<Id> {
        let mut place: Vec<Id> = Vec::with_capacity(formula.nodes.len());
        for node in &formula.nodes {
            let id = match *node {
                Node::Input { slot, .. } => inputs[slot as usize],
                Node::Scalar { slot, .. } => scalars[slot as usize],
                node => self.make(renumber(node, |id| place[id.index()])),
            };
            place.push(id);
        }
        place
    }

    /// Simplifies the node, then inserts what is left of it.
    pub(crate) fn make(&mut self, node: Node) -> Id {
        simplify::simplify(self, node).unwrap_or_else(|| self.insert(node))
    }

    /// Inserts the node as it is, or finds it.
    pub(crate) fn insert(&mut self, node: Node) -> Id {
        if let Some(&id) = self.known.get(&node) {
            return id;
        }
        let id = Id(self.nodes.len() as u32);
        self.types.push(self.infer_type(node));
        self.ranks.push(self.infer_rank(node));
        self.nodes.push(node);
        self.known.insert(node, id);
        id
    }

    fn infer_type(&self, node: Node) -> Type {
        match node {
            Node::Const(c) => c.ty,
            Node::Input { ty, .. } | Node::Scalar { ty, .. } | Node::Cast(ty, _) => ty,
            Node::Index | Node::Length => Type::I64,
            Node::Unary(op, a) => op.result(self.ty(a)),
            Node::Binary(Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le, ..) => Type::Bool,
            Node::Binary(_, a, _) | Node::Reduce(_, a) => self.ty(a),
            Node::Select(_, yes, _) => self.ty(yes),
        }
    }

    fn infer_rank(&self, node: Node) -> Rank {
        match node {
            Node::Const(_) | Node::Scalar { .. } => Rank::Scalar,
            Node::Input { .. } | Node::Index => Rank::Element,
            Node::Length | Node::Reduce(..) => Rank::Row,
            node => node.operands().map(|id| self.rank(id)).max().unwrap_or(Rank::Scalar),
        }
    }
}

/// Shorthands for the common functions.
#[allow(missing_docs)]
impl Builder {
    pub fn add(&mut self, a: Id, b: Id) -> Id {
        self.binary(Binary::Add, a, b)
    }
    pub fn sub(&mut self, a: Id, b: Id) -> Id {
        self.binary(Binary::Sub, a, b)
    }
    pub fn mul(&mut self, a: Id, b: Id) -> Id {
        self.binary(Binary::Mul, a, b)
    }
    pub fn div(&mut self, a: Id, b: Id) -> Id {
        self.binary(Binary::Div, a, b)
    }
    pub fn neg(&mut self, a: Id) -> Id {
        self.unary(Unary::Neg, a)
    }
    pub fn sum(&mut self, a: Id) -> Id {
        self.reduce(Reduction::Sum, a)
    }
}

impl Formula {
    /// The formula of some of the outputs, of the same operands.
    pub fn select(&self, outputs: &[usize]) -> Formula {
        let mut b = Builder::new();
        let inputs: Vec<Id> = self.inputs.iter().map(|&ty| b.input(ty)).collect();
        let scalars: Vec<Id> = self.scalars.iter().map(|&ty| b.scalar(ty)).collect();
        let all = b.inline(self, &inputs, &scalars);
        let chosen: Vec<Id> = outputs.iter().map(|&i| all[i]).collect();
        b.finish(&chosen)
    }
}

/// The node with its operands mapped.
pub(crate) fn renumber(node: Node, f: impl Fn(Id) -> Id) -> Node {
    match node {
        Node::Unary(op, a) => Node::Unary(op, f(a)),
        Node::Cast(ty, a) => Node::Cast(ty, f(a)),
        Node::Reduce(op, a) => Node::Reduce(op, f(a)),
        Node::Binary(op, a, b) => Node::Binary(op, f(a), f(b)),
        Node::Select(a, b, c) => Node::Select(f(a), f(b), f(c)),
        node => node,
    }
}
