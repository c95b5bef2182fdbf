//! Which tensors JavaScript holds: each handle is known to the innermost `tidy` that it was made in.

use crate::error::{Made, wrong_type};
use js_sys::{Array, Object};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// A tensor until it is freed.
pub type Handle = Rc<RefCell<Option<phynexus::Tensor>>>;

thread_local! {
    static SCOPES: RefCell<Vec<Vec<Handle>>> = const { RefCell::new(Vec::new()) };
    static SHOWN: Cell<Option<Handle>> = const { Cell::new(None) };
}

/// A handle of the innermost scope.
pub fn handle(tensor: phynexus::Tensor) -> Handle {
    let handle = Rc::new(RefCell::new(Some(tensor)));
    SCOPES.with_borrow_mut(|scopes| {
        if let Some(scope) = scopes.last_mut() {
            scope.push(handle.clone());
        }
    });
    handle
}

#[wasm_bindgen]
extern "C" {
    /// Any value; tensors have a method that shows their handle.
    type Any;
    #[wasm_bindgen(method, catch, js_name = __show)]
    fn show(this: &Any) -> Result<(), JsValue>;
}

/// Puts a handle where [`find`] takes it.
pub fn show(handle: &Handle) {
    SHOWN.set(Some(handle.clone()));
}

/// The handle of a value, if it is a tensor.
pub fn find(value: &JsValue) -> Option<Handle> {
    if !value.is_object() {
        return None;
    }
    value.unchecked_ref::<Any>().show().ok().and_then(|()| SHOWN.take())
}

/// The tensor of a handle.
pub fn tensor(handle: &Handle) -> Made<phynexus::Tensor> {
    match &*handle.borrow() {
        Some(tensor) => Ok(tensor.clone()),
        None => wrong_type("this tensor was freed by tidy(); return it from the function to keep it"),
    }
}

/// A call of `tidy`. Its handles are freed at the end, also where the function throws.
pub struct Scope(());

impl Scope {
    pub fn open() -> Scope {
        SCOPES.with_borrow_mut(|scopes| scopes.push(Vec::new()));
        Scope(())
    }

    /// Gives the tensors of a result to the scope around this one.
    pub fn keep(&self, result: &JsValue) {
        let mut kept: Vec<Handle> = find(result).into_iter().collect();
        if kept.is_empty() && result.is_object() {
            let values = if Array::is_array(result) {
                result.clone().unchecked_into()
            } else {
                Object::values(result.unchecked_ref::<Object>())
            };
            kept.extend(values.iter().filter_map(|value| find(&value)));
        }
        SCOPES.with_borrow_mut(|scopes| {
            let Some(mut own) = scopes.pop() else { return };
            own.retain(|handle| !kept.iter().any(|k| Rc::ptr_eq(k, handle)));
            if let Some(outer) = scopes.last_mut() {
                outer.append(&mut kept);
            }
            scopes.push(own);
        });
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let own = SCOPES.with_borrow_mut(Vec::pop);
        own.into_iter().flatten().for_each(|handle| drop(handle.take()));
    }
}
