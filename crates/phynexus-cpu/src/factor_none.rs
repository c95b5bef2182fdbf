//! In place of factorizations of matrices in builds for WebAssembly: they take longer to compile than all
//! the rest, and no web page asks for one.

use phynexus_core::{Error, Factorization, Result, Task};

/// An error that says so.
pub(crate) fn launch(how: Factorization, _: &Task<'_>) -> Result<()> {
    Err(Error::Runtime(format!("{how:?}: factorizations of matrices are not part of builds for WebAssembly")))
}
