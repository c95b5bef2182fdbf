//! The tape: whether operations are recorded, and the walk back over the nodes that they left.

use crate::api;
use crate::node::{Context, Edge, Node};
use crate::op::{Few, Operation};
use crate::tensor::{Hooks, Tensor};
use phynexus_core::{Error, Result, Shape};
use smallvec::SmallVec;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// Whether this thread records operations.
pub fn grad_enabled() -> bool {
    ENABLED.get()
}

/// Switches recording for this thread; returns what it was.
pub fn set_grad_enabled(enabled: bool) -> bool {
    ENABLED.replace(enabled)
}

/// Recording on or off until dropped.
pub struct GradMode(bool);

impl GradMode {
    /// Sets the mode and remembers the old one.
    pub fn new(enabled: bool) -> GradMode {
        GradMode(set_grad_enabled(enabled))
    }
}

impl Drop for GradMode {
    fn drop(&mut self) {
        set_grad_enabled(self.0);
    }
}

/// Where gradients go that `grad` asked for.
enum Target {
    Leaf(Tensor),
    Node(*const Node, u32),
}

struct Walk {
    retain: bool,
    create: bool,
    pending: BTreeMap<u64, (Arc<Node>, Few<Option<Tensor>>)>,
    /// Leaves with hooks and their gradients so far: a hook sees the sum, once.
    hooked: Vec<(Tensor, Tensor)>,
    /// Set by `grad`: gradients are collected there, and leaves get none.
    collect: Option<Collector>,
}

struct Collector {
    targets: Vec<Target>,
    found: Vec<Option<Tensor>>,
    /// Nodes that are a target or lead to one, and whether they lead to one.
    useful: HashMap<*const Node, bool>,
}

impl Collector {
    fn add(&mut self, hit: impl Fn(&Target) -> bool, grad: &Tensor) -> Result<()> {
        for (target, found) in self.targets.iter().zip(&mut self.found) {
            if hit(target) {
                *found = Some(match found.take() {
                    None => grad.clone(),
                    Some(old) => api::add(&old, grad)?,
                });
            }
        }
        Ok(())
    }
}

impl Walk {
    /// Adds a gradient to what waits at `edge`.
    fn send(&mut self, edge: &Edge, grad: Tensor) -> Result<()> {
        match edge {
            Edge::None => Ok(()),
            Edge::Leaf(leaf) => match &mut self.collect {
                None if leaf.state().hooks.is_some() => {
                    match self.hooked.iter_mut().find(|(other, _)| other.is(leaf)) {
                        Some((_, sum)) => *sum = api::add(sum, &grad)?,
                        None => self.hooked.push((leaf.clone(), grad)),
                    }
                    Ok(())
                }
                None => leaf.accumulate(grad, self.create),
                Some(c) => c.add(|t| matches!(t, Target::Leaf(other) if other.is(leaf)), &grad),
            },
            Edge::Node(node, index) => {
                if self.collect.as_ref().is_some_and(|c| !c.useful.contains_key(&Arc::as_ptr(node))) {
                    return Ok(());
                }
                let entry = self.pending.entry(node.number);
                let (_, grads) =
                    entry.or_insert_with(|| (node.clone(), SmallVec::from_elem(None, node.outputs().len())));
                let slot = &mut grads[*index as usize];
                *slot = Some(match slot.take() {
                    None => grad,
                    Some(old) => api::add(&old, &grad)?,
                });
                Ok(())
            }
        }
    }

    fn run(&mut self) -> Result<()> {
        let _mode = GradMode::new(self.create);
        while let Some((_, (node, mut grads))) = self.pending.pop_last() {
            let hooks: Vec<(u32, Hooks)> = node.hooks.lock().clone();
            for (i, hooks) in hooks {
                if let Some(grad) = grads[i as usize].take() {
                    grads[i as usize] = Some(hooks.run(grad)?);
                }
            }
            if let Some(c) = &mut self.collect {
                for (i, grad) in grads.iter().enumerate() {
                    if let Some(grad) = grad {
                        let here = |t: &Target| matches!(t, Target::Node(n, k) if *n == Arc::as_ptr(&node) && *k == i as u32);
                        c.add(here, grad)?;
                    }
                }
                if c.useful.get(&Arc::as_ptr(&node)) == Some(&false) {
                    continue;
                }
            }
            let context = Context::new(node.clone(), grads, self.retain)?;
            let sent = node.op.grad(&context)?;
            drop(context);
            for (i, grad) in sent.into_iter().enumerate() {
                if let (Some(grad), true) = (grad, node.wanted >> i & 1 == 1) {
                    debug_assert_eq!(grad.shape(), node.inputs()[i].shape, "gradient of {}", node.op.name());
                    self.send(&node.edges[i], grad)?;
                }
            }
        }
        self.finish_leaves()
    }

    /// Hands the sums to the leaves' hooks.
    fn finish_leaves(&mut self) -> Result<()> {
        for (leaf, grad) in std::mem::take(&mut self.hooked) {
            leaf.accumulate(grad, self.create)?;
        }
        let Some(c) = &mut self.collect else { return Ok(()) };
        for (target, found) in c.targets.iter().zip(&mut c.found) {
            if let (Target::Leaf(leaf), Some(grad)) = (target, &found) {
                let hooks = leaf.state().hooks.as_ref().map(|h| h.grad.clone());
                *found = Some(hooks.map_or(Ok(grad.clone()), |h| h.run(grad.clone()))?);
            }
        }
        Ok(())
    }

    fn start(&mut self, roots: &[Tensor], grads: &[Option<Tensor>]) -> Result<()> {
        for (i, root) in roots.iter().enumerate() {
            let (array, edge) = root.array_and_edge();
            if matches!(edge, Edge::None) {
                return Err(Error::Runtime(
                    "backward needs a tensor that depends on one with requires_grad=True; this one does not (was it made under \
                     no_grad, or detached?)"
                        .into(),
                ));
            }
            let grad = match grads.get(i).and_then(|g| g.as_ref()) {
                Some(grad) if grad.shape() != *array.shape() => {
                    return Err(Error::Value(format!(
                        "the gradient given has shape {}, the tensor {}",
                        grad.shape(),
                        array.shape()
                    )));
                }
                Some(grad) => api::cast(grad, array.dtype())?,
                None if array.elements() != 1 => {
                    return Err(Error::Runtime(format!(
                        "backward without a gradient needs a tensor of one element, got shape {}; reduce it (.sum() or \
                         .mean()) or pass gradient=",
                        array.shape()
                    )));
                }
                None => {
                    api::full(*array.shape(), phynexus_core::Value::F(1.0), array.dtype(), array.device())?
                }
            };
            self.send(&edge, grad)?;
        }
        self.run()
    }
}

/// Adds the gradients of `roots` to the `.grad` of all leaves that they depend on.
pub fn backward(roots: &[Tensor], grads: &[Option<Tensor>], retain: bool, create: bool) -> Result<()> {
    Walk { retain, create, pending: BTreeMap::new(), hooked: Vec::new(), collect: None }.start(roots, grads)
}

/// The gradients of `roots` with respect to `inputs`; `None` where they do not depend on one.
pub fn grad(
    roots: &[Tensor],
    inputs: &[Tensor],
    grads: &[Option<Tensor>],
    retain: bool,
    create: bool,
) -> Result<Vec<Option<Tensor>>> {
    let mut targets = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        targets.push(match input.array_and_edge().1 {
            Edge::Leaf(leaf) => Target::Leaf(leaf),
            Edge::Node(node, index) => Target::Node(Arc::as_ptr(&node), index),
            Edge::None => {
                return Err(Error::Runtime(format!("input {i} of grad() does not require gradients")));
            }
        });
    }
    let useful = leading_to(roots, &targets);
    let found = vec![None; inputs.len()];
    let collect = Some(Collector { targets, found, useful });
    let mut walk = Walk { retain, create, pending: BTreeMap::new(), hooked: Vec::new(), collect };
    walk.start(roots, grads)?;
    Ok(walk.collect.map(|c| c.found).unwrap_or_default())
}

/// The nodes below `roots` that are a target or from which one can be reached, and whether the latter.
fn leading_to(roots: &[Tensor], targets: &[Target]) -> HashMap<*const Node, bool> {
    let mut nodes: HashMap<*const Node, Arc<Node>> = HashMap::new();
    let mut stack: Vec<Arc<Node>> = Vec::new();
    let push = |edge: &Edge, stack: &mut Vec<Arc<Node>>| {
        if let Edge::Node(node, _) = edge {
            stack.push(node.clone());
        }
    };
    roots.iter().for_each(|r| push(&r.array_and_edge().1, &mut stack));
    while let Some(node) = stack.pop() {
        if nodes.insert(Arc::as_ptr(&node), node.clone()).is_none() {
            node.edges.iter().for_each(|e| push(e, &mut stack));
        }
    }
    let leaves: HashSet<usize> = targets
        .iter()
        .filter_map(|t| if let Target::Leaf(leaf) = t { Some(leaf.address()) } else { None })
        .collect();
    let wanted: HashSet<*const Node> =
        targets.iter().filter_map(|t| if let Target::Node(n, _) = t { Some(*n) } else { None }).collect();
    let mut ordered: Vec<&Arc<Node>> = nodes.values().collect();
    ordered.sort_by_key(|n| n.number);
    let mut useful = HashMap::new();
    for node in ordered {
        let leads = node.edges.iter().any(|e| match e {
            Edge::None => false,
            Edge::Leaf(leaf) => leaves.contains(&leaf.address()),
            Edge::Node(n, _) => useful.contains_key(&Arc::as_ptr(n)),
        });
        if leads || wanted.contains(&Arc::as_ptr(node)) {
            useful.insert(Arc::as_ptr(node), leads);
        }
    }
    useful
}

/// Sums `grad` over the dimensions along which `shape` was repeated to it.
pub(crate) fn sum_to(grad: Tensor, shape: &Shape) -> Result<Tensor> {
    let from = grad.shape();
    if from == *shape {
        return Ok(grad);
    }
    let lead = from.len() - shape.len();
    let axes: Few<usize> =
        (0..from.len()).filter(|&i| i < lead || (shape[i - lead] == 1 && from[i] != 1)).collect();
    let summed =
        if axes.is_empty() { grad } else { api::reduce(&grad, phynexus_core::ReduceOp::Sum, &axes, false)? };
    api::reshape(&summed, *shape)
}
