//! The one error type of the engine. The variant decides the Python exception; the message says what was wrong,
//! with what values, and what to do.

/// What went wrong, by the kind of exception that it becomes in Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A value or shape that does not fit: `ValueError`.
    Value(String),
    /// A dtype or kind of argument that does not fit: `TypeError`.
    Type(String),
    /// An index out of range: `IndexError`.
    Index(String),
    /// Not enough memory: `MemoryError`.
    Memory(String),
    /// A device that is missing, mixed up or lost, a graph that is gone: `RuntimeError`.
    Runtime(String),
}

impl Error {
    /// The message alone.
    pub fn message(&self) -> &str {
        match self {
            Error::Value(m) | Error::Type(m) | Error::Index(m) | Error::Memory(m) | Error::Runtime(m) => m,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}

/// An empty vector with room for `count` elements: for sizes that come from data, which may not fit into memory.
pub fn reserve<T>(count: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    match room.try_reserve_exact(count) {
        Ok(()) => Ok(room),
        Err(_) => Err(Error::Memory(format!(
            "cannot allocate {} bytes of working space; use smaller tensors, or free others",
            count.saturating_mul(size_of::<T>())
        ))),
    }
}

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
