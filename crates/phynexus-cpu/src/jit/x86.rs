//! x86-64: 256-bit code for AVX2, 512-bit code for AVX-512.
//!
//! The function's frame holds vectors: slot 0 the caller's stack pointer, then the values that are the same for all
//! elements, then what registers had no room for.

use super::asm::{Assembler, Condition, M0F, M0F38, P66, Rm, Vector, reg};
use super::program::{Inst, Program, Space, Value};
use super::registers::{Allocation, Place, Step, allocate};
use phynexus_core::DType;

/// Bytes of the frame: more might step over the guard page below the stack.
const LARGEST_FRAME: usize = 4096 - 128;

/// General registers for the addresses of operands; further ones are fetched when needed.
pub(super) const BASES: [u8; 11] = [reg::RSI, 8, 9, 10, 11, reg::RBX, reg::RBP, 12, 13, 14, 15];
/// How many of them need not be saved.
const FREE: usize = 5;
pub(super) const TABLE: u8 = reg::RDI;
const SCALARS: u8 = reg::RSI;
pub(super) const INDEX: u8 = reg::RDX;
pub(super) const END: u8 = reg::RCX;
pub(super) const LENGTH: u8 = 8;
pub(super) const SCRATCH: u8 = reg::RAX;

/// Code whose vectors have as many bits as `wide` says, and how many elements a vector has; None if the frame would
/// be too large. The code follows the System V convention.
pub(super) fn compile(program: &Program, wide: bool) -> Option<(Vec<u8>, usize)> {
    let (bytes, registers) = if wide { (64, 32) } else { (32, 16) };
    let allocations: Option<Vec<_>> =
        (0..program.passes()).map(|pass| allocate(program, pass, registers)).collect();
    let allocations = allocations?;
    let frame = allocations.iter().map(|pass| (pass.frame + 1) * bytes).max()?;
    let (bases, used) = bases(program)?;
    if frame > LARGEST_FRAME {
        return None;
    }
    let asm = Assembler::new(wide);
    let lanes = bytes / program.lane();
    let (pass, masks) = (0, vec![]);
    let mut emit =
        Emit { program, allocations: &allocations, pass, bases, asm, bytes, lanes, registers, masks };
    emit.function(frame, used);
    Some((emit.asm.finish(), lanes))
}

/// The registers for the addresses of operands, and how many there are. What is kept of a row comes after the outputs
/// and must have one; what has one value for each row has none.
fn bases(program: &Program) -> Option<(Vec<Option<u8>>, usize)> {
    let steady = program.outputs.iter().map(|&(v, _)| program.is_steady(v));
    let by_row = (0..program.inputs.len()).map(|slot| program.insts.contains(&Inst::LoadRow(slot)));
    let mut free = BASES.into_iter();
    let kept: Vec<Option<u8>> = program.kept().iter().map(|_| free.next()).collect();
    let mut bases: Vec<Option<u8>> =
        by_row.chain(steady).map(|none| if none { None } else { free.next() }).collect();
    bases.extend(&kept);
    kept.iter().all(Option::is_some).then(|| (bases, BASES.len() - free.len()))
}

pub(super) struct Emit<'a> {
    pub program: &'a Program,
    allocations: &'a [Allocation],
    pub pass: usize,
    /// The registers that hold the addresses of operands.
    pub bases: Vec<Option<u8>>,
    pub asm: Assembler,
    /// Of a vector.
    bytes: usize,
    pub lanes: usize,
    /// How many vector registers there are.
    registers: usize,
    /// The mask registers of comparisons in the loop that is being written.
    masks: Vec<Option<u8>>,
}

impl Emit<'_> {
    fn function(&mut self, frame: usize, used: usize) {
        let saved = &BASES[FREE.min(used)..used];
        saved.iter().for_each(|&r| self.asm.push(r));
        self.asm.load(SCRATCH, Rm::Register(reg::RSP));
        self.asm.address(reg::RSP, Rm::at(reg::RSP, -(frame as i32)));
        self.asm.and(reg::RSP, -64);
        self.asm.store(Rm::at(reg::RSP, 0), SCRATCH);
        self.steady(Space::Launch, 0);
        let in_rows = self.program.in_rows();
        if in_rows {
            self.enter_rows();
        }
        for (i, base) in self.bases.clone().into_iter().enumerate() {
            base.into_iter().for_each(|base| self.asm.load(base, Rm::at(TABLE, 8 * i as i32)));
        }
        if in_rows {
            self.rows();
        } else {
            self.pins();
            // Short bodies repeat, so that the loop itself weighs less.
            let unroll = (32 / self.allocation().steps.len().max(1)).clamp(1, 4);
            self.repeat(unroll);
            if unroll > 1 {
                self.repeat(1);
            }
        }
        self.asm.vzeroupper();
        self.asm.load(reg::RSP, Rm::at(reg::RSP, 0));
        saved.iter().rev().for_each(|&r| self.asm.pop(r));
        self.asm.ret();
    }

    /// The loop over all that is left in steps of `unroll` vectors.
    pub fn repeat(&mut self, unroll: usize) {
        self.masks = self.mask_registers();
        let (top, end) = (self.asm.label(), self.asm.label());
        let step = Rm::at(INDEX, (unroll * self.lanes) as i32);
        self.asm.address(SCRATCH, step);
        self.asm.compare(SCRATCH, Rm::Register(END));
        self.asm.jump_if(Condition::Above, end);
        self.asm.place(top);
        for k in 0..unroll {
            self.body(k * self.lanes);
        }
        self.asm.address(INDEX, step);
        self.asm.address(SCRATCH, step);
        self.asm.compare(SCRATCH, Rm::Register(END));
        self.asm.jump_if(Condition::BelowOrEqual, top);
        self.asm.place(end);
        self.masks.clear();
    }

    /// The mask register that holds the value of a comparison, if one does.
    pub fn mask(&self, value: Value) -> Option<u8> {
        self.masks.get(value).copied().flatten()
    }

    /// Mask registers (AVX-512) for comparisons of the pass that nothing does but choose: they never become vectors.
    fn mask_registers(&self) -> Vec<Option<u8>> {
        let program = self.program;
        let (mut last, mut chooses) = (vec![None; program.insts.len()], vec![true; program.insts.len()]);
        let steps = &self.allocation().steps;
        for (at, step) in steps.iter().enumerate() {
            match *step {
                Step::Compute { value, .. } => {
                    for (k, operand) in program.insts[value].operands().enumerate() {
                        last[operand] = Some(at);
                        chooses[operand] &= k == 0 && matches!(program.insts[value], Inst::Select(..));
                    }
                }
                Step::Keep { value, .. } | Step::Fold { value, .. } => chooses[value] = false,
                Step::Store { output, .. } => chooses[program.outputs[output].0] = false,
                Step::Fetch { .. } | Step::Reload { .. } | Step::Spill { .. } => {}
            }
        }
        let mut masks = vec![None; program.insts.len()];
        let mut busy: [usize; 6] = [0; 6]; // until which step each is needed
        for (at, step) in steps.iter().enumerate().filter(|_| self.asm.wide) {
            if let Step::Compute { value, .. } = *step
                && let (Inst::Test(..), Some(until), true) =
                    (program.insts[value], last[value], chooses[value])
                && let Some(free) = busy.iter().position(|&until| until <= at)
            {
                busy[free] = until;
                masks[value] = Some(free as u8 + 2); // the first is for what has none
            }
        }
        masks
    }

    pub fn allocation(&self) -> &'_ Allocation {
        &self.allocations[self.pass]
    }

    /// The register of a reduction of this pass.
    pub fn running(&self, fold: Value) -> u8 {
        let folds = self.program.folds(self.pass);
        let number = folds.iter().position(|&f| f == fold).unwrap_or(0);
        (self.registers - folds.len() + number) as u8
    }

    /// Fills the registers that hold steady values throughout the pass.
    pub fn pins(&mut self) {
        for (value, register) in self.allocation().pinned.clone() {
            let slot = self.home(value);
            self.asm.vector(self.float(0x10), register, 0, slot);
        }
    }

    /// The slot of a steady value.
    pub fn home(&self, value: Value) -> Rm {
        self.slot(self.allocation().slots[value].unwrap_or(0))
    }

    /// Fills the slots of values that are the same for all elements.
    pub fn steady(&mut self, space: Space, pass: usize) {
        let broadcast = if self.program.double {
            Vector { prefix: P66, map: M0F38, opcode: 0x19, w: self.asm.wide }
        } else {
            Vector { prefix: P66, map: M0F38, opcode: 0x18, w: false }
        };
        for value in self.program.values(space, pass) {
            let inst = self.program.insts[value];
            let target = self.home(value);
            match inst {
                Inst::Fold(..) => continue, // there since the end of the pass
                Inst::LoadRow(slot) => {
                    self.asm.load(SCRATCH, Rm::at(TABLE, 8 * slot as i32));
                    self.asm.vector(broadcast, 0, 0, Rm::at(SCRATCH, 0));
                }
                Inst::Const(bits) => {
                    self.asm.constant(SCRATCH, bits);
                    self.asm.store(target, SCRATCH);
                    self.asm.vector(broadcast, 0, 0, target);
                }
                Inst::Table(entries) => self.words(target, |lane| entries[lane % 8]),
                Inst::Lanes => self.words(target, |lane| lane as u32),
                Inst::Scalar(slot) => self.asm.vector(broadcast, 0, 0, Rm::at(SCALARS, 8 * slot as i32)),
                _ => {
                    let mut places = [Place::Register(0); 3];
                    for (i, v) in inst.operands().enumerate() {
                        self.asm.vector(self.float(0x10), i as u8 + 1, 0, self.home(v));
                        places[i] = Place::Register(i as u8 + 1);
                    }
                    self.compute(value, 0, places, 0);
                }
            }
            if !matches!(inst, Inst::Table(_) | Inst::Lanes) {
                self.asm.vector(self.float(0x11), 0, 0, target);
            }
        }
    }

    pub fn slot(&self, slot: usize) -> Rm {
        Rm::at(reg::RSP, ((slot + 1) * self.bytes) as i32)
    }

    /// Fills a slot with a word for each lane.
    fn words(&mut self, slot: Rm, word: impl Fn(usize) -> u32) {
        let Rm::Memory { base, displacement, .. } = slot else { return };
        for lane in (0..self.lanes).step_by(2) {
            self.asm.constant(SCRATCH, (word(lane + 1) as u64) << 32 | word(lane) as u64);
            self.asm.store(Rm::at(base, displacement + 4 * lane as i32), SCRATCH);
        }
    }

    /// An instruction of the float type, from map 0F.
    pub fn float(&self, opcode: u8) -> Vector {
        Vector { prefix: self.program.double as u8 * P66, map: M0F, opcode, w: self.double_evex() }
    }

    /// The bit W that tells float types apart in EVEX; in VEX it is 0 or ignored.
    pub fn double_evex(&self) -> bool {
        self.program.double && self.asm.wide
    }

    pub fn integer(map: u8, opcode: u8) -> Vector {
        Vector { prefix: P66, map, opcode, w: false }
    }

    /// The memory of what was kept of a row, `offset` elements after the index.
    fn kept(&mut self, value: Value, offset: usize) -> Rm {
        let number = self.program.kept().iter().position(|&v| v == value).unwrap_or(0);
        let first = self.program.inputs.len() + self.program.outputs.len();
        self.memory(first + number, DType::F32, offset)
    }

    /// The memory of operand `number`, `offset` elements after the index.
    pub fn memory(&mut self, number: usize, dtype: DType, offset: usize) -> Rm {
        let base = self.bases[number].unwrap_or_else(|| {
            self.asm.load(SCRATCH, Rm::at(TABLE, 8 * number as i32));
            SCRATCH
        });
        let size = dtype.size();
        Rm::Memory { base, index: Some((INDEX, size as u8)), displacement: (offset * size) as i32 }
    }

    /// The code for one vector.
    fn body(&mut self, offset: usize) {
        for step in self.allocation().steps.clone() {
            match step {
                Step::Fetch { value, register } | Step::Keep { value, register } => {
                    let opcode = if let Step::Fetch { .. } = step { 0x10 } else { 0x11 };
                    let memory = self.kept(value, offset);
                    self.asm.vector(self.float(opcode), register, 0, memory);
                }
                Step::Fold { value, register } => self.join(value, Rm::Register(register)),
                Step::Reload { register, slot } => {
                    self.asm.vector(self.float(0x10), register, 0, self.slot(slot));
                }
                Step::Spill { register, slot } => {
                    self.asm.vector(self.float(0x11), register, 0, self.slot(slot));
                }
                Step::Compute { value, target, operands } => self.compute(value, target, operands, offset),
                Step::Store { output, register } => self.write(output, register, offset),
            }
        }
    }
}
