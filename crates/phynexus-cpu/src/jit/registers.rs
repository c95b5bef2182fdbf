//! Which vector register holds what in a straight line of code.
//!
//! One pass over the loop's body. Where registers run out, the value whose next use is farthest away goes to its
//! slot in the stack frame. Values that are the same for all elements live in slots; as many of them as pays stay
//! in registers throughout.

use super::program::{Inst, Item, One, Program, Value};

/// Where an instruction finds an operand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Register(u8),
    /// A vector of the stack frame, by number.
    Slot(usize),
}

/// A step of the body with registers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Reload {
        register: u8,
        slot: usize,
    },
    Spill {
        register: u8,
        slot: usize,
    },
    /// `operands` beyond those that the instruction has mean nothing.
    Compute {
        value: Value,
        target: u8,
        operands: [Place; 3],
    },
    Store {
        output: usize,
        register: u8,
    },
    Fetch {
        value: Value,
        register: u8,
    },
    Keep {
        value: Value,
        register: u8,
    },
    Fold {
        value: Value,
        register: u8,
    },
}

/// The body's code, and how it wants the frame and the registers before it starts.
#[derive(Debug)]
pub(super) struct Allocation {
    pub steps: Vec<Step>,
    /// Invariant values that are in registers for good.
    pub pinned: Vec<(Value, u8)>,
    /// The slot of each value; invariant ones all have one.
    pub slots: Vec<Option<usize>>,
    pub frame: usize,
}

/// Operands that may be in memory.
fn in_memory(inst: Inst, position: usize) -> bool {
    match inst {
        Inst::One(op, _) => matches!(
            op,
            One::Sqrt | One::Floor | One::Ceil | One::Round | One::AbsInt | One::ToFloat | One::ToInt
        ),
        Inst::Select(..) => position == 1,
        _ => position == 1,
    }
}

/// Allocates `registers` registers to a pass, the last ones to its reductions.
pub(super) fn allocate(program: &Program, pass: usize, registers: usize) -> Option<Allocation> {
    let body = program.body(pass);
    let registers = registers.checked_sub(program.folds(pass).len()).filter(|&free| free > 4)?;
    let mut uses: Vec<Vec<usize>> = vec![vec![]; program.insts.len()];
    for (at, item) in body.iter().enumerate() {
        operands(program, *item).for_each(|v| uses[v].push(at));
    }
    let mut invariants: Vec<Value> =
        (0..uses.len()).filter(|&v| program.is_steady(v) && !uses[v].is_empty()).collect();
    invariants.sort_by_key(|&v| std::cmp::Reverse(uses[v].len()));
    // An instruction has up to three operands in registers, and one more than that keeps evictions simple.
    let most = invariants.len().min(registers - 4);
    (0..=most)
        .rev()
        .map(|pinned| Allocator::run(program, &body, &uses, &invariants[..pinned], registers))
        .min_by_key(|(traffic, _)| *traffic)
        .map(|(_, allocation)| allocation)
}

fn operands(program: &Program, item: Item) -> impl Iterator<Item = Value> {
    let (inst, store) = match item {
        Item::Inst(v) => (Some(program.insts[v]), None),
        Item::Store(k) => (None, Some(program.outputs[k].0)),
        Item::Keep(v) => (None, Some(v)),
        Item::Fold(v) => (None, program.insts[v].operands().next()),
        Item::Fetch(_) => (None, None),
    };
    inst.into_iter().flat_map(Inst::operands).chain(store)
}

struct Allocator<'a> {
    uses: &'a [Vec<usize>],
    /// What each register holds that is not pinned.
    holds: Vec<Option<Value>>,
    first: u8,
    allocation: Allocation,
    /// Moves between registers and the frame.
    traffic: usize,
}

impl<'a> Allocator<'a> {
    fn run(
        program: &Program,
        body: &[Item],
        uses: &'a [Vec<usize>],
        pinned: &[Value],
        registers: usize,
    ) -> (usize, Allocation) {
        let mut frame = 0;
        let slots = (0..program.insts.len()).map(|v| {
            let steady = program.is_steady(v);
            frame += steady as usize;
            steady.then(|| frame - 1)
        });
        let slots = slots.collect();
        let pinned: Vec<(Value, u8)> = pinned.iter().zip(0..).map(|(&v, r)| (v, r)).collect();
        let mut allocator = Allocator {
            uses,
            holds: vec![None; registers - pinned.len()],
            first: pinned.len() as u8,
            allocation: Allocation { steps: Vec::with_capacity(body.len()), pinned, slots, frame },
            traffic: 0,
        };
        for (at, &item) in body.iter().enumerate() {
            allocator.step(program, at, item);
        }
        (allocator.traffic, allocator.allocation)
    }

    fn step(&mut self, program: &Program, at: usize, item: Item) {
        let mut places = [Place::Register(0); 3];
        for (i, v) in operands(program, item).enumerate() {
            let memory = matches!(item, Item::Inst(value) if in_memory(program.insts[value], i));
            places[i] = self.place(v, memory, at);
        }
        for held in &mut self.holds {
            if held.is_some_and(|v| self.uses[v].last().is_none_or(|&last| last <= at)) {
                *held = None;
            }
        }
        let step = match (item, places[0]) {
            (Item::Inst(value), _) => Step::Compute { value, target: self.take(value, at), operands: places },
            (Item::Fetch(value), _) => Step::Fetch { value, register: self.take(value, at) },
            (Item::Store(output), Place::Register(register)) => Step::Store { output, register },
            (Item::Keep(value), Place::Register(register)) => Step::Keep { value, register },
            (Item::Fold(value), Place::Register(register)) => Step::Fold { value, register },
            (_, Place::Slot(_)) => unreachable!("what is stored was asked for in a register"),
        };
        self.allocation.steps.push(step);
    }

    /// Where the operand is; in a register, if it must be.
    fn place(&mut self, v: Value, memory: bool, at: usize) -> Place {
        if let Some((_, register)) = self.allocation.pinned.iter().find(|(p, _)| *p == v) {
            return Place::Register(*register);
        }
        if let Some(i) = self.holds.iter().position(|&held| held == Some(v)) {
            return Place::Register(self.first + i as u8);
        }
        let slot = self.allocation.slots[v].expect("a value that is not in a register has been spilled");
        self.traffic += 1;
        if memory {
            return Place::Slot(slot);
        }
        let register = self.take(v, at);
        self.allocation.steps.push(Step::Reload { register, slot });
        Place::Register(register)
    }

    /// A register for `v`; operands of this very step stay where they are, as their next use is the nearest.
    fn take(&mut self, v: Value, at: usize) -> u8 {
        let next = |v: Value| self.uses[v].iter().find(|&&u| u >= at).copied().unwrap_or(usize::MAX);
        let free = self.holds.iter().position(Option::is_none);
        let i = free.unwrap_or_else(|| {
            let farthest = (0..self.holds.len()).max_by_key(|&i| self.holds[i].map_or(usize::MAX, next));
            farthest.expect("there are registers that are not pinned")
        });
        let register = self.first + i as u8;
        if let Some(old) = self.holds[i].replace(v)
            && self.allocation.slots[old].is_none()
        {
            let slot = self.allocation.frame;
            self.allocation.frame += 1;
            self.allocation.slots[old] = Some(slot);
            self.allocation.steps.push(Step::Spill { register, slot });
            self.traffic += 1;
        }
        register
    }
}
