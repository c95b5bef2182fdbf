//! The 512-bit code on processors without AVX-512: disassembled by objdump and interpreted instruction by instruction.

mod formulas;

use formulas::{Case, Rng, mixed_formula, random_formula};
use half::f16;
use phynexus_core::DType;
use phynexus_cpu::jit::Backend;
use phynexus_formula::{Builder, Id, Reduction, Type, Unary};
use std::collections::HashMap;
use std::io::Write;
use std::process::Command;

/// Address, mnemonic and operands of each instruction; None where there is no objdump, which is said on stderr past the
/// harness, and an error where `NEURENIX_NO_SKIP` is set.
fn disassemble(code: &[u8], name: &str) -> Option<Vec<(u64, String, Vec<String>)>> {
    let path = std::env::temp_dir().join(format!("phynexus-{name}-{}.bin", std::process::id()));
    std::fs::write(&path, code).unwrap();
    let output = Command::new("objdump")
        .args(["-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "--no-show-raw-insn"])
        .arg(&path)
        .output();
    std::fs::remove_file(&path).unwrap();
    let Ok(output) = output else {
        assert!(std::env::var_os("NEURENIX_NO_SKIP").is_none(), "there is no objdump");
        let test = std::thread::current().name().unwrap_or("a test").to_string();
        let line = format!("SKIPPED {test}: there is no objdump (binutils)\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(":\t"));
    Some(
        lines
            .map(|(address, rest)| {
                let rest = rest.trim().trim_start_matches("rex ");
                let (mnemonic, operands) = rest.split_once(' ').unwrap_or((rest, ""));
                let operands = operands.split(',').map(|o| o.trim().to_string()).collect();
                (u64::from_str_radix(address.trim(), 16).unwrap(), mnemonic.to_string(), operands)
            })
            .collect(),
    )
}

type Lanes = [u8; 64];

/// Registers; memory is the memory of this process.
struct Machine {
    general: [u64; 16],
    vectors: [Lanes; 32],
    masks: [u64; 8],
}

const GENERAL: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn general(text: &str) -> Option<usize> {
    GENERAL.iter().position(|r| *r == text)
}

fn register(text: &str, kind: &str) -> Option<usize> {
    text.split('{').next()?.strip_prefix(kind)?.parse().ok()
}

/// The number of a 512-bit register, or of its lower half.
fn vector(text: &str) -> usize {
    register(text, "zmm").or(register(text, "ymm")).unwrap()
}

impl Machine {
    fn address(&self, operand: &str) -> Option<u64> {
        let inside = operand.split_once('[')?.1.strip_suffix(']')?.replace('-', "+-");
        let term = |t: &str| match (t.strip_prefix('-'), t.split_once('*')) {
            (Some(t), _) => number(t).unwrap().wrapping_neg(),
            (_, Some((r, scale))) => self.general[general(r).unwrap()] * scale.parse::<u64>().unwrap(),
            _ => number(t).unwrap_or_else(|| self.general[general(t).unwrap()]),
        };
        Some(inside.split('+').map(term).fold(0, u64::wrapping_add))
    }

    fn word(&self, operand: &str) -> u64 {
        match self.address(operand) {
            // SAFETY: the code under test reads operands, its table and its stack alone, or this test shows it.
            Some(address) => unsafe { (address as *const u64).read_unaligned() },
            None => number(operand).unwrap_or_else(|| self.general[general(operand).unwrap()]),
        }
    }

    fn set_word(&mut self, operand: &str, value: u64) {
        match self.address(operand) {
            // SAFETY: as above.
            Some(address) => unsafe { (address as *mut u64).write_unaligned(value) },
            None => self.general[general(operand).unwrap()] = value,
        }
    }

    /// The first `bytes` bytes of a vector operand.
    fn vector(&self, operand: &str, bytes: usize) -> Lanes {
        let mut lanes = [0; 64];
        match self.address(operand) {
            // SAFETY: as above.
            Some(a) => unsafe { std::ptr::copy_nonoverlapping(a as *const u8, lanes.as_mut_ptr(), bytes) },
            None => lanes = self.vectors[vector(operand)],
        }
        lanes
    }

    fn set_vector(&mut self, operand: &str, lanes: Lanes, bytes: usize) {
        match self.address(operand) {
            // SAFETY: as above.
            Some(a) => unsafe { std::ptr::copy_nonoverlapping(lanes.as_ptr(), a as *mut u8, bytes) },
            None => self.vectors[vector(operand)] = lanes,
        }
    }

    fn run(&mut self, code: &[(u64, String, Vec<String>)]) {
        let places: HashMap<u64, usize> = code.iter().enumerate().map(|(i, (a, ..))| (*a, i)).collect();
        let (mut at, mut compared) = (0, (0, 0));
        loop {
            let (_, name, operands) = &code[at];
            let o: Vec<&str> = operands.iter().map(String::as_str).collect();
            at += 1;
            match name.as_str() {
                "push" => {
                    self.general[4] -= 8;
                    self.set_word("[rsp]", self.word(o[0]));
                }
                "pop" => {
                    self.set_word(o[0], self.word("[rsp]"));
                    self.general[4] += 8;
                }
                "mov" | "movabs" => self.set_word(o[0], self.word(o[1])),
                "lea" => self.set_word(o[0], self.address(o[1]).unwrap()),
                "and" => self.set_word(o[0], self.word(o[0]) & self.word(o[1])),
                "add" => {
                    let target = o[0].trim_start_matches("QWORD PTR ");
                    self.set_word(target, self.word(target).wrapping_add(self.word(o[1])));
                }
                "sub" => self.set_word(o[0], self.word(o[0]).wrapping_sub(self.word(o[1]))),
                "jb" if compared.0 < compared.1 => at = places[&number(o[0]).unwrap()],
                "jae" if compared.0 >= compared.1 => at = places[&number(o[0]).unwrap()],
                "cmp" => compared = (self.word(o[0]), self.word(o[1])),
                "ja" if compared.0 > compared.1 => at = places[&number(o[0]).unwrap()],
                "jbe" if compared.0 <= compared.1 => at = places[&number(o[0]).unwrap()],
                "ja" | "jbe" | "jb" | "jae" | "vzeroupper" => {}
                "vmovd" => {
                    let from = self.vectors[register(o[1], "xmm").unwrap()];
                    let word = self.word(o[0]) & !(u32::MAX as u64);
                    self.set_word(o[0], word | u32::from_le_bytes(from[..4].try_into().unwrap()) as u64);
                }
                "ret" => return,
                name => self.vector_instruction(name, &o),
            }
        }
    }

    fn vector_instruction(&mut self, name: &str, o: &[&str]) {
        let double = name.ends_with("pd") || matches!(name, "vbroadcastsd" | "vpmovm2q" | "vpmovq2m");
        let size = if double { 8 } else { 4 };
        let count = 64 / size;
        let halves = |lanes: &Lanes| -> Vec<u16> {
            lanes.chunks(2).map(|c| u16::from_le_bytes(c.try_into().unwrap())).collect()
        };
        let split = |lanes: &Lanes| -> Vec<u64> {
            let lane = |c: &[u8]| c.iter().rev().fold(0, |all, &byte| all << 8 | byte as u64);
            lanes.chunks(size).map(lane).collect()
        };
        let join = |values: &[u64], size: usize| {
            let mut lanes = [0; 64];
            values
                .iter()
                .enumerate()
                .for_each(|(i, v)| lanes[i * size..][..size].copy_from_slice(&v.to_le_bytes()[..size]));
            lanes
        };
        let all = if double { u64::MAX } else { u32::MAX as u64 };
        let float =
            |bits: u64| if double { f64::from_bits(bits) } else { f32::from_bits(bits as u32) as f64 };
        let bits = |v: f64| if double { v.to_bits() } else { (v as f32).to_bits() as u64 };
        let stem = name.strip_suffix("ps").or(name.strip_suffix("pd")).unwrap_or(name);
        let result = match stem {
            "vmovu" => self.vector(o[1], 64),
            "vbroadcastss" | "vbroadcastsd" => join(&vec![split(&self.vector(o[1], size))[0]; count], size),
            "vpmovzxwd" => {
                let values: Vec<u64> =
                    halves(&self.vector(o[1], 32))[..16].iter().map(|&h| h as u64).collect();
                join(&values, 4)
            }
            "vpmovzxbd" => {
                join(&self.vector(o[1], 16)[..16].iter().map(|&b| b as u64).collect::<Vec<_>>(), 4)
            }
            "vpmovdb" => {
                let lanes = join(&split(&self.vector(o[1], 64)), 1);
                return self.set_vector(o[0], lanes, 16);
            }
            "vpbroadcastd" => {
                let from = GENERAL.iter().position(|r| r[1..] == o[1][1..]).unwrap();
                join(&[self.general[from] & all; 16], 4)
            }
            "vcvtph2" => {
                let values = halves(&self.vector(o[1], 32));
                let values: Vec<u64> =
                    values[..16].iter().map(|&h| f16::from_bits(h).to_f32().to_bits() as u64).collect();
                join(&values, 4)
            }
            "vpmovdw" => {
                let lanes = join(&split(&self.vector(o[1], 64)), 2);
                return self.set_vector(o[0], lanes, 32);
            }
            "vcvtps2ph" => {
                assert_eq!(o[2], "0x0");
                let values = split(&self.vector(o[1], 64));
                let values: Vec<u64> = values
                    .iter()
                    .map(|&v| f16::from_f32(f32::from_bits(v as u32)).to_bits() as u64)
                    .collect();
                return self.set_vector(o[0], join(&values, 2), 32);
            }
            "vpmovm2d" | "vpmovm2q" => {
                let mask = self.masks[register(o[1], "k").unwrap()];
                let values: Vec<u64> = (0..count).map(|i| if mask >> i & 1 == 1 { all } else { 0 }).collect();
                join(&values, size)
            }
            "vpmovd2m" | "vpmovq2m" => {
                let values = split(&self.vector(o[1], 64));
                let sign = |(i, v): (usize, &u64)| (v >> (8 * size - 1)) << i;
                self.masks[register(o[0], "k").unwrap()] = values.iter().enumerate().map(sign).sum();
                return;
            }
            "vshufi32x4" => {
                assert_eq!(o[1], o[2]);
                let (from, order) = (self.vector(o[1], 64), number(o[3]).unwrap() as usize);
                std::array::from_fn(|i| from[(order >> (2 * (i / 16)) & 3) * 16 + i % 16])
            }
            "vpshufd" => {
                let (from, order) = (self.vector(o[1], 64), number(o[2]).unwrap() as usize);
                std::array::from_fn(|i| from[i / 16 * 16 + (order >> (2 * (i % 16 / 4)) & 3) * 4 + i % 4])
            }
            "vperm" => {
                let (index, table) = (split(&self.vector(o[1], 64)), split(&self.vector(o[2], 64)));
                join(&index.iter().map(|&i| table[i as usize % 16]).collect::<Vec<_>>(), 4)
            }
            "vblendm" => {
                let number = o[0].split_once("{k").and_then(|(_, rest)| rest.strip_suffix('}')).unwrap();
                let mask = self.masks[number.parse::<usize>().unwrap()];
                let (no, yes) = (split(&self.vector(o[1], 64)), split(&self.vector(o[2], 64)));
                let pick = |i: usize| if mask >> i & 1 == 1 { yes[i] } else { no[i] };
                let values: Vec<u64> = (0..count).map(pick).collect();
                join(&values, size)
            }
            "vsqrt" | "vrndscale" | "vpsrld" | "vpslld" | "vpsrad" | "vpabsd" | "vcvtdq2" | "vcvttps2dq" => {
                let values = split(&self.vector(o[1], 64));
                let one = |&v: &u64| match (stem, o.get(2).copied()) {
                    ("vsqrt", None) => bits(float(v).sqrt()),
                    ("vrndscale", Some("0x8")) => bits(float(v).round_ties_even()),
                    ("vrndscale", Some("0x9")) => bits(float(v).floor()),
                    ("vrndscale", Some("0xa")) => bits(float(v).ceil()),
                    ("vpsrld", Some(by)) => v >> number(by).unwrap(),
                    ("vpslld", Some(by)) => v << number(by).unwrap() & all,
                    ("vpsrad", Some(by)) => (v as i32 >> number(by).unwrap()) as u32 as u64,
                    ("vpabsd", None) => (v as i32).unsigned_abs() as u64,
                    ("vcvtdq2", None) => bits(v as i32 as f64),
                    // beyond the range the processor gives the least integer
                    ("vcvttps2dq", None) if float(v).abs() < 2f64.powi(31) => float(v) as i32 as u32 as u64,
                    ("vcvttps2dq", None) => 1 << 31,
                    what => panic!("{what:?}"),
                };
                join(&values.iter().map(one).collect::<Vec<_>>(), size)
            }
            _ => {
                let (a, b) = (split(&self.vector(o[1], 64)), split(&self.vector(o[2], 64)));
                let two = |(&a, &b): (&u64, &u64)| {
                    let (x, y) = (float(a), float(b));
                    let unordered = x.is_nan() || y.is_nan();
                    match stem {
                        "vadd" => bits(x + y),
                        "vsub" => bits(x - y),
                        "vmul" => bits(x * y),
                        "vdiv" => bits(x / y),
                        "vmin" => {
                            if x < y {
                                a
                            } else {
                                b
                            }
                        }
                        "vmax" => {
                            if x > y {
                                a
                            } else {
                                b
                            }
                        }
                        "vand" => a & b,
                        "vandn" => !a & b,
                        "vor" => a | b,
                        "vxor" => a ^ b,
                        "vpaddd" => (a as u32).wrapping_add(b as u32) as u64,
                        "vpsubd" => (a as u32).wrapping_sub(b as u32) as u64,
                        "vpmulhuw" => {
                            let halves =
                                [0, 16].map(|k| (((a >> k & 0xffff) * (b >> k & 0xffff)) >> 16) << k);
                            halves[0] | halves[1]
                        }
                        "vpmulld" => (a as u32).wrapping_mul(b as u32) as u64,
                        "vpminsd" => (a as i32).min(b as i32) as u32 as u64,
                        "vpmaxsd" => (a as i32).max(b as i32) as u32 as u64,
                        "vpcmpeqd" => (a == b) as u64,
                        "vpcmpgtd" => (a as i32 > b as i32) as u64,
                        "vcmpeq" => (x == y) as u64,
                        "vcmplt" => (x < y) as u64,
                        "vcmple" => (x <= y) as u64,
                        "vcmpneq" => (x != y) as u64,
                        "vcmpnlt" => (x >= y || unordered) as u64,
                        "vcmpnle" => (x > y || unordered) as u64,
                        _ => panic!("{name} is not known to the interpreter"),
                    }
                };
                let values: Vec<u64> = a.iter().zip(&b).map(two).collect();
                if let Some(k) = register(o[0], "k") {
                    self.masks[k] = values.iter().enumerate().map(|(i, v)| v << i).sum();
                    return;
                }
                join(&values, size)
            }
        };
        self.set_vector(o[0], result, 64);
    }
}

/// Interprets the code for `case`, whose operands have 64 elements; false where there is no objdump.
fn check(case: &Case, name: &str, in_place: bool) -> bool {
    let (code, lanes) =
        Backend::Avx512.code(&case.formula, &case.inputs, &case.outputs).expect("it can be compiled");
    let Some(code) = disassemble(&code, name) else {
        eprintln!("skipped: there is no objdump");
        return false;
    };
    let call = |operands: *const *const u8, scalars: *const u64, start: usize, end: usize| {
        let mut stack = vec![0u64; 2048];
        let mut machine = Machine { general: [0xdead; 16], vectors: [[0xff; 64]; 32], masks: [u64::MAX; 8] };
        machine.general[4] = stack.as_mut_ptr_range().end as u64 - 64;
        machine.general[6] = scalars as u64;
        machine.general[7] = operands as u64;
        machine.general[2] = start as u64;
        machine.general[1] = end as u64;
        let before = machine.general;
        machine.run(&code);
        for kept in [3, 4, 5, 12, 13, 14, 15] {
            assert_eq!(machine.general[kept], before[kept], "{} is the caller's", GENERAL[kept]);
        }
    };
    case.check("512-bit code", &call, 64 - 3 * lanes, 64, in_place);
    true
}

#[test]
fn random_formulas() {
    let mut rng = Rng(21);
    for round in 0..60 {
        let ty = [Type::F32, Type::F64][round % 2];
        let nodes = 1 + rng.below(40);
        let formula = random_formula(&mut rng, ty, 1 + round % 4, nodes, 1 + round % 3);
        if !check(&Case::plain(&mut rng, formula, 64), "random", round % 3 == 0) {
            return;
        }
    }
}

#[test]
fn integers_beside_floats() {
    let mut rng = Rng(25);
    for round in 0..80 {
        let formula = mixed_formula(&mut rng, 1 + round % 40, true);
        let inputs = vec![DType::F32, rng.pick(&[DType::I32, DType::U8]), DType::F32, DType::I32];
        let outputs = formula.outputs().iter().map(|&id| match formula.ty(id) {
            Type::I32 => rng.pick(&[DType::I32, DType::U8]),
            _ => rng.pick(&[DType::F32, DType::F16]),
        });
        let outputs = outputs.collect();
        if !check(&Case::new(&mut rng, formula, inputs, outputs, 64), "mixed", false) {
            return;
        }
    }
}

/// Three rows of 64 elements, with a scale for each row that is replaced, and numbers that are kept between two passes.
#[test]
fn rows() {
    let mut b = Builder::new();
    let (x, scale, code) = (b.input(Type::F32), b.input(Type::F32), b.input(Type::I32));
    let value = b.mul(x, scale);
    let size = b.unary(Unary::Abs, value);
    let bits = b.unary(Unary::Bits, size);
    let most = b.reduce(Reduction::Max, bits);
    let most = b.unary(Unary::FromBits, most);
    let total = b.reduce(Reduction::Sum, code);
    let ratio = b.div(value, most);
    let position = b.index();
    let position = b.cast(Type::I32, position);
    let moved = b.add(code, total);
    let moved = b.add(moved, position);
    let formula = b.finish(&[ratio, most, moved, total]);
    let (f32, i32) = (DType::F32, DType::I32);
    let (inputs, outputs) = ([f32, f32, DType::U8], [f32, f32, i32, i32]);
    let (code, lanes) = Backend::Avx512.row_code(&formula, &inputs, &outputs, &[false, true, false]).unwrap();
    assert_eq!(lanes, 16);
    let Some(code) = disassemble(&code, "rows") else { return };
    let mut x: Vec<f32> = (0..192).map(|i| ((i * 37) % 101) as f32 - 50.5).collect();
    let (before, scales) = (x.clone(), [0.5f32, 2.0, -1.5]);
    let mut scale = scales;
    let codes: Vec<u8> = (0..192).map(|i| (i * 7 % 256) as u8).collect();
    let (mut moved, mut totals, mut kept) = (vec![0i32; 192], [0i32; 3], vec![0f32; 4 * 64]);
    let at = x.as_mut_ptr().cast::<u8>();
    let mut operands = vec![
        at,
        scale.as_mut_ptr().cast(),
        codes.as_ptr().cast_mut(),
        at,
        scale.as_mut_ptr().cast(),
        moved.as_mut_ptr().cast(),
        totals.as_mut_ptr().cast(),
    ];
    operands.extend([0, 64, 128, 192].map(|k| kept.as_mut_ptr().wrapping_add(k).cast::<u8>()));
    let mut stack = vec![0u64; 2048];
    let mut machine = Machine { general: [0xdead; 16], vectors: [[0xff; 64]; 32], masks: [u64::MAX; 8] };
    machine.general[4] = stack.as_mut_ptr_range().end as u64 - 64;
    machine.general[7] = operands.as_mut_ptr() as u64;
    (machine.general[2], machine.general[1], machine.general[8]) = (0, 192, 64);
    machine.run(&code);
    for row in 0..3 {
        let of = |i: usize| before[row * 64 + i] * scales[row];
        let most = (0..64).map(|i| of(i).abs()).fold(0.0, f32::max);
        let total: i32 = (0..64).map(|i| codes[row * 64 + i] as i32).sum();
        assert_eq!((scale[row], totals[row]), (most, total));
        for i in 0..64 {
            assert_eq!(x[row * 64 + i], of(i) / most);
            assert_eq!(moved[row * 64 + i], codes[row * 64 + i] as i32 + total + i as i32);
        }
    }
}

#[test]
fn spilled_values_and_narrow_floats() {
    let mut rng = Rng(23);
    let mut b = Builder::new();
    let inputs: Vec<Id> = (0..14).map(|_| b.input(Type::F32)).collect();
    let products: Vec<Id> = (0..40).map(|i| b.mul(inputs[i % 14], inputs[(i + i / 14 + 1) % 14])).collect();
    let mut sums = vec![products[0]];
    for &product in products.iter().rev() {
        sums.push(b.sub(product, *sums.last().unwrap()));
    }
    let formula = b.finish(&[sums[40], sums[39], sums[38]]);
    let stored = [DType::F32, DType::BF16, DType::F16];
    let inputs = (0..14).map(|i| stored[i % 3]).collect();
    let case = Case::new(&mut rng, formula, inputs, stored.to_vec(), 64).moderate(&mut rng);
    check(&case, "spilled", true);
}
