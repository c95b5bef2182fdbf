//! Formulas to programs: which node is computed in which pass, by which loop, in which register.

use super::fold::Fold;
use super::loops::{Run, positions};
use super::program::{Home, Instruction, Pass, Program, Reduction, Rows, Space, cell};
use super::slice::{Cut, slice};
use super::table;
use phynexus_formula::{Formula, Id, Node, Type};

struct Compiler<'a> {
    f: &'a Formula,
    rows: Rows,
    spaces: Vec<Space>,
    /// The pass from which on a node's value is there.
    ready: Vec<usize>,
    slots: Vec<Option<u32>>,
    /// Slots of row values and scalars as arrays.
    arrays: Vec<[Option<u32>; 2]>,
    program: Program,
    /// Registers in the order of slots: the slot, bytes of a value, when written, when last read.
    registers: Vec<(usize, usize, usize, usize)>,
    clock: usize,
    reads: Vec<usize>,
}

/// The program of a formula; the message says which node has no meaning.
pub(super) fn compile(f: &Formula, rows: Rows) -> Result<Program, String> {
    let n = f.nodes().len();
    let (mut spaces, mut ready) = (vec![Space::Launch; n], vec![0; n]);
    for (i, node) in f.nodes().iter().enumerate() {
        let most = node.operands().map(|o| spaces[o.index()] as u8).max();
        (spaces[i], ready[i]) = match node {
            Node::Input { .. } | Node::Index => (Space::Element, 0),
            Node::Reduce(_, a) => (Space::Row, ready[a.index()] + 1),
            _ => {
                let space = [Space::Launch, Space::Row, Space::Element][most.unwrap_or(0) as usize];
                (space, node.operands().map(|o| ready[o.index()]).max().unwrap_or(0))
            }
        };
    }
    let compiler = Compiler {
        f,
        rows,
        spaces,
        ready,
        slots: vec![None; n],
        arrays: vec![[None; 2]; n],
        program: Program::empty(f, rows),
        registers: vec![],
        clock: 0,
        reads: vec![0; f.inputs().len()],
    };
    compiler.compile()
}

impl Compiler<'_> {
    fn compile(mut self) -> Result<Program, String> {
        let (f, reduces) = (self.f, self.f.reduces());
        let element_output = |c: &Self, id: Id| !reduces || c.spaces[id.index()] == Space::Element;
        for (i, node) in f.nodes().iter().enumerate() {
            self.slots[i] = match node {
                Node::Const(c) => Some(self.home(Home::Constant(cell(c.ty, (*c).into())))),
                Node::Scalar { slot, ty } => Some(self.home(Home::Table(*slot, *ty))),
                Node::Length => Some(self.home(Home::Length)),
                Node::Input { slot, .. } => Some(*slot),
                Node::Reduce(..) => Some(self.row_value()),
                _ => None,
            };
        }
        for i in 0..f.nodes().len() {
            if self.spaces[i] != Space::Launch || self.slots[i].is_some() {
                continue;
            }
            let cells = self.program.cells as u32;
            self.program.cells += 1;
            let out = self.home(Home::Cell(cells));
            self.slots[i] = Some(out);
            let instruction = self.instruction(Id(i as u32), Space::Launch, out, &mut vec![])?;
            self.program.launch.push(instruction);
        }
        let reduce_pass = |node: &Node| match node {
            Node::Reduce(_, a) => Some(self.ready[a.index()]),
            _ => None,
        };
        let outputs_ready =
            f.outputs().iter().filter(|&&id| element_output(&self, id)).map(|id| self.ready[id.index()]);
        let written_in = outputs_ready.chain(f.nodes().iter().filter_map(reduce_pass)).max().unwrap_or(0);
        let passes = self.ready.iter().max().map_or(1, |&last| last + 1);
        for pass in 0..passes {
            let compiled = self.pass(pass, pass == written_in)?;
            self.program.passes.push(compiled);
        }
        for (k, &id) in f.outputs().iter().enumerate() {
            if element_output(&self, id) {
                continue;
            }
            let mut slot = self.slots[id.index()].unwrap_or(0);
            if self.spaces[id.index()] == Space::Launch {
                let last = self.program.passes.len() - 1;
                let mut list = std::mem::take(&mut self.program.passes[last].rows);
                slot = self.array(id, Space::Row, &mut list);
                self.program.passes[last].rows = list;
            }
            self.program.outputs[k].row = Some(slot);
        }
        self.place();
        Ok(self.program)
    }

    /// One pass: what its reductions need and, where it `writes`, what the outputs need.
    fn pass(&mut self, pass: usize, writes: bool) -> Result<Pass, String> {
        let f = self.f;
        if self.rows == Rows::Part {
            // What the last pass left in registers is gone.
            for i in 0..self.slots.len() {
                if self.spaces[i] == Space::Element && !matches!(f.nodes()[i], Node::Input { .. }) {
                    self.slots[i] = None;
                }
                self.arrays[i][1] = None;
            }
        }
        let mut compiled = Pass { writes, ..Pass::default() };
        for i in 0..f.nodes().len() {
            if self.ready[i] == pass && self.spaces[i] == Space::Row && self.slots[i].is_none() {
                let out = self.row_value();
                self.slots[i] = Some(out);
                let instruction = self.instruction(Id(i as u32), Space::Row, out, &mut compiled.rows)?;
                compiled.rows.push(instruction);
            }
        }
        let mut needed = vec![false; f.nodes().len()];
        for node in f.nodes() {
            if let Node::Reduce(_, a) = node {
                needed[a.index()] |= self.ready[a.index()] == pass;
            }
        }
        for id in f.outputs().iter().filter(|_| writes) {
            needed[id.index()] |= self.spaces[id.index()] == Space::Element;
        }
        for i in (0..needed.len()).rev().filter(|&i| self.spaces[i] == Space::Element) {
            if needed[i] && self.slots[i].is_none() {
                f.nodes()[i].operands().for_each(|o| needed[o.index()] = true);
            }
        }
        let fresh = |&i: &usize| needed[i] && self.slots[i].is_none() && self.spaces[i] == Space::Element;
        let fresh: Vec<usize> = (0..needed.len()).filter(fresh).collect();
        let mut list = vec![];
        for &i in &fresh {
            let id = Id(i as u32);
            let output =
                f.outputs().iter().position(|&o| o == id).filter(|_| writes || self.rows != Rows::Part);
            let out = match output {
                Some(k) => self.output(k),
                None => self.register(f.ty(id)),
            };
            let instruction = self.instruction(id, Space::Element, out, &mut list)?;
            self.slots[i] = Some(out);
            self.push(&mut list, instruction);
            if let Some(k) = output {
                self.note_write(k);
            }
        }
        compiled.computed = list.len();
        let mut wanted = vec![false; f.nodes().len()];
        for node in f.nodes() {
            if let Node::Reduce(_, a) = node {
                wanted[a.index()] = true;
            }
        }
        if writes || self.rows != Rows::Part {
            f.outputs().iter().for_each(|id| wanted[id.index()] = true);
        }
        compiled.slice = slice(&Cut {
            formula: f,
            rows: self.rows,
            fresh: &fresh,
            slots: &self.slots,
            elements: &|id| self.spaces[id.index()] == Space::Element,
            wanted: &|i| wanted[i],
        });
        if writes {
            self.copy_outputs(&mut list);
        }
        for (i, node) in f.nodes().iter().enumerate() {
            if let Node::Reduce(op, a) = *node
                && self.ready[a.index()] == pass
            {
                self.reduction(Id(i as u32), Fold::new(op, f.ty(a)), a, &mut list, &mut compiled.reductions);
            }
        }
        // Reductions of parts read at the end of the block.
        self.clock += 1;
        compiled.reductions.iter().for_each(|reduction| self.touch(reduction.from));
        let read = |list: &[Instruction], folds: &[Reduction], slot: u32| {
            list.iter().any(|x| x.from.contains(&slot)) || folds.iter().any(|x| x.from == slot)
        };
        compiled.inputs =
            (0..f.inputs().len() as u32).filter(|&slot| read(&list, &compiled.reductions, slot)).collect();
        compiled.elements = list;
        Ok(compiled)
    }

    fn reduction(
        &mut self,
        id: Id,
        fold: Fold,
        a: Id,
        list: &mut Vec<Instruction>,
        reductions: &mut Vec<Reduction>,
    ) {
        let out = self.slots[id.index()].unwrap_or(0);
        let from = match self.spaces[a.index()] {
            Space::Element => self.slots[a.index()].unwrap_or(0),
            _ => self.array(a, Space::Element, list),
        };
        if self.rows == Rows::Part {
            let Home::Row(to) = self.program.homes[out as usize - self.operands()] else { unreachable!() };
            reductions.push(Reduction { fold, from, to });
        } else {
            let reduce = Instruction { run: fold.rows, space: Space::Element, out, from: [from; 3] };
            self.push(list, reduce);
        }
    }

    /// Outputs that are no node of their own: inputs, values for all, and what is another output already.
    fn copy_outputs(&mut self, list: &mut Vec<Instruction>) {
        let reduces = self.f.reduces();
        for (k, &id) in self.f.outputs().iter().enumerate() {
            let (ty, out) = (self.f.ty(id), self.output(k));
            let slot = self.slots[id.index()].unwrap_or(out);
            let (run, space) = (table::splat(ty), self.spaces[id.index()]);
            let run = match space {
                Space::Element if slot == out => continue,
                Space::Element => table::copy(ty),
                _ if reduces => continue,
                _ => run,
            };
            self.push(list, Instruction { run, space: Space::Element, out, from: [slot; 3] });
            self.note_write(k);
        }
    }

    fn instruction(
        &mut self,
        id: Id,
        space: Space,
        out: u32,
        list: &mut Vec<Instruction>,
    ) -> Result<Instruction, String> {
        let node = self.f.node(id);
        let mut from = [out; 3];
        let mut same = [false; 3];
        for (k, operand) in node.operands().enumerate() {
            (from[k], same[k]) = self.operand(operand, space, list);
        }
        let run = match node {
            Node::Index => Some(positions as Run),
            Node::Unary(op, a) => table::unary(op, self.f.ty(a)),
            Node::Cast(ty, a) => Some(table::cast(self.f.ty(a), ty)),
            Node::Select(_, yes, _) => Some(table::select(self.f.ty(yes), same)),
            Node::Binary(op, a, b) => {
                let ty = self.f.ty(a);
                table::binary(op, ty, [same[0], same[1]]).or_else(|| {
                    for (k, operand) in [a, b].into_iter().enumerate().filter(|&(k, _)| same[k]) {
                        from[k] = self.array(operand, space, list);
                    }
                    table::binary(op, ty, [false; 2])
                })
            }
            _ => None,
        };
        let run = run.ok_or_else(|| {
            let types: Vec<Type> = node.operands().map(|o| self.f.ty(o)).collect();
            format!("{node:?} has no meaning for operands of type {types:?}")
        })?;
        Ok(Instruction { run, space, out, from })
    }

    /// The slot of an operand, and whether it is one value for all of the space.
    fn operand(&mut self, id: Id, space: Space, list: &mut Vec<Instruction>) -> (u32, bool) {
        let own = self.spaces[id.index()];
        if own == Space::Row && space == Space::Element && self.rows == Rows::Many {
            return (self.array(id, space, list), false);
        }
        (self.slots[id.index()].unwrap_or(0), own != space)
    }

    /// A value repeated for all of the space.
    fn array(&mut self, id: Id, space: Space, list: &mut Vec<Instruction>) -> u32 {
        let known = self.arrays[id.index()][(space == Space::Element) as usize];
        if let Some(slot) = known {
            return slot;
        }
        let (ty, from) = (self.f.ty(id), self.slots[id.index()].unwrap_or(0));
        let many = self.spaces[id.index()] == Space::Row && self.rows == Rows::Many;
        let run = if many { table::expand(ty) } else { table::splat(ty) };
        let out = if space == Space::Element { self.register(ty) } else { self.row_value() };
        let instruction = Instruction { run, space, out, from: [from; 3] };
        if space == Space::Element {
            self.push(list, instruction);
        } else {
            list.push(instruction);
        }
        self.arrays[id.index()][(space == Space::Element) as usize] = Some(out);
        out
    }

    /// Appends an instruction for elements and notes when it reads and writes what.
    fn push(&mut self, list: &mut Vec<Instruction>, instruction: Instruction) {
        self.clock += 1;
        instruction.from.iter().for_each(|&slot| self.touch(slot));
        self.touch(instruction.out);
        list.push(instruction);
    }

    fn touch(&mut self, slot: u32) {
        if let Some(read) = self.reads.get_mut(slot as usize) {
            *read = self.clock;
        } else if let Ok(at) = self.registers.binary_search_by_key(&(slot as usize), |r| r.0) {
            let register = &mut self.registers[at];
            register.2 = register.2.min(self.clock);
            register.3 = self.clock;
        }
    }

    fn note_write(&mut self, output: usize) {
        self.program.outputs[output].buffer = self.clock;
    }

    fn operands(&self) -> usize {
        self.f.inputs().len() + self.f.outputs().len()
    }

    fn output(&self, k: usize) -> u32 {
        (self.f.inputs().len() + k) as u32
    }

    fn home(&mut self, home: Home) -> u32 {
        self.program.homes.push(home);
        (self.operands() + self.program.homes.len() - 1) as u32
    }

    fn row_value(&mut self) -> u32 {
        self.program.row_values += 1;
        self.home(Home::Row(self.program.row_values as u32 - 1))
    }

    fn register(&mut self, ty: Type) -> u32 {
        let slot = self.home(Home::Register(0));
        self.registers.push((slot as usize, table::size(ty), usize::MAX, 0));
        slot
    }

    /// Gives registers their places: one whose value is not read any more is used again, even by the very
    /// instruction that reads it last. Then come buffers for operands that cannot be used in place.
    fn place(&mut self) {
        let operands = self.operands();
        let mut free: Vec<(usize, usize)> = vec![];
        let mut busy: Vec<(usize, usize, usize)> = vec![]; // last read, size, place
        let mut next = 0;
        let mut order = self.registers.clone();
        order.sort_by_key(|register| register.2);
        for (slot, size, written, read) in order {
            busy.retain(|&(until, size, place)| {
                let keep = until > written;
                if !keep {
                    free.push((size, place));
                }
                keep
            });
            let place = match free.iter().rposition(|&(s, _)| s == size) {
                Some(i) => free.swap_remove(i).1,
                None => {
                    next += size;
                    next - size
                }
            };
            busy.push((read, size, place));
            self.program.homes[slot - operands] = Home::Register(place);
        }
        let streams: usize = self.f.inputs().iter().map(|&ty| table::size(ty)).sum::<usize>()
            + self.program.outputs.iter().map(|o| table::size(o.ty)).sum::<usize>();
        // A block's registers and operands should stay in a level-1 cache of 32 KiB.
        self.program.block = ((24 << 10) / (next + streams).max(1)).clamp(256, 1024) / 64 * 64;
        for (k, &ty) in self.f.inputs().iter().enumerate() {
            self.program.buffers[k] = next;
            next += table::size(ty);
        }
        for output in &mut self.program.outputs {
            let written = output.buffer;
            output.conflicts =
                (0..self.reads.len() as u32).filter(|&i| self.reads[i as usize] > written).collect();
            output.buffer = next;
            next += table::size(output.ty);
        }
        self.program.bytes = next;
    }
}
