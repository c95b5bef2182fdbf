//! Splits a formula into what changes from element to element and what the host computes once a launch.

use crate::builder::renumber;
use crate::powers;
use crate::{Builder, Formula, Id, Node, Rank};

/// The two parts of a formula.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hoisted {
    /// What runs for the elements. Its control table has one entry for each scalar value that it needs.
    pub kernel: Formula,
    /// What the host evaluates before a launch ([`crate::evaluate_scalars`]): from the control table of the original
    /// formula to that of the kernel, entry for entry.
    pub host: Formula,
}

/// Moves all arithmetic on scalars to the host.
///
/// Every scalar node that rows or elements use, or that is a result, becomes an entry of the kernel's control
/// table, in the order of the nodes; constants stay where they are. A hyperparameter in F64 that is cast where it
/// meets F32 elements thus arrives as F32, after all arithmetic in F64. Powers with small constant exponents become products
/// and roots.
pub fn hoist(f: &Formula) -> Hoisted {
    let scalar = |id: Id| f.rank(id) == Rank::Scalar && !matches!(f.node(id), Node::Const(_));
    let mut entry = vec![false; f.nodes.len()];
    f.outputs.iter().for_each(|id| entry[id.index()] = scalar(*id));
    for (node, _) in f.nodes.iter().zip(&f.ranks).filter(|(_, rank)| **rank != Rank::Scalar) {
        node.operands().filter(|&id| scalar(id)).for_each(|id| entry[id.index()] = true);
    }

    let mut host = Builder::new();
    let scalars: Vec<Id> = f.scalars.iter().map(|&ty| host.scalar(ty)).collect();
    let mut kernel = Builder::new();
    let inputs: Vec<Id> = f.inputs.iter().map(|&ty| kernel.input(ty)).collect();

    // Nodes keep the order of `f`, so a place is known before it is needed; the other half's places are not read.
    let (mut on_host, mut in_kernel) = (vec![Id(0); f.nodes.len()], vec![Id(0); f.nodes.len()]);
    let mut results = vec![];
    for (i, &node) in f.nodes.iter().enumerate() {
        if f.ranks[i] == Rank::Scalar {
            on_host[i] = match node {
                Node::Scalar { slot, .. } => scalars[slot as usize],
                node => host.insert(renumber(node, |id| on_host[id.index()])),
            };
        }
        in_kernel[i] = match node {
            Node::Const(c) => kernel.constant(c),
            Node::Input { slot, .. } => inputs[slot as usize],
            _ if entry[i] => {
                results.push(on_host[i]);
                kernel.scalar(f.types[i])
            }
            _ if f.ranks[i] == Rank::Scalar => continue,
            node => {
                let node = renumber(node, |id| in_kernel[id.index()]);
                powers::expand(&mut kernel, node).unwrap_or_else(|| kernel.insert(node))
            }
        };
    }
    let outputs: Vec<Id> = f.outputs.iter().map(|id| in_kernel[id.index()]).collect();
    Hoisted { kernel: kernel.finish(&outputs), host: host.finish(&results) }
}
