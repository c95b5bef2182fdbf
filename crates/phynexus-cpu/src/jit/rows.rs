//! x86-64: formulas that reduce rows, in several passes over each row, which stays in the level-1 cache meanwhile.
//!
//! Elements are numbered through all rows. The first slot of the frame has, beside the caller's stack pointer, the end of
//! all rows, the length of a row, and the bytes of a row of what is kept from pass to pass: that memory is one row long,
//! so its addresses move back by as much for each row. Addresses of what has one value for each row stay in the table and
//! move on.

use super::asm::{Condition, M0F, M0F3A, Rm, reg};
use super::program::{Inst, Space, Value};
use super::x86::{END, Emit, INDEX, LENGTH, SCRATCH, TABLE};

const LAST: Rm = frame(8);
const ROW: Rm = frame(16);
const KEPT: Rm = frame(24);

const fn frame(displacement: i32) -> Rm {
    Rm::Memory { base: reg::RSP, index: None, displacement }
}

/// Bytes of a value that a row has one of.
const SIZE: i8 = 4;

impl Emit<'_> {
    /// Puts what the arguments say about rows into the frame.
    pub fn enter_rows(&mut self) {
        self.asm.store(LAST, END);
        self.asm.store(ROW, LENGTH);
        self.asm.load(SCRATCH, Rm::Register(LENGTH));
        self.asm.add(SCRATCH, Rm::Register(SCRATCH));
        self.asm.add(SCRATCH, Rm::Register(SCRATCH));
        self.asm.store(KEPT, SCRATCH);
    }

    /// All rows, one after the other.
    pub fn rows(&mut self) {
        let (top, end) = (self.asm.label(), self.asm.label());
        let passes = self.program.passes();
        self.asm.compare(INDEX, LAST);
        self.asm.jump_if(Condition::AboveOrEqual, end);
        self.asm.place(top);
        self.asm.load(END, ROW);
        self.asm.add(END, Rm::Register(INDEX));
        for pass in 0..passes {
            self.pass = pass;
            self.steady(Space::Row, pass);
            self.pins();
            let folds = self.program.folds(pass);
            for &fold in &folds {
                if let Inst::Fold(_, _, neutral) = self.program.insts[fold] {
                    let (register, slot) = (self.running(fold), self.home(neutral));
                    self.asm.vector(self.float(0x10), register, 0, slot);
                }
            }
            self.repeat(1);
            folds.into_iter().for_each(|fold| self.across(fold));
            if pass + 1 < passes {
                self.asm.subtract(INDEX, ROW);
            }
        }
        self.steady(Space::Row, passes);
        self.leave_row();
        self.asm.compare(INDEX, LAST);
        self.asm.jump_if(Condition::Below, top);
        self.asm.place(end);
    }

    /// Writes what the row has one value of, and moves addresses to the next row.
    fn leave_row(&mut self) {
        let inputs = self.program.inputs.len();
        for slot in (0..inputs).filter(|&slot| self.program.insts.contains(&Inst::LoadRow(slot))) {
            self.asm.increase(Rm::at(TABLE, 8 * slot as i32), SIZE);
        }
        for (k, &(value, _)) in self.program.outputs.iter().enumerate() {
            if self.program.is_steady(value) {
                let address = Rm::at(TABLE, 8 * (inputs + k) as i32);
                self.asm.vector(self.float(0x10), 0, 0, self.home(value));
                self.asm.load(SCRATCH, address);
                self.asm.vector_low(Self::integer(M0F, 0x7e), 0, 0, Rm::at(SCRATCH, 0)); // vmovd
                self.asm.increase(address, SIZE);
            }
        }
        for operand in inputs + self.program.outputs.len()..self.bases.len() {
            self.bases[operand].into_iter().for_each(|base| self.asm.subtract(base, KEPT));
        }
    }

    /// Turns the number of an element into its position in the row.
    pub fn in_row(&mut self) {
        if self.program.in_rows() {
            self.asm.subtract(SCRATCH, Rm::Register(END));
            self.asm.add(SCRATCH, ROW);
        }
    }

    /// Joins a vector to what a reduction has so far.
    pub fn join(&mut self, fold: Value, values: Rm) {
        if let Inst::Fold(op, ..) = self.program.insts[fold] {
            let (op, register) = (self.two(op), self.running(fold));
            self.asm.vector(op, register, register, values);
        }
    }

    /// Joins the lanes of a reduction, so that all have the result, and keeps it.
    fn across(&mut self, fold: Value) {
        let (register, other) = (self.running(fold), Rm::Register(0));
        let halves = if self.asm.wide {
            [(Self::integer(M0F3A, 0x43), 0x4e), (Self::integer(M0F3A, 0x43), 0xb1)].to_vec() // vshufi32x4
        } else {
            [(Self::integer(M0F3A, 0x46), 1)].to_vec() // vperm2i128
        };
        for (swap, how) in halves {
            self.asm.vector(swap, 0, register, Rm::Register(register));
            self.asm.immediate(how);
            self.join(fold, other);
        }
        for how in [0x4e, 0xb1] {
            self.asm.vector(Self::integer(M0F, 0x70), 0, 0, Rm::Register(register)); // vpshufd
            self.asm.immediate(how);
            self.join(fold, other);
        }
        self.asm.vector(self.float(0x11), register, 0, self.home(fold));
    }
}
