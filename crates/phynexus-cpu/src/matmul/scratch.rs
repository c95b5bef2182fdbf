//! Working memory that a thread keeps for its next product.

use phynexus_core::{Error, Result};
use std::cell::RefCell;

/// Blocks above this are given back to the system.
const KEEP: usize = 64 << 20;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "only its size and alignment count")] [u8; 64]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Uninitialised memory, aligned to 64 bytes.
pub(super) struct Scratch(Vec<Line>);

impl Scratch {
    /// Room for `count` elements of T.
    pub(super) fn new<T>(count: usize) -> Result<Scratch> {
        let bytes = count.saturating_mul(size_of::<T>());
        let kept = FREE.with_borrow_mut(|free| {
            // The largest that this thread has, so that soon one block serves all sizes.
            let at = (0..free.len()).max_by_key(|&i| free[i].capacity())?;
            Some(free.swap_remove(at))
        });
        let mut lines = kept.unwrap_or_default();
        let needed = bytes.div_ceil(64);
        if lines.try_reserve_exact(needed).is_err() {
            return Err(Error::Memory(format!(
                "matmul: no memory for {bytes} bytes of working space; use smaller matrices"
            )));
        }
        Ok(Scratch(lines))
    }

    /// The memory, as many elements as were asked for.
    pub(super) fn pointer<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.0);
        if lines.capacity() * 64 <= KEEP {
            // A thread that is ending has no list any more; the block is freed then.
            let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
        }
    }
}
