//! An update rule as the tracer hands it over: one graph, cut at its reductions.

use phynexus_core::{Error, Once, Result};
use phynexus_formula::{Builder, Formula, Id, Rank, Reduction, Type};

/// Along which of a tensor's three dimensions (batch, rows, columns) a value differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Extent {
    /// One value for each matrix of the batch.
    pub batch: bool,
    /// One value for each row.
    pub rows: bool,
    /// One value for each column.
    pub columns: bool,
}

impl Extent {
    /// A value for every element.
    pub const FULL: Extent = Extent { batch: true, rows: true, columns: true };
    /// One value for the tensor.
    pub const NONE: Extent = Extent { batch: false, rows: false, columns: false };

    /// As an array over the dimensions.
    pub fn dims(self) -> [bool; 3] {
        [self.batch, self.rows, self.columns]
    }

    /// What a value made of both differs along.
    pub fn join(self, other: Extent) -> Extent {
        Extent {
            batch: self.batch || other.batch,
            rows: self.rows || other.rows,
            columns: self.columns || other.columns,
        }
    }

    /// What both differ along.
    pub fn meet(self, other: Extent) -> Extent {
        Extent {
            batch: self.batch && other.batch,
            rows: self.rows && other.rows,
            columns: self.columns && other.columns,
        }
    }

    /// Whether this differs along nothing that `other` does not.
    pub fn within(self, other: Extent) -> bool {
        self.join(other) == other
    }

    /// The sizes of such a value of a tensor seen as `view`.
    pub fn sizes(self, view: [usize; 3]) -> [usize; 3] {
        let dims = self.dims();
        std::array::from_fn(|i| if dims[i] { view[i] } else { 1 })
    }
}

/// What a tensor operand of the graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The parameter.
    Param,
    /// Its gradient.
    Grad,
    /// A further tensor of the gradient's shape, given with each step.
    Extra(usize),
    /// A state.
    State(usize),
    /// The result of a stage.
    Reduced(usize),
}

/// What an entry of the control table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// How many steps the tensor has made, this one included.
    Step,
    /// A hyperparameter.
    Hyper(usize),
    /// The size of one of the three dimensions.
    Size(usize),
    /// A state that is one number.
    State(usize),
    /// The result of a stage.
    Reduced(usize),
    /// What a norm's elements are multiplied by before they are squared: a power of two, 1 unless squares overflow or
    /// underflow.
    Scale(usize),
}

/// What a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tensor that differs along these dimensions.
    Tensor(Extent),
    /// A tensor with one value for so many neighbouring elements: the scales of states that are stored in few bits.
    Blocks(usize),
    /// A float64 number on the host.
    Number,
}

/// A reduction: the value of `formula` (one output of the graph), reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What is reduced.
    pub formula: Formula,
    /// How.
    pub op: Reduction,
    /// Over how much.
    pub over: Over,
}

/// Over how much a stage reduces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Over the dimensions of a tensor that are not kept.
    Tensor(Extent),
    /// Over a whole tensor: the sum of squares of scaled elements, whose result is the tensor's Euclidean norm.
    Norm,
    /// One number of each tensor over all tensors of the optimizer.
    Tensors,
    /// The norm of each tensor over all tensors of the optimizer, whose result is their common norm.
    Norms,
}

impl Over {
    /// What is kept of a tensor; None where numbers of tensors are reduced.
    pub(super) fn kept(self) -> Option<Extent> {
        match self {
            Over::Tensor(kept) => Some(kept),
            Over::Norm => Some(Extent::NONE),
            Over::Tensors | Over::Norms => None,
        }
    }
}

/// A traced rule. All formulas are parts of one graph: their operands and control tables are the same lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The results: the parameter, then the states in order.
    pub formula: Formula,
    /// The gradient as the rule's own tensor code is given it, and how many stages that needs.
    pub prepared: Option<(Formula, usize)>,
    /// What the tensor operands are.
    pub inputs: Vec<Operand>,
    /// What the control table holds.
    pub numbers: Vec<Number>,
    /// What the states are.
    pub states: Vec<Kind>,
    /// The reductions in the order in which they need each other.
    pub stages: Vec<Stage>,
    /// What the results of the stages differ along.
    pub kept: Kept,
}

/// Along what the result of each stage differs, once that has been asked for; it follows from the rest of the rule.
#[derive(Debug, Default)]
pub struct Kept(Once<Vec<Extent>>);

impl Clone for Kept {
    fn clone(&self) -> Kept {
        Kept::default() // the copy of the rule may be changed
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Kept) -> bool {
        true
    }
}

impl Eq for Kept {}

impl Rule {
    /// A rule without reductions whose operands are (p, g, states...) and whose numbers are (t, hyperparameters...).
    pub fn plain(formula: Formula) -> Rule {
        let states = formula.outputs().len().saturating_sub(1);
        let inputs = [Operand::Param, Operand::Grad].into_iter().chain((0..states).map(Operand::State));
        let hyper = (0..formula.scalars().len().saturating_sub(1)).map(Number::Hyper);
        Rule {
            inputs: inputs.collect(),
            numbers: std::iter::once(Number::Step).chain(hyper).collect(),
            states: vec![Kind::Tensor(Extent::FULL); states],
            stages: vec![],
            prepared: None,
            formula,
            kept: Kept::default(),
        }
    }

    /// That the lists fit together.
    pub(super) fn check(&self) -> Result<()> {
        let (inputs, numbers) = (self.formula.inputs().len(), self.formula.scalars().len());
        let results = self.formula.outputs().len();
        if inputs != self.inputs.len() || numbers != self.numbers.len() || results != self.states.len() + 1 {
            return Err(Error::Value(format!(
                "the formula has {inputs} inputs, {numbers} scalars and {results} outputs; described are {} inputs, {} scalars \
                 and {} states (outputs are the parameter and the states)",
                self.inputs.len(),
                self.numbers.len(),
                self.states.len()
            )));
        }
        let state = |i: usize| self.states.get(i);
        let known = self.inputs.iter().all(|input| match *input {
            Operand::State(i) => matches!(state(i), Some(Kind::Tensor(_) | Kind::Blocks(_))),
            Operand::Reduced(k) => matches!(self.stages.get(k), Some(Stage { over: Over::Tensor(_), .. })),
            _ => true,
        }) && self.numbers.iter().all(|number| match *number {
            Number::State(i) => matches!(state(i), Some(Kind::Number)),
            Number::Reduced(k) => k < self.stages.len(),
            Number::Scale(k) => matches!(self.stages.get(k), Some(Stage { over: Over::Norm, .. })),
            Number::Size(axis) => axis < 3,
            Number::Hyper(i) => i < numbers,
            Number::Step => true,
        });
        if !known || self.prepared.as_ref().is_some_and(|(_, stages)| *stages > self.stages.len()) {
            return Err(Error::Value(
                "the rule names a state, a stage or a hyperparameter that it does not have".into(),
            ));
        }
        for (k, stage) in self.stages.iter().enumerate() {
            self.check_part(&format!("stage {k}"), &stage.formula, k)?;
        }
        if let Some((formula, stages)) = &self.prepared {
            self.check_part("what is prepared", formula, *stages)?;
        }
        for (input, &ty) in self.inputs.iter().zip(self.formula.inputs()) {
            if let Operand::Reduced(k) = *input {
                let f = &self.stages[k].formula;
                let found = f.outputs().first().map(|&id| f.ty(id));
                if found != Some(ty) {
                    return Err(Error::Value(format!("stage {k} gives {found:?}, but is read as {ty:?}")));
                }
            }
        }
        Ok(())
    }

    /// That a formula with one result is of this graph, and reads the results of so many stages at most.
    fn check_part(&self, what: &str, formula: &Formula, stages: usize) -> Result<()> {
        let ours = self.formula.inputs().starts_with(formula.inputs())
            && self.formula.scalars().starts_with(formula.scalars());
        if !ours || formula.outputs().len() != 1 {
            return Err(Error::Value(format!(
                "{what} must have one result and the first of the operands and numbers of the step"
            )));
        }
        if depends(self, formula, stages..self.stages.len()) {
            return Err(Error::Value(format!("{what} reads the result of a stage that comes later")));
        }
        Ok(())
    }

    /// What an operand differs along.
    pub(super) fn extent(&self, input: Operand) -> Extent {
        match input {
            Operand::State(i) => match self.states[i] {
                Kind::Tensor(extent) => extent,
                Kind::Blocks(_) | Kind::Number => Extent::NONE,
            },
            Operand::Reduced(k) => self.kept(k),
            _ => Extent::FULL,
        }
    }

    /// What the result of a stage differs along.
    pub(super) fn kept(&self, stage: usize) -> Extent {
        let known = self.kept.0.get_or_init(|| {
            let mut known = Vec::with_capacity(self.stages.len());
            for Stage { formula, over, .. } in &self.stages {
                let kept = over.kept().unwrap_or(Extent::NONE);
                known.push(kept.meet(self.reach_of(formula, |k| known[k])));
            }
            known
        });
        known[stage]
    }

    /// What the value of a formula of this graph differs along.
    pub(super) fn reach(&self, formula: &Formula) -> Extent {
        self.reach_of(formula, |k| self.kept(k))
    }

    /// The same where it is known along what the results of the stages that it reads differ.
    fn reach_of(&self, formula: &Formula, kept: impl Fn(usize) -> Extent) -> Extent {
        let [read, _] = formula.read_slots();
        let inputs = self.inputs.iter().zip(read).filter(|(_, read)| *read);
        inputs.fold(Extent::NONE, |extent, (&input, _)| match input {
            Operand::Reduced(k) => extent.join(kept(k)),
            input => extent.join(self.extent(input)),
        })
    }

    /// Whether some tensor operands differ along fewer dimensions than the parameter.
    pub fn is_mixed(&self) -> bool {
        self.inputs.iter().any(|&input| {
            let blocks = matches!(input, Operand::State(i) if matches!(self.states[i], Kind::Blocks(_)));
            !blocks && self.extent(input) != Extent::FULL
        })
    }

    /// How many hyperparameters a step is given.
    pub(super) fn hypers(&self) -> usize {
        let hyper =
            self.numbers.iter().filter_map(|n| if let Number::Hyper(i) = n { Some(i + 1) } else { None });
        hyper.max().unwrap_or(0)
    }

    /// Whether the control table is the same for all tensors that have made as many steps.
    pub(super) fn is_common(&self) -> bool {
        self.numbers.iter().all(|n| matches!(n, Number::Step | Number::Hyper(_)))
    }
}

/// The formula without the operands that it does not read, and which are left.
pub(super) fn trim(f: &Formula) -> (Formula, Vec<usize>) {
    let [read, _] = f.read_slots();
    let used: Vec<usize> = (0..read.len()).filter(|&slot| read[slot]).collect();
    let mut b = Builder::new();
    let mut inputs = vec![Id(0); f.inputs().len()]; // those that nothing reads are never looked at
    for &slot in &used {
        inputs[slot] = b.input(f.inputs()[slot]);
    }
    let scalars: Vec<Id> = f.scalars().iter().map(|&ty| b.scalar(ty)).collect();
    let outputs = b.inline(f, &inputs, &scalars);
    (b.finish(&outputs), used)
}

/// One formula of several with one result each, reduced over the row where that is said.
pub(super) fn joined(parts: &[(&Formula, Option<Reduction>)]) -> Formula {
    let mut b = Builder::new();
    // Lists grow while a rule is traced: the longest holds all.
    let longest = |list: for<'a> fn(&'a Formula) -> &'a [Type]| {
        parts.iter().map(|(f, _)| list(f)).max_by_key(|list| list.len()).unwrap_or_default()
    };
    let inputs: Vec<Id> = longest(Formula::inputs).iter().map(|&ty| b.input(ty)).collect();
    let scalars: Vec<Id> = longest(Formula::scalars).iter().map(|&ty| b.scalar(ty)).collect();
    let outputs: Vec<Id> = parts
        .iter()
        .map(|(f, op)| {
            let value = b.inline(f, &inputs, &scalars)[0];
            op.map_or(value, |op| b.reduce(op, value))
        })
        .collect();
    b.finish(&outputs)
}

/// Whether the formula reads the result of one of these stages.
pub(super) fn depends(rule: &Rule, formula: &Formula, stages: std::ops::Range<usize>) -> bool {
    let [inputs, numbers] = formula.read_slots();
    let number = |n: &Number| matches!(n, Number::Reduced(k) if stages.contains(k));
    let operand = |o: &Operand| matches!(o, Operand::Reduced(k) if stages.contains(k));
    rule.numbers.iter().zip(numbers).any(|(n, read)| read && number(n))
        || rule.inputs.iter().zip(inputs).any(|(o, read)| read && operand(o))
}

/// Whether the first output of a formula is the same for all elements.
pub(super) fn is_number(f: &Formula) -> bool {
    f.outputs().iter().all(|&id| f.rank(id) == Rank::Scalar)
}
