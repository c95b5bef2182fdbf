//! Memory that holds code: written once, then executable and no longer writable.

use std::ptr::NonNull;

/// Pages of code, given back when dropped.
#[derive(Debug)]
pub(super) struct Code {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: nothing changes the pages after `Code::new`.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Code {
    /// Pages with these instructions, or None where the system allows no such pages.
    pub fn new(code: &[u8]) -> Option<Code> {
        let bytes = code.len();
        // SAFETY: a new mapping at an address of the system's choice.
        let start = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
            libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        let pages = Code { start: NonNull::new(start.cast())?, bytes };
        // SAFETY: the mapping is at least that long, writable, and nobody else's yet.
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), pages.start.as_ptr(), bytes) };
        // SAFETY: the mapping is ours.
        let refused = unsafe { libc::mprotect(start, bytes, libc::PROT_READ | libc::PROT_EXEC) } != 0;
        pages.clear_cache();
        (!refused).then_some(pages)
    }

    /// The first instruction.
    pub fn start(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// Processors other than x86 may fetch stale instructions.
    fn clear_cache(&self) {
        #[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
        {
            unsafe extern "C" {
                fn __clear_cache(start: *const u8, end: *const u8);
            }
            // SAFETY: the range is the mapping.
            unsafe { __clear_cache(self.start(), self.start().add(self.bytes)) };
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and functions in it borrow it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
