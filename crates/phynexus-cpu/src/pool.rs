//! A fork-join pool for kernels. It exists because a training step is a chain of kernels of a few microseconds each:
//! a general work-stealing pool (rayon) takes 5 to 20 us to wake its workers between them, this one about one, since
//! its workers spin for a moment before they sleep.
//!
//! One job runs at a time. Its chunks are claimed by counting down one atomic word, which also carries the job's
//! number, so that a late worker can never touch the next job by mistake. Whoever finds the pool taken (a nested call,
//! another thread) runs its job alone.

use phynexus_core::{Error, Result};
use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Jobs of less work than this (ns) are not worth a second thread.
pub(crate) const SERIAL: usize = 15_000;
/// How long an idle worker watches for the next job before it sleeps.
const SPIN: Duration = Duration::from_micros(40);
const MAX_THREADS: usize = 1024;

/// Threads that kernels use; 0 as long as nobody has asked.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// The pool of this process. A forked child finds its parent's here, whose threads it does not have, and replaces it.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

/// A number of threads as a user writes it, in the environment variable `NEURENIX_NUM_THREADS` for example.
pub fn parse_threads(text: &str) -> Result<usize> {
    text.trim().parse().ok().filter(|n| (1..=MAX_THREADS).contains(n)).ok_or_else(|| {
        Error::Value(format!(
            "the number of threads must be an integer from 1 to {MAX_THREADS}, got {text:?}"
        ))
    })
}

/// How many threads kernels use: what was set, else `NEURENIX_NUM_THREADS`, else the cores this process may use.
pub fn num_threads() -> usize {
    match THREADS.load(Relaxed) {
        0 => {
            let asked = std::env::var("NEURENIX_NUM_THREADS").ok().and_then(|text| parse_threads(&text).ok());
            let n = asked.unwrap_or_else(cores);
            THREADS.store(n, Relaxed);
            n
        }
        n => n,
    }
}

/// Sets how many threads kernels use from now on, at least one. Results do not depend on it.
pub fn set_num_threads(n: usize) {
    THREADS.store(n.clamp(1, MAX_THREADS), Relaxed);
}

/// Calls `f(i)` once for each `i` below `chunks`, on this thread and the workers, and returns when all are done.
/// `work` is about how many nanoseconds one thread would need for all. A panic in `f` is raised here.
pub(crate) fn run(chunks: usize, work: usize, f: &(dyn Fn(usize) + Sync)) {
    if chunks > 1 && work >= SERIAL && chunks <= u32::MAX as usize {
        let threads = num_threads();
        if threads > 1
            && let Some(pool) = Pool::current()
            && let Ok(spawned) = pool.owner.try_lock()
        {
            return pool.share(spawned, threads.min(chunks) - 1, chunks, f);
        }
    }
    (0..chunks).for_each(f);
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS))
}

/// Alone on its cache lines (prefetchers fetch them in pairs).
#[repr(align(128))]
struct Padded<T>(T);

struct Pool {
    pid: u32,
    /// Workers spawned so far; held for the time of a job.
    owner: Mutex<usize>,
    /// Number of the job (high half) and how many of its chunks nobody has claimed yet.
    claims: Padded<AtomicU64>,
    done: Padded<AtomicUsize>,
    job: UnsafeCell<Job>,
    /// Workers from this number on stay out of the job.
    limit: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    gate: Mutex<()>,
    bell: Condvar,
}

#[derive(Clone, Copy)]
struct Job {
    f: *const (dyn Fn(usize) + Sync),
    chunks: usize,
}

// SAFETY: `job` is written only by the holder of `owner` while no chunk is claimed, and read only between a successful
// claim (which acquires that write) and the count of `done` that the writer waits for.
unsafe impl Sync for Pool {}
// SAFETY: as above; the pointer in `job` is used only while the caller of `share` keeps its closure alive.
unsafe impl Send for Pool {}

impl Pool {
    /// The pool of this process, made at the first call; None where there are no threads.
    fn current() -> Option<&'static Pool> {
        if cfg!(target_family = "wasm") {
            return None;
        }
        let pid = std::process::id();
        let old = POOL.load(Acquire);
        // SAFETY: pools are leaked, never freed.
        if let Some(pool) = unsafe { old.as_ref() }.filter(|pool| pool.pid == pid) {
            return Some(pool);
        }
        let fresh = Box::into_raw(Box::new(Pool::new(pid)));
        match POOL.compare_exchange(old, fresh, AcqRel, Acquire) {
            // SAFETY: just made, and leaked from here on.
            Ok(_) => Some(unsafe { &*fresh }),
            Err(winner) => {
                // SAFETY: nobody else has seen `fresh`; the winner's pool is never freed.
                unsafe {
                    drop(Box::from_raw(fresh));
                    winner.as_ref()
                }
            }
        }
    }

    fn new(pid: u32) -> Pool {
        fn nothing(_: usize) {}
        Pool {
            pid,
            owner: Mutex::new(0),
            claims: Padded(AtomicU64::new(0)),
            done: Padded(AtomicUsize::new(0)),
            job: UnsafeCell::new(Job { f: &nothing, chunks: 0 }),
            limit: AtomicUsize::new(0),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            gate: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    fn share(
        &'static self,
        mut spawned: MutexGuard<'_, usize>,
        helpers: usize,
        chunks: usize,
        f: &(dyn Fn(usize) + Sync),
    ) {
        while *spawned < helpers {
            let index = *spawned;
            let builder = std::thread::Builder::new().name(format!("phynexus-{index}"));
            if builder.spawn(move || self.work(index)).is_err() {
                break; // fewer threads do the same work
            }
            *spawned += 1;
        }
        // SAFETY: this thread holds `owner` and the last job is done, so nobody reads `job`. The lifetime is
        // lifted only until this function returns, which is after the last call of `f`.
        unsafe {
            let f =
                std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync)>(f);
            *self.job.get() = Job { f, chunks };
        }
        self.done.0.store(0, Relaxed);
        self.limit.store(helpers, Relaxed);
        let number = (self.claims.0.load(Relaxed) >> 32) + 1;
        self.claims.0.store(number << 32 | chunks as u64, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            drop(lock(&self.gate));
            self.bell.notify_all();
        }
        while self.take_chunk() {}
        let mut waited = 0u32;
        while self.done.0.load(Acquire) < chunks {
            waited += 1;
            // A worker that lost its core in the middle of a chunk gets ours.
            if waited.is_multiple_of(1024) { std::thread::yield_now() } else { spin_loop() }
        }
        let panic = lock(&self.panic).take();
        drop(spawned);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Claims a chunk and runs it; false where there is none left.
    fn take_chunk(&self) -> bool {
        let mut claims = self.claims.0.load(Relaxed);
        loop {
            if claims as u32 == 0 {
                return false;
            }
            match self.claims.0.compare_exchange_weak(claims, claims - 1, Acquire, Relaxed) {
                Ok(_) => break,
                Err(now) => claims = now,
            }
        }
        // SAFETY: a chunk of this job is claimed and not done, so its owner waits and `job` stays as it is.
        let (f, chunks) = unsafe {
            let job = *self.job.get();
            (&*job.f, job.chunks)
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| f(chunks - (claims as u32 as usize))));
        if let Err(payload) = outcome {
            lock(&self.panic).get_or_insert(payload);
        }
        self.done.0.fetch_add(1, Release);
        true
    }

    fn is_wanted(&self, index: usize) -> bool {
        self.claims.0.load(SeqCst) as u32 > 0 && index < self.limit.load(Relaxed)
    }

    fn work(&self, index: usize) {
        let may_spin = index + 1 < cores();
        loop {
            while self.is_wanted(index) && self.take_chunk() {}
            if may_spin && self.spin(index) {
                continue;
            }
            let mut gate = lock(&self.gate);
            self.sleepers.fetch_add(1, SeqCst);
            while !self.is_wanted(index) {
                gate = self.bell.wait(gate).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, SeqCst);
        }
    }

    /// Watches for work for a moment; whether there is some.
    fn spin(&self, index: usize) -> bool {
        let start = Instant::now();
        while start.elapsed() < SPIN {
            for _ in 0..32 {
                if self.is_wanted(index) {
                    return true;
                }
                spin_loop();
            }
        }
        false
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    const LARGE: usize = usize::MAX;

    #[test]
    fn every_chunk_runs_once() {
        set_num_threads(3);
        for chunks in [0, 1, 2, 3, 7, 1000] {
            for _ in 0..200 {
                let counts: Vec<AtomicU32> = (0..chunks).map(|_| AtomicU32::new(0)).collect();
                run(chunks, LARGE, &|i| {
                    counts[i].fetch_add(1, Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Relaxed) == 1));
            }
        }
    }

    #[test]
    fn nested_and_concurrent_jobs_finish() {
        set_num_threads(3);
        let total = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    run(50, LARGE, &|_| {
                        run(10, LARGE, &|_| {
                            total.fetch_add(1, Relaxed);
                        })
                    })
                });
            }
        });
        assert_eq!(total.load(Relaxed), 4 * 50 * 10);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        set_num_threads(2);
        let outcome = catch_unwind(|| run(64, LARGE, &|i| assert!(i != 13, "unlucky")));
        assert!(outcome.is_err());
        let sum = AtomicUsize::new(0);
        run(64, LARGE, &|i| {
            sum.fetch_add(i, Relaxed);
        });
        assert_eq!(sum.into_inner(), 2016);
    }

    #[test]
    fn numbers_of_threads_are_checked() {
        assert_eq!(parse_threads(" 3 "), Ok(3));
        for bad in ["", "0", "-1", "many", "1.5", "100000"] {
            assert!(matches!(parse_threads(bad), Err(Error::Value(m)) if m.contains(bad)));
        }
    }
}
