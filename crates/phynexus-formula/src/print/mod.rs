//! Prints a formula as the body of a kernel in the language of a device.
//!
//! A language is a table ([`Language`]): how types, constants and functions are written. What a body looks like is said once,
//! here. A formula without rows is the work of one thread for each element; one with reductions or positions that of a
//! group of [`GROUP`] threads for each row, or of one thread for each ([`Rows`]), one pass for each level of reductions.
//!
//! A body is a part of a kernel. Around it stand, whatever the language: `task` (where the numbers of the launch are), `i`
//! (the element) or `row`, `length` and `local` (the thread's number in its group); the functions `at_k(task, i)` and
//! `row_k(task, row)`, which find an element or a row's only value of operand k (inputs come before outputs), `load_k(at)`
//! and `store_k(at, value)`; and `scalar_T(task, entry)` for each type T of the control table. C knows `u32` and so on as names
//! of its types, and `let` and `var`, so that most lines are the same in all languages.

mod c;
mod wgsl;

use crate::{Binary, Constant, Formula, Id, Node, Rank, Reduction, Type, Unary};
use std::fmt::{self, Write};

/// Threads in a group.
pub const GROUP: usize = 256;

/// The language to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Dialect {
    Wgsl,
    Cuda,
    Hip,
}

/// Who works on a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Rows {
    Group,
    /// For short rows.
    Thread,
}

/// A printed formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Functions that the language lacks.
    pub helpers: String,
    /// The statements.
    pub text: String,
    /// Whether it works on a row, not on an element.
    pub by_rows: bool,
}

/// Why a formula cannot be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrintError {
    /// The language lacks a type.
    Type(Dialect, Type),
    /// The language lacks this function of 64-bit integers.
    Integer(Dialect, String),
}

impl fmt::Display for PrintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrintError::Type(dialect, _) => {
                write!(
                    f,
                    "{dialect:?} has no float64: convert to float32, and hoist scalars so that the host computes them"
                )
            }
            PrintError::Integer(dialect, what) => write!(
                f,
                "{dialect:?} does not compute {what} of int64, which has 32 bits there: convert to int32 or float32"
            ),
        }
    }
}

impl std::error::Error for PrintError {}

/// The body of a kernel for a formula.
///
/// ```
/// use phynexus_formula::{Type, ops::Op, print::{Dialect, Rows, body}};
/// let f = Op::Exp.formula(Type::F32);
/// assert!(body(&f, Dialect::Cuda, Rows::Group).unwrap().text.contains("expf(v0)"));
/// ```
pub fn body(f: &Formula, dialect: Dialect, rows: Rows) -> Result<Body, PrintError> {
    let printer = Printer { f, language: language(dialect), rows };
    printer.language.check(f, dialect)?;
    let by_rows = f.is_row_wise();
    let text = if by_rows { printer.rows() } else { printer.elements() };
    Ok(Body { helpers: used(printer.language.helpers(), &text), text, by_rows })
}

/// A formula of one output as a function of that name, with the functions that it needs; its numbers must
/// all be constants.
pub fn function(f: &Formula, dialect: Dialect, name: &str) -> Result<String, PrintError> {
    let printer = Printer { f, language: language(dialect), rows: Rows::Group };
    printer.language.check(f, dialect)?;
    let mut text = String::new();
    for (i, node) in f.nodes.iter().enumerate() {
        match node {
            Node::Input { slot, .. } => {
                let (ty, id) = (f.types[i], printer.name(Id(i as u32)));
                _ = writeln!(text, "{}", printer.language.declare(ty, &id, &format!("x{slot}")));
            }
            _ => printer.line(&mut text, i),
        }
    }
    let head = printer.language.function(name, &f.inputs, f.ty(f.outputs[0]));
    let helpers = used(printer.language.helpers(), &text);
    Ok(format!("{helpers}{head} {{\n{text}return {};\n}}\n", printer.name(f.outputs[0])))
}

fn language(dialect: Dialect) -> &'static dyn Language {
    match dialect {
        Dialect::Wgsl => &wgsl::Wgsl,
        Dialect::Cuda | Dialect::Hip => &c::C,
    }
}

/// What differs between languages.
trait Language {
    /// Whether the language has what the formula needs.
    fn check(&self, f: &Formula, dialect: Dialect) -> Result<(), PrintError>;
    /// Functions that the language lacks, by name; those that a kernel mentions are printed.
    fn helpers(&self) -> &'static [(&'static str, &'static str)];
    /// The head of a function of `x0`, `x1` ...
    fn function(&self, name: &str, from: &[Type], to: Type) -> String;
    fn declare(&self, ty: Type, name: &str, value: &str) -> String;
    fn variable(&self, ty: Type, name: &str, value: &str) -> String;
    /// A position (of type u32) as an I64 of the formula.
    fn position(&self, of: &str) -> String;
    fn constant(&self, c: Constant) -> String;
    fn unary(&self, op: Unary, ty: Type, a: &str) -> String;
    fn binary(&self, op: Binary, ty: Type, a: &str, b: &str) -> String;
    fn select(&self, condition: &str, yes: &str, no: &str) -> String;
    fn cast(&self, to: Type, from: Type, a: &str) -> String;
    /// Combines the partial results of all threads of the group.
    fn reduce(&self, op: Reduction, ty: Type, partial: &str) -> String;
}

/// The helpers that `text` mentions, and those that they mention.
fn used(helpers: &[(&str, &str)], text: &str) -> String {
    let mut wanted = vec![false; helpers.len()];
    let mentioned = |text: &str, name: &str| text.contains(&format!("{name}("));
    let mut new: Vec<usize> = (0..helpers.len()).filter(|&k| mentioned(text, helpers[k].0)).collect();
    while let Some(k) = new.pop() {
        if !std::mem::replace(&mut wanted[k], true) {
            new.extend((0..helpers.len()).filter(|&j| j != k && mentioned(helpers[k].1, helpers[j].0)));
        }
    }
    helpers.iter().zip(wanted).filter(|(_, w)| *w).map(|((_, text), _)| format!("{text}\n")).collect()
}

/// The neutral element of a reduction.
fn neutral(op: Reduction, ty: Type) -> Constant {
    let lowest = if ty == Type::I64 { i64::MIN } else { i32::MIN as i64 };
    match (op, ty.is_float()) {
        (Reduction::Sum, _) => Constant::number(ty, 0.0),
        (Reduction::Prod, _) => Constant::number(ty, 1.0),
        (Reduction::Max, true) => Constant::float(ty, f64::NEG_INFINITY),
        (Reduction::Min, true) => Constant::float(ty, f64::INFINITY),
        (Reduction::Max, false) => Constant::int(ty, lowest),
        (Reduction::Min, false) => Constant::int(ty, !lowest),
    }
}

/// The variable of a thread's part of a reduction.
fn partial(op: Reduction, a: Id) -> String {
    format!("{op:?}{}", a.0).to_lowercase()
}

/// The operation that joins two partial results.
fn joins(op: Reduction) -> Binary {
    match op {
        Reduction::Sum => Binary::Add,
        Reduction::Prod => Binary::Mul,
        Reduction::Max => Binary::Max,
        Reduction::Min => Binary::Min,
    }
}

struct Printer<'a> {
    f: &'a Formula,
    language: &'a dyn Language,
    rows: Rows,
}

impl Printer<'_> {
    fn name(&self, id: Id) -> String {
        match self.f.node(id) {
            Node::Const(c) => self.language.constant(c),
            _ => format!("v{}", id.0),
        }
    }

    fn value(&self, node: Node) -> String {
        let (l, ty, name) = (self.language, |id| self.f.ty(id), |id| self.name(id));
        match node {
            Node::Const(c) => l.constant(c),
            Node::Input { slot, .. } => format!("load_{slot}(p{slot})"),
            Node::Scalar { slot, ty } => {
                format!("scalar_{}(task, {slot}u)", format!("{ty:?}").to_lowercase())
            }
            Node::Index => l.position("c"),
            Node::Length => l.position("length"),
            Node::Unary(op, a) => l.unary(op, ty(a), &name(a)),
            Node::Binary(op, a, b) => l.binary(op, ty(a), &name(a), &name(b)),
            Node::Select(c, yes, no) => l.select(&name(c), &name(yes), &name(no)),
            Node::Cast(to, a) => l.cast(to, ty(a), &name(a)),
            Node::Reduce(op, a) => match self.rows {
                Rows::Group => l.reduce(op, ty(a), &partial(op, a)),
                Rows::Thread => partial(op, a),
            },
        }
    }

    fn line(&self, text: &mut String, i: usize) {
        let (id, node) = (Id(i as u32), self.f.nodes[i]);
        if !matches!(node, Node::Const(_)) {
            let value = self.value(node);
            _ = writeln!(text, "{}", self.language.declare(self.f.ty(id), &self.name(id), &value));
        }
    }

    fn all(&self, which: impl Fn(usize) -> bool) -> String {
        let mut text = String::new();
        (0..self.f.nodes.len()).filter(|&i| which(i)).for_each(|i| self.line(&mut text, i));
        text
    }

    /// The element nodes that `targets` need, after the places of the operands that are touched.
    fn block(&self, targets: &[Id], written: &[usize]) -> String {
        let mut needed = vec![false; self.f.nodes.len()];
        targets.iter().for_each(|id| needed[id.index()] = true);
        for i in (0..needed.len()).rev().filter(|&i| self.f.ranks[i] == Rank::Element) {
            if needed[i] {
                self.f.nodes[i].operands().for_each(|o| needed[o.index()] = true);
            }
        }
        let reads = |slot: usize| {
            let is = |n: &Node| matches!(n, Node::Input { slot: s, .. } if *s as usize == slot);
            self.f.nodes.iter().zip(&needed).any(|(n, needed)| *needed && is(n))
        };
        let inputs = (0..self.f.inputs.len()).filter(|&slot| reads(slot));
        let mut text = String::new();
        for k in inputs.chain(written.iter().copied()) {
            _ = writeln!(text, "let p{k} = at_{k}(task, i);");
        }
        text + &self.all(|i| needed[i] && self.f.ranks[i] == Rank::Element)
    }

    /// The results that have a value for each element, or those of the others.
    fn stores(&self, element: bool) -> String {
        let mut text = String::new();
        for (slot, &id) in self.f.outputs.iter().enumerate() {
            if self.is_element(id) == element {
                let k = self.f.inputs.len() + slot;
                let at = if element { format!("p{k}") } else { format!("row_{k}(task, row)") };
                _ = writeln!(text, "store_{k}({at}, {});", self.name(id));
            }
        }
        text
    }

    /// Whether a result has a value for each element; without reductions all have.
    fn is_element(&self, id: Id) -> bool {
        self.f.rank(id) == Rank::Element || !self.f.reduces()
    }

    fn finish(&self) -> String {
        let (mut targets, mut written) = (vec![], vec![]);
        for (slot, &id) in self.f.outputs.iter().enumerate().filter(|(_, id)| self.is_element(**id)) {
            targets.push(id);
            written.push(self.f.inputs.len() + slot);
        }
        self.block(&targets, &written) + &self.stores(true)
    }

    /// A loop over the elements of the row that fall to this thread: `c` in the row, `i` among all.
    fn each_of_row(&self, body: &str) -> String {
        let (start, step) = match self.rows {
            Rows::Group => ("local", GROUP),
            Rows::Thread => ("0u", 1),
        };
        format!("for (var c = {start}; c < length; c += {step}u) {{\nlet i = row * length + c;\n{body}}}\n")
    }

    fn elements(&self) -> String {
        self.all(|i| self.f.ranks[i] == Rank::Scalar) + &self.finish()
    }

    /// One pass for each level: the reductions that need only those of earlier levels.
    fn rows(&self) -> String {
        let f = self.f;
        let mut level = vec![0; f.nodes.len()];
        for (i, node) in f.nodes.iter().enumerate() {
            let below = node.operands().map(|o| level[o.index()]).max().unwrap_or(0);
            level[i] = below + matches!(node, Node::Reduce(..)) as usize;
        }
        let mut text = self.all(|i| f.ranks[i] == Rank::Scalar);
        for pass in 0..=level.iter().copied().max().unwrap_or(0) {
            let mut operands = String::new();
            let mut targets = vec![];
            for (_, node) in level.iter().zip(&f.nodes).filter(|(l, _)| **l == pass) {
                if let Node::Reduce(op, a) = *node {
                    let (ty, partial) = (f.ty(a), partial(op, a));
                    let start = self.language.constant(neutral(op, ty));
                    _ = writeln!(text, "{}", self.language.variable(ty, &partial, &start));
                    let joined = self.language.binary(joins(op), ty, &partial, &self.name(a));
                    _ = writeln!(operands, "{partial} = {joined};");
                    targets.push(a);
                }
            }
            if !targets.is_empty() {
                text += &self.each_of_row(&(self.block(&targets, &[]) + &operands));
            }
            text += &self.all(|i| level[i] == pass && f.ranks[i] == Rank::Row);
        }
        if f.outputs.iter().any(|&id| self.is_element(id)) {
            text += &self.each_of_row(&self.finish());
        }
        let rows = self.stores(false);
        match self.rows {
            // A row's own value may be an operand that is replaced: nobody may read it any more.
            Rows::Group if !rows.is_empty() => {
                format!("{text}storageBarrier();\nif (local == 0u) {{\n{rows}}}\n")
            }
            _ => text + &rows,
        }
    }
}
