//! Memory in pieces of few large buffers. Pieces that are given back are used again at once: the queue runs everything in
//! the order in which it was asked for, so what is written to a piece comes after all that was read from it before.

use phynexus_core::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// All pieces begin at multiples of this.
const ALIGNMENT: u64 = 256;
/// The first arena; each further one is twice as large, up to [`LARGEST`].
const SMALLEST: u64 = 32 << 20;
const LARGEST: u64 = 256 << 20;

/// A piece: which arena, and where in it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub arena: usize,
    pub offset: u64,
}

impl Piece {
    /// As the number that the engine knows it by.
    pub fn handle(self) -> u64 {
        (self.arena as u64) << 40 | self.offset
    }
    /// From that number.
    pub fn of(handle: u64) -> Piece {
        Piece { arena: (handle >> 40) as usize, offset: handle & ((1 << 40) - 1) }
    }
}

/// The arenas of a device; `B` is what holds an arena's memory.
#[derive(Debug)]
pub(crate) struct Arenas<B> {
    /// None where one was given back to the system.
    arenas: Vec<Option<Arena<B>>>,
    /// Free pieces: size, arena, offset.
    free: BTreeSet<(u64, usize, u64)>,
    largest: u64,
    /// Whether arenas have been given back since somebody last looked.
    pub shrunk: bool,
}

#[derive(Debug)]
struct Arena<B> {
    memory: B,
    size: u64,
    /// Free pieces: offset and size.
    free: BTreeMap<u64, u64>,
}

impl<B> Arenas<B> {
    /// No arena yet; none may become larger than `largest` bytes.
    pub fn new(largest: u64) -> Arenas<B> {
        Arenas {
            arenas: Vec::new(),
            free: BTreeSet::new(),
            largest: largest / ALIGNMENT * ALIGNMENT,
            shrunk: false,
        }
    }

    /// The memory of an arena.
    pub fn memory(&self, arena: usize) -> Option<&B> {
        self.arenas.get(arena)?.as_ref().map(|a| &a.memory)
    }

    /// A piece of at least so many bytes, of the arena that it fits into best; `make` makes the memory of a new arena.
    pub fn allocate(&mut self, bytes: usize, mut make: impl FnMut(u64) -> Result<B>) -> Result<Piece> {
        let size = rounded(bytes);
        if size > self.largest {
            return Err(Error::Memory(format!(
                "a tensor of {bytes} bytes is larger than the {} that a kernel of this device can bind; split it",
                self.largest
            )));
        }
        if let Some(&(length, arena, offset)) = self.free.range((size, 0, 0)..).next() {
            self.take(arena, offset, length);
            self.give(arena, offset + size, length - size);
            return Ok(Piece { arena, offset });
        }
        let held = self.arenas.iter().flatten().count() as u32;
        let wanted = (SMALLEST << held.min(8)).min(LARGEST).min(self.largest).max(size);
        let (memory, length) = match make(wanted) {
            Ok(memory) => (memory, wanted),
            Err(_) => {
                // Less may do, and what nobody uses can go.
                self.shrink();
                (make(size)?, size)
            }
        };
        let arena = self.arenas.len();
        self.arenas.push(Some(Arena { memory, size: length, free: BTreeMap::new() }));
        self.give(arena, size, length - size);
        Ok(Piece { arena, offset: 0 })
    }

    /// Takes a piece back.
    pub fn free(&mut self, piece: Piece, bytes: usize) {
        let Some(Some(arena)) = self.arenas.get(piece.arena) else { return };
        let (mut offset, mut length) = (piece.offset, rounded(bytes));
        let before = arena.free.range(..offset).next_back().map(|(&o, &l)| (o, l));
        let after = arena.free.range(offset..).next().map(|(&o, &l)| (o, l));
        if let Some((o, l)) = before
            && o + l == offset
        {
            self.take(piece.arena, o, l);
            (offset, length) = (o, length + l);
        }
        if let Some((o, l)) = after
            && offset + length == o
        {
            self.take(piece.arena, o, l);
            length += l;
        }
        self.give(piece.arena, offset, length);
    }

    /// Gives arenas back that nobody uses; returns which.
    pub fn shrink(&mut self) -> Vec<usize> {
        let unused =
            |arena: &Option<Arena<B>>| arena.as_ref().is_some_and(|a| a.free.get(&0) == Some(&a.size));
        let gone: Vec<usize> = (0..self.arenas.len()).filter(|&i| unused(&self.arenas[i])).collect();
        for &i in &gone {
            if let Some(arena) = self.arenas[i].take() {
                self.free.remove(&(arena.size, i, 0));
            }
        }
        self.shrunk |= !gone.is_empty();
        gone
    }

    fn take(&mut self, arena: usize, offset: u64, length: u64) {
        self.free.remove(&(length, arena, offset));
        if let Some(Some(arena)) = self.arenas.get_mut(arena) {
            arena.free.remove(&offset);
        }
    }

    fn give(&mut self, arena: usize, offset: u64, length: u64) {
        if length > 0
            && let Some(Some(of)) = self.arenas.get_mut(arena)
        {
            of.free.insert(offset, length);
            self.free.insert((length, arena, offset));
        }
    }
}

fn rounded(bytes: usize) -> u64 {
    (bytes as u64).max(1).div_ceil(ALIGNMENT) * ALIGNMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arenas() -> Arenas<u64> {
        Arenas::new(1 << 30)
    }

    #[test]
    fn pieces_are_aligned_and_do_not_overlap() {
        let mut a = arenas();
        let mut taken: Vec<(usize, u64, u64)> = Vec::new();
        let mut state = 7u64;
        let mut held: Vec<(Piece, usize)> = Vec::new();
        for _ in 0..3000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            if state >> 62 == 0 && !held.is_empty() {
                let (piece, bytes) = held.swap_remove((state >> 20) as usize % held.len());
                a.free(piece, bytes);
                taken.retain(|t| (t.0, t.1) != (piece.arena, piece.offset));
                continue;
            }
            let bytes = (state >> 40) as usize % 100_000;
            let piece = a.allocate(bytes, Ok).unwrap();
            let end = piece.offset + bytes.max(1) as u64;
            assert!(piece.offset.is_multiple_of(256) && end <= *a.memory(piece.arena).unwrap());
            assert!(taken.iter().all(|t| t.0 != piece.arena || end <= t.1 || t.2 <= piece.offset));
            assert_eq!(Piece::of(piece.handle()), piece);
            taken.push((piece.arena, piece.offset, end));
            held.push((piece, bytes));
        }
        held.into_iter().for_each(|(piece, bytes)| a.free(piece, bytes));
        assert_eq!(a.free.len(), a.arenas.len(), "all that was given back is whole again");
        assert_eq!(a.shrink().len(), a.arenas.len());
    }

    #[test]
    fn large_tensors_have_an_arena_of_their_own_and_too_large_ones_are_refused() {
        let mut a = arenas();
        let small = a.allocate(10, Ok).unwrap();
        let large = a.allocate(500 << 20, Ok).unwrap();
        assert!(small.arena != large.arena && large.offset == 0);
        let error = a.allocate(2 << 30, Ok).unwrap_err();
        assert!(matches!(&error, Error::Memory(m) if m.contains("2147483648")), "{error}");
    }

    #[test]
    fn where_memory_is_short_an_arena_is_as_small_as_it_can_be() {
        let mut a = arenas();
        let scarce = |size: u64| if size > 1 << 20 { Err(Error::Memory("no".into())) } else { Ok(size) };
        let piece = a.allocate(1000, scarce).unwrap();
        assert_eq!(a.memory(piece.arena), Some(&1024));
        assert!(a.allocate(2 << 20, scarce).is_err());
    }
}
