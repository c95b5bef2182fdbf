//! Memory for buffers, recycled: a training step asks for the same sizes again and again, and fresh pages from the
//! operating system cost more than most kernels.
//!
//! Sizes are rounded up to classes at most 12.5 % apart. Freed small blocks wait in lists of their thread, freed large
//! ones in one list for all, up to a quarter of the machine's memory.

use phynexus_core::{Error, Result};
use std::alloc::{Layout, alloc, dealloc};
use std::cell::RefCell;
use std::sync::{Mutex, OnceLock, TryLockError};

const ALIGN: usize = 64;
/// Blocks of at least this size are shared by all threads.
const LARGE: usize = 64 << 10;
/// Blocks of at least this size are backed by huge pages where the system has them.
const HUGE: usize = 4 << 20;
const HUGE_PAGE: usize = 2 << 20;
/// Requests of at least this size are compared with what the machine has left.
const CHECKED: usize = 64 << 20;
/// What a thread keeps of one class of small blocks.
const SMALL_KEPT: usize = 512 << 10;
const SMALL_CLASSES: usize = class_of(LARGE - 1).0 + 1;

/// At least `bytes` bytes, aligned to 64, with undefined contents.
pub(crate) fn allocate(bytes: usize) -> Result<u64> {
    if bytes == 0 {
        return Ok(ALIGN as u64); // never read, but aligned and not null
    }
    if bytes > isize::MAX as usize / 2 {
        return Err(exhausted(bytes));
    }
    let (class, size) = class_of(bytes);
    if size < LARGE {
        let kept = SMALL.try_with(|lists| lists.borrow_mut().0[class].pop()).ok().flatten();
        return kept.map_or_else(|| fresh(size, bytes).ok_or_else(|| exhausted(bytes)), Ok);
    }
    if let Some(block) = shared(|cache| cache.take(class, size)).flatten() {
        return Ok(block);
    }
    let fits = || size < CHECKED || size <= available();
    if !fits() {
        empty_cache();
    }
    if fits() {
        if let Some(block) = fresh(size, bytes) {
            return Ok(block);
        }
        empty_cache();
        if let Some(block) = fresh(size, bytes) {
            return Ok(block);
        }
    }
    Err(exhausted(bytes))
}

/// Takes back a block of [`allocate`], on any thread.
pub(crate) fn free(block: u64, bytes: usize) {
    if bytes == 0 {
        return;
    }
    let (class, size) = class_of(bytes);
    let kept = if size < LARGE {
        SMALL.try_with(|lists| {
            let list = &mut lists.borrow_mut().0[class];
            let room = list.len() * size < SMALL_KEPT;
            if room {
                list.push(block);
            }
            room
        }) == Ok(true)
    } else {
        shared(|cache| cache.put(class, size, block)).unwrap_or(false)
    };
    if !kept {
        release(block, size);
    }
}

/// Gives memory that is kept for reuse back to the operating system.
pub fn empty_cache() {
    shared(|cache| cache.shrink(0));
    let _ = SMALL.try_with(|lists| lists.borrow_mut().clear());
}

/// Number and size of the class for `bytes`: multiples of 64 up to 512, then eight sizes for each doubling.
const fn class_of(bytes: usize) -> (usize, usize) {
    if bytes <= 512 {
        let n = bytes.div_ceil(64);
        return (n - 1, n * 64);
    }
    let power = (bytes - 1).ilog2() as usize;
    let steps = ((bytes - 1) >> (power - 3)) + 1; // 9 to 16 eighths of the power
    (8 + (power - 9) * 8 + steps - 9, steps << (power - 3))
}

/// A new block of `size` bytes, of which `bytes` are wanted.
fn fresh(size: usize, bytes: usize) -> Option<u64> {
    if size >= HUGE {
        return pages::map(size, bytes);
    }
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(Layout::from_size_align(size, ALIGN).ok()?) };
    (!block.is_null()).then_some(block as u64)
}

fn release(block: u64, size: usize) {
    if size >= HUGE {
        pages::unmap(block, size);
    } else if let Ok(layout) = Layout::from_size_align(size, ALIGN) {
        // SAFETY: `fresh` made the block with this very layout, and its last owner has given it back.
        unsafe { dealloc(block as *mut u8, layout) };
    }
}

/// Large blocks straight from the system: an allocator would keep its own notes beside each, a huge page for every block.
#[cfg(target_os = "linux")]
mod pages {
    use super::HUGE_PAGE;
    use libc::{
        MADV_HUGEPAGE, MADV_NOHUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE,
    };

    /// Aligned to a huge page. Whole huge pages back what is wanted, small ones the rest, so that nothing that is not used
    /// takes memory.
    pub fn map(size: usize, bytes: usize) -> Option<u64> {
        let whole = bytes / HUGE_PAGE * HUGE_PAGE;
        // SAFETY: a new anonymous mapping; what is cut off at its ends and advised about lies inside it.
        unsafe {
            let all = libc::mmap(
                std::ptr::null_mut(),
                size + HUGE_PAGE,
                PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS,
                -1,
                0,
            );
            if all == MAP_FAILED {
                return None;
            }
            let before = (all as usize).next_multiple_of(HUGE_PAGE) - all as usize;
            let block = all.byte_add(before);
            if before > 0 {
                libc::munmap(all, before);
            }
            if before < HUGE_PAGE {
                libc::munmap(block.byte_add(size), HUGE_PAGE - before);
            }
            libc::madvise(block, whole, MADV_HUGEPAGE);
            libc::madvise(block.byte_add(whole), size - whole, MADV_NOHUGEPAGE);
            Some(block as u64)
        }
    }

    pub fn unmap(block: u64, size: usize) {
        // SAFETY: `map` made this mapping, and its last owner has given it back.
        unsafe { libc::munmap(block as *mut libc::c_void, size) };
    }
}

/// Large blocks from the allocator.
#[cfg(not(target_os = "linux"))]
mod pages {
    use super::HUGE_PAGE;
    use std::alloc::{Layout, alloc, dealloc};

    pub fn map(size: usize, _bytes: usize) -> Option<u64> {
        // SAFETY: the size is not zero.
        let block = unsafe { alloc(Layout::from_size_align(size, HUGE_PAGE).ok()?) };
        (!block.is_null()).then_some(block as u64)
    }

    pub fn unmap(block: u64, size: usize) {
        if let Ok(layout) = Layout::from_size_align(size, HUGE_PAGE) {
            // SAFETY: `map` made the block with this very layout, and its last owner has given it back.
            unsafe { dealloc(block as *mut u8, layout) };
        }
    }
}

/// Free small blocks of one thread, by class.
struct Small([Vec<u64>; SMALL_CLASSES]);

impl Small {
    fn clear(&mut self) {
        for (class, list) in self.0.iter_mut().enumerate() {
            list.drain(..).for_each(|block| release(block, size_of_class(class)));
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.clear();
    }
}

fn size_of_class(class: usize) -> usize {
    if class < 8 { (class + 1) * 64 } else { ((class - 8) % 8 + 9) << ((class - 8) / 8 + 6) }
}

thread_local! {
    static SMALL: RefCell<Small> = const { RefCell::new(Small([const { Vec::new() }; SMALL_CLASSES])) };
}

/// Free large blocks of all threads, by class.
struct Large {
    lists: Vec<Vec<u64>>,
    bytes: usize,
}

static CACHE: Mutex<Large> = Mutex::new(Large { lists: Vec::new(), bytes: 0 });

/// Works on the shared cache; not at all where another thread has it. Waiting would be slower than the system's
/// allocator, and a forked child would wait for ever for a lock that a thread of its parent held.
fn shared<R>(f: impl FnOnce(&mut Large) -> R) -> Option<R> {
    match CACHE.try_lock() {
        Ok(mut cache) => Some(f(&mut cache)),
        Err(TryLockError::Poisoned(poisoned)) => Some(f(&mut poisoned.into_inner())),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Large {
    fn take(&mut self, class: usize, size: usize) -> Option<u64> {
        let block = self.lists.get_mut(class)?.pop()?;
        self.bytes -= size;
        Some(block)
    }

    /// Keeps the block if that does not take too much memory, for which larger blocks may have to go.
    fn put(&mut self, class: usize, size: usize, block: u64) -> bool {
        let cap = physical() / 4;
        if size > cap {
            return false;
        }
        if self.bytes + size > cap {
            self.shrink(cap - size);
        }
        if self.lists.len() <= class {
            self.lists.resize_with(class + 1, Vec::new);
        }
        self.lists[class].push(block);
        self.bytes += size;
        true
    }

    /// Releases blocks, largest first, until at most `goal` bytes are kept.
    fn shrink(&mut self, goal: usize) {
        for class in (0..self.lists.len()).rev() {
            while self.bytes > goal {
                let size = size_of_class(class);
                let Some(block) = self.take(class, size) else { break };
                release(block, size);
            }
        }
    }
}

fn exhausted(bytes: usize) -> Error {
    Error::Memory(format!(
        "cannot allocate {} on the CPU: {} are available of {}; use smaller tensors or batches, or free some",
        readable(bytes),
        readable(available()),
        readable(physical())
    ))
}

fn readable(bytes: usize) -> String {
    let (unit, name) = if (bytes as u64) < 4 << 30 { (1u64 << 20, "MiB") } else { (1 << 30, "GiB") };
    format!("{bytes} bytes ({:.1} {name})", bytes as f64 / unit as f64)
}

/// The memory that this process may use at most: the machine's or, if less, its container's.
fn physical() -> usize {
    static PHYSICAL: OnceLock<usize> = OnceLock::new();
    *PHYSICAL.get_or_init(|| {
        #[cfg(unix)]
        // SAFETY: these calls only look up numbers.
        let machine = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) * libc::sysconf(libc::_SC_PAGESIZE) };
        #[cfg(not(unix))]
        let machine = isize::MAX;
        let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
        let container = container.and_then(|text| text.trim().parse().ok()).unwrap_or(usize::MAX);
        container.min(machine.max(0) as usize)
    })
}

/// What is left of it now, where the system says so.
fn available() -> usize {
    let field = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()
    };
    let left = std::fs::read_to_string("/proc/meminfo").ok().and_then(field);
    left.map_or(physical(), |kib| (kib << 10).min(physical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_tight_and_numbered_without_gaps() {
        let mut last = (usize::MAX, 0);
        for bytes in (1..200_000).chain([1 << 30, (1 << 30) + 1, 3 << 40]) {
            let (class, size) = class_of(bytes);
            assert!(
                size >= bytes && size % 64 == 0 && (size <= bytes + 64 || size * 8 <= bytes * 9),
                "{bytes}"
            );
            assert_eq!(size_of_class(class), size, "{bytes}");
            if bytes < 200_000 {
                assert!(class == last.0 || (class == last.0.wrapping_add(1) && size > last.1), "{bytes}");
                last = (class, size);
            }
        }
    }

    #[test]
    fn blocks_are_aligned_and_reused() {
        for bytes in [1, 64, 1000, LARGE, 3 << 20, 5 << 20] {
            let block = allocate(bytes).unwrap();
            assert_eq!(block % ALIGN as u64, 0);
            // SAFETY: the block has that many bytes.
            unsafe { std::ptr::write_bytes(block as *mut u8, 7, bytes) };
            free(block, bytes);
            if bytes < LARGE {
                assert_eq!(allocate(bytes).unwrap(), block);
                free(block, bytes);
            }
        }
        assert_eq!(allocate(0).unwrap() % 64, 0);
        free(allocate(0).unwrap(), 0);
    }

    #[test]
    fn blocks_may_be_freed_elsewhere() {
        let blocks: Vec<(u64, usize)> = (0..400).map(|i| (allocate(i * 531).unwrap(), i * 531)).collect();
        std::thread::spawn(move || blocks.into_iter().for_each(|(block, bytes)| free(block, bytes)))
            .join()
            .unwrap();
    }

    #[test]
    fn too_much_is_an_error_with_the_numbers() {
        for bytes in [1usize << 50, usize::MAX / 4, usize::MAX] {
            let error = allocate(bytes).unwrap_err();
            assert!(matches!(&error, Error::Memory(m) if m.contains(&bytes.to_string())), "{error}");
        }
    }
}
