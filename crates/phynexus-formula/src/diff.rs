//! Reverse-mode differentiation: from a formula to the formula of its derivative.
//!
//! The derivative is first written over the forward nodes, one line for each primitive. Then results of the forward
//! formula take the place of the nodes that compute them, in the way that needs the fewest operands: the backward of
//! `tanh`, `exp` or `softmax` reads its result and nothing else. What is no longer needed falls away.

mod backward;

use crate::builder::renumber;
use crate::{Builder, Formula, Id, Node, Rank};

/// What an operand of a gradient formula is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Operand of the original formula.
    Input(usize),
    /// Result of the original formula; one of rank `Row` is given for each element of its row.
    Output(usize),
    /// Derivative with respect to a result; again for each element.
    Upstream(usize),
}

/// The derivative of a formula.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gradient {
    /// For each wanted input the derivative of `sum_k <upstream_k, output_k>`: of rank `Element`, or the constant 0.
    pub formula: Formula,
    /// What the formula's inputs are: only what it really reads.
    pub sources: Vec<Source>,
}

/// The derivative of `f` with respect to the inputs `wanted`, which must be floats.
///
/// Scalars keep their slots. Gradients are formulas like any other, so they can be differentiated again.
///
/// ```
/// use phynexus_formula::{Source, Type, differentiate, ops::Op};
/// let gradient = differentiate(&Op::Tanh.formula(Type::F32), &[0]);
/// assert_eq!(gradient.sources, [Source::Output(0), Source::Upstream(0)]);
/// ```
pub fn differentiate(f: &Formula, wanted: &[usize]) -> Gradient {
    derivative(f, wanted, false)
}

/// The same where the derivative with respect to the first result is known to be 1: the first step back from a loss.
pub fn differentiate_loss(f: &Formula, wanted: &[usize]) -> Gradient {
    derivative(f, wanted, true)
}

fn derivative(f: &Formula, wanted: &[usize], of_loss: bool) -> Gradient {
    let mut b = Builder::new();
    let inputs: Vec<Id> = f.inputs.iter().map(|&ty| b.input(ty)).collect();
    let mut upstreams: Vec<Id> = f.outputs.iter().map(|&id| b.input(f.ty(id))).collect();
    if let (true, Some(first)) = (of_loss, upstreams.first_mut()) {
        *first = b.number(f.ty(f.outputs[0]), 1.0);
    }
    let scalars: Vec<Id> = f.scalars.iter().map(|&ty| b.scalar(ty)).collect();
    let place = b.inline_nodes(f, &inputs, &scalars);
    let mut results = backward::derivatives(&mut b, f, &place, &inputs, &upstreams, wanted);
    results.extend(f.outputs.iter().map(|id| place[id.index()]));
    let full = b.finish(&results);
    let (derivatives, results) = full.outputs.split_at(wanted.len());

    let replaceable: Vec<usize> = (0..results.len())
        .filter(|&k| {
            !matches!(full.node(results[k]), Node::Const(_) | Node::Input { .. } | Node::Scalar { .. })
        })
        .collect();
    let subsets =
        if replaceable.len() <= 4 { (0..1u32 << replaceable.len()).rev().collect() } else { vec![!0, 0] };
    let choice = |subset: u32| {
        let mut replaced = vec![None; full.nodes.len()];
        for (_, &k) in replaceable.iter().enumerate().filter(|(bit, _)| subset >> bit.min(&31) & 1 == 1) {
            replaced[results[k].index()] = Some(k);
        }
        Choice::new(&full, derivatives, replaced, f.inputs.len())
    };
    let best = subsets.into_iter().map(choice).min_by_key(|c| c.cost).expect("the empty subset is one");
    best.build(&full, derivatives, f.inputs.len())
}

/// A way to put results of the forward formula in the place of the nodes that compute them.
struct Choice {
    /// The result, if any, that replaces a node.
    replaced: Vec<Option<usize>>,
    needed: Vec<bool>,
    /// Operands first (one value for each row counts little), then passes over the row, then nodes.
    cost: (usize, usize),
}

impl Choice {
    fn new(full: &Formula, derivatives: &[Id], replaced: Vec<Option<usize>>, inputs: usize) -> Choice {
        let mut needed = vec![false; full.nodes.len()];
        derivatives.iter().for_each(|id| needed[id.index()] = true);
        let mut cost = (0, 0);
        for i in (0..full.nodes.len()).rev() {
            if !needed[i] {
                continue;
            }
            cost.1 += 1;
            match full.nodes[i] {
                _ if replaced[i].is_some() => cost.0 += if full.ranks[i] == Rank::Element { 8 } else { 1 },
                Node::Input { slot, .. } if (slot as usize) < inputs => cost.0 += 8,
                node => {
                    cost.0 += if matches!(node, Node::Reduce(..)) { 2 } else { 0 };
                    node.operands().for_each(|o| needed[o.index()] = true);
                }
            }
        }
        Choice { replaced, needed, cost }
    }

    fn build(&self, full: &Formula, derivatives: &[Id], inputs: usize) -> Gradient {
        let nodes = || (0..full.nodes.len()).filter(|&i| self.needed[i]);
        let source = |i: usize| match (self.replaced[i], full.nodes[i]) {
            (Some(k), _) => Some(Source::Output(k)),
            (None, Node::Input { slot, .. }) if (slot as usize) < inputs => {
                Some(Source::Input(slot as usize))
            }
            (None, Node::Input { slot, .. }) => Some(Source::Upstream(slot as usize - inputs)),
            _ => None,
        };
        let mut operands: Vec<(Source, usize)> = nodes().filter_map(|i| Some((source(i)?, i))).collect();
        operands.sort();

        let mut b = Builder::new();
        let mut place = vec![Id(0); full.nodes.len()];
        let scalars: Vec<Id> = full.scalars.iter().map(|&ty| b.scalar(ty)).collect();
        operands.iter().for_each(|&(_, i)| place[i] = b.input(full.types[i]));
        for i in nodes().filter(|&i| source(i).is_none()) {
            place[i] = match full.nodes[i] {
                Node::Scalar { slot, .. } => scalars[slot as usize],
                node => b.make(renumber(node, |id| place[id.index()])),
            };
        }
        let outputs: Vec<Id> = derivatives.iter().map(|id| everywhere(&mut b, place[id.index()])).collect();
        Gradient { formula: b.finish(&outputs), sources: operands.into_iter().map(|(s, _)| s).collect() }
    }
}

/// The value for each element, also if it is the same in a whole row.
fn everywhere(b: &mut Builder, id: Id) -> Id {
    if b.rank(id) == Rank::Element || matches!(b.node(id), Node::Const(_)) {
        return id;
    }
    let (index, length) = (b.index(), b.length());
    let inside = b.binary(crate::Binary::Lt, index, length);
    let zero = b.number(b.ty(id), 0.0);
    b.select(inside, id, zero)
}
