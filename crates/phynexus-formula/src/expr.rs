//! Formulas in infix notation, for the tables of operations and derivatives inside this crate.

use crate::{Binary, Builder, Id, Reduction, Type, Unary};
use std::cell::RefCell;
use std::ops::{Add, BitAnd, Div, Mul, Neg, Not, Sub};

/// A node together with the builder that it lives in, so that operators can make further nodes.
#[derive(Clone, Copy)]
pub(crate) struct Expr<'g> {
    graph: &'g RefCell<Builder>,
    pub id: Id,
}

/// What an operator accepts beside an [`Expr`]: another one, or a number of the same type.
pub(crate) trait Operand<'g> {
    fn beside(self, other: Expr<'g>) -> Expr<'g>;
}

impl<'g> Operand<'g> for Expr<'g> {
    fn beside(self, _: Expr<'g>) -> Expr<'g> {
        self
    }
}

impl<'g> Operand<'g> for f64 {
    fn beside(self, other: Expr<'g>) -> Expr<'g> {
        other.make(|b| b.number(b.ty(other.id), self))
    }
}

/// Runs `f` over infix expressions of `b`, then gives `b` back.
pub(crate) fn infix(
    b: &mut Builder,
    inputs: &[Id],
    scalars: &[Id],
    f: impl for<'g> FnOnce(&[Expr<'g>], &[Expr<'g>]) -> Vec<Expr<'g>>,
) -> Vec<Id> {
    let graph = RefCell::new(std::mem::take(b));
    let wrap = |ids: &[Id]| -> Vec<Expr> { ids.iter().map(|&id| Expr { graph: &graph, id }).collect() };
    let outputs = f(&wrap(inputs), &wrap(scalars)).iter().map(|e| e.id).collect();
    *b = graph.into_inner();
    outputs
}

impl<'g> Expr<'g> {
    fn make(self, f: impl FnOnce(&mut Builder) -> Id) -> Self {
        let id = f(&mut self.graph.borrow_mut());
        Expr { graph: self.graph, id }
    }
    pub fn ty(self) -> Type {
        self.graph.borrow().ty(self.id)
    }
    pub fn unary(self, op: Unary) -> Self {
        self.make(|b| b.unary(op, self.id))
    }
    pub fn binary(self, op: Binary, other: impl Operand<'g>) -> Self {
        let other = other.beside(self);
        self.make(|b| b.binary(op, self.id, other.id))
    }
    /// `self ? yes : no`, where `no` may be a number.
    pub fn select(self, yes: Self, no: impl Operand<'g>) -> Self {
        let no = no.beside(yes);
        self.make(|b| b.select(self.id, yes.id, no.id))
    }
    /// Itself, an index below `size`.
    pub fn within(self, size: Self) -> Self {
        self.binary(Binary::Within, size)
    }
    /// `self` where `condition` does not hold, else `value`.
    pub fn except(self, condition: Self, value: f64) -> Self {
        condition.select(value.beside(self), self)
    }
    pub fn cast(self, ty: Type) -> Self {
        self.make(|b| b.cast(ty, self.id))
    }
    pub fn number(self, value: f64) -> Self {
        value.beside(self)
    }
    pub fn reduce(self, op: Reduction) -> Self {
        self.make(|b| b.reduce(op, self.id))
    }
    pub fn sum(self) -> Self {
        self.reduce(Reduction::Sum)
    }
    /// The position in the row, as an integer of type `ty`.
    pub fn index(self, ty: Type) -> Self {
        self.make(|b| b.index()).cast(ty)
    }
    /// The number of elements of the row, in the type of `self`.
    pub fn length(self) -> Self {
        self.make(|b| b.length()).cast(self.ty())
    }
    pub fn mean(self) -> Self {
        self.sum() / self.length()
    }
    pub fn detach(self) -> Self {
        self.unary(Unary::Detach)
    }
    pub fn abs(self) -> Self {
        self.unary(Unary::Abs)
    }
    pub fn sign(self) -> Self {
        self.unary(Unary::Sign)
    }
    pub fn exp(self) -> Self {
        self.unary(Unary::Exp)
    }
    pub fn log(self) -> Self {
        self.unary(Unary::Log)
    }
    pub fn log1p(self) -> Self {
        self.unary(Unary::Log1p)
    }
    pub fn sqrt(self) -> Self {
        self.unary(Unary::Sqrt)
    }
    pub fn rsqrt(self) -> Self {
        self.unary(Unary::Rsqrt)
    }
    pub fn tanh(self) -> Self {
        self.unary(Unary::Tanh)
    }
    pub fn sigmoid(self) -> Self {
        self.unary(Unary::Sigmoid)
    }
    pub fn is_finite(self) -> Self {
        self.unary(Unary::IsFinite)
    }
    pub fn max(self, other: impl Operand<'g>) -> Self {
        self.binary(Binary::Max, other)
    }
    pub fn pow(self, other: impl Operand<'g>) -> Self {
        self.binary(Binary::Pow, other)
    }
    pub fn eq(self, other: impl Operand<'g>) -> Self {
        self.binary(Binary::Eq, other)
    }
    pub fn ne(self, other: impl Operand<'g>) -> Self {
        self.binary(Binary::Ne, other)
    }
    pub fn lt(self, other: impl Operand<'g>) -> Self {
        self.binary(Binary::Lt, other)
    }
    pub fn le(self, other: impl Operand<'g>) -> Self {
        self.binary(Binary::Le, other)
    }
    pub fn gt(self, other: impl Operand<'g>) -> Self {
        other.beside(self).lt(self)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl<'g, T: Operand<'g>> $trait<T> for Expr<'g> {
            type Output = Expr<'g>;
            fn $method(self, other: T) -> Expr<'g> {
                self.binary(Binary::$op, other)
            }
        }
        impl<'g> $trait<Expr<'g>> for f64 {
            type Output = Expr<'g>;
            fn $method(self, other: Expr<'g>) -> Expr<'g> {
                self.beside(other).binary(Binary::$op, other)
            }
        }
    )*};
}

operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
    BitAnd bitand And;
}

impl<'g> Neg for Expr<'g> {
    type Output = Expr<'g>;
    fn neg(self) -> Expr<'g> {
        self.unary(Unary::Neg)
    }
}

impl<'g> Not for Expr<'g> {
    type Output = Expr<'g>;
    fn not(self) -> Expr<'g> {
        self.unary(Unary::Not)
    }
}
