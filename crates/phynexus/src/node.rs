//! What the tape remembers of an operation: where its operands came from, and the values that its gradient reads.

use crate::api;
use crate::array::Array;
use crate::hook::{Hook, Hooks};
use crate::op::{Few, Needs, Op, Operation, Spec};
use crate::ops::function::Passage;
use crate::tensor::Tensor;
use parking_lot::Mutex;
use phynexus_core::{Buffer, Error, Result};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a value came from.
#[derive(Clone, Default)]
pub(crate) enum Edge {
    /// The tape does not follow it.
    #[default]
    None,
    /// It is this leaf, or shares its values.
    Leaf(Tensor),
    /// It is that result of this node.
    Node(Arc<Node>, u32),
}

impl Edge {
    /// The node that it comes from.
    pub fn node(&self) -> Option<&Arc<Node>> {
        match self {
            Edge::Node(node, _) => Some(node),
            _ => None,
        }
    }
}

/// What the tape knows of a value, without the value.
#[derive(Clone)]
pub(crate) struct Trace {
    pub spec: Spec,
    pub edge: Edge,
}

/// Records an operation of one result that needs no values for its gradient, without running it: its result is in memory
/// already.
pub(crate) fn trace(op: Op, operands: &[&Trace]) -> Result<Trace> {
    let mut specs: SmallVec<[Spec; 3]> = operands.iter().map(|t| t.spec).collect();
    let spec = op.infer(&specs)?[0];
    let followed = |t: &Trace| !matches!(t.edge, Edge::None) && t.spec.dtype.is_float();
    let wanted: u32 = operands.iter().enumerate().map(|(i, t)| u32::from(followed(t)) << i).sum();
    if wanted == 0 || !spec.dtype.is_float() {
        return Ok(Trace { spec, edge: Edge::None });
    }
    debug_assert_eq!(op.saves(wanted), Some(Needs::default()));
    specs.push(spec);
    let edges = operands.iter().map(|t| t.edge.clone()).collect();
    let node = Node::new(op, wanted, specs.into_vec().into(), edges, SmallVec::new());
    Ok(Trace { spec, edge: Edge::Node(node, 0) })
}

/// A value that a gradient will read, with the version of its memory at the time.
pub(crate) struct Saved {
    index: u32,
    output: bool,
    array: Array,
    version: u32,
    edge: Edge,
}

impl Saved {
    pub fn input(index: usize, array: Array, edge: Edge) -> Saved {
        let version = array.buffer().version();
        Saved { index: index as u32, output: false, array, version, edge }
    }
    /// A result is saved without its edge, which would be a cycle; it gets it back when it is read.
    pub fn output(index: usize, array: Array) -> Saved {
        let version = array.buffer().version();
        Saved { index: index as u32, output: true, array, version, edge: Edge::None }
    }
}

/// A recorded operation.
pub(crate) struct Node {
    /// Nodes are numbered as they are made, so a node's number is higher than those of all it depends on.
    pub number: u64,
    pub op: Op,
    pub wanted: u32,
    /// Of the operands, then of the results.
    specs: Box<[Spec]>,
    results: usize,
    pub edges: SmallVec<[Edge; 3]>,
    /// `None` once a backward pass has used it up.
    saved: Mutex<Option<SmallVec<[Saved; 2]>>>,
    pub hooks: Mutex<Vec<(u32, Hooks)>>,
}

/// The number of the next node.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The number that the next node will have, or a lower one.
pub(crate) fn next_number() -> u64 {
    NUMBER.load(Ordering::Relaxed)
}

impl Node {
    pub fn new(
        op: Op,
        wanted: u32,
        specs: Box<[Spec]>,
        edges: SmallVec<[Edge; 3]>,
        saved: SmallVec<[Saved; 2]>,
    ) -> Arc<Node> {
        Arc::new(Node {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            op,
            wanted,
            results: specs.len() - edges.len(),
            specs,
            edges,
            saved: Mutex::new(Some(saved)),
            hooks: Mutex::new(Vec::new()),
        })
    }

    /// Shapes, dtypes and devices of the operands.
    pub fn inputs(&self) -> &[Spec] {
        &self.specs[..self.specs.len() - self.results]
    }

    /// The same of the results.
    pub fn outputs(&self) -> &[Spec] {
        &self.specs[self.specs.len() - self.results..]
    }

    /// How a gradient can pass, and the value beside it.
    fn passage(&self) -> Option<(Arc<Passage>, Tensor)> {
        let passage = self.op.passage(self.outputs()[0].dtype)?;
        let saved = self.saved.lock();
        let value = saved.as_ref()?.iter().find(|s| s.output == passage.output && s.index == 0)?;
        let unchanged = value.array.buffer().version() == value.version;
        unchanged.then(|| (passage, Tensor::new(value.array.clone())))
    }

    pub fn add_hook(&self, index: u32, hook: Hook) -> u64 {
        let mut all = self.hooks.lock();
        let place = all.iter().position(|(i, _)| *i == index).unwrap_or_else(|| {
            all.push((index, Hooks::default()));
            all.len() - 1
        });
        all[place].1.add(hook)
    }

    /// Takes a hook out; what it holds is the caller's to drop.
    pub fn remove_hook(&self, index: u32, number: u64) -> Option<Hook> {
        self.hooks.lock().iter_mut().filter(|(i, _)| *i == index).find_map(|(_, hooks)| hooks.remove(number))
    }

    /// Keeps copies of what is saved of this memory, which is about to be written over.
    fn keep_copies(&self, buffer: &Arc<Buffer>, copies: &mut Vec<(Array, Array)>) -> Result<()> {
        let mut saved = self.saved.lock();
        for s in saved.iter_mut().flatten().filter(|s| Arc::ptr_eq(s.array.buffer(), buffer)) {
            let copy = match copies
                .iter()
                .find(|(old, _)| old.layout() == s.array.layout() && old.dtype() == s.array.dtype())
            {
                Some((_, copy)) => copy.clone(),
                None => {
                    let copy = s.array.copy()?;
                    copies.push((s.array.clone(), copy.clone()));
                    copy
                }
            };
            s.version = copy.buffer().version();
            s.array = copy; // the old one lives on in `copies`
        }
        Ok(())
    }
}

/// Lets the nodes from `first` on, down to those made before `since`, keep copies of what they saved of this memory.
pub(crate) fn keep_copies(first: &Arc<Node>, since: u64, buffer: &Arc<Buffer>) -> Result<()> {
    let (mut stack, mut copies) = (vec![first], Vec::new());
    while let Some(node) = stack.pop() {
        if node.number >= since {
            node.keep_copies(buffer, &mut copies)?;
            stack.extend(node.edges.iter().filter_map(Edge::node));
        }
    }
    Ok(())
}

/// A long chain of nodes is taken apart by a loop: one node's drop frees the next, which would overflow the stack.
impl Drop for Node {
    fn drop(&mut self) {
        thread_local! {
            static QUEUE: RefCell<(bool, Vec<Edge>)> = const { RefCell::new((false, Vec::new())) };
        }
        let edges = std::mem::take(&mut self.edges).into_iter();
        let saved = self.saved.get_mut().take().into_iter().flatten().map(|s| s.edge);
        // Collected before the queue is borrowed: dropping the other edges may drop nodes, which come here again.
        let nodes: SmallVec<[Edge; 4]> = edges.chain(saved).filter(|e| matches!(e, Edge::Node(..))).collect();
        let first = QUEUE.try_with(|queue| {
            let mut queue = queue.borrow_mut();
            queue.1.extend(nodes);
            !std::mem::replace(&mut queue.0, true)
        });
        if first != Ok(true) {
            return;
        }
        while let Some(edge) = QUEUE.with(|queue| queue.borrow_mut().1.pop()) {
            drop(edge);
        }
        QUEUE.with(|queue| queue.borrow_mut().0 = false);
    }
}

/// What has reached a node on the way back.
pub(crate) struct Arrived {
    /// The gradients of its results.
    pub grads: Few<Option<Tensor>>,
    /// Whether its first result is the loss, whose gradient 1 is not made unless somebody reads it.
    pub is_loss: bool,
    /// What has already taken the step that [`Operation::passage`] tells of.
    pub passed: Option<Tensor>,
}

impl Arrived {
    pub fn at(node: &Node) -> Arrived {
        Arrived { grads: SmallVec::from_elem(None, node.results), is_loss: false, passed: None }
    }

    /// Makes the gradient of the loss where it is not there yet.
    pub fn settle(&mut self, node: &Node) -> Result<()> {
        if std::mem::take(&mut self.is_loss) {
            self.grads[0] = Some(filled(node.outputs()[0], 1.0)?);
        }
        Ok(())
    }
}

fn filled(Spec { shape, dtype, device }: Spec, value: f64) -> Result<Tensor> {
    api::full(shape, phynexus_core::Value::F(value), dtype, device)
}

/// What an operation's gradient can see.
pub struct Context {
    node: Arc<Node>,
    arrived: Arrived,
    values: SmallVec<[(bool, u32, Tensor); 2]>,
    /// The operands that come from a node which their gradients may pass, and those whose gradients have, a bit each.
    open: u32,
    passed: Cell<u32>,
}

impl Context {
    pub(crate) fn new(node: Arc<Node>, arrived: Arrived, retain: bool, open: u32) -> Result<Context> {
        let mut slot = node.saved.lock();
        let Some(saved) = &*slot else {
            return Err(Error::Runtime(format!(
                "backward through the graph of {} a second time: its saved values are freed; pass retain_graph=True to \
                 the first backward, or compute the loss again",
                node.op.name()
            )));
        };
        let mut values = SmallVec::new();
        for s in saved {
            if s.array.buffer().version() != s.version {
                return Err(Error::Runtime(format!(
                    "a value that the gradient of {} needs (shape {}) was changed in place after it was used; change a \
                     copy (.clone()) instead",
                    node.op.name(),
                    s.array.shape()
                )));
            }
            let edge = if s.output { Edge::Node(node.clone(), s.index) } else { s.edge.clone() };
            values.push((s.output, s.index, Tensor::with_edge(s.array.clone(), edge)));
        }
        let used = if !retain && !saved.is_empty() { slot.take() } else { None };
        drop(slot);
        drop(used); // may run a destructor of Python's, which must find the lock open
        Ok(Context { node, arrived, values, open, passed: Cell::new(0) })
    }

    /// Whether operand `i` needs a gradient.
    pub fn wants(&self, i: usize) -> bool {
        self.node.wanted >> i & 1 == 1
    }
    /// How many operands there are.
    pub fn operands(&self) -> usize {
        self.node.inputs().len()
    }
    /// Which operands need gradients, a bit each.
    pub fn wanted(&self) -> u32 {
        self.node.wanted
    }
    /// Operand `i`, which [`Operation::saves`] must have asked for.
    pub fn input(&self, i: usize) -> &Tensor {
        self.value(false, i)
    }
    /// Result `i`, likewise.
    pub fn output(&self, i: usize) -> &Tensor {
        self.value(true, i)
    }
    fn value(&self, output: bool, i: usize) -> &Tensor {
        let found = self.values.iter().find(|(o, index, _)| *o == output && *index as usize == i);
        &found.expect("saves() names every value that grad() reads").2
    }
    /// Shape, dtype and device of operand `i`.
    pub fn input_spec(&self, i: usize) -> Spec {
        self.node.inputs()[i]
    }
    /// Shape, dtype and device of result `i`.
    pub fn output_spec(&self, i: usize) -> Spec {
        self.node.outputs()[i]
    }
    /// Whether anything depended on result `i`.
    pub fn reached(&self, i: usize) -> bool {
        self.arrived.grads[i].is_some() || i == 0 && self.arrived.is_loss
    }
    /// Whether the first result is the loss: its gradient is 1, and nothing else is known of the others.
    pub fn is_loss(&self) -> bool {
        self.arrived.is_loss
    }
    /// The gradient of result `i`, zeros if nothing depended on it.
    pub fn grad(&self, i: usize) -> Result<Tensor> {
        match &self.arrived.grads[i] {
            Some(grad) => Ok(grad.clone()),
            None => filled(self.output_spec(i), f64::from(i == 0 && self.arrived.is_loss)),
        }
    }
    /// The same times a number.
    pub fn scaled_grad(&self, i: usize, factor: f64) -> Result<Tensor> {
        match &self.arrived.grads[i] {
            Some(grad) => api::scale(grad, factor),
            None => filled(self.output_spec(i), if self.reached(i) { factor } else { 0.0 }),
        }
    }

    /// How the gradient of operand `i` can pass what made the operand at once, and the tensor beside it. Whoever calls this
    /// does so: it then is the gradient of what [`Operation::passage`] says.
    pub(crate) fn pass(&self, i: usize) -> Option<(Arc<Passage>, Tensor)> {
        let node = self.node.edges[i].node().filter(|_| self.open >> i & 1 == 1)?;
        let passage = node.passage()?;
        self.passed.set(self.passed.get() | 1 << i);
        Some(passage)
    }
    /// The operands whose gradients have passed, a bit each.
    pub(crate) fn passed(&self) -> u32 {
        self.passed.get()
    }
    /// Whether gradients have taken this operation's own passage.
    pub(crate) fn is_passed(&self) -> bool {
        self.arrived.passed.is_some()
    }
    /// Beyond this operation's passage: what has passed already, and what `own` makes of the gradient of the result.
    pub(crate) fn beyond(&self, own: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        match &self.arrived.passed {
            None => own(),
            Some(passed) if !self.reached(0) => Ok(passed.clone()),
            Some(passed) => api::add(passed, &own()?),
        }
    }
}

/// All nodes that can be reached from these, each once.
pub(crate) fn below<'a>(start: impl Iterator<Item = &'a Arc<Node>>) -> Vec<&'a Node> {
    let mut stack: Vec<&Node> = start.map(Arc::as_ref).collect();
    let (mut seen, mut nodes) = (HashSet::new(), Vec::new());
    while let Some(node) = stack.pop() {
        if seen.insert(node.number) {
            nodes.push(node);
            stack.extend(node.edges.iter().filter_map(Edge::node).map(Arc::as_ref));
        }
    }
    nodes
}

/// For each leaf, by address, the lowest number of the nodes from these on that it is an operand of.
pub(crate) fn last_users<'a>(start: impl Iterator<Item = &'a Arc<Node>>) -> HashMap<usize, u64> {
    let mut users = HashMap::new();
    for node in below(start) {
        for edge in &node.edges {
            if let Edge::Leaf(leaf) = edge {
                let last = users.entry(leaf.address()).or_insert(node.number);
                *last = node.number.min(*last);
            }
        }
    }
    users
}
