//! Runs formulas: elementwise, or over rows with reductions in between.
//!
//! An interpreter runs each formula from its first launch: instruction after instruction over blocks that stay in the
//! level-1 cache. What has seen enough elements is compiled to machine code: whole formulas where they are elementwise or
//! reduce rows of integers, of others what each pass computes of a block. All give the same bits.

mod compile;
mod convert;
mod fold;
mod loops;
mod math;
mod operand;
mod program;
mod rows;
mod run;
mod slice;
mod table;
mod tuned;

use crate::pool;
use convert::Conversion;
use phynexus_core::{DType, Error, Result, Task};
use phynexus_formula::{Formula, Node, Type};
use program::{Program, Rows};
use rows::CompiledRows;
use run::PIECE;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tuned::Tuned;

/// Rows of at least this length get blocks of their own.
const OWN_BLOCK: usize = 256;
/// Longer rows do not stay in the registers between passes.
const WHOLE_ROW: usize = 4096;
/// Rows of at least this length are worth several threads each.
const SHARED_ROW: usize = 16 * PIECE;

/// Compiling takes about 100 µs: not before a formula has run over so many elements.
const WORTHWHILE: usize = 50_000;

/// Picoseconds of work that are worth handing to another thread.
const GRAIN: usize = 8_000_000;

/// A formula, ready to run.
pub(crate) struct Map {
    kind: Kind,
    /// Picoseconds for an element.
    cost: usize,
    /// Elements that make a unit of work for a thread.
    piece: usize,
    /// Elements that it has run over.
    seen: AtomicUsize,
}

enum Kind {
    Elements(Box<Flat>),
    Rows(Box<InRows>),
}

/// An elementwise program, perhaps with machine code beside it.
struct Flat {
    program: Program,
    tuned: Tuned,
    conversion: Option<Conversion>,
}

/// Programs over rows of different lengths, perhaps with machine code beside them.
struct InRows {
    /// For tensors of a single row, where nothing is reduced.
    flat: Option<Flat>,
    many: Program,
    one: Program,
    part: Program,
    compiled: CompiledRows,
}

/// Prepares a formula for operands stored as said.
pub(crate) fn compile(formula: &Formula, inputs: &[DType], outputs: &[DType]) -> Result<Map> {
    let program = |rows| compile::compile(formula, rows).map_err(Error::Type);
    let has = |wanted: Node| formula.nodes().contains(&wanted);
    let flat = || {
        let (program, tuned) = (program(Rows::Part)?, Tuned::new(formula, inputs, outputs));
        let conversion = Conversion::new(formula, inputs, outputs);
        Ok::<_, Error>(Flat { program, tuned, conversion })
    };
    let kind = if formula.reduces() || has(Node::Index) || has(Node::Length) {
        let elementwise = !formula.reduces() && !has(Node::Length);
        Kind::Rows(Box::new(InRows {
            flat: elementwise.then(flat).transpose()?,
            many: program(Rows::Many)?,
            one: program(Rows::One)?,
            part: program(Rows::Part)?,
            compiled: CompiledRows::new(formula, inputs, outputs),
        }))
    } else {
        Kind::Elements(Box::new(flat()?))
    };
    let cost = program::cost(formula);
    let piece = (GRAIN / cost.max(1)).clamp(PIECE / 16, PIECE);
    Ok(Map { kind, cost, piece, seen: AtomicUsize::new(0) })
}

/// A formula of one input and one output as a function that applies it to neighbouring values of its type, in place.
pub(crate) fn in_place(formula: &Formula) -> Result<Box<dyn Fn(*mut u8, usize) + Send + Sync>> {
    let dtype = match formula.inputs() {
        [ty] if formula.outputs().len() == 1 => stored(*ty),
        inputs => {
            let counts = (inputs.len(), formula.outputs().len());
            let message = format!("expected a formula of one input and one output, got {counts:?}");
            return Err(Error::Value(message));
        }
    };
    let program = compile::compile(formula, Rows::Part).map_err(Error::Type)?;
    // SAFETY: whoever calls the function hands it as many values of its own as it says.
    Ok(Box::new(move |at, n| unsafe { run::in_place(&program, dtype, at, n) }))
}

/// The dtype that is stored as it is computed.
fn stored(ty: Type) -> DType {
    match ty {
        Type::Bool => DType::Bool,
        Type::I32 => DType::I32,
        Type::I64 => DType::I64,
        Type::F32 => DType::F32,
        Type::F64 => DType::F64,
    }
}

/// Runs it over each task.
pub(crate) fn launch(map: &Map, tasks: &[Task<'_>]) -> Result<()> {
    let elements = |task: &Task<'_>| run::shape(task).iter().product::<usize>();
    let total: usize = tasks.iter().map(elements).sum();
    let work = total.saturating_mul(map.cost) / 1000;
    let enough = |seen: usize| seen.saturating_add(total) >= WORTHWHILE;
    let worth_code = enough(map.seen.load(Relaxed)) || enough(map.seen.fetch_add(total, Relaxed));
    let length = |task: &Task<'_>| run::shape(task).last().copied().unwrap_or(1);
    let rows = |task: &Task<'_>| run::shape(task).split_last().map_or(1, |(_, outer)| outer.iter().product());
    let flatly = |flat: &Flat| {
        let code = if worth_code { flat.tuned.code(&flat.program, tasks, total) } else { None };
        let piece = |task: &Task<'_>, range: Range<usize>| match code {
            _ if flat.conversion.as_ref().is_some_and(|conversion| conversion.run(task, &range)) => {}
            Some(code) if tuned::is_dense(task) => code.run(task, range),
            _ => {
                if worth_code && !tuned::is_dense(task) {
                    flat.program.compile();
                }
                run::elements(&flat.program, task, range);
            }
        };
        // Long runs through memory suit the prefetchers.
        let grain = if code.is_some() && total >= tuned::STREAMS { 4 * PIECE } else { map.piece };
        share(tasks, work, grain, |task| (elements(task), 1), &piece);
    };
    match &map.kind {
        Kind::Elements(flat) => flatly(flat),
        Kind::Rows(by_rows) => {
            let InRows { flat, many, one, part, compiled } = &**by_rows;
            // Positions in the only row are those among all elements.
            if let Some(flat) = flat
                && tasks.iter().all(|task| rows(task) == 1)
            {
                flatly(flat);
                return Ok(());
            }
            let code = if worth_code { compiled.code(tasks) } else { None };
            if worth_code && code.is_none() {
                tasks.iter().for_each(|task| match length(task) {
                    len if len < OWN_BLOCK => many.compile(),
                    len if len <= WHOLE_ROW => one.compile(),
                    _ => part.compile(),
                });
            }
            let (huge, rest) = split(tasks, |task| length(task) >= SHARED_ROW && rows(task) < 64);
            for task in huge {
                let each = |pieces: usize, f: &(dyn Fn(usize) + Sync)| pool::run(pieces, work, f);
                (0..rows(task)).for_each(|row| run::long_row(part, task, length(task), row, &each));
            }
            let piece = |task: &Task<'_>, range: Range<usize>| match length(task) {
                len if code.is_some_and(|code| code.run(task, len, range.clone())) => {}
                len @ ..OWN_BLOCK => run::rows(many, task, len, range),
                len @ ..=WHOLE_ROW => run::rows(one, task, len, range),
                len => {
                    let each = |pieces: usize, f: &(dyn Fn(usize) + Sync)| (0..pieces).for_each(f);
                    range.for_each(|row| run::long_row(part, task, len, row, &each));
                }
            };
            let piece_size = if code.is_some() { PIECE } else { map.piece };
            share(&rest, work, piece_size, |task| (rows(task), length(task)), &piece);
        }
    }
    Ok(())
}

/// The tasks for which the condition holds, and the others.
fn split<'t, 'a>(
    tasks: &'t [Task<'a>],
    huge: impl Fn(&Task<'a>) -> bool,
) -> (Vec<&'t Task<'a>>, Vec<Task<'a>>) {
    let others = tasks.iter().filter(|task| !huge(task)).copied().collect();
    (tasks.iter().filter(|task| huge(task)).collect(), others)
}

/// Runs `piece` over all units of all tasks, where `size` gives the number of units and the elements of a unit. Work
/// worth several threads is cut into groups of about `grain` elements, of one task or many.
fn share<'a>(
    tasks: &[Task<'a>],
    work: usize,
    grain: usize,
    size: impl Fn(&Task<'a>) -> (usize, usize),
    piece: &(dyn Fn(&Task<'a>, Range<usize>) + Sync),
) {
    if work < pool::SERIAL {
        return tasks.iter().for_each(|task| piece(task, 0..size(task).0));
    }
    let mut parts: Vec<(usize, Range<usize>)> = vec![];
    let mut groups = vec![0];
    let mut filled = 0;
    for (index, task) in tasks.iter().enumerate() {
        let (units, weight) = size(task);
        let step = (grain / weight.max(1)).max(1);
        for start in (0..units).step_by(step) {
            let end = (start + step).min(units);
            parts.push((index, start..end));
            filled += (end - start) * weight;
            if filled >= grain {
                groups.push(parts.len());
                filled = 0;
            }
        }
    }
    if groups.last() != Some(&parts.len()) {
        groups.push(parts.len());
    }
    pool::run(groups.len() - 1, work, &|group| {
        for (index, range) in &parts[groups[group]..groups[group + 1]] {
            piece(&tasks[*index], range.clone());
        }
    });
}
