//! Machine code for what one pass computes of its elements: the interpreter still brings blocks in, reduces and writes.

use super::program::Rows;
use crate::jit;
use phynexus_core::{DType, Once};
use phynexus_formula::{Builder, Formula, Id, Node, Type};

/// Shorter blocks are interpreted: a call of code has to prepare its constants.
const SHORT: usize = 64;
/// The most operands, and the most numbers.
const MOST: usize = 32;

/// The elements that a pass computes, as a formula of their own. Operands are slots of the program.
pub(super) struct Slice {
    formula: Formula,
    /// Values for elements that were there before, then those that are needed afterwards.
    operands: Vec<u32>,
    /// Values for rows and for all.
    numbers: Vec<(u32, Type)>,
    function: Once<Option<jit::Function>>,
}

/// What of a pass goes into a slice.
pub(super) struct Cut<'a> {
    pub formula: &'a Formula,
    pub rows: Rows,
    /// Nodes that the pass computes, in order.
    pub fresh: &'a [usize],
    /// The slot of each node that has one.
    pub slots: &'a [Option<u32>],
    /// Nodes that have a value for each element.
    pub elements: &'a dyn Fn(Id) -> bool,
    /// Nodes whose values the pass reduces or writes.
    pub wanted: &'a dyn Fn(usize) -> bool,
}

/// The slice; None where code would have no advantage or could not know where values are.
pub(super) fn slice(cut: &Cut<'_>) -> Option<Slice> {
    let (f, nodes) = (cut.formula, cut.formula.nodes());
    if cut.fresh.len() < 2 {
        return None;
    }
    let mut b = Builder::new();
    let mut place: Vec<Option<Id>> = vec![None; nodes.len()];
    let (mut inputs, mut numbers) = (vec![], vec![]);
    for &i in cut.fresh {
        for id in nodes[i].operands() {
            if place[id.index()].is_some() {
                continue;
            }
            place[id.index()] = Some(match nodes[id.index()] {
                Node::Const(c) => b.constant(c),
                _ if (cut.elements)(id) => {
                    inputs.push(cut.slots[id.index()]?);
                    b.input(f.ty(id))
                }
                _ if cut.rows == Rows::Many => return None, // repeated along rows of a block
                _ => {
                    numbers.push((cut.slots[id.index()]?, f.ty(id)));
                    b.scalar(f.ty(id))
                }
            });
        }
        let at = |id: Id| place[id.index()].unwrap_or(Id(0));
        place[i] = Some(match nodes[i] {
            Node::Unary(op, a) => b.unary(op, at(a)),
            Node::Binary(op, x, y) => b.binary(op, at(x), at(y)),
            Node::Select(c, yes, no) => b.select(at(c), at(yes), at(no)),
            Node::Cast(ty, a) => b.cast(ty, at(a)),
            // A block of one row begins with its first element.
            Node::Index if cut.rows == Rows::One => b.index(),
            _ => return None,
        });
    }
    // What nodes outside of the slice read of it.
    let (mut inside, mut read_later) = (vec![false; nodes.len()], vec![false; nodes.len()]);
    cut.fresh.iter().for_each(|&i| inside[i] = true);
    for (user, node) in nodes.iter().enumerate().filter(|&(user, _)| !inside[user]) {
        if (cut.elements)(Id(user as u32)) {
            node.operands().for_each(|id| read_later[id.index()] = true);
        }
    }
    let later = |i: usize| cut.rows != Rows::Part && read_later[i];
    let kept: Vec<usize> = cut.fresh.iter().copied().filter(|&i| (cut.wanted)(i) || later(i)).collect();
    let outputs: Vec<Id> = kept.iter().filter_map(|&i| place[i]).collect();
    let count = inputs.len();
    let mut operands = inputs;
    operands.extend(kept.iter().filter_map(|&i| cut.slots[i]));
    let fits = operands.len() == count + kept.len() && operands.len() <= MOST && numbers.len() <= MOST;
    fits.then(|| Slice { formula: b.finish(&outputs), operands, numbers, function: Once::new() })
}

impl Slice {
    /// Makes the code.
    pub fn compile(&self) {
        self.function.get_or_init(|| {
            let dtype = |ty: Type| match ty {
                Type::F32 => Some(DType::F32),
                Type::F64 => Some(DType::F64),
                Type::I32 => Some(DType::I32),
                Type::I64 | Type::Bool => None,
            };
            let inputs: Option<Vec<DType>> = self.formula.inputs().iter().map(|&ty| dtype(ty)).collect();
            let outputs: Option<Vec<DType>> =
                self.formula.outputs().iter().map(|&id| dtype(self.formula.ty(id))).collect();
            jit::compile(&self.formula, &inputs?, &outputs?)
        });
    }

    /// Computes `n` elements where there is code; whether it did.
    ///
    /// # Safety
    /// `slots` are those of the program, bound to memory for `n` elements.
    #[inline]
    pub unsafe fn run(&self, slots: &[*mut u8], n: usize) -> bool {
        let Some(Some(function)) = self.function.get() else { return false };
        if n < SHORT {
            return false;
        }
        let mut operands = [std::ptr::null::<u8>(); MOST];
        for (operand, &slot) in operands.iter_mut().zip(&self.operands) {
            *operand = slots[slot as usize];
        }
        let mut numbers = [0u64; MOST];
        for (number, &(slot, ty)) in numbers.iter_mut().zip(&self.numbers) {
            let at = slots[slot as usize];
            // SAFETY: the slot holds a value of the type.
            *number = unsafe {
                match ty {
                    Type::Bool => at.read() as u64,
                    Type::F32 | Type::I32 => at.cast::<u32>().read_unaligned() as u64,
                    Type::F64 | Type::I64 => at.cast::<u64>().read_unaligned(),
                }
            };
        }
        // SAFETY: slots hold `n` elements of their types; a register is given to another value only when the first is read
        // for the last time, so that an output is the memory of an input or overlaps none.
        unsafe { function.call(operands.as_ptr(), numbers.as_ptr(), 0, n) };
        true
    }
}
