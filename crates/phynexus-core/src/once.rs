//! Values that are made once and then only read, and the lock that keeps `fork` from finding one half made.
//!
//! A forked child has the memory of its parent and none of its other threads. A lock that one of those held stays locked
//! in the child for ever. So what is made once is read without a lock, and made under the one lock ([`Making`]) that
//! whoever forks takes before and gives back in both processes after.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static TAKEN: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// How many guards this thread has.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// While it lives, no other thread makes anything. A thread may have several.
pub struct Making(PhantomData<*const ()>);

impl Making {
    /// Waits until no other thread makes anything.
    pub fn begin() -> Making {
        let depth = DEPTH.get();
        if depth == 0 {
            while TAKEN.swap(true, Ordering::Acquire) {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
        DEPTH.set(depth + 1);
        Making(PhantomData)
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 {
            TAKEN.store(false, Ordering::Release);
        }
    }
}

/// A value that is made at its first use.
#[derive(Debug)]
pub struct Once<T>(OnceLock<T>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Once::new()
    }
}

impl<T> Once<T> {
    /// Not made yet.
    pub const fn new() -> Once<T> {
        Once(OnceLock::new())
    }

    /// Made already.
    pub fn of(value: T) -> Once<T> {
        Once(OnceLock::from(value))
    }

    /// The value, if it is made.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// The value; `make` is called if there is none.
    #[inline]
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        match self.0.get() {
            Some(value) => value,
            None => self.make(make),
        }
    }

    #[cold]
    fn make(&self, make: impl FnOnce() -> T) -> &T {
        let _making = Making::begin();
        self.0.get_or_init(make)
    }
}

/// A list that only grows: reading it takes no lock.
#[derive(Debug)]
pub struct Chain<T>(OnceLock<Box<(T, Chain<T>)>>);

impl<T> Default for Chain<T> {
    fn default() -> Self {
        Chain::new()
    }
}

impl<T> Chain<T> {
    /// Empty.
    pub const fn new() -> Chain<T> {
        Chain(OnceLock::new())
    }

    /// The first value that fits.
    #[inline]
    pub fn find(&self, fits: impl Fn(&T) -> bool) -> Option<&T> {
        let mut chain = self;
        while let Some(link) = chain.0.get() {
            if fits(&link.0) {
                return Some(&link.0);
            }
            chain = &link.1;
        }
        None
    }

    /// The first value that fits; what `make` returns is added if there is none.
    pub fn find_or_add(&self, fits: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &T {
        if let Some(found) = self.find(&fits) {
            return found;
        }
        let _making = Making::begin();
        if let Some(found) = self.find(fits) {
            return found; // another thread was faster
        }
        let mut value = make();
        let mut chain = self;
        loop {
            match chain.0.set(Box::new((value, Chain::new()))) {
                Ok(()) => return &chain.0.get().expect("the link was just added").0,
                Err(back) => value = back.0,
            }
            chain = &chain.0.get().expect("the link is there").1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_chain_adds_each_value_once() {
        let (chain, made) = (Chain::new(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..200 {
                        let make = || {
                            made.fetch_add(1, Ordering::Relaxed);
                            (i, i * i)
                        };
                        assert_eq!(chain.find_or_add(|(k, _)| *k == i, make), &(i, i * i));
                    }
                });
            }
        });
        assert_eq!(made.into_inner(), 200);
        assert_eq!(chain.find(|(k, _)| *k == 200), None);
    }

    #[test]
    fn what_is_made_while_something_is_made() {
        let (outer, inner) = (Once::new(), Once::new());
        assert_eq!(*outer.get_or_init(|| inner.get_or_init(|| 1) + 1), 2);
        assert!(!TAKEN.load(Ordering::Relaxed) || DEPTH.get() == 0);
    }
}
