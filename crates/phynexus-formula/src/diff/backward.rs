//! The adjoints of all nodes, from the results to the inputs.

use crate::expr::{Expr, infix};
use crate::{Binary, Builder, Formula, Id, Node, Rank, Reduction, Unary};
use std::f64::consts::{FRAC_2_SQRT_PI, LN_2};

/// Appends to `b`, where the nodes of `f` are at `place`, the derivatives with respect to the inputs `wanted`.
pub(super) fn derivatives(
    b: &mut Builder,
    f: &Formula,
    place: &[Id],
    inputs: &[Id],
    upstreams: &[Id],
    wanted: &[usize],
) -> Vec<Id> {
    infix(b, &[place, inputs].concat(), upstreams, |x, upstreams| {
        let (x, inputs) = x.split_at(place.len());
        let mut backward =
            Backward { f, x, active: active(f, wanted), adjoints: vec![Adjoint::default(); f.nodes.len()] };
        for (&id, &g) in f.outputs.iter().zip(upstreams) {
            // The upstream of a row result is one value for each row already: nothing to sum.
            backward.add(id, g, f.rank(id) == Rank::Element);
        }
        let mut results: Vec<Expr> = inputs.iter().map(|x| x.number(0.0)).collect();
        for i in (0..f.nodes.len()).rev() {
            let Some(g) = backward.adjoints[i].total() else { continue };
            match f.nodes[i] {
                Node::Input { slot, .. } => results[slot as usize] = g,
                _ => backward.step(Id(i as u32), g),
            }
        }
        wanted.iter().map(|&slot| results[slot]).collect()
    })
}

/// Which nodes a wanted input has a derivative through.
fn active(f: &Formula, wanted: &[usize]) -> Vec<bool> {
    let mut active = vec![false; f.nodes.len()];
    for (i, node) in f.nodes.iter().enumerate().filter(|(i, _)| f.types[*i].is_float()) {
        active[i] = match *node {
            Node::Input { slot, .. } => wanted.contains(&(slot as usize)),
            Node::Unary(Unary::Detach | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round, _) => false,
            Node::Unary(Unary::RoundBf16 | Unary::RoundF16, _) => false,
            Node::Binary(Binary::FloorDiv, ..) => false,
            Node::Select(_, yes, no) => active[yes.index()] || active[no.index()],
            node => node.operands().any(|id| active[id.index()]),
        };
    }
    active
}

/// What has reached a node: from elements (to be summed if the node is one for the whole row), and from rows.
#[derive(Clone, Copy, Default)]
struct Adjoint<'g> {
    element: Option<Expr<'g>>,
    row: Option<Expr<'g>>,
    summed: bool,
}

impl<'g> Adjoint<'g> {
    fn total(self) -> Option<Expr<'g>> {
        let element = if self.summed { self.element.map(Expr::sum) } else { self.element };
        match (element, self.row) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }
    }
}

struct Backward<'a, 'g> {
    f: &'a Formula,
    /// The forward nodes, in the new formula.
    x: &'a [Expr<'g>],
    active: Vec<bool>,
    adjoints: Vec<Adjoint<'g>>,
}

impl<'g> Backward<'_, 'g> {
    /// Adds to the adjoint of `id` something that differs from element to element, or is the same in the row.
    fn add(&mut self, id: Id, g: Expr<'g>, from_element: bool) {
        if self.active[id.index()] {
            let adjoint = &mut self.adjoints[id.index()];
            let part = if from_element { &mut adjoint.element } else { &mut adjoint.row };
            *part = Some(part.map_or(g, |sum| sum + g));
            adjoint.summed = self.f.rank(id) != Rank::Element;
        }
    }

    /// From the adjoint `g` of a node to its operands.
    fn step(&mut self, id: Id, g: Expr<'g>) {
        let from_element = self.f.rank(id) == Rank::Element;
        let at = |id: Id| self.x[id.index()];
        let y = at(id);
        match self.f.node(id) {
            // log(sum(exp(z))): the derivative is a softmax, without overflow and without a division.
            Node::Unary(Unary::Log, sum) if let Some(z) = self.sum_of_exp(sum) => {
                self.add(z, g * (at(z) - y).exp(), true);
            }
            // exp(z) / sum(exp(z)): the derivative needs the result alone.
            Node::Binary(Binary::Div, e, sum) if let Some(z) = self.exp_over_sum(e, sum) => {
                self.add(z, y * (g - (g * y).sum()), from_element);
            }
            Node::Unary(op, a) => self.add(a, unary(op, at(a), y, g), from_element),
            Node::Binary(Binary::Mul, a, b) if a == b => self.add(a, g * (at(a) + at(a)), from_element),
            Node::Binary(op, a, b) => {
                let (da, db) = binary(op, at(a), at(b), y, g);
                self.add(a, da, from_element);
                self.add(b, db, from_element);
            }
            Node::Select(condition, yes, no) => {
                let condition = if self.is_relu(id) { y.le(0.0) } else { at(condition) };
                self.add(yes, condition.select(g, 0.0), from_element);
                self.add(no, g.except(condition, 0.0), from_element);
            }
            Node::Cast(_, a) => self.add(a, g.cast(self.f.ty(a)), from_element),
            Node::Reduce(op, a) => self.add(a, reduction(op, at(a), y, g), true),
            Node::Const(_) | Node::Input { .. } | Node::Scalar { .. } | Node::Index | Node::Length => {}
        }
    }

    /// The `z` of `sum(exp(z))`.
    fn sum_of_exp(&self, id: Id) -> Option<Id> {
        match self.f.node(id) {
            Node::Reduce(Reduction::Sum, e) => match self.f.node(e) {
                Node::Unary(Unary::Exp, z) => Some(z),
                _ => None,
            },
            _ => None,
        }
    }

    /// The `z` of `exp(z)` and `sum(exp(z))`.
    fn exp_over_sum(&self, e: Id, sum: Id) -> Option<Id> {
        self.sum_of_exp(sum).filter(|_| self.f.node(sum) == Node::Reduce(Reduction::Sum, e))
    }

    /// Whether the node is a result `x <= 0 ? 0 : x`, whose sign tells as much as its operand's.
    fn is_relu(&self, id: Id) -> bool {
        let Node::Select(condition, zero, x) = self.f.node(id) else { return false };
        let compared = self.f.node(condition) == Node::Binary(Binary::Le, x, zero);
        let is_zero = matches!(self.f.node(zero), Node::Const(c) if c.as_f64() == 0.0);
        compared && is_zero && self.f.outputs.contains(&id)
    }
}

/// The adjoint of `x` from the adjoint `g` of `y = op(x)`.
fn unary<'g>(op: Unary, x: Expr<'g>, y: Expr<'g>, g: Expr<'g>) -> Expr<'g> {
    match op {
        Unary::Neg => -g,
        Unary::Abs => g * x.sign(),
        Unary::Exp => g * y,
        Unary::Exp2 => g * (LN_2 * y),
        Unary::Log => g / x,
        Unary::Log1p => g / (x + 1.0),
        // Not y + 1, which has no digits left far below zero.
        Unary::Expm1 => g * x.exp(),
        Unary::Sqrt => g / (y + y),
        Unary::Rsqrt => -0.5 * g * (y * y * y),
        Unary::Sin => g * x.unary(Unary::Cos),
        Unary::Cos => -(g * x.unary(Unary::Sin)),
        Unary::Tanh => g * (1.0 - y * y),
        Unary::Sigmoid => g * (y * (1.0 - y)),
        Unary::Erf => g * (FRAC_2_SQRT_PI * (-(x * x)).exp()),
        // Not active, so this falls away.
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Detach => g.number(0.0),
        Unary::Not | Unary::IsNan | Unary::IsFinite | Unary::Bits | Unary::FromBits => g.number(0.0),
        Unary::RoundBf16 | Unary::RoundF16 => g.number(0.0),
    }
}

/// The adjoints of `a` and `b` from the adjoint `g` of `y = op(a, b)`.
fn binary<'g>(op: Binary, a: Expr<'g>, b: Expr<'g>, y: Expr<'g>, g: Expr<'g>) -> (Expr<'g>, Expr<'g>) {
    let zero = g.number(0.0);
    match op {
        Binary::Add => (g, g),
        Binary::Sub => (g, -g),
        Binary::Mul => (g * b, g * a),
        // Of 1/b the derivative needs the result alone.
        Binary::Div if a.id == a.number(1.0).id => (g / b, -(g * (y * y))),
        Binary::Div => (g / b, -(g * (y / b))),
        Binary::Rem => (g, -(g * a.binary(Binary::FloorDiv, b))),
        Binary::Pow => {
            let by_base = (g * (b * a.pow(b - 1.0))).except(b.eq(0.0), 0.0);
            let origin = a.eq(0.0);
            let by_exponent = g * (y * a.except(origin, 1.0).log());
            let flat = origin & b.number(0.0).le(b);
            (by_base, flat.select(zero, origin.select(g * (y * a.log()), by_exponent)))
        }
        Binary::Max => (shared(a.lt(b), a.eq(b), g), shared(b.lt(a), a.eq(b), g)),
        Binary::Min => (shared(b.lt(a), a.eq(b), g), shared(a.lt(b), a.eq(b), g)),
        Binary::Atan2 => {
            // At the origin, which has no angle, the derivative is 0, as PyTorch's.
            let squares = a * a + b * b;
            let (g, squares) = (g.except(squares.eq(0.0), 0.0), squares.except(squares.eq(0.0), 1.0));
            (g * (b / squares), -(g * (a / squares)))
        }
        Binary::FloorDiv | Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le => (zero, zero),
        Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr | Binary::Ushr => (zero, zero),
        Binary::Within => (zero, zero),
    }
}

/// Nothing to the loser, half to each of two equals.
fn shared<'g>(lost: Expr<'g>, equal: Expr<'g>, g: Expr<'g>) -> Expr<'g> {
    equal.select(g * 0.5, g).except(lost, 0.0)
}

/// The adjoint of an element `x` from the adjoint `g` of the reduction `y`.
fn reduction<'g>(op: Reduction, x: Expr<'g>, y: Expr<'g>, g: Expr<'g>) -> Expr<'g> {
    let count = |condition: Expr<'g>| condition.select(g.number(1.0), 0.0).sum();
    match op {
        Reduction::Sum => g,
        // Equals share evenly.
        Reduction::Max | Reduction::Min => {
            let hit = x.eq(y);
            hit.select(g / count(hit), 0.0)
        }
        // The product of the others: of a single zero the product of all that are not zero; of everything else in
        // its row, and of several zeros, 0. Second derivatives are right for rows without zeros.
        Reduction::Prod => {
            let zero = x.eq(0.0);
            let others = x.except(zero, 1.0);
            let alone = count(zero).eq(1.0).select(others.reduce(Reduction::Prod), 0.0);
            g * zero.select(alone, y / others)
        }
    }
}
