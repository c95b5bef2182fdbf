//! What formulas become: lists of instructions over blocks, with registers.
//!
//! A *pass* goes over a row once. A node that depends on a reduction can be computed only in a pass after the one that
//! reduces. Where whole rows fit into a block, all passes work on the block while it is in the registers; where they do
//! not, the row is read again in each pass and what is needed is computed again.

use super::fold::Fold;
use super::loops::Run;
use super::slice::Slice;
use phynexus_formula::{Binary, Formula, Id, Node, Type, Unary};

/// How rows lie in blocks.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Rows {
    /// Several whole rows in a block: row values are repeated along their rows before elements use them.
    Many,
    /// One whole row in a block.
    One,
    /// A row is many blocks.
    Part,
}

/// What an instruction has one value for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Space {
    Launch,
    Row,
    Element,
}

pub(super) struct Instruction {
    pub run: Run,
    pub space: Space,
    /// Slots of the result and the operands.
    pub out: u32,
    pub from: [u32; 3],
}

/// A reduction of a row that is many blocks.
pub(super) struct Reduction {
    pub fold: Fold,
    pub from: u32,
    /// The number of the row value.
    pub to: u32,
}

#[derive(Default)]
pub(super) struct Pass {
    /// Computed once for each row, before the elements.
    pub rows: Vec<Instruction>,
    pub elements: Vec<Instruction>,
    /// The first of them, which compute, as machine code; the others copy and reduce.
    pub slice: Option<Slice>,
    pub computed: usize,
    pub reductions: Vec<Reduction>,
    /// Inputs to bring in before.
    pub inputs: Vec<u32>,
    /// Whether the outputs of elements are written.
    pub writes: bool,
}

/// Where the values of a slot are. Slots of inputs come first, then outputs, then these.
pub(super) enum Home {
    Constant(u64),
    /// An entry of the control table.
    Table(u32, Type),
    /// The number of elements of a row.
    Length,
    /// A single value made of those; its number.
    Cell(u32),
    /// Row values; their number.
    Row(u32),
    /// A register: its place, in bytes for each element of a block.
    Register(usize),
}

pub(super) struct Output {
    pub ty: Type,
    /// The slot of its row values, where it has one value for each row.
    pub row: Option<u32>,
    /// Inputs that are read after the output is written: if one of them is the same memory, the output must wait.
    pub conflicts: Vec<u32>,
    /// Its register, where it cannot be written in place.
    pub buffer: usize,
}

pub(super) struct Program {
    pub rows: Rows,
    pub homes: Vec<Home>,
    pub launch: Vec<Instruction>,
    pub passes: Vec<Pass>,
    pub outputs: Vec<Output>,
    /// The registers of inputs that cannot be read in place.
    pub buffers: Vec<usize>,
    pub cells: usize,
    pub row_values: usize,
    /// Bytes of all registers for each element of a block.
    pub bytes: usize,
    /// Elements of a block.
    pub block: usize,
}

impl Program {
    /// A program that does nothing yet.
    pub fn empty(f: &Formula, rows: Rows) -> Program {
        let output = |id: &Id| Output { ty: f.ty(*id), row: None, conflicts: vec![], buffer: 0 };
        Program {
            rows,
            homes: vec![],
            launch: vec![],
            passes: vec![],
            outputs: f.outputs().iter().map(output).collect(),
            buffers: vec![0; f.inputs().len()],
            cells: 0,
            row_values: 0,
            bytes: 0,
            block: 0,
        }
    }

    /// Makes machine code for the passes that can have some.
    pub fn compile(&self) {
        self.passes.iter().filter_map(|pass| pass.slice.as_ref()).for_each(Slice::compile);
    }
}

/// The bytes of a value, at the start of a cell.
pub(super) fn cell(ty: Type, value: phynexus_core::Value) -> u64 {
    let mut cell = [0; 8];
    match ty {
        Type::F32 => cell[..4].copy_from_slice(&(value.as_f64() as f32).to_ne_bytes()),
        Type::F64 => cell = value.as_f64().to_ne_bytes(),
        Type::I32 => cell[..4].copy_from_slice(&(value.as_i64() as i32).to_ne_bytes()),
        Type::I64 => cell = value.as_i64().to_ne_bytes(),
        Type::Bool => cell[0] = value.is_true() as u8,
    }
    u64::from_ne_bytes(cell)
}

/// About how many picoseconds the formula takes for an element.
pub(super) fn cost(f: &Formula) -> usize {
    let of = |node: &Node| match node {
        Node::Const(_) | Node::Scalar { .. } | Node::Length => 0,
        Node::Input { .. } => 200,
        Node::Unary(op, a) => {
            use Unary::{Cos, Erf, Exp, Exp2, Expm1, Log, Log1p, Sigmoid, Sin, Tanh};
            match (op, f.ty(*a)) {
                (Exp | Exp2 | Log | Log1p | Expm1 | Tanh | Sigmoid | Erf | Sin | Cos, Type::F64) => 10_000,
                (Exp | Exp2 | Log | Log1p | Expm1 | Tanh | Sigmoid | Erf | Sin | Cos, _) => 1_000,
                _ => 100,
            }
        }
        Node::Binary(Binary::Atan2, a, _) if f.ty(*a) == Type::F32 => 1_500,
        Node::Binary(Binary::Pow, a, _) if f.ty(*a) == Type::F32 => 1_500,
        Node::Binary(Binary::FloorDiv | Binary::Rem, a, _) if f.ty(*a) == Type::F32 => 1_000,
        Node::Binary(Binary::Pow | Binary::Atan2, ..) => 15_000,
        Node::Binary(Binary::FloorDiv | Binary::Rem, ..) => 5_000,
        _ => 100,
    };
    f.nodes().iter().map(of).sum()
}
