//! x86-64: 256-bit code for AVX2, 512-bit code for AVX-512.
//!
//! The function's frame holds vectors: slot 0 the caller's stack pointer, then the values that are the same for all
//! elements, then what registers had no room for.

use super::asm::{Assembler, Condition, M0F, M0F3A, M0F38, P66, PF3, Rm, Vector, reg};
use super::program::{Inst, One, Program, Test, Two, Value};
use super::registers::{Allocation, Place, Step, allocate};
use phynexus_core::DType;

/// Bytes of the frame: more might step over the guard page below the stack.
const LARGEST_FRAME: usize = 4096 - 128;

/// General registers for the addresses of operands; further ones are fetched when needed.
const BASES: [u8; 11] = [reg::RSI, 8, 9, 10, 11, reg::RBX, reg::RBP, 12, 13, 14, 15];
/// How many of them need not be saved.
const FREE: usize = 5;
const TABLE: u8 = reg::RDI;
const SCALARS: u8 = reg::RSI;
const INDEX: u8 = reg::RDX;
const END: u8 = reg::RCX;
const SCRATCH: u8 = reg::RAX;

/// Code whose vectors have as many bits as `wide` says, and how many elements a vector has; None if the frame would
/// be too large. The code follows the System V convention.
pub(super) fn compile(program: &Program, wide: bool) -> Option<(Vec<u8>, usize)> {
    let allocation = allocate(program, if wide { 32 } else { 16 });
    let bytes = if wide { 64 } else { 32 };
    if (allocation.frame + 1) * bytes > LARGEST_FRAME {
        return None;
    }
    let asm = Assembler::new(wide);
    let mut emit = Emit { program, allocation: &allocation, asm, bytes, lanes: bytes / program.lane() };
    emit.function();
    Some((emit.asm.finish(), emit.lanes))
}

struct Emit<'a> {
    program: &'a Program,
    allocation: &'a Allocation,
    asm: Assembler,
    /// Of a vector.
    bytes: usize,
    lanes: usize,
}

impl Emit<'_> {
    fn function(&mut self) {
        let operands = self.program.inputs.len() + self.program.outputs.len();
        let saved = &BASES[FREE.min(operands)..operands.min(BASES.len())];
        saved.iter().for_each(|&r| self.asm.push(r));
        self.asm.load(SCRATCH, Rm::Register(reg::RSP));
        let frame = (self.allocation.frame + 1) * self.bytes;
        self.asm.address(reg::RSP, Rm::at(reg::RSP, -(frame as i32)));
        self.asm.and(reg::RSP, -64);
        self.asm.store(Rm::at(reg::RSP, 0), SCRATCH);
        self.invariants();
        for (i, &base) in BASES.iter().enumerate().take(operands) {
            self.asm.load(base, Rm::at(TABLE, 8 * i as i32));
        }
        // Short bodies repeat, so that the loop itself weighs less.
        let unroll = (32 / self.allocation.steps.len().max(1)).clamp(1, 4);
        self.repeat(unroll);
        if unroll > 1 {
            self.repeat(1);
        }
        self.asm.vzeroupper();
        self.asm.load(reg::RSP, Rm::at(reg::RSP, 0));
        saved.iter().rev().for_each(|&r| self.asm.pop(r));
        self.asm.ret();
    }

    /// The loop over all that is left in steps of `unroll` vectors.
    fn repeat(&mut self, unroll: usize) {
        let (top, end) = (self.asm.label(), self.asm.label());
        let step = Rm::at(INDEX, (unroll * self.lanes) as i32);
        self.asm.address(SCRATCH, step);
        self.asm.compare(SCRATCH, END);
        self.asm.jump_if(Condition::Above, end);
        self.asm.place(top);
        for k in 0..unroll {
            self.body(k * self.lanes);
        }
        self.asm.address(INDEX, step);
        self.asm.address(SCRATCH, step);
        self.asm.compare(SCRATCH, END);
        self.asm.jump_if(Condition::BelowOrEqual, top);
        self.asm.place(end);
    }

    /// Fills the slots of the values that are the same for all elements, then the registers of some.
    fn invariants(&mut self) {
        let broadcast = if self.program.double {
            Vector { prefix: P66, map: M0F38, opcode: 0x19, w: self.asm.wide }
        } else {
            Vector { prefix: P66, map: M0F38, opcode: 0x18, w: false }
        };
        for value in (0..self.program.insts.len()).filter(|&v| self.program.invariant[v]) {
            let inst = self.program.insts[value];
            let target = self.slot(self.allocation.slots[value].unwrap_or(0));
            match inst {
                Inst::Const(bits) => {
                    self.asm.constant(SCRATCH, bits);
                    self.asm.store(target, SCRATCH);
                    self.asm.vector(broadcast, 0, 0, target);
                }
                Inst::Scalar(slot) => self.asm.vector(broadcast, 0, 0, Rm::at(SCALARS, 8 * slot as i32)),
                _ => {
                    let mut places = [Place::Register(0); 3];
                    for (i, v) in inst.operands().enumerate() {
                        let slot = self.slot(self.allocation.slots[v].unwrap_or(0));
                        self.asm.vector(self.float(0x10), i as u8 + 1, 0, slot);
                        places[i] = Place::Register(i as u8 + 1);
                    }
                    self.compute(value, 0, places, 0);
                }
            }
            self.asm.vector(self.float(0x11), 0, 0, target);
        }
        for &(value, register) in &self.allocation.pinned {
            let slot = self.slot(self.allocation.slots[value].unwrap_or(0));
            self.asm.vector(self.float(0x10), register, 0, slot);
        }
    }

    fn slot(&self, slot: usize) -> Rm {
        Rm::at(reg::RSP, ((slot + 1) * self.bytes) as i32)
    }

    /// An instruction of the float type, from map 0F.
    fn float(&self, opcode: u8) -> Vector {
        Vector { prefix: self.program.double as u8 * P66, map: M0F, opcode, w: self.double_evex() }
    }

    /// The bit W that tells float types apart in EVEX; in VEX it is 0 or ignored.
    fn double_evex(&self) -> bool {
        self.program.double && self.asm.wide
    }

    fn integer(map: u8, opcode: u8) -> Vector {
        Vector { prefix: P66, map, opcode, w: false }
    }

    /// The memory of operand `number`, `offset` elements after the index.
    fn memory(&mut self, number: usize, dtype: DType, offset: usize) -> Rm {
        let base = BASES.get(number).copied().unwrap_or_else(|| {
            self.asm.load(SCRATCH, Rm::at(TABLE, 8 * number as i32));
            SCRATCH
        });
        let size = dtype.size();
        Rm::Memory { base, index: Some((INDEX, size as u8)), displacement: (offset * size) as i32 }
    }

    /// The code for one vector.
    fn body(&mut self, offset: usize) {
        for &step in &self.allocation.steps {
            match step {
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

    fn write(&mut self, output: usize, register: u8, offset: usize) {
        let dtype = self.program.outputs[output].1;
        let target = self.memory(self.program.inputs.len() + output, dtype, offset);
        match dtype {
            DType::F16 => {
                self.asm.vector(Self::integer(M0F3A, 0x1d), register, 0, target); // vcvtps2ph
                self.asm.immediate(0); // to nearest even
            }
            DType::BF16 if self.asm.wide => {
                let narrow = Vector { prefix: PF3, map: M0F38, opcode: 0x33, w: false }; // vpmovdw
                self.asm.vector(narrow, register, 0, target);
            }
            DType::BF16 => {
                let low_half = Self::integer(M0F3A, 0x39); // vextracti128
                self.asm.vector(low_half, register, 0, target);
                self.asm.immediate(0);
            }
            _ => self.asm.vector(self.float(0x11), register, 0, target),
        }
    }

    fn read(&mut self, input: usize, target: u8, offset: usize) {
        let dtype = self.program.inputs[input];
        let source = self.memory(input, dtype, offset);
        match dtype {
            DType::F16 => self.asm.vector(Self::integer(M0F38, 0x13), target, 0, source), // vcvtph2ps
            DType::BF16 => {
                self.asm.vector(Self::integer(M0F38, 0x33), target, 0, source); // vpmovzxwd
                self.asm.vector(Self::integer(M0F, 0x72), 6, target, Rm::Register(target)); // vpslld
                self.asm.immediate(16);
            }
            _ => self.asm.vector(self.float(0x10), target, 0, source),
        }
    }

    fn compute(&mut self, value: Value, target: u8, operands: [Place; 3], offset: usize) {
        let register = |i: usize| match operands[i] {
            Place::Register(r) => r,
            Place::Slot(_) => unreachable!("operand {i} was asked for in a register"),
        };
        let rm = |i: usize| match operands[i] {
            Place::Register(r) => Rm::Register(r),
            Place::Slot(slot) => self.slot(slot),
        };
        match self.program.insts[value] {
            Inst::Const(_) | Inst::Scalar(_) => unreachable!("constants are made before the loop"),
            Inst::Load(slot) => self.read(slot, target, offset),
            Inst::One(One::High, _) => {
                self.asm.vector(Self::integer(M0F, 0x72), 2, target, Rm::Register(register(0))); // vpsrld
                self.asm.immediate(16);
            }
            Inst::One(One::Narrow, _) if self.asm.wide => {
                self.asm.vector(self.float(0x10), target, 0, rm(0)); // the store narrows
            }
            Inst::One(One::Narrow, _) => {
                let a = register(0);
                self.asm.vector(Self::integer(M0F38, 0x2b), target, a, Rm::Register(a)); // vpackusdw
                let permute = Vector { prefix: P66, map: M0F3A, opcode: 0x00, w: true }; // vpermq
                self.asm.vector(permute, target, 0, Rm::Register(target));
                self.asm.immediate(0b1000);
            }
            Inst::One(One::Sqrt, _) => self.asm.vector(self.float(0x51), target, 0, rm(0)),
            Inst::One(op, _) => {
                let opcode = 0x08 + self.program.double as u8; // vroundps, vrndscaleps
                let round = Vector { prefix: P66, map: M0F3A, opcode, w: self.double_evex() };
                self.asm.vector(round, target, 0, rm(0));
                self.asm.immediate(match op {
                    One::Floor => 9,
                    One::Ceil => 10,
                    _ => 8,
                });
            }
            Inst::Two(op, ..) => {
                let op = match op {
                    Two::Add => self.float(0x58),
                    Two::Mul => self.float(0x59),
                    Two::Sub => self.float(0x5c),
                    Two::Min => self.float(0x5d),
                    Two::Div => self.float(0x5e),
                    Two::Max => self.float(0x5f),
                    Two::And => self.float(0x54),
                    Two::AndNot => self.float(0x55),
                    Two::Or => self.float(0x56),
                    Two::Xor => self.float(0x57),
                    Two::AddInt => Self::integer(M0F, 0xfe),
                };
                self.asm.vector(op, target, register(0), rm(1));
            }
            Inst::Test(test, ..) => {
                let (to, a, b) = (if self.asm.wide { 1 } else { target }, register(0), rm(1));
                self.asm.vector(self.float(0xc2), to, a, b); // vcmpps
                self.asm.immediate(match test {
                    Test::Eq => 0,
                    Test::Lt => 1,
                    Test::Le => 2,
                    Test::NotEq => 4,
                    Test::NotLt => 5,
                    Test::NotLe => 6,
                });
                if self.asm.wide {
                    let spread = Vector { prefix: PF3, map: M0F38, opcode: 0x38, w: self.program.double }; // vpmovm2d
                    self.asm.vector(spread, target, 0, Rm::Register(1));
                }
            }
            Inst::Select(..) => {
                let (mask, yes, no) = (register(0), rm(1), register(2));
                if self.asm.wide {
                    let signs = Vector { prefix: PF3, map: M0F38, opcode: 0x39, w: self.program.double }; // vpmovd2m
                    self.asm.vector(signs, 1, 0, Rm::Register(mask));
                    let blend = Vector { prefix: P66, map: M0F38, opcode: 0x65, w: self.program.double };
                    self.asm.vector_masked(blend, target, no, yes, 1);
                } else {
                    let opcode = 0x4a + self.program.double as u8; // vblendvps
                    self.asm.vector(Self::integer(M0F3A, opcode), target, no, yes);
                    self.asm.immediate(mask << 4);
                }
            }
        }
    }
}
