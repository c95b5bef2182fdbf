//! A formula of a rule, ready to be launched over many tensors.

use super::rule::{Extent, Kind, Operand, Rule, trim};
use crate::array::Array;
use phynexus_core::{DType, Device, DeviceId, Kernel, Layout, Result, Shape, Spec, Task, Value, View};
use phynexus_formula::{Formula, Node, evaluate_scalars, hoist};
use smallvec::SmallVec;

pub(super) type Arrays = SmallVec<[Array; 6]>;

/// How the operands of a launch are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shaped {
    /// The whole tensor as one row.
    Row,
    /// (batch, rows, columns), or what of it this extent has.
    Three(Extent),
    /// Rows of so many elements, and a shorter one.
    Blocks(usize),
}

/// What an operand or a result has values for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Along(Extent),
    /// Each block of neighbouring elements.
    Blocks,
}

/// A formula without the operands that it does not read.
pub(super) struct Part {
    kernel: Kernel,
    /// From the rule's control table to the kernel's.
    host: Formula,
    /// Which of the rule's operands it reads.
    used: SmallVec<[(usize, Seen); 6]>,
    results: SmallVec<[Seen; 4]>,
    /// None if one element comes after the other.
    shaped: Option<Shaped>,
}

/// What a part does to one tensor.
pub(super) struct Job<'a> {
    pub inputs: Arrays,
    pub outputs: Arrays,
    /// The tensor's (batch, rows, columns).
    pub view: [usize; 3],
    pub table: &'a [Value],
}

type Layouts = SmallVec<[Layout; 8]>;
type Views<'a> = SmallVec<[View<'a>; 6]>;

impl Part {
    /// A part that runs over values along `extent`; `stored` are the dtypes of the rule's operands.
    pub fn new(
        rule: &Rule,
        formula: &Formula,
        extent: Extent,
        stored: &[DType],
        results: &[(DType, Seen)],
    ) -> Part {
        let (trimmed, slots) = trim(formula);
        let used: SmallVec<[_; 6]> =
            slots.iter().map(|&slot| (slot, seen(rule, rule.inputs[slot]))).collect();
        let block =
            rule.states.iter().find_map(|kind| if let Kind::Blocks(n) = kind { Some(*n) } else { None });
        let blocked = used.iter().any(|(_, seen)| *seen == Seen::Blocks)
            || results.iter().any(|(_, seen)| *seen == Seen::Blocks);
        let shaped = match block {
            Some(n) if blocked => Some(Shaped::Blocks(n)),
            _ if used.iter().any(|(_, seen)| *seen != Seen::Along(extent)) => Some(Shaped::Three(extent)),
            _ if !formula.reduces() && !places(formula) => None,
            _ if results.iter().all(|(_, seen)| matches!(seen, Seen::Along(Extent::NONE | Extent::FULL))) => {
                Some(Shaped::Row)
            }
            _ => Some(Shaped::Three(extent)),
        };
        let hoisted = hoist(&trimmed);
        let inputs = slots.iter().map(|&slot| stored[slot]).collect();
        let outputs = results.iter().map(|(dtype, _)| *dtype).collect();
        let kernel = Kernel::new(Spec::Map { formula: hoisted.kernel, inputs, outputs });
        let results = results.iter().map(|(_, seen)| *seen).collect();
        Part { kernel, host: hoisted.host, used, results, shaped }
    }

    /// Positions of the rule's operands that it reads.
    pub fn used(&self) -> impl Iterator<Item = usize> + '_ {
        self.used.iter().map(|(slot, _)| *slot)
    }

    /// The control table for these numbers.
    pub fn table(&self, numbers: &[Value]) -> Vec<Value> {
        evaluate_scalars(&self.host, numbers)
    }

    /// Runs it over all tensors, in one launch for each device.
    pub fn launch(&self, jobs: &[Job<'_>]) -> Result<()> {
        let mut devices: SmallVec<[DeviceId; 1]> = SmallVec::new();
        for job in jobs {
            let device = job.outputs[0].device();
            if !devices.contains(&device.id()) {
                devices.push(device.id());
                self.launch_on(jobs, device)?;
            }
        }
        Ok(())
    }

    fn launch_on(&self, jobs: &[Job<'_>], device: &'static dyn Device) -> Result<()> {
        let Some(shaped) = self.shaped else {
            let own = jobs.iter().filter(|job| job.outputs[0].device().id() == device.id());
            let views: Vec<_> = own.map(|job| (flat(&job.inputs), flat(&job.outputs), job.table)).collect();
            let tasks: SmallVec<[Task<'_>; 8]> =
                views.iter().map(|(inputs, outputs, scalars)| Task { inputs, outputs, scalars }).collect();
            return device.launch(&self.kernel, &tasks);
        };
        let mut pieces: SmallVec<[(&Job<'_>, Layouts); 8]> = SmallVec::new();
        for job in jobs.iter().filter(|job| job.outputs[0].device().id() == device.id()) {
            self.pieces(shaped, job, |layouts| pieces.push((job, layouts)))?;
        }
        let views: SmallVec<[(Views<'_>, Views<'_>); 8]> = pieces
            .iter()
            .map(|(job, layouts)| {
                let (inputs, outputs) = layouts.split_at(job.inputs.len());
                (under(&job.inputs, inputs), under(&job.outputs, outputs))
            })
            .collect();
        let tasks: SmallVec<[Task<'_>; 8]> = views
            .iter()
            .zip(&pieces)
            .map(|((inputs, outputs), (job, _))| Task { inputs, outputs, scalars: job.table })
            .collect();
        device.launch(&self.kernel, &tasks)
    }

    /// The layouts of a job's operands, inputs before outputs, for each task that it makes.
    fn pieces(&self, shaped: Shaped, job: &Job<'_>, mut task: impl FnMut(Layouts)) -> Result<()> {
        let arrays = || job.inputs.iter().chain(&job.outputs);
        let seen = || self.used.iter().map(|(_, seen)| seen).chain(&self.results);
        let whole = job.view.iter().product::<usize>();
        match shaped {
            Shaped::Row => {
                let row = |a: &Array| laid(a, &[1, a.elements()], 0);
                task(arrays().map(row).collect::<Result<_>>()?);
            }
            Shaped::Three(extent) => {
                let shape = Shape::new(&extent.sizes(job.view))?;
                let mut layouts = Layouts::new();
                for (k, (a, seen)) in arrays().zip(seen()).enumerate() {
                    let Seen::Along(own) = seen else { continue };
                    let layout = laid(a, &own.sizes(job.view), 0)?;
                    layouts.push(if k < job.inputs.len() { layout.broadcast(&shape)? } else { layout });
                }
                task(layouts);
            }
            Shaped::Blocks(n) => {
                let (rows, tail) = (whole / n, whole % n);
                for (rows, columns, first) in [(rows, n, 0), (1, tail, rows)] {
                    if rows * columns == 0 {
                        continue;
                    }
                    let shape = Shape::new(&[rows, columns])?;
                    let mut layouts = Layouts::new();
                    for (k, (a, seen)) in arrays().zip(seen()).enumerate() {
                        let layout = match seen {
                            Seen::Along(Extent::FULL) => laid(a, &[rows, columns], first * n)?,
                            Seen::Along(_) => laid(a, &[1, 1], 0)?,
                            Seen::Blocks => laid(a, &[rows, 1], first)?,
                        };
                        layouts.push(if k < job.inputs.len() { layout.broadcast(&shape)? } else { layout });
                    }
                    task(layouts);
                }
            }
        }
        Ok(())
    }
}

/// Whether a formula asks where an element stands in its row.
pub(super) fn places(formula: &Formula) -> bool {
    formula.nodes().iter().any(|node| matches!(node, Node::Index))
}

/// What an operand of a rule has values for.
pub(super) fn seen(rule: &Rule, input: Operand) -> Seen {
    match input {
        Operand::State(i) if matches!(rule.states[i], Kind::Blocks(_)) => Seen::Blocks,
        input => Seen::Along(rule.extent(input)),
    }
}

fn flat(arrays: &Arrays) -> Views<'_> {
    arrays.iter().map(Array::view).collect()
}

fn under<'a>(arrays: &'a Arrays, layouts: &'a [Layout]) -> Views<'a> {
    arrays.iter().zip(layouts).map(|(a, l)| a.view_as(l)).collect()
}

/// A contiguous array from its element `skip` on, under another shape.
fn laid(array: &Array, shape: &[usize], skip: usize) -> Result<Layout> {
    Ok(Layout::contiguous(Shape::new(shape)?).moved(array.layout().offset() + skip))
}
