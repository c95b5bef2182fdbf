//! Any processor that Cranelift knows, in vectors of 128 bits.

use super::program::{Inst, Item, One, Program, Test, Two};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{
    self, AbiParam, Block, Function, InstBuilder, MemFlagsData, Signature, Type, Value, types,
};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use phynexus_core::{DType, Once};

/// Vectors of one turn of the loop.
const UNROLL: usize = 4;
const POINTER: Type = types::I64;

fn isa() -> Option<&'static OwnedTargetIsa> {
    static ISA: Once<Option<OwnedTargetIsa>> = Once::new();
    ISA.get_or_init(|| {
        let mut flags = settings::builder();
        for (name, value) in
            [("opt_level", "speed"), ("enable_verifier", "false"), ("enable_probestack", "false")]
        {
            flags.set(name, value).ok()?;
        }
        cranelift_native::builder().ok()?.finish(settings::Flags::new(flags)).ok()
    })
    .as_ref()
}

/// The code and how many elements a vector has.
pub(super) fn compile(program: &Program) -> Option<(Vec<u8>, usize)> {
    let half =
        program.inputs.contains(&DType::F16) || program.outputs.iter().any(|(_, dtype)| *dtype == DType::F16);
    let half = half || program.insts.iter().any(|inst| matches!(inst, Inst::One(One::Half, _)));
    if half || !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return None;
    }
    let isa = isa()?;
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params = vec![AbiParam::new(POINTER); 4];
    let mut context = Context::for_function(Function::with_name_signature(Default::default(), signature));
    let lanes = 16 / program.lane();
    let vector = if program.double { types::F64X2 } else { types::F32X4 };
    let mut cursor = FuncCursor::new(&mut context.func);
    let entry = cursor.func.dfg.make_block();
    let [operands, scalars, start, end] =
        [(); 4].map(|()| cursor.func.dfg.append_block_param(entry, POINTER));
    cursor.insert_block(entry);
    let mut emit = Emit { program, cursor, vector, lanes, bases: vec![], values: vec![] };
    emit.invariants(operands, scalars);
    let rest = emit.repeat(start, end, UNROLL);
    emit.repeat(rest, end, 1);
    emit.cursor.ins().return_(&[]);
    let compiled = context.compile(&**isa, &mut ControlPlane::default()).ok()?;
    compiled.buffer.relocs().is_empty().then(|| (compiled.code_buffer().to_vec(), lanes))
}

struct Emit<'a> {
    program: &'a Program,
    cursor: FuncCursor<'a>,
    /// The type that every value has; masks are floats of all ones or zeros.
    vector: Type,
    lanes: usize,
    bases: Vec<Value>,
    values: Vec<Option<Value>>,
}

impl Emit<'_> {
    fn invariants(&mut self, operands: Value, scalars: Value) {
        let count = self.program.inputs.len() + self.program.outputs.len();
        self.bases =
            (0..count).map(|i| self.cursor.ins().load(POINTER, memory(), operands, 8 * i as i32)).collect();
        self.values = vec![None; self.program.insts.len()];
        let lane = self.vector.lane_type();
        for v in (0..self.program.insts.len()).filter(|&v| self.program.is_steady(v)) {
            let one = match self.program.insts[v] {
                Inst::Const(bits) if self.program.double => self.cursor.ins().f64const(f64::from_bits(bits)),
                Inst::Const(bits) => self.cursor.ins().f32const(f32::from_bits(bits as u32)),
                Inst::Table(_) => continue, // only looked up
                Inst::Lanes => {
                    let lanes = [0u32, 1, 2, 3].iter().flat_map(|lane| lane.to_le_bytes()).collect();
                    let lanes = self.cursor.func.dfg.constants.insert(lanes);
                    self.values[v] = Some(self.cursor.ins().vconst(self.vector, lanes));
                    continue;
                }
                Inst::Scalar(slot) => self.cursor.ins().load(lane, memory(), scalars, 8 * slot as i32),
                _ => {
                    self.values[v] = Some(self.compute(v, scalars, 0));
                    continue;
                }
            };
            self.values[v] = Some(self.cursor.ins().splat(self.vector, one));
        }
    }

    /// The loop in steps of `unroll` vectors; returns the first element that it leaves.
    fn repeat(&mut self, start: Value, end: Value, unroll: usize) -> Value {
        let [top, body, done] = [(); 3].map(|()| self.cursor.func.dfg.make_block());
        let index = self.block_parameter(top);
        let left = self.block_parameter(done);
        self.cursor.ins().jump(top, &[start.into()]);
        self.cursor.insert_block(top);
        let next = self.cursor.ins().iadd_imm_s(index, (unroll * self.lanes) as i64);
        let fits = self.cursor.ins().icmp(IntCC::UnsignedLessThanOrEqual, next, end);
        self.cursor.ins().brif(fits, body, &[], done, &[index.into()]);
        self.cursor.insert_block(body);
        for k in 0..unroll {
            self.body(index, k * self.lanes);
        }
        self.cursor.ins().jump(top, &[next.into()]);
        self.cursor.insert_block(done);
        left
    }

    fn block_parameter(&mut self, block: Block) -> Value {
        self.cursor.func.dfg.append_block_param(block, POINTER)
    }

    fn body(&mut self, index: Value, offset: usize) {
        for item in self.program.body(0) {
            match item {
                Item::Inst(v) => self.values[v] = Some(self.compute(v, index, offset)),
                Item::Store(k) => self.store(k, index, offset),
                Item::Fetch(_) | Item::Keep(_) | Item::Fold(_) => unreachable!("rows are not compiled"),
            }
        }
    }

    fn value(&self, v: usize) -> Value {
        self.values[v].expect("operands come before their users")
    }

    /// Address and displacement of an operand's elements.
    fn address(&mut self, operand: usize, dtype: DType, index: Value, offset: usize) -> (Value, i32) {
        let size = dtype.size();
        let distance = self.cursor.ins().ishl_imm_u(index, size.trailing_zeros() as i64);
        (self.cursor.ins().iadd(self.bases[operand], distance), (offset * size) as i32)
    }

    fn store(&mut self, output: usize, index: Value, offset: usize) {
        let (v, dtype) = self.program.outputs[output];
        let (address, displacement) = self.address(self.program.inputs.len() + output, dtype, index, offset);
        let value = self.value(v);
        let value = if dtype == DType::BF16 {
            let lanes = self.bits(value);
            let halves = self.cursor.ins().unarrow(lanes, lanes);
            let pairs = self.cast(types::I64X2, halves);
            self.cursor.ins().extractlane(pairs, 0)
        } else if dtype == DType::U8 {
            let lanes = self.bits(value);
            let halves = self.cursor.ins().unarrow(lanes, lanes);
            let bytes = self.cursor.ins().unarrow(halves, halves);
            let words = self.cast(types::I32X4, bytes);
            self.cursor.ins().extractlane(words, 0)
        } else {
            value
        };
        self.cursor.ins().store(memory(), value, address, displacement);
    }

    fn cast(&mut self, ty: Type, value: Value) -> Value {
        let flags = MemFlagsData::new().with_endianness(ir::Endianness::Little);
        self.cursor.ins().bitcast(ty, flags, value)
    }

    fn bits(&mut self, value: Value) -> Value {
        self.cast(self.vector.as_truthy(), value)
    }

    fn compute(&mut self, v: usize, index: Value, offset: usize) -> Value {
        let result = match self.program.insts[v] {
            Inst::Const(_) | Inst::Table(_) | Inst::Lanes | Inst::Scalar(_) => self.value(v),
            Inst::LoadRow(_) | Inst::Fold(..) => unreachable!("rows are not compiled"),
            Inst::Position => {
                let first = self.cursor.ins().iadd_imm_s(index, offset as i64);
                let first = self.cursor.ins().ireduce(types::I32, first);
                self.cursor.ins().splat(types::I32X4, first)
            }
            Inst::Load(slot) => {
                let dtype = self.program.inputs[slot];
                let (address, displacement) = self.address(slot, dtype, index, offset);
                if dtype == DType::BF16 {
                    let halves = self.cursor.ins().uload16x4(memory(), address, displacement);
                    let half = self.cursor.ins().iconst(types::I32, 16);
                    self.cursor.ins().ishl(halves, half)
                } else if dtype == DType::U8 {
                    let word = self.cursor.ins().load(types::I32, memory(), address, displacement);
                    let word = self.cursor.ins().scalar_to_vector(types::I32X4, word);
                    let bytes = self.cast(types::I8X16, word);
                    let halves = self.cursor.ins().uwiden_low(bytes);
                    self.cursor.ins().uwiden_low(halves)
                } else {
                    self.cursor.ins().load(self.vector, memory(), address, displacement)
                }
            }
            Inst::One(op, a) => {
                let a = self.value(a);
                match op {
                    One::Sqrt => self.cursor.ins().sqrt(a),
                    One::Floor => self.cursor.ins().floor(a),
                    One::Ceil => self.cursor.ins().ceil(a),
                    One::Round => self.cursor.ins().nearest(a),
                    One::Left(distance) | One::Right(distance) | One::Signed(distance) => {
                        let a = self.bits(a);
                        let distance = self.cursor.ins().iconst(types::I32, distance as i64);
                        match op {
                            One::Left(_) => self.cursor.ins().ishl(a, distance),
                            One::Right(_) => self.cursor.ins().ushr(a, distance),
                            _ => self.cursor.ins().sshr(a, distance),
                        }
                    }
                    One::AbsInt => {
                        let a = self.bits(a);
                        self.cursor.ins().iabs(a)
                    }
                    One::ToFloat => {
                        let a = self.bits(a);
                        self.cursor.ins().fcvt_from_sint(self.vector, a)
                    }
                    One::ToInt => self.cursor.ins().fcvt_to_sint_sat(types::I32X4, a),
                    One::Narrow | One::Half => a, // the store narrows; halves are left to the interpreter
                }
            }
            Inst::Two(Two::MulHigh, a, b) => {
                let [a, b] = [a, b].map(|v| {
                    let (v, half) = (self.value(v), self.cursor.ins().iconst(types::I32, 16));
                    let v = self.bits(v);
                    self.cursor.ins().ushr(v, half)
                });
                let (product, mask) = (self.cursor.ins().imul(a, b), !0xffff_i64 as i32 as i64);
                let mask = self.cursor.ins().iconst(types::I32, mask & u32::MAX as i64);
                let mask = self.cursor.ins().splat(types::I32X4, mask);
                self.cursor.ins().band(product, mask)
            }
            Inst::Two(Two::Lookup, index, table) => self.lookup(index, table),
            Inst::Two(Two::Bytes, a, _) => {
                let (a, mask) = (self.value(a), self.cursor.ins().iconst(types::I32, 255));
                let (a, mask) = (self.bits(a), self.cursor.ins().splat(types::I32X4, mask));
                self.cursor.ins().band(a, mask)
            }
            Inst::Test(test @ (Test::EqInt | Test::GtInt), a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                let (a, b) = (self.bits(a), self.bits(b));
                let condition = if test == Test::EqInt { IntCC::Equal } else { IntCC::SignedGreaterThan };
                self.cursor.ins().icmp(condition, a, b)
            }
            Inst::Two(op, a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                self.two(op, a, b)
            }
            Inst::Test(test, a, b) => {
                let (a, b) = (self.value(a), self.value(b));
                let (condition, opposite) = match test {
                    Test::Eq => (FloatCC::Equal, false),
                    Test::Lt => (FloatCC::LessThan, false),
                    Test::Le => (FloatCC::LessThanOrEqual, false),
                    Test::NotEq => (FloatCC::NotEqual, false),
                    Test::NotLt => (FloatCC::LessThan, true),
                    Test::NotLe => (FloatCC::LessThanOrEqual, true),
                    Test::EqInt | Test::GtInt => unreachable!("done above"),
                };
                let mask = self.cursor.ins().fcmp(condition, a, b);
                if opposite { self.cursor.ins().bnot(mask) } else { mask }
            }
            Inst::Select(mask, yes, no) => {
                let (mask, yes, no) = (self.value(mask), self.value(yes), self.value(no));
                self.cursor.ins().bitselect(mask, yes, no)
            }
        };
        if self.cursor.func.dfg.value_type(result) == self.vector {
            result
        } else {
            self.cast(self.vector, result)
        }
    }

    /// The entry of a constant table for each lane, one entry after the other.
    fn lookup(&mut self, index: usize, table: usize) -> Value {
        let Inst::Table(entries) = self.program.insts[table] else { unreachable!("tables are constants") };
        let (index, mask) = (self.value(index), self.cursor.ins().iconst(types::I32, 7));
        let (index, mask) = (self.bits(index), self.cursor.ins().splat(types::I32X4, mask));
        let index = self.cursor.ins().band(index, mask);
        let entry = |emit: &mut Self, k: usize| {
            let word = emit.cursor.ins().iconst(types::I32, entries[k] as i32 as i64);
            emit.cursor.ins().splat(types::I32X4, word)
        };
        let mut result = entry(self, 0);
        for k in 1..8 {
            let (number, value) = (self.cursor.ins().iconst(types::I32, k as i64), entry(self, k));
            let number = self.cursor.ins().splat(types::I32X4, number);
            let found = self.cursor.ins().icmp(IntCC::Equal, index, number);
            result = self.cursor.ins().bitselect(found, value, result);
        }
        result
    }

    fn two(&mut self, op: Two, a: Value, b: Value) -> Value {
        let condition = match op {
            Two::Add => return self.cursor.ins().fadd(a, b),
            Two::Sub => return self.cursor.ins().fsub(a, b),
            Two::Mul => return self.cursor.ins().fmul(a, b),
            Two::Div => return self.cursor.ins().fdiv(a, b),
            Two::Min => FloatCC::LessThan,
            Two::Max => FloatCC::GreaterThan,
            _ => {
                let (a, b) = (self.bits(a), self.bits(b));
                return match op {
                    Two::And => self.cursor.ins().band(a, b),
                    Two::Or => self.cursor.ins().bor(a, b),
                    Two::Xor => self.cursor.ins().bxor(a, b),
                    Two::AddInt => self.cursor.ins().iadd(a, b),
                    Two::SubInt => self.cursor.ins().isub(a, b),
                    Two::MulInt => self.cursor.ins().imul(a, b),
                    Two::MinInt => self.cursor.ins().smin(a, b),
                    Two::MaxInt => self.cursor.ins().smax(a, b),
                    _ => {
                        let a = self.cursor.ins().bnot(a);
                        self.cursor.ins().band(a, b)
                    }
                };
            }
        };
        let mask = self.cursor.ins().fcmp(condition, a, b);
        let mask = self.cast(self.vector, mask);
        self.cursor.ins().bitselect(mask, a, b)
    }
}

/// Any alignment; the addresses are valid.
fn memory() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}
