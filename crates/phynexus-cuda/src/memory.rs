//! Memory that is given back waits for the next tensor of its size. Everything runs on one stream, in the order in which it was
//! asked for, so nothing needs to be waited for.

use crate::driver::Driver;
use phynexus_core::{Error, Result};
use std::collections::BTreeMap;

/// Sizes are rounded up to so many steps between one power of two and the next.
const STEPS: usize = 8;
const ALIGNMENT: usize = 512;

/// Free memory, by size.
#[derive(Debug, Default)]
pub(crate) struct Pool(BTreeMap<usize, Vec<u64>>);

/// The size of the piece that so many bytes get.
fn rounded(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / (2 * STEPS)).max(ALIGNMENT);
    bytes.max(1).div_ceil(step) * step
}

impl Pool {
    pub fn allocate(
        &mut self,
        driver: &Driver,
        bytes: usize,
        wait: impl FnOnce() -> Result<()>,
    ) -> Result<u64> {
        let size = rounded(bytes);
        if let Some(address) = self.0.get_mut(&size).and_then(Vec::pop) {
            return Ok(address);
        }
        match driver.allocate(size) {
            Err(Error::Memory(_)) => {
                wait()?;
                self.shrink(driver);
                driver.allocate(size)
            }
            other => other,
        }
    }

    pub fn free(&mut self, address: u64, bytes: usize) {
        self.0.entry(rounded(bytes)).or_default().push(address);
    }

    /// Gives all that is free back; nothing that was queued may still use it.
    pub fn shrink(&mut self, driver: &Driver) {
        for address in std::mem::take(&mut self.0).into_values().flatten() {
            // SAFETY: its last owner has given it back, and the work that used it is done.
            unsafe { driver.free(address) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_lost_to_rounding() {
        for bytes in [0, 1, 511, 513, 4096, 4097, 100_000, (1 << 20) + 1, 3 << 30] {
            let size = rounded(bytes);
            assert!(size >= bytes && size.is_multiple_of(ALIGNMENT), "{bytes}: {size}");
            assert!(size <= bytes + ALIGNMENT.max(bytes / STEPS), "{bytes}: {size}");
        }
    }
}
