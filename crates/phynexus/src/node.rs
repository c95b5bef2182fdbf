//! What the tape remembers of an operation: where its operands came from, and the values that its gradient reads.

use crate::api;
use crate::array::Array;
use crate::op::{Few, Op, Operation, Spec};
use crate::tensor::{Hook, HookId, Hooks, Tensor};
use parking_lot::Mutex;
use phynexus_core::{Error, Result};
use smallvec::SmallVec;
use std::cell::RefCell;
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

impl Node {
    pub fn new(
        op: Op,
        wanted: u32,
        specs: Box<[Spec]>,
        edges: SmallVec<[Edge; 3]>,
        saved: SmallVec<[Saved; 2]>,
    ) -> Arc<Node> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
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

    pub fn add_hook(&self, index: u32, hook: Hook) -> HookId {
        let mut all = self.hooks.lock();
        let place = all.iter().position(|(i, _)| *i == index).unwrap_or_else(|| {
            all.push((index, Hooks::default()));
            all.len() - 1
        });
        all[place].1.add(hook)
    }

    pub fn remove_hook(&self, index: u32, id: HookId) {
        for (i, hooks) in self.hooks.lock().iter_mut() {
            if *i == index {
                hooks.remove(id);
            }
        }
    }
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

/// What an operation's gradient can see.
pub struct Context {
    node: Arc<Node>,
    grads: Few<Option<Tensor>>,
    values: SmallVec<[(bool, u32, Tensor); 2]>,
}

impl Context {
    pub(crate) fn new(node: Arc<Node>, grads: Few<Option<Tensor>>, retain: bool) -> Result<Context> {
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
        if !retain && !saved.is_empty() {
            *slot = None;
        }
        drop(slot);
        Ok(Context { node, grads, values })
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
        self.grads[i].is_some()
    }
    /// The gradient of result `i`, zeros if nothing depended on it.
    pub fn grad(&self, i: usize) -> Result<Tensor> {
        match &self.grads[i] {
            Some(grad) => Ok(grad.clone()),
            None => {
                let Spec { shape, dtype, device } = self.output_spec(i);
                api::full(shape, phynexus_core::Value::F(0.0), dtype, device)
            }
        }
    }
}
