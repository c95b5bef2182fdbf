//! The random stream that users see: a seed and how far it has been used.

use parking_lot::Mutex;
use phynexus_core::{DType, Distribution};
use std::sync::{Arc, LazyLock};

/// A position in a Philox stream. Clones are the same generator.
#[derive(Clone, Debug)]
pub struct Generator(Arc<Mutex<(u64, u64)>>);

impl Generator {
    /// At the start of the stream of that seed.
    pub fn new(seed: u64) -> Generator {
        Generator(Arc::new(Mutex::new((seed, 0))))
    }

    /// The one that is used where none is given.
    pub fn default_one() -> &'static Generator {
        static DEFAULT: LazyLock<Generator> = LazyLock::new(|| Generator::new(entropy()));
        &DEFAULT
    }

    /// The seed and the next unused block.
    pub fn position(&self) -> (u64, u64) {
        *self.0.lock()
    }

    /// Goes to a position.
    pub fn set_position(&self, seed: u64, offset: u64) {
        *self.0.lock() = (seed, offset);
    }

    /// Takes the blocks for `elements` numbers; returns seed and first block.
    pub fn take(&self, elements: usize, dtype: DType, distribution: Distribution) -> (u64, u64) {
        let mut state = self.0.lock();
        let first = state.1;
        state.1 = first.wrapping_add((elements as u64).div_ceil(distribution.per_block(dtype)));
        (state.0, first)
    }
}

/// A seed that differs from run to run.
pub fn entropy() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
