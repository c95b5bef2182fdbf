//! Hooks on gradients.

use crate::node::Node;
use crate::op::Spec;
use crate::tensor::{State, Tensor};
use parking_lot::Mutex;
use phynexus_core::{Error, Result};
use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Looks at a gradient, and may return what takes its place: of the same shape, dtype and device.
pub trait GradientHook: Send + Sync {
    /// Is called with the gradient.
    fn call(&self, gradient: &Tensor) -> Result<Option<Tensor>>;
    /// The hook itself, for those who know of which kind it may be.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

impl<F: Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync> GradientHook for F {
    fn call(&self, gradient: &Tensor) -> Result<Option<Tensor>> {
        self(gradient)
    }
}

/// A hook on a gradient.
pub type Hook = Arc<dyn GradientHook>;

/// Removes a hook. It keeps nothing alive.
#[derive(Clone, Debug)]
pub struct HookHandle {
    pub(crate) place: HookPlace,
    pub(crate) number: u64,
}

/// Where a hook is.
#[derive(Clone)]
pub(crate) enum HookPlace {
    Leaf(Weak<Mutex<State>>),
    Accumulated(Weak<Mutex<State>>),
    Node(Weak<Node>, u32),
}

impl std::fmt::Debug for HookPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            HookPlace::Leaf(_) => "Leaf",
            HookPlace::Accumulated(_) => "Accumulated",
            HookPlace::Node(..) => "Node",
        })
    }
}

impl HookHandle {
    /// Removes the hook if it is still there.
    pub fn remove(&self) {
        // What is taken out is dropped last, where no lock is held.
        match &self.place {
            HookPlace::Node(node, index) => {
                drop(node.upgrade().map(|node| (node.remove_hook(*index, self.number), node)));
            }
            HookPlace::Leaf(leaf) => {
                drop(leaf.upgrade().map(|leaf| (remove_from(&leaf, |h| h.grad.remove(self.number)), leaf)));
            }
            HookPlace::Accumulated(leaf) => {
                drop(
                    leaf.upgrade()
                        .map(|leaf| (remove_from(&leaf, |h| h.accumulated.remove(self.number)), leaf)),
                );
            }
        }
    }
}

/// Takes a hook out of a leaf. A leaf whose last hook is gone is as one that never had any.
fn remove_from(
    leaf: &Mutex<State>,
    remove: impl FnOnce(&mut LeafHooks) -> Option<Hook>,
) -> Option<(Option<Hook>, Option<Box<LeafHooks>>)> {
    let mut state = leaf.lock();
    let hook = remove(state.hooks.as_mut()?);
    Some((hook, state.hooks.take_if(|hooks| hooks.grad.is_empty() && hooks.accumulated.is_empty())))
}

/// Hooks in the order in which they were added.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Vec<(u64, Hook)>);

impl Hooks {
    /// Adds a hook; returns a number that no other has.
    pub fn add(&mut self, hook: Hook) -> u64 {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.0.push((number, hook));
        number
    }
    /// Takes a hook out.
    pub fn remove(&mut self, number: u64) -> Option<Hook> {
        let place = self.0.iter().position(|(other, _)| *other == number)?;
        Some(self.0.remove(place).1)
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn iter(&self) -> impl Iterator<Item = &Hook> {
        self.0.iter().map(|(_, hook)| hook)
    }
    /// Passes a gradient through all hooks.
    pub fn run(&self, mut grad: Tensor) -> Result<Tensor> {
        for hook in self.iter() {
            if let Some(other) = hook.call(&grad)? {
                let (expected, got) = (Spec::from(&grad.array()), Spec::from(&other.array()));
                if expected != got {
                    return Err(Error::Value(format!(
                        "a hook returned a gradient of {got}, expected {expected} as the one that it was given"
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
