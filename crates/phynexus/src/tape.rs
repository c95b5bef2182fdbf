//! The tape: whether operations are recorded, and the walk back over the nodes that they left.

use crate::api;
use crate::gradient::{Gradient, RowSparse};
use crate::hook::Hooks;
use crate::node::{Arrived, Context, Edge, Node, below, last_users};
use crate::op::{Few, Operation};
use crate::program;
use crate::tensor::Tensor;
use phynexus_core::{Error, Result, Shape};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
    /// Whether an operation says its gradient, whose values nobody will change in place.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether views have to know their base.
pub(crate) fn views_are_followed() -> bool {
    !INSIDE.get()
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

/// Is called with each leaf as soon as its gradient is complete, after the leaf's own hooks.
pub type Sink<'a> = &'a (dyn Fn(&Tensor) -> Result<()> + Sync);

#[derive(Default)]
struct Walk<'a> {
    retain: bool,
    create: bool,
    pending: BTreeMap<u64, (Arc<Node>, Arrived)>,
    sink: Option<Sink<'a>>,
    /// Whether leaves show their gradients to the sink without keeping them.
    look: bool,
    /// Leaves whose gradient somebody wants to see when it is complete, and what there is of it.
    waiting: Vec<(Tensor, Gradient)>,
    /// The last nodes to use each leaf; known from the first time on that a leaf waits.
    last_users: Option<HashMap<usize, u64>>,
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
    fn asks_for(&self, node: &Arc<Node>, index: usize) -> bool {
        let hit =
            |t: &Target| matches!(t, Target::Node(n, k) if *n == Arc::as_ptr(node) && *k as usize == index);
        self.targets.iter().any(hit)
    }

    fn add(&mut self, hit: impl Fn(&Target) -> bool, grad: &Tensor) -> Result<()> {
        for (target, found) in self.targets.iter().zip(&mut self.found) {
            if hit(target) {
                gather(found, grad.clone())?;
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// Adds a gradient to what waits at `edge`.
    fn send(&mut self, edge: &Edge, grad: Tensor) -> Result<()> {
        match edge {
            Edge::None => Ok(()),
            Edge::Leaf(leaf) => self.send_to_leaf(leaf, grad.into()),
            Edge::Node(node, index) => {
                if self.collect.as_ref().is_some_and(|c| !c.useful.contains_key(&Arc::as_ptr(node))) {
                    return Ok(());
                }
                let arrived = self.arrived(node);
                arrived.settle(node)?;
                gather(&mut arrived.grads[*index as usize], grad)
            }
        }
    }

    /// What has reached a node so far.
    fn arrived(&mut self, node: &Arc<Node>) -> &mut Arrived {
        &mut self.pending.entry(node.number).or_insert_with(|| (node.clone(), Arrived::at(node))).1
    }

    /// Whether nobody sees the gradient of a node's first result but the node.
    fn is_unseen(&self, node: &Arc<Node>) -> bool {
        node.hooks.lock().is_empty() && !self.collect.as_ref().is_some_and(|c| c.asks_for(node, 0))
    }

    /// The operands, a bit each, whose gradients may pass what made them: where no derivative of that is wanted.
    fn open(&self, node: &Node) -> u32 {
        let passable = |edge: &Edge| match edge {
            Edge::Node(from, 0) => !self.create && self.is_unseen(from),
            _ => false,
        };
        node.edges.iter().enumerate().map(|(i, edge)| u32::from(passable(edge)) << i).sum()
    }

    fn send_to_leaf(&mut self, leaf: &Tensor, grad: Gradient) -> Result<()> {
        if self.sink.is_none() && leaf.state().hooks.is_none() {
            return self.hand_over(leaf, grad);
        }
        match self.waiting.iter_mut().find(|(other, _)| other.is(leaf)) {
            Some((_, sum)) => *sum = sum.plus(&grad)?,
            None => self.waiting.push((leaf.clone(), grad)),
        }
        Ok(())
    }

    /// Gives a leaf its gradient, or a part of it where nobody waits for the whole.
    fn hand_over(&mut self, leaf: &Tensor, grad: Gradient) -> Result<()> {
        if let (true, Some(sink)) = (self.look, self.sink) {
            return show(leaf, grad, sink);
        }
        let Some(c) = &mut self.collect else {
            leaf.accumulate(grad, self.create)?;
            return self.sink.map_or(Ok(()), |sink| sink(leaf));
        };
        let asked_for = |t: &Target| matches!(t, Target::Leaf(other) if other.is(leaf));
        if !c.targets.iter().any(asked_for) {
            return Ok(());
        }
        c.add(asked_for, &leaf.after_hooks(grad)?.to_dense()?)
    }

    /// Hands over the gradients to which nothing more can be added: nodes come in the order of their numbers, so a
    /// leaf's is complete when none is left from its last user on, whether a gradient reached that one or not.
    fn hand_over_complete(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let next = self.pending.last_key_value().map(|(number, _)| *number);
        let last_users =
            self.last_users.get_or_insert_with(|| last_users(self.pending.values().map(|(node, _)| node)));
        let complete = |leaf: &Tensor| last_users.get(&leaf.address()).is_none_or(|last| Some(*last) > next);
        let (done, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(leaf, _)| complete(leaf));
        self.waiting = waiting;
        for (leaf, sum) in done {
            self.hand_over(&leaf, sum)?;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let _mode = GradMode::new(self.create);
        self.hand_over_complete()?;
        while let Some((_, (node, mut arrived))) = self.pending.pop_last() {
            let hooks: Vec<(u32, Hooks)> = node.hooks.lock().clone();
            for (i, hooks) in hooks {
                if let Some(grad) = arrived.grads[i as usize].take() {
                    arrived.grads[i as usize] = Some(hooks.run(grad)?);
                }
            }
            if let Some(c) = &mut self.collect {
                for (i, grad) in arrived.grads.iter().enumerate() {
                    if let Some(grad) = grad {
                        let here = |t: &Target| matches!(t, Target::Node(n, k) if *n == Arc::as_ptr(&node) && *k == i as u32);
                        c.add(here, grad)?;
                    }
                }
                if c.useful.get(&Arc::as_ptr(&node)) == Some(&false) {
                    continue;
                }
            }
            let context = Context::new(node.clone(), arrived, self.retain, self.open(&node))?;
            if let (Some(rows), Edge::Leaf(leaf)) = (self.rows(&node, &context)?, &node.edges[0]) {
                self.send_to_leaf(leaf, Gradient::Rows(Arc::new(rows)))?;
            } else {
                INSIDE.set(!self.create);
                let sent = node.op.grad(&context);
                INSIDE.set(false);
                let sent = sent?;
                let passed = context.passed();
                drop(context);
                for (i, grad) in sent.into_iter().enumerate() {
                    if let (Some(grad), true) = (grad, node.wanted >> i & 1 == 1) {
                        debug_assert_eq!(
                            grad.shape(),
                            node.inputs()[i].shape,
                            "gradient of {}",
                            node.op.name()
                        );
                        match node.edges[i].node().filter(|_| passed >> i & 1 == 1) {
                            Some(from) => gather(&mut self.arrived(from).passed, grad)?,
                            None => self.send(&node.edges[i], grad)?,
                        }
                    }
                }
            }
            self.hand_over_complete()?;
        }
        Ok(())
    }

    /// The gradient of a leaf, where the operation has that as rows and nobody asks for all of it.
    fn rows(&self, node: &Node, context: &Context) -> Result<Option<RowSparse>> {
        if self.create
            || self.collect.is_some()
            || !matches!(node.edges[..], [Edge::Leaf(_), ..])
            || program::recording()
        {
            return Ok(None);
        }
        node.op.rows(context)
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
                    match edge.node().filter(|node| matches!(edge, Edge::Node(_, 0)) && self.is_unseen(node))
                    {
                        Some(node) if !self.pending.contains_key(&node.number) => {
                            self.arrived(node).is_loss = true;
                            continue;
                        }
                        _ => {
                            let one = phynexus_core::Value::F(1.0);
                            api::full(*array.shape(), one, array.dtype(), array.device())?
                        }
                    }
                }
            };
            self.send(&edge, grad)?;
        }
        self.run()
    }
}

/// Adds the gradients of `roots` to the `.grad` of all leaves that they depend on.
pub fn backward(roots: &[Tensor], grads: &[Option<Tensor>], retain: bool, create: bool) -> Result<()> {
    Walk { retain, create, ..Walk::default() }.start(roots, grads)
}

/// [`backward`] that tells `sink` of each leaf whose gradient is complete, while the walk goes on.
pub fn backward_into(roots: &[Tensor], grads: &[Option<Tensor>], retain: bool, sink: Sink<'_>) -> Result<()> {
    Walk { retain, sink: Some(sink), ..Walk::default() }.start(roots, grads)
}

/// As [`backward_into`], but leaves keep what they had, and so does the graph: for what has to be known of all gradients
/// before the first is used.
pub fn backward_look(roots: &[Tensor], grads: &[Option<Tensor>], sink: Sink<'_>) -> Result<()> {
    Walk { retain: true, look: true, sink: Some(sink), ..Walk::default() }.start(roots, grads)
}

/// Adds a gradient to what is there.
fn gather(slot: &mut Option<Tensor>, grad: Tensor) -> Result<()> {
    *slot = Some(match slot.take() {
        None => grad,
        Some(old) => api::add(&old, &grad)?,
    });
    Ok(())
}

/// Lets `sink` see a leaf with its gradient.
fn show(leaf: &Tensor, grad: Gradient, sink: Sink<'_>) -> Result<()> {
    let grad = leaf.after_hooks(grad)?;
    let sum = leaf.gradient_with(grad)?;
    let before = leaf.replace_grad(Some(sum));
    let seen = sink(leaf);
    drop(leaf.replace_grad(before));
    seen
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
    let mut walk = Walk { retain, create, collect, ..Walk::default() };
    walk.start(roots, grads)?;
    Ok(walk.collect.map(|c| c.found).unwrap_or_default())
}

/// The nodes below `roots` that are a target or from which one can be reached, and whether the latter.
fn leading_to(roots: &[Tensor], targets: &[Target]) -> HashMap<*const Node, bool> {
    let edges: Vec<Edge> = roots.iter().map(|root| root.array_and_edge().1).collect();
    let mut ordered = below(edges.iter().filter_map(Edge::node));
    ordered.sort_by_key(|node| node.number);
    let leaves: HashSet<usize> = targets
        .iter()
        .filter_map(|t| if let Target::Leaf(leaf) = t { Some(leaf.address()) } else { None })
        .collect();
    let wanted: HashSet<*const Node> =
        targets.iter().filter_map(|t| if let Target::Node(n, _) = t { Some(*n) } else { None }).collect();
    let mut useful = HashMap::new();
    for node in ordered {
        let leads = node.edges.iter().any(|e| match e {
            Edge::None => false,
            Edge::Leaf(leaf) => leaves.contains(&leaf.address()),
            Edge::Node(n, _) => useful.contains_key(&Arc::as_ptr(n)),
        });
        if leads || wanted.contains(&std::ptr::from_ref(node)) {
            useful.insert(std::ptr::from_ref(node), leads);
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
