//! Tensors: an array that the tape may follow. A tensor is a handle; clones are the same tensor.

use crate::array::Array;
use crate::gradient::Gradient;
use crate::node::Edge;
use crate::tape::grad_enabled;
use parking_lot::{Mutex, MutexGuard};
use phynexus_core::{DType, Device, Error, Result, Shape};
use std::sync::Arc;

/// A hook on a gradient: returns what takes the gradient's place, or nothing to leave it.
pub type Hook = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;

/// Names a hook so that it can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookId(pub u64);

/// Hooks in the order in which they were added.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Vec<(HookId, Hook)>);

impl Hooks {
    pub fn add(&mut self, hook: Hook) -> HookId {
        let id = HookId(self.0.last().map_or(0, |(id, _)| id.0 + 1));
        self.0.push((id, hook));
        id
    }
    pub fn remove(&mut self, id: HookId) {
        self.0.retain(|(other, _)| *other != id);
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Passes a gradient through all hooks.
    pub fn run(&self, mut grad: Tensor) -> Result<Tensor> {
        for (_, hook) in &self.0 {
            if let Some(other) = hook(&grad)? {
                if other.shape() != grad.shape() {
                    return Err(Error::Value(format!(
                        "a hook returned a gradient of shape {}, expected {}",
                        other.shape(),
                        grad.shape()
                    )));
                }
                grad = other;
            }
        }
        Ok(grad)
    }
}

/// What a leaf may carry besides its values.
#[derive(Default)]
pub(crate) struct LeafHooks {
    pub grad: Hooks,
    pub accumulated: Hooks,
}

pub(crate) struct State {
    pub array: Array,
    pub requires_grad: bool,
    pub grad: Option<Gradient>,
    /// Where the tensor came from, if the tape knows.
    pub edge: Edge,
    pub hooks: Option<Box<LeafHooks>>,
    /// Version of the memory when the tensor got its values: a later one means that a tensor which shares the
    /// memory changed them.
    pub version: u32,
}

impl State {
    /// A leaf whose last hook is gone is as one that never had any.
    fn remove_from_hooks(&mut self, remove: impl FnOnce(&mut LeafHooks)) {
        if let Some(hooks) = &mut self.hooks {
            remove(hooks);
            self.hooks.take_if(|hooks| hooks.grad.is_empty() && hooks.accumulated.is_empty());
        }
    }
}

/// An array with a place on the tape. Clones share everything: moving or changing one changes all.
#[derive(Clone)]
pub struct Tensor(Arc<Mutex<State>>);

impl Tensor {
    /// A tensor that the tape does not follow.
    pub fn new(array: Array) -> Tensor {
        Tensor::with_edge(array, Edge::None)
    }

    pub(crate) fn with_edge(array: Array, edge: Edge) -> Tensor {
        let requires_grad = !matches!(edge, Edge::None);
        let version = array.buffer().version();
        Tensor(Arc::new(Mutex::new(State { array, requires_grad, grad: None, edge, hooks: None, version })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// The values as they are now; the memory is shared.
    pub fn array(&self) -> Array {
        self.state().array.clone()
    }

    /// The values and where they came from.
    pub(crate) fn array_and_edge(&self) -> (Array, Edge) {
        let state = self.state();
        (state.array.clone(), self.edge_of(&state))
    }

    /// The same as an operand of an operation: an error if the values no longer are those that the edge made, or, where
    /// there is none, if they have become results that the tape follows to another tensor.
    pub(crate) fn operand(&self, what: &str) -> Result<(Array, Edge)> {
        let state = self.state();
        let buffer = state.array.buffer();
        let stale = match state.edge {
            Edge::Node(..) => state.version != buffer.version(),
            _ => state.version < buffer.followed() && !state.requires_grad && grad_enabled(),
        };
        if stale {
            return Err(Error::Runtime(format!(
                "{what}: the values of a tensor of shape {} were changed in place through another tensor that shares their \
                 memory, so its gradient would be wrong; change a copy (.clone()) instead",
                state.array.shape()
            )));
        }
        Ok((state.array.clone(), self.edge_of(&state)))
    }

    fn edge_of(&self, state: &State) -> Edge {
        match (&state.edge, state.requires_grad) {
            (Edge::None, true) => Edge::Leaf(self.clone()),
            (edge, _) => edge.clone(),
        }
    }

    /// Says that the values were changed in place, as they should be.
    pub(crate) fn renew_after_change(&self) {
        let mut state = self.state();
        state.array.buffer().bump();
        state.version = state.array.buffer().version();
    }

    /// Accepts the values that are there now as the tensor's own.
    pub(crate) fn renew(&self) {
        let mut state = self.state();
        state.version = state.array.buffer().version();
    }

    /// Gives the tensor other values: of another shape, dtype or device if need be. Every holder of it follows.
    pub fn set_array(&self, array: Array) {
        let mut state = self.state();
        state.version = array.buffer().version();
        state.array = array;
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        *self.state().array.shape()
    }
    /// The element type.
    pub fn dtype(&self) -> DType {
        self.state().array.dtype()
    }
    /// Where the values are.
    pub fn device(&self) -> &'static dyn Device {
        self.state().array.device()
    }
    /// Whether a gradient flows to or through it.
    pub fn requires_grad(&self) -> bool {
        self.state().requires_grad
    }
    /// Whether no recorded operation made it.
    pub fn is_leaf(&self) -> bool {
        matches!(self.state().edge, Edge::None)
    }
    /// Whether both are one tensor.
    pub fn is(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
    /// A number that no other living tensor has.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Asks the tape to follow a leaf, or not to.
    pub fn set_requires_grad(&self, wanted: bool) -> Result<()> {
        let mut state = self.state();
        if wanted && !state.array.dtype().is_float() {
            return Err(Error::Type(format!(
                "only floating-point tensors can require gradients, got {}; convert it with .float()",
                state.array.dtype()
            )));
        }
        if !wanted && !matches!(state.edge, Edge::None) {
            return Err(Error::Runtime(
                "requires_grad of a tensor that an operation made cannot be unset; use .detach()".into(),
            ));
        }
        state.requires_grad = wanted;
        Ok(())
    }

    /// The same values, off the tape.
    pub fn detach(&self) -> Tensor {
        Tensor::new(self.array())
    }

    /// Takes the tensor itself off the tape.
    pub fn detach_in_place(&self) {
        let mut state = self.state();
        let edge = std::mem::replace(&mut state.edge, Edge::None);
        state.requires_grad = false;
        drop(state);
        drop(edge);
    }

    /// Adds a hook that sees the tensor's gradient whenever one is computed.
    pub fn add_hook(&self, hook: Hook) -> Result<HookId> {
        let mut state = self.state();
        match &state.edge {
            Edge::Node(node, index) => Ok(node.add_hook(*index, hook)),
            _ if state.requires_grad => Ok(state.hooks.get_or_insert_default().grad.add(hook)),
            _ => Err(Error::Runtime("a hook needs a tensor that requires gradients".into())),
        }
    }

    /// Removes such a hook.
    pub fn remove_hook(&self, id: HookId) {
        let mut state = self.state();
        match &state.edge {
            Edge::Node(node, index) => node.remove_hook(*index, id),
            _ => state.remove_from_hooks(|hooks| hooks.grad.remove(id)),
        }
    }

    /// Adds a hook that runs after a gradient was added to this leaf's `.grad`; it gets the leaf.
    pub fn add_accumulated_hook(&self, hook: Hook) -> Result<HookId> {
        let mut state = self.state();
        if !state.requires_grad || !matches!(state.edge, Edge::None) {
            return Err(Error::Runtime(
                "post-accumulate hooks need a leaf tensor that requires gradients".into(),
            ));
        }
        Ok(state.hooks.get_or_insert_default().accumulated.add(hook))
    }

    /// Removes such a hook.
    pub fn remove_accumulated_hook(&self, id: HookId) {
        self.state().remove_from_hooks(|hooks| hooks.accumulated.remove(id));
    }

    /// Makes `.grad` of a tensor that an operation made be kept in the next backward passes.
    pub fn retain_grad(&self) -> Result<()> {
        let state = self.state();
        match &state.edge {
            Edge::Node(node, index) => {
                let weak = Arc::downgrade(&self.0);
                node.add_hook(
                    *index,
                    Arc::new(move |grad| {
                        if let Some(cell) = weak.upgrade() {
                            cell.lock().grad = Some(grad.detach().into());
                        }
                        Ok(None)
                    }),
                );
                Ok(())
            }
            _ if state.requires_grad => Ok(()),
            _ => Err(Error::Runtime("retain_grad needs a tensor that requires gradients".into())),
        }
    }

    /// The tensor's array if nobody else can see its memory, else a copy.
    pub(crate) fn into_owned(self) -> Result<Array> {
        let array = match Arc::try_unwrap(self.0) {
            Ok(state) => state.into_inner().array,
            Err(shared) => shared.lock().array.clone(),
        };
        let whole = array.layout().is_contiguous()
            && array.elements() * array.dtype().size() == array.buffer().bytes();
        if whole && array.is_alone() { Ok(array) } else { array.copy() }
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        write!(f, "Tensor({} {} on {})", state.array.shape(), state.array.dtype(), state.array.device().id())
    }
}
