//! Tensors: an array that the tape may follow. A tensor is a handle; clones are the same tensor.

use crate::array::Array;
use crate::gradient::Gradient;
use crate::hook::{GradientHook, Hook, HookHandle, HookPlace, LeafHooks};
use crate::node::{Edge, Trace};
use crate::op::Spec;
use crate::tape::grad_enabled;
use crate::view::View;
use parking_lot::{Mutex, MutexGuard};
use phynexus_core::{DType, Device, Error, Result, Shape};
use std::sync::Arc;

pub(crate) struct State {
    pub array: Array,
    pub requires_grad: bool,
    /// Whether the values were taken off the tape on purpose: what it follows to their memory is no concern of theirs.
    pub detached: bool,
    /// How often the array was replaced by another.
    pub replaced: u32,
    pub grad: Option<Gradient>,
    /// Where the tensor came from, if the tape knows.
    pub edge: Edge,
    /// The tensor whose memory it shares, if it was made so.
    pub view: Option<View>,
    pub hooks: Option<Box<LeafHooks>>,
    /// Of `retain_grad`.
    pub retained: Option<HookHandle>,
    /// Version of the memory when the tensor got its values: a later one means that a tensor which shares the
    /// memory changed them.
    pub version: u32,
}

impl State {
    /// Whether the values are no longer those that the edge made, or, where there is none, have become results that the
    /// tape follows to another tensor.
    pub fn is_stale(&self) -> bool {
        let buffer = self.array.buffer();
        match self.edge {
            Edge::Node(..) => self.version != buffer.version(),
            _ => self.version < buffer.followed() && !self.requires_grad && !self.detached,
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
        Tensor(Arc::new(Mutex::new(State {
            array,
            requires_grad,
            detached: false,
            replaced: 0,
            grad: None,
            edge,
            view: None,
            hooks: None,
            retained: None,
            version,
        })))
    }

    /// The state. Nothing may be dropped while the lock is held that could run somebody else's code: an array, a gradient, an edge or
    /// a hook that is replaced is taken out and dropped afterwards.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// The state, where a view has the history of its base.
    fn settled(&self) -> MutexGuard<'_, State> {
        let state = self.state();
        if state.view.is_none() || state.version == state.array.buffer().version() {
            return state;
        }
        drop(state);
        self.follow_base();
        self.state()
    }

    /// The values as they are now; the memory is shared.
    pub fn array(&self) -> Array {
        self.state().array.clone()
    }

    /// The values and where they came from.
    pub(crate) fn array_and_edge(&self) -> (Array, Edge) {
        let state = self.settled();
        (state.array.clone(), self.edge_of(&state))
    }

    /// The same as an operand of an operation: an error if the values are stale.
    pub(crate) fn operand(&self, what: &str) -> Result<(Array, Edge)> {
        let state = self.settled();
        if state.is_stale() && (matches!(state.edge, Edge::Node(..)) || grad_enabled()) {
            return Err(stale(what, state.array.shape()));
        }
        Ok((state.array.clone(), self.edge_of(&state)))
    }

    /// What the tape knows of it, and the base that it is a view of.
    pub(crate) fn trace_and_view(&self) -> (Trace, Option<View>) {
        let state = self.settled();
        (Trace { spec: Spec::from(&state.array), edge: self.edge_of(&state) }, state.view.clone())
    }

    pub(crate) fn edge_of(&self, state: &State) -> Edge {
        match (&state.edge, state.requires_grad) {
            (Edge::None, true) => Edge::Leaf(self.clone()),
            (edge, _) => edge.clone(),
        }
    }

    /// Takes over a history, true of the values in the given version of their memory.
    pub(crate) fn set_history(&self, edge: Edge, version: u32) {
        let (old, retained) = {
            let mut state = self.state();
            state.requires_grad = !matches!(edge, Edge::None);
            state.version = version;
            (std::mem::replace(&mut state.edge, edge), state.retained.take())
        };
        if let Some(handle) = retained {
            handle.remove();
            let _ = self.retain_grad(); // an error where no gradient comes by any more
        }
        drop(old);
    }

    /// Says of which tensor this one is a view.
    pub(crate) fn set_view(&self, view: View) {
        self.state().view = Some(view); // a new tensor has none
    }

    /// Says that the values of `array`, which the tensor has or had, were changed in place, as they should be.
    pub(crate) fn renew_after_change_of(&self, array: &Array) {
        array.buffer().bump();
        let mut state = self.state();
        if Arc::ptr_eq(state.array.buffer(), array.buffer()) {
            state.version = array.buffer().version();
        }
    }

    /// Accepts the values that are there now as the tensor's own.
    pub(crate) fn renew(&self) {
        let mut state = self.state();
        state.version = state.array.buffer().version();
    }

    /// Gives the tensor other values: of another shape, dtype or device if need be. Every holder of it follows.
    pub fn set_array(&self, array: Array) {
        let old = {
            let mut state = self.state();
            state.version = array.buffer().version();
            state.replaced = state.replaced.wrapping_add(1);
            (std::mem::replace(&mut state.array, array), state.view.take())
        };
        drop(old);
    }

    /// Replaces a tensor's values as [`Tensor::set_array`]; what requires gradients stays a floating-point tensor.
    pub fn set_data(&self, array: Array) -> Result<()> {
        if self.requires_grad() && !array.dtype().is_float() {
            return Err(Error::Type(format!(
                "a tensor that requires gradients cannot take {} data; convert it with .to({})",
                array.dtype(),
                self.dtype()
            )));
        }
        self.set_array(array);
        Ok(())
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
        self.settled().requires_grad
    }
    /// Whether no recorded operation made it.
    pub fn is_leaf(&self) -> bool {
        matches!(self.settled().edge, Edge::None)
    }
    /// Whether both are one tensor.
    pub fn is(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
    /// A number that no other living tensor has.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Asks the tape to follow a leaf, or not to. A leaf is a view of nothing.
    pub fn set_requires_grad(&self, wanted: bool) -> Result<()> {
        let mut state = self.settled();
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
        let view = if wanted && matches!(state.edge, Edge::None) { state.view.take() } else { None };
        drop(state);
        drop(view);
        Ok(())
    }

    /// The same values, off the tape.
    pub fn detach(&self) -> Tensor {
        let t = Tensor::new(self.array());
        t.state().detached = true;
        t
    }

    /// Takes the tensor itself off the tape.
    pub fn detach_in_place(&self) {
        let old = {
            let mut state = self.state();
            state.requires_grad = false;
            state.detached = true;
            (std::mem::take(&mut state.edge), state.view.take(), state.retained.take())
        };
        drop(old);
    }

    /// Adds a hook that sees the tensor's gradient whenever one is computed.
    pub fn add_hook(&self, hook: Hook) -> Result<HookHandle> {
        let mut state = self.settled();
        let (place, number) = match &state.edge {
            Edge::Node(node, index) => {
                (HookPlace::Node(Arc::downgrade(node), *index), node.add_hook(*index, hook))
            }
            _ if state.requires_grad => {
                let number = state.hooks.get_or_insert_default().grad.add(hook);
                (HookPlace::Leaf(Arc::downgrade(&self.0)), number)
            }
            _ => {
                drop(state);
                return Err(Error::Runtime("a hook needs a tensor that requires gradients".into()));
            }
        };
        Ok(HookHandle { place, number })
    }

    /// Adds a hook that runs after a gradient was added to this leaf's `.grad`; it gets the leaf.
    pub fn add_accumulated_hook(&self, hook: Hook) -> Result<HookHandle> {
        let mut state = self.settled();
        if !state.requires_grad || !matches!(state.edge, Edge::None) {
            drop(state);
            return Err(Error::Runtime(
                "post-accumulate hooks need a leaf tensor that requires gradients".into(),
            ));
        }
        let number = state.hooks.get_or_insert_default().accumulated.add(hook);
        Ok(HookHandle { place: HookPlace::Accumulated(Arc::downgrade(&self.0)), number })
    }

    /// Makes `.grad` of a tensor that an operation made be kept in the next backward passes; of its values after a change
    /// in place, if there is one.
    pub fn retain_grad(&self) -> Result<()> {
        let mut state = self.settled();
        match &state.edge {
            _ if state.retained.is_some() => Ok(()),
            Edge::Node(node, index) => {
                let weak = Arc::downgrade(&self.0);
                let keep = move |grad: &Tensor| {
                    if let Some(cell) = weak.upgrade() {
                        let _ = Tensor(cell).replace_grad(Some(grad.detach().into()));
                    }
                    Ok(None)
                };
                let number = node.add_hook(*index, Arc::new(keep));
                let place = HookPlace::Node(Arc::downgrade(node), *index);
                state.retained = Some(HookHandle { place, number });
                Ok(())
            }
            _ if state.requires_grad => Ok(()),
            _ => Err(Error::Runtime("retain_grad needs a tensor that requires gradients".into())),
        }
    }

    /// Calls `see` with each hook that nothing keeps alive but this handle of the tensor.
    pub fn see_own_hooks(&self, see: &mut dyn FnMut(&dyn GradientHook)) {
        if Arc::strong_count(&self.0) > 1 {
            return;
        }
        let state = self.state();
        let leaf = state.hooks.iter().flat_map(|hooks| hooks.grad.iter().chain(hooks.accumulated.iter()));
        let mut own = |hook: &Hook| {
            if Arc::strong_count(hook) == 1 {
                see(&**hook);
            }
        };
        leaf.for_each(&mut own);
        if let Edge::Node(node, _) = &state.edge
            && Arc::strong_count(node) == 1
        {
            node.hooks.lock().iter().flat_map(|(_, hooks)| hooks.iter()).for_each(own);
        }
    }

    /// Removes these hooks.
    pub fn clear_own_hooks(&self) {
        if Arc::strong_count(&self.0) > 1 {
            return;
        }
        let (hooks, edge) = {
            let mut state = self.state();
            (state.hooks.take(), state.edge.clone())
        };
        drop(hooks);
        if let Edge::Node(node, _) = &edge
            && Arc::strong_count(node) == 2
        {
            let hooks = std::mem::take(&mut *node.hooks.lock());
            drop(hooks);
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

/// An error about values that were changed behind the tape's back.
pub(crate) fn stale(what: &str, shape: &Shape) -> Error {
    Error::Runtime(format!(
        "{what}: the values of a tensor of shape {shape} were changed in place through another tensor that shares their memory, so \
         its gradient would be wrong; change a copy (.clone()) instead"
    ))
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        write!(f, "Tensor({} {} on {})", state.array.shape(), state.array.dtype(), state.array.device().id())
    }
}
