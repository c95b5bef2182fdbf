//! The numbers of a launch: for each task where its groups begin, and its record.

use crate::program::{HEADER, Program};
use phynexus_core::{Buffer, DType, Error, Result, Value, View};
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use smallvec::SmallVec;

/// What a program must know of one task.
#[derive(Debug)]
pub struct Record<'a> {
    /// Groups that work on it.
    pub groups: usize,
    /// What `word(task, j)` gives.
    pub words: SmallVec<[u32; 12]>,
    /// Where the operands are.
    pub operands: SmallVec<[Place<'a>; 6]>,
    /// What `scalar_T(task, j)` gives; see [`scalar`].
    pub scalars: SmallVec<[u64; 8]>,
}

/// Where an operand is.
#[derive(Debug)]
pub struct Place<'a> {
    /// Its memory.
    pub buffer: &'a Buffer,
    /// The position of its first element, in elements.
    pub offset: usize,
    /// What `stride_k(task, d)` gives; missing ones are 0.
    pub strides: SmallVec<[isize; 4]>,
}

impl<'a> Place<'a> {
    /// The first element of a view, without strides.
    pub fn of(view: &View<'a>) -> Place<'a> {
        Place { buffer: view.buffer, offset: view.layout.offset(), strides: SmallVec::new() }
    }

    /// Memory from its start, without strides.
    pub fn whole(buffer: &'a Buffer) -> Place<'a> {
        Place { buffer, offset: 0, strides: SmallVec::new() }
    }

    /// The first element of a view, with all its strides.
    pub fn strided(view: &View<'a>) -> Place<'a> {
        Place { strides: view.layout.strides().into(), ..Place::of(view) }
    }
}

/// Groups along each side of a grid.
const SIDE: usize = 65_535;
/// What kernels count to: the groups of a grid, and room in 32 bits for the numbers beyond that a group's last threads see.
const MOST: usize = SIDE * SIDE;

/// A number as 32 bits; an error that says what is too large.
pub fn word(what: &str, number: usize) -> Result<u32> {
    match u32::try_from(number) {
        Ok(word) if number <= MOST => Ok(word),
        _ => Err(Error::Value(format!(
            "{what} is {number}, more than {MOST} that a GPU kernel counts to; work on parts"
        ))),
    }
}

/// An entry of a control table as its 64 bits.
pub fn scalar(ty: Type, value: Value, dialect: Dialect) -> Result<u64> {
    Ok(match ty {
        Type::F32 => (value.as_f64() as f32).to_bits() as u64,
        Type::F64 => value.as_f64().to_bits(),
        Type::Bool => (value.as_f64() != 0.0) as u64,
        Type::I64 if dialect == Dialect::Wgsl && i32::try_from(value.as_i64()).is_err() => {
            return Err(Error::Value(format!(
                "{} does not fit into int32 (-2147483648 to 2147483647), and WebGPU computes int64 in it; use smaller numbers",
                value.as_i64()
            )));
        }
        Type::I32 | Type::I64 => value.as_i64() as u64,
    })
}

/// Words of the table that every launch has.
pub fn words_for(program: &Program, tasks: usize) -> usize {
    HEADER + tasks * (1 + program.record())
}

/// Writes the table; returns how many groups run. `base` says where an operand's buffer begins: in elements of the memory
/// that is bound (WGSL), as an address in bytes (C).
pub fn fill(
    table: &mut Vec<u32>,
    program: &Program,
    records: &[&Record<'_>],
    dialect: Dialect,
    base: impl Fn(&Buffer, DType) -> u64,
) -> Result<u32> {
    let first = table.len();
    table.extend([records.len() as u32, 0]);
    let mut groups = 0;
    for record in records {
        table.push(word("the number of groups of a launch", groups)?);
        groups += record.groups;
    }
    let groups = word("the number of groups of a launch", groups)?;
    table[first + 1] = groups;
    for record in records {
        table.extend(&record.words);
        for (place, operand) in record.operands.iter().zip(&program.parts().operands) {
            let base = base(place.buffer, operand.dtype);
            let begin = match dialect {
                Dialect::Wgsl => base + place.offset as u64,
                _ => base + (place.offset * operand.dtype.size()) as u64,
            };
            table.extend([begin as u32, (begin >> 32) as u32]);
            for d in 0..program.parts().strides {
                let stride = place.strides.get(d).copied().unwrap_or(0);
                let fits = i32::try_from(stride).map_err(|_| {
                    Error::Value(format!(
                        "a stride of {stride} elements is more than a GPU kernel counts; make it contiguous"
                    ))
                })?;
                table.push(fits as u32);
            }
        }
        for value in &record.scalars {
            table.extend([*value as u32, (value >> 32) as u32]);
        }
    }
    Ok(groups)
}

/// How groups are dispatched in two dimensions.
pub fn grid(groups: u32) -> (u32, u32) {
    let rows = groups.div_ceil(SIDE as u32).max(1);
    (groups.div_ceil(rows), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_counted_can_be_dispatched() {
        for groups in [0, 1, SIDE, SIDE + 1, MOST] {
            let (x, y) = grid(word("it", groups).unwrap());
            assert!(
                x as usize <= SIDE && y as usize <= SIDE && x as usize * y as usize >= groups,
                "{groups}"
            );
            assert!(x as usize * (y as usize - 1) <= groups.max(1), "{groups}: rows without groups");
        }
        assert!(word("it", MOST + 1).unwrap_err().message().contains("4294836226, more than 4294836225"));
    }
}
