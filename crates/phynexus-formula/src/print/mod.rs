//! Prints a formula as a whole kernel in the language of a device.
//!
//! A language is a table ([`Language`]): how types, constants, functions, loads and stores are written. What a kernel
//! looks like is said once, here. Kernels without rows run one thread for each element; kernels with reductions
//! or positions run one group of [`GROUP`] threads for each row, one pass for each level of reductions.
//!
//! Arguments of a kernel: the buffers in order, then a table of numbers (u32 in WGSL, 64-bit integers elsewhere), then
//! the control table if the formula has scalars (4 bytes an entry in WGSL, 8 elsewhere). The table of numbers holds:
//! number of elements (of rows, where a group runs for each row), length of a row, number of dimensions, eight sizes, and for each buffer its offset and eight
//! strides. A result with one value for each row is contiguous from its offset. Groups may be dispatched in two
//! dimensions where one is limited (65,535 in WebGPU).

mod c;
mod wgsl;

use crate::{Binary, Constant, Formula, Id, Node, Rank, Reduction, Type, Unary};
use std::fmt::{self, Write};

/// Where the sizes and the entries of buffers stand in the table of numbers.
const SIZES: usize = 3;
const BUFFERS: usize = SIZES + 8;
const ENTRIES_OF_BUFFER: usize = 9;

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

/// How a buffer stores its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Storage {
    F32,
    F64,
    F16,
    BF16,
    I32,
    I64,
    U8,
    /// A byte; a word of 32 bits in WGSL.
    Bool,
}

impl Storage {
    /// The type that elements have in a formula.
    pub fn ty(self) -> Type {
        match self {
            Storage::F32 | Storage::F16 | Storage::BF16 => Type::F32,
            Storage::F64 => Type::F64,
            Storage::I32 | Storage::U8 => Type::I32,
            Storage::I64 => Type::I64,
            Storage::Bool => Type::Bool,
        }
    }

    /// How a type is stored if nothing else is asked for.
    pub fn of(ty: Type) -> Storage {
        match ty {
            Type::F32 => Storage::F32,
            Type::F64 => Storage::F64,
            Type::I32 => Storage::I32,
            Type::I64 => Storage::I64,
            Type::Bool => Storage::Bool,
        }
    }
}

/// A buffer of the kernel: an operand, a result, or both at once (an update in place).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// What it stores.
    pub storage: Storage,
    /// The input that is read from it.
    pub input: Option<usize>,
    /// The output that is written to it.
    pub output: Option<usize>,
}

impl Buffer {
    /// A buffer for each operand that is read and each result, stored as they are computed.
    pub fn all(f: &Formula) -> Vec<Buffer> {
        let read = (0..f.inputs.len()).filter(|&k| f.reads(k));
        let input = |k: usize| Buffer { storage: Storage::of(f.inputs[k]), input: Some(k), output: None };
        let output =
            |(k, id): (usize, &Id)| Buffer { storage: Storage::of(f.ty(*id)), input: None, output: Some(k) };
        read.map(input).chain(f.outputs.iter().enumerate().map(output)).collect()
    }
}

/// Why a formula cannot be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrintError {
    /// The language lacks a type.
    Type(Dialect, Type),
    /// The language cannot write single elements that are stored so.
    Store(Dialect, Storage),
    /// The buffers do not fit the formula.
    Buffers(String),
}

impl fmt::Display for PrintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrintError::Type(dialect, Type::F64) => write!(
                f,
                "{dialect:?} has no 64-bit floats: compute in float32, and hoist scalars so that the host computes them"
            ),
            PrintError::Type(dialect, ty) => {
                write!(f, "{dialect:?} has no {ty:?}: use I32 (labels, positions) or float32 instead")
            }
            PrintError::Store(dialect, storage) => write!(
                f,
                "{dialect:?} cannot write single {storage:?} elements: store the result as F32, I32 or Bool, or convert it"
            ),
            PrintError::Buffers(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for PrintError {}

/// The kernel, with its entry point `kernel_main`.
///
/// ```
/// use phynexus_formula::{Type, ops::Op, print::{Buffer, Dialect, kernel}};
/// let f = Op::Exp.formula(Type::F32);
/// assert!(kernel(&f, Dialect::Cuda, &Buffer::all(&f)).unwrap().contains("expf(v0)"));
/// ```
pub fn kernel(f: &Formula, dialect: Dialect, buffers: &[Buffer]) -> Result<String, PrintError> {
    let language: &dyn Language = match dialect {
        Dialect::Wgsl => &wgsl::Wgsl,
        Dialect::Cuda | Dialect::Hip => &c::C,
    };
    check(f, buffers)?;
    language.check(f, dialect, buffers)?;
    let row_wise = f.nodes.iter().any(|n| matches!(n, Node::Reduce(..) | Node::Index | Node::Length))
        || f.outputs.iter().any(|&id| f.rank(id) != Rank::Element);
    let printer = Printer { f, language, buffers };
    let body = if row_wise { printer.rows() } else { printer.elements() };
    let main = language.main(f, buffers, row_wise, &body);
    Ok(format!("{}{main}", used(language.helpers(), &main)))
}

/// Every operand that is read and every result has one buffer of its type.
fn check(f: &Formula, buffers: &[Buffer]) -> Result<(), PrintError> {
    let find = |what: &str, slot: usize, ty: Type, of: fn(&Buffer) -> Option<usize>| {
        let found: Vec<&Buffer> = buffers.iter().filter(|b| of(b) == Some(slot)).collect();
        let message = match found[..] {
            [b] if b.storage.ty() == ty => return Ok(()),
            [b] => format!(
                "{what} {slot} is computed in {ty:?}, which a buffer of {:?} does not hold",
                b.storage
            ),
            _ => format!("{what} {slot} needs exactly one buffer, not {}", found.len()),
        };
        Err(PrintError::Buffers(message))
    };
    for slot in (0..f.inputs.len()).filter(|&slot| f.reads(slot)) {
        find("input", slot, f.inputs[slot], |b| b.input)?;
    }
    for (slot, &id) in f.outputs.iter().enumerate() {
        find("output", slot, f.ty(id), |b| b.output)?;
    }
    Ok(())
}

/// What differs between languages.
trait Language {
    /// Whether the language has what the formula and the buffers need.
    fn check(&self, f: &Formula, dialect: Dialect, buffers: &[Buffer]) -> Result<(), PrintError>;
    /// Functions that the language lacks, by name; those that a kernel mentions are printed.
    fn helpers(&self) -> &'static [(&'static str, &'static str)];
    /// Declarations and entry point around the body.
    fn main(&self, f: &Formula, buffers: &[Buffer], row_wise: bool, body: &str) -> String;
    fn declare(&self, ty: Type, name: &str, value: &str) -> String;
    fn variable(&self, ty: Type, name: &str, value: &str) -> String;
    /// Declares `p{k}`, where buffer `k` has element `i`.
    fn locate(&self, k: usize) -> String;
    /// A loop over the elements of the row that fall to this thread: `c` in the row, `i` among all.
    fn each_of_row(&self, body: &str) -> String;
    /// The position of the result of this row.
    fn row_offset(&self, k: usize) -> String;
    fn load(&self, k: usize, storage: Storage) -> String;
    fn store(&self, k: usize, storage: Storage, at: &str, value: &str) -> String;
    fn scalar(&self, slot: u16, ty: Type) -> String;
    fn index(&self) -> &'static str;
    fn length(&self) -> &'static str;
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
    buffers: &'a [Buffer],
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
            Node::Input { slot, .. } => {
                let (k, buffer) = self.buffer(|b| b.input == Some(slot as usize));
                l.load(k, buffer.storage)
            }
            Node::Scalar { slot, ty } => l.scalar(slot, ty),
            Node::Index => l.index().into(),
            Node::Length => l.length().into(),
            Node::Unary(op, a) => l.unary(op, ty(a), &name(a)),
            Node::Binary(op, a, b) => l.binary(op, ty(a), &name(a), &name(b)),
            Node::Select(c, yes, no) => l.select(&name(c), &name(yes), &name(no)),
            Node::Cast(to, a) => l.cast(to, ty(a), &name(a)),
            Node::Reduce(op, a) => l.reduce(op, ty(a), &partial(op, a)),
        }
    }

    /// The buffer of an operand or result; [`check`] has seen that there is one.
    fn buffer(&self, which: impl Fn(&Buffer) -> bool) -> (usize, &Buffer) {
        self.buffers.iter().enumerate().find(|(_, b)| which(b)).expect("checked before printing")
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

    /// The element nodes that `targets` need, after the places of the buffers that are touched.
    fn block(&self, targets: &[Id], written: &[usize]) -> String {
        let mut needed = vec![false; self.f.nodes.len()];
        targets.iter().for_each(|id| needed[id.index()] = true);
        for i in (0..needed.len()).rev().filter(|&i| self.f.ranks[i] == Rank::Element) {
            if needed[i] {
                self.f.nodes[i].operands().for_each(|o| needed[o.index()] = true);
            }
        }
        let reads = |b: &Buffer| {
            let is = |n: &Node| matches!(n, Node::Input { slot, .. } if Some(*slot as usize) == b.input);
            self.f.nodes.iter().zip(&needed).any(|(n, needed)| *needed && is(n))
        };
        let mut text = String::new();
        for (k, b) in self.buffers.iter().enumerate() {
            if reads(b) || written.contains(&k) {
                _ = writeln!(text, "{}", self.language.locate(k));
            }
        }
        text + &self.all(|i| needed[i] && self.f.ranks[i] == Rank::Element)
    }

    /// The results of rank `Element`, or those of the others.
    fn stores(&self, element: bool) -> String {
        let mut text = String::new();
        for (slot, &id) in self.f.outputs.iter().enumerate() {
            if (self.f.rank(id) == Rank::Element) == element {
                let (k, buffer) = self.buffer(|b| b.output == Some(slot));
                let at = if element { format!("p{k}") } else { self.language.row_offset(k) };
                _ = writeln!(text, "{}", self.language.store(k, buffer.storage, &at, &self.name(id)));
            }
        }
        text
    }

    fn finish(&self) -> String {
        let (mut targets, mut written) = (vec![], vec![]);
        for (slot, &id) in
            self.f.outputs.iter().enumerate().filter(|(_, id)| self.f.rank(**id) == Rank::Element)
        {
            targets.push(id);
            written.push(self.buffer(|b| b.output == Some(slot)).0);
        }
        self.block(&targets, &written) + &self.stores(true)
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
                text += &self.language.each_of_row(&(self.block(&targets, &[]) + &operands));
            }
            text += &self.all(|i| level[i] == pass && f.ranks[i] == Rank::Row);
        }
        if f.outputs.iter().any(|&id| f.rank(id) == Rank::Element) {
            text += &self.language.each_of_row(&self.finish());
        }
        let rows = self.stores(false);
        if rows.is_empty() { text } else { format!("{text}if (local == 0) {{\n{rows}}}\n") }
    }
}
