//! The operations that are formulas: one row of a table each.
//!
//! A row says what a tensor library has to know: how operands are promoted, what comes out, whether the last
//! dimension is a row that the formula reduces over, and where its derivative can be tested. Names and meaning are
//! PyTorch's. [`Op::formula`] builds the formula; nothing else about an operation is written anywhere.

mod elementwise;
mod loss;
mod rowwise;
mod table;

use crate::{Builder, Formula, Id, Type};
pub use table::Op;

/// What happens to the dtypes of the operands before the formula sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Promotion {
    /// Promoted together; integers and truth values then become the default float (`exp`, `div`).
    Float,
    /// Promoted together; truth values are refused (`neg`, `sub`).
    Number,
    /// Promoted together; every type is accepted as it is (`add`, `eq`, `where`).
    Any,
    /// Promoted together; floats are refused (`bitwise_and`).
    Integer,
    /// Each operand becomes a truth value first: not zero (`logical_and`).
    Bool,
}

/// The type of the result beside the promoted type of the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResultType {
    /// The operands' type.
    Same,
    /// Truth values.
    Bool,
}

/// An operand or scalar that is not of the promoted type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// There is none.
    None,
    /// Input 0 is a condition: Bool.
    Condition,
    /// Input 1 is a class label for each row (the same for all elements of the row), and scalar 0 the label to
    /// ignore: both I64, or I32 on devices without it.
    Label,
}

/// Where the operation can be sampled for tests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    /// An interval for each input; the last one stands for all further inputs.
    pub inputs: &'static [(f64, f64)],
    /// A usual value for each scalar.
    pub scalars: &'static [f64],
}

/// Everything about one operation.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// PyTorch's name where it has one.
    pub name: &'static str,
    /// Number of tensor operands.
    pub inputs: usize,
    /// Number of scalar operands: numbers that are the same for all elements and never baked into a kernel.
    pub scalars: usize,
    /// How operands are promoted.
    pub promotion: Promotion,
    /// The results' type.
    pub result: ResultType,
    /// What is not of the promoted type.
    pub special: Special,
    /// Whether the last dimension is a row with reductions or positions in it.
    pub row_wise: bool,
    /// Number of results.
    pub outputs: usize,
    /// Where to test.
    pub domain: Domain,
    /// Whether results carry derivatives at all (`floor` does: zero; a comparison does not).
    pub differentiable: bool,
    /// Appends the formula: operands, then scalars; returns the results.
    pub build: fn(&mut Builder, &[Id], &[Id]) -> Vec<Id>,
}

impl Row {
    /// The formula type of input `slot` if the operands were promoted to `ty`.
    pub fn input_type(&self, slot: usize, ty: Type) -> Type {
        match (self.special, slot) {
            (Special::Condition, 0) => Type::Bool,
            (Special::Label, 1) => Type::I64,
            _ => ty,
        }
    }

    /// The formula type of scalar `slot` if the operands were promoted to `ty`.
    pub fn scalar_type(&self, slot: usize, ty: Type) -> Type {
        if self.special == Special::Label && slot == 0 { Type::I64 } else { ty }
    }

    const fn new(
        name: &'static str,
        promotion: Promotion,
        inputs: usize,
        domain: &'static [(f64, f64)],
        build: fn(&mut Builder, &[Id], &[Id]) -> Vec<Id>,
    ) -> Row {
        Row {
            name,
            inputs,
            scalars: 0,
            promotion,
            result: ResultType::Same,
            special: Special::None,
            row_wise: false,
            outputs: 1,
            domain: Domain { inputs: domain, scalars: &[] },
            differentiable: matches!(promotion, Promotion::Float | Promotion::Number | Promotion::Any),
            build,
        }
    }

    const fn scalars(mut self, values: &'static [f64]) -> Row {
        self.scalars = values.len();
        self.domain.scalars = values;
        self
    }

    const fn truth(mut self) -> Row {
        self.result = ResultType::Bool;
        self.differentiable = false;
        self
    }

    const fn special(mut self, special: Special) -> Row {
        self.special = special;
        self
    }

    const fn over_rows(mut self, outputs: usize) -> Row {
        self.row_wise = true;
        self.outputs = outputs;
        self
    }
}

impl Op {
    /// The operation of that name.
    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.iter().copied().find(|op| op.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The formula for operands promoted to `ty`: inputs and scalars in the order of the row.
    ///
    /// ```
    /// use phynexus_formula::{Type, ops::Op};
    /// assert_eq!(Op::Softplus.formula(Type::F32).scalars(), [Type::F32, Type::F32]);
    /// ```
    pub fn formula(self, ty: Type) -> Formula {
        let row = self.row();
        let mut b = Builder::new();
        let inputs: Vec<Id> = (0..row.inputs).map(|k| b.input(row.input_type(k, ty))).collect();
        let scalars: Vec<Id> = (0..row.scalars).map(|k| b.scalar(row.scalar_type(k, ty))).collect();
        let outputs = (row.build)(&mut b, &inputs, &scalars);
        b.finish(&outputs)
    }
}
