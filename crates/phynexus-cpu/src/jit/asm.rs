//! The x86-64 instructions that compiled formulas are made of, as bytes.
//!
//! Vector instructions have one description each and come out VEX-encoded (AVX2, 256 bits, 16 registers) or
//! EVEX-encoded (AVX-512, 512 bits, 32 registers). Displacements are never compressed: 8 bits or 32 with VEX, none or 32 with EVEX.

/// General registers by their number.
pub(super) mod reg {
    pub const RAX: u8 = 0;
    pub const RCX: u8 = 1;
    pub const RDX: u8 = 2;
    pub const RBX: u8 = 3;
    pub const RSP: u8 = 4;
    pub const RBP: u8 = 5;
    pub const RSI: u8 = 6;
    pub const RDI: u8 = 7;
}

/// The operand of an instruction that may be in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rm {
    /// A vector, mask or general register.
    Register(u8),
    /// `[base + index * scale + displacement]`
    Memory { base: u8, index: Option<(u8, u8)>, displacement: i32 },
}

impl Rm {
    pub fn at(base: u8, displacement: i32) -> Rm {
        Rm::Memory { base, index: None, displacement }
    }
}

/// A vector instruction: mandatory prefix (`pp`), opcode map, opcode and the bit W.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector {
    pub prefix: u8,
    pub map: u8,
    pub opcode: u8,
    pub w: bool,
}

/// Mandatory prefixes and opcode maps.
pub(super) const P66: u8 = 1;
pub(super) const PF3: u8 = 2;
pub(super) const M0F: u8 = 1;
pub(super) const M0F38: u8 = 2;
pub(super) const M0F3A: u8 = 3;

/// Where a jump goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// Conditions of jumps, unsigned.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition {
    Above = 7,
    BelowOrEqual = 6,
    Below = 2,
    AboveOrEqual = 3,
}

/// Code as it grows.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    pub code: Vec<u8>,
    /// EVEX instead of VEX.
    pub wide: bool,
    labels: Vec<usize>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    pub fn new(wide: bool) -> Assembler {
        Assembler { wide, ..Assembler::default() }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.code.extend_from_slice(bytes);
    }

    /// ModRM, SIB and displacement.
    fn operand(&mut self, reg: u8, rm: Rm, short: bool) {
        let reg = (reg & 7) << 3;
        let Rm::Memory { base, index, displacement } = rm else {
            let Rm::Register(rm) = rm else { unreachable!() };
            return self.code.push(0xc0 | reg | rm & 7);
        };
        // rbp and r13 as a base always come with a displacement.
        let mode = match displacement {
            0 if base & 7 != reg::RBP => 0x00,
            -128..=127 if short => 0x40,
            _ => 0x80,
        };
        match index {
            None if base & 7 != reg::RSP => self.code.push(mode | reg | base & 7),
            _ => {
                let (index, scale) = index.unwrap_or((reg::RSP, 1)); // rsp as an index means none
                let scale = scale.trailing_zeros() as u8;
                self.bytes(&[mode | reg | 4, scale << 6 | (index & 7) << 3 | base & 7]);
            }
        }
        match mode {
            0x40 => self.code.push(displacement as u8),
            0x80 => self.bytes(&displacement.to_le_bytes()),
            _ => {}
        }
    }

    /// A vector instruction; `source` is 0 where it has no second register operand, `mask` an EVEX write mask or 0.
    pub fn vector_masked(&mut self, op: Vector, reg: u8, source: u8, rm: Rm, mask: u8) {
        let (x, b) = match rm {
            Rm::Register(r) => (r >> 4 & 1, r >> 3 & 1),
            Rm::Memory { base, index, .. } => (index.map_or(0, |(i, _)| i >> 3 & 1), base >> 3 & 1),
        };
        let r = reg >> 3 & 1;
        let w = (op.w as u8) << 7;
        if self.wide {
            let first = (r << 7 | x << 6 | b << 5 | (reg >> 4 & 1) << 4) ^ 0xf0 | op.map;
            let second = w | ((source & 15) << 3) ^ 0x78 | 0x04 | op.prefix;
            let third = 0x40 | ((source >> 4 & 1) << 3) ^ 0x08 | mask;
            self.bytes(&[0x62, first, second, third, op.opcode]);
        } else {
            let first = (r << 7 | x << 6 | b << 5) ^ 0xe0 | op.map;
            let second = w | ((source & 15) << 3) ^ 0x78 | 0x04 | op.prefix;
            self.bytes(&[0xc4, first, second, op.opcode]);
        }
        let short = !self.wide;
        self.operand(reg, rm, short);
    }

    pub fn vector(&mut self, op: Vector, reg: u8, source: u8, rm: Rm) {
        self.vector_masked(op, reg, source, rm, 0);
    }

    /// The same on the lowest 128 bits, VEX-encoded.
    pub fn vector_low(&mut self, op: Vector, reg: u8, source: u8, rm: Rm) {
        let (length, wide) = (self.code.len() + 2, std::mem::take(&mut self.wide));
        self.vector(op, reg, source, rm);
        self.code[length] &= !0x04;
        self.wide = wide;
    }

    /// An 8-bit constant that ends an instruction.
    pub fn immediate(&mut self, byte: u8) {
        self.code.push(byte);
    }

    pub fn vzeroupper(&mut self) {
        self.bytes(&[0xc5, 0xf8, 0x77]);
    }

    /// A 64-bit instruction on general registers.
    fn general(&mut self, opcode: u8, reg: u8, rm: Rm) {
        let (x, b) = match rm {
            Rm::Register(r) => (0, r >> 3),
            Rm::Memory { base, index, .. } => (index.map_or(0, |(i, _)| i >> 3), base >> 3),
        };
        self.bytes(&[0x48 | (reg >> 3) << 2 | x << 1 | b, opcode]);
        self.operand(reg, rm, true);
    }

    /// `reg = rm`
    pub fn load(&mut self, reg: u8, rm: Rm) {
        self.general(0x8b, reg, rm);
    }

    /// `rm = reg`
    pub fn store(&mut self, rm: Rm, reg: u8) {
        self.general(0x89, reg, rm);
    }

    /// `reg = address of rm`
    pub fn address(&mut self, reg: u8, rm: Rm) {
        self.general(0x8d, reg, rm);
    }

    pub fn constant(&mut self, reg: u8, value: u64) {
        self.bytes(&[0x48 | reg >> 3, 0xb8 | reg & 7]);
        self.bytes(&value.to_le_bytes());
    }

    /// `reg &= value`
    pub fn and(&mut self, reg: u8, value: i8) {
        self.general(0x83, 4, Rm::Register(reg));
        self.immediate(value as u8);
    }

    /// `rm += value`
    pub fn increase(&mut self, rm: Rm, value: i8) {
        self.general(0x83, 0, rm);
        self.immediate(value as u8);
    }

    /// `reg += rm`
    pub fn add(&mut self, reg: u8, rm: Rm) {
        self.general(0x03, reg, rm);
    }

    /// `reg -= rm`
    pub fn subtract(&mut self, reg: u8, rm: Rm) {
        self.general(0x2b, reg, rm);
    }

    pub fn compare(&mut self, a: u8, b: Rm) {
        self.general(0x3b, a, b);
    }

    pub fn push(&mut self, reg: u8) {
        self.bytes(&[0x40 | reg >> 3, 0x50 | reg & 7]);
    }

    pub fn pop(&mut self, reg: u8) {
        self.bytes(&[0x40 | reg >> 3, 0x58 | reg & 7]);
    }

    pub fn ret(&mut self) {
        self.code.push(0xc3);
    }

    /// A label that has not been placed yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(usize::MAX);
        Label(self.labels.len() - 1)
    }

    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = self.code.len();
    }

    pub fn jump_if(&mut self, condition: Condition, label: Label) {
        self.bytes(&[0x0f, 0x80 | condition as u8, 0, 0, 0, 0]);
        self.jumps.push((self.code.len(), label));
    }

    /// The finished code.
    pub fn finish(mut self) -> Vec<u8> {
        for (end, label) in self.jumps {
            let distance = self.labels[label.0] as i32 - end as i32;
            self.code[end - 4..end].copy_from_slice(&distance.to_le_bytes());
        }
        self.code
    }
}
