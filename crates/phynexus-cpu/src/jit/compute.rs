//! x86-64: the code of one instruction of a program.

use super::asm::{M0F, M0F3A, M0F38, P66, PF3, Rm, Vector};
use super::program::{Inst, One, Test, Two, Value};
use super::registers::Place;
use super::x86::{Emit, INDEX, SCRATCH};
use phynexus_core::DType;

impl Emit<'_> {
    pub fn write(&mut self, output: usize, register: u8, offset: usize) {
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
            DType::U8 if self.asm.wide => {
                let narrow = Vector { prefix: PF3, map: M0F38, opcode: 0x31, w: false }; // vpmovdb
                self.asm.vector(narrow, register, 0, target);
            }
            DType::U8 => self.asm.vector_low(Self::integer(M0F, 0xd6), register, 0, target), // vmovq
            _ => self.asm.vector(self.float(0x11), register, 0, target),
        }
    }

    pub fn read(&mut self, input: usize, target: u8, offset: usize) {
        let dtype = self.program.inputs[input];
        let source = self.memory(input, dtype, offset);
        match dtype {
            DType::F16 => self.asm.vector(Self::integer(M0F38, 0x13), target, 0, source), // vcvtph2ps
            DType::BF16 => {
                self.asm.vector(Self::integer(M0F38, 0x33), target, 0, source); // vpmovzxwd
                self.shift(6, target, target, 16); // vpslld
            }
            DType::U8 => self.asm.vector(Self::integer(M0F38, 0x31), target, 0, source), // vpmovzxbd
            _ => self.asm.vector(self.float(0x10), target, 0, source),
        }
    }

    /// The position of the first element in every lane.
    fn position(&mut self, target: u8, offset: usize) {
        self.asm.address(SCRATCH, Rm::at(INDEX, offset as i32));
        self.in_row();
        let from = Rm::Register(SCRATCH);
        if self.asm.wide {
            self.asm.vector(Self::integer(M0F38, 0x7c), target, 0, from); // vpbroadcastd
        } else {
            self.asm.vector_low(Self::integer(M0F, 0x6e), target, 0, from); // vmovd
            self.asm.vector(Self::integer(M0F38, 0x58), target, 0, Rm::Register(target)); // vpbroadcastd
        }
    }

    /// The instruction of a function of two vectors.
    pub fn two(&self, op: Two) -> Vector {
        match op {
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
            Two::SubInt => Self::integer(M0F, 0xfa),
            Two::MulInt => Self::integer(M0F38, 0x40), // vpmulld
            Two::MulHigh => Self::integer(M0F, 0xe4),  // vpmulhuw
            Two::MinInt => Self::integer(M0F38, 0x39),
            Two::MaxInt => Self::integer(M0F38, 0x3d),
            Two::Lookup => Self::integer(M0F38, 0x16), // vpermps
            Two::Bytes => Self::integer(M0F38, 0x00),  // vpshufb
        }
    }

    /// A shift of integers; `kind` tells them apart.
    fn shift(&mut self, kind: u8, target: u8, from: u8, distance: u8) {
        self.asm.vector(Self::integer(M0F, 0x72), kind, target, Rm::Register(from));
        self.asm.immediate(distance);
    }

    pub fn compute(&mut self, value: Value, target: u8, operands: [Place; 3], offset: usize) {
        let register = |i: usize| match operands[i] {
            Place::Register(r) => r,
            Place::Slot(_) => unreachable!("operand {i} was asked for in a register"),
        };
        let rm = |i: usize| match operands[i] {
            Place::Register(r) => Rm::Register(r),
            Place::Slot(slot) => self.slot(slot),
        };
        match self.program.insts[value] {
            Inst::Const(_) | Inst::Table(_) | Inst::Lanes | Inst::Scalar(_) => {
                unreachable!("constants are made before the loop")
            }
            Inst::LoadRow(_) | Inst::Fold(..) => unreachable!("values of a row are made before its elements"),
            Inst::Load(slot) => self.read(slot, target, offset),
            Inst::Position => self.position(target, offset),
            Inst::One(One::Left(distance), _) => self.shift(6, target, register(0), distance), // vpslld
            Inst::One(One::Right(distance), _) => self.shift(2, target, register(0), distance), // vpsrld
            Inst::One(One::Signed(distance), _) => self.shift(4, target, register(0), distance), // vpsrad
            Inst::One(One::Half, _) => {
                self.asm.vector(Self::integer(M0F3A, 0x1d), register(0), 0, Rm::Register(target)); // vcvtps2ph
                self.asm.immediate(0);
                self.asm.vector(Self::integer(M0F38, 0x13), target, 0, Rm::Register(target)); // vcvtph2ps
            }
            Inst::One(One::AbsInt, _) => self.asm.vector(Self::integer(M0F38, 0x1e), target, 0, rm(0)),
            Inst::One(One::ToFloat, _) => {
                let convert = Vector { prefix: 0, map: M0F, opcode: 0x5b, w: false }; // vcvtdq2ps
                self.asm.vector(convert, target, 0, rm(0));
            }
            Inst::One(One::ToInt, _) => {
                let convert = Vector { prefix: PF3, map: M0F, opcode: 0x5b, w: false }; // vcvttps2dq
                self.asm.vector(convert, target, 0, rm(0));
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
            Inst::Two(Two::Bytes, ..) if self.asm.wide => {
                self.asm.vector(self.float(0x10), target, 0, Rm::Register(register(0))); // the store narrows
            }
            Inst::Two(op, ..) => {
                let op = self.two(op);
                self.asm.vector(op, target, register(0), rm(1));
                if let Inst::Two(Two::Bytes, ..) = self.program.insts[value] {
                    // The words at the bottom of both halves, side by side.
                    let permute = Vector { prefix: P66, map: M0F3A, opcode: 0x00, w: true }; // vpermq
                    self.asm.vector(permute, target, 0, Rm::Register(target));
                    self.asm.immediate(0b1000);
                    self.asm.vector(Self::integer(M0F, 0x70), target, 0, Rm::Register(target)); // vpshufd
                    self.asm.immediate(0b1000);
                }
            }
            Inst::Test(test, ..) => {
                let own = self.mask(value);
                let to = own.unwrap_or(if self.asm.wide { 1 } else { target });
                let (a, b) = (register(0), rm(1));
                let (opcode, kind) = match test {
                    Test::Eq => (self.float(0xc2), Some(0)), // vcmpps
                    Test::Lt => (self.float(0xc2), Some(1)),
                    Test::Le => (self.float(0xc2), Some(2)),
                    Test::NotEq => (self.float(0xc2), Some(4)),
                    Test::NotLt => (self.float(0xc2), Some(5)),
                    Test::NotLe => (self.float(0xc2), Some(6)),
                    Test::EqInt => (Self::integer(M0F, 0x76), None), // vpcmpeqd
                    Test::GtInt => (Self::integer(M0F, 0x66), None), // vpcmpgtd
                };
                self.asm.vector(opcode, to, a, b);
                kind.into_iter().for_each(|kind| self.asm.immediate(kind));
                if self.asm.wide && own.is_none() {
                    let spread = Vector { prefix: PF3, map: M0F38, opcode: 0x38, w: self.program.double }; // vpmovm2d
                    self.asm.vector(spread, target, 0, Rm::Register(1));
                }
            }
            Inst::Select(condition, ..) => {
                let (mask, yes, no) = (register(0), rm(1), register(2));
                if self.asm.wide {
                    let own = self.mask(condition).unwrap_or_else(|| {
                        let signs = Vector { prefix: PF3, map: M0F38, opcode: 0x39, w: self.program.double }; // vpmovd2m
                        self.asm.vector(signs, 1, 0, Rm::Register(mask));
                        1
                    });
                    let blend = Vector { prefix: P66, map: M0F38, opcode: 0x65, w: self.program.double };
                    self.asm.vector_masked(blend, target, no, yes, own);
                } else {
                    let opcode = 0x4a + self.program.double as u8; // vblendvps
                    self.asm.vector(Self::integer(M0F3A, opcode), target, no, yes);
                    self.asm.immediate(mask << 4);
                }
            }
        }
    }
}
