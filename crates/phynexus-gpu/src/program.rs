//! A kernel as a whole text: what a kind of kernel gives, and what stands around it.

use crate::storage;
use crate::text::{PRELUDE, Translated, translate, type_name};
use phynexus_core::DType;
use phynexus_formula::Type;
use phynexus_formula::print::Dialect;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words before the first groups of the tasks: how many tasks, how many groups.
pub(crate) const HEADER: usize = 2;

/// An operand as a program sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    /// How its elements are stored.
    pub dtype: DType,
    /// Whether the program stores to it; it may load, too.
    pub stores: bool,
}

/// What a kind of kernel says of a program.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// For labels and messages.
    pub name: String,
    /// What it loads and stores: `load_k`, `store_k`.
    pub operands: Vec<Operand>,
    /// Words of each task: `word(task, j)`.
    pub words: usize,
    /// Strides of each operand of each task: `stride_k(task, d)`.
    pub strides: usize,
    /// Entries of each task's control table: `scalar_T(task, j)`.
    pub scalars: usize,
    /// Threads in a group.
    pub threads: usize,
    /// Functions of a printed formula, in the language itself.
    pub helpers: String,
    /// Functions and shared arrays (`var<workgroup>`), in the common text.
    pub functions: String,
    /// What a thread does, in the common text: `task`, `group` (of the task's groups) and `local` (of the group's threads) are
    /// there.
    pub body: String,
}

/// A program: everything of a kernel but where its operands are.
#[derive(Debug)]
pub struct Program {
    id: u64,
    dialect: Dialect,
    parts: Parts,
    functions: Translated,
    raises: bool,
}

impl Program {
    /// Puts a program together.
    pub fn new(dialect: Dialect, parts: Parts) -> Program {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut functions = translate(&(parts.functions.clone() + &parts.body), dialect);
        let split = translate(&parts.functions, dialect).text.len();
        let body = functions.text.split_off(split);
        let wide = dialect == Dialect::Wgsl && parts.operands.iter().any(|o| o.dtype == DType::I64);
        let text = || [&functions.text, &body, &parts.helpers];
        let raises = wide
            || text().iter().any(|t| {
                ["raise", "float_to_i64(", "out_of_i32(", "index_within("].iter().any(|name| t.contains(name))
            });
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Program { id, dialect, parts: Parts { body, ..parts }, functions, raises }
    }

    /// A number that no other program has.
    pub fn id(&self) -> u64 {
        self.id
    }
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.parts.name
    }
    /// What it was made of.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
    /// Whether it may find something wrong while it runs, and needs the status buffer.
    pub fn raises(&self) -> bool {
        self.raises
    }
    /// Words of a task's record in the table.
    pub fn record(&self) -> usize {
        self.scalars_at() + 2 * self.parts.scalars
    }
    fn operand_words(&self) -> usize {
        2 + self.parts.strides
    }
    fn scalars_at(&self) -> usize {
        self.parts.words + self.parts.operands.len() * self.operand_words()
    }

    /// The text as a module whose entry is `kernel_main`; `slots` says for each operand which memory holds it (WGSL alone).
    ///
    /// Bindings of WGSL: 0 the table, 1 the status (if the program raises), then the memories. Arguments in C: table, status.
    pub fn module(&self, slots: &[usize]) -> String {
        match self.dialect {
            Dialect::Wgsl => self.wgsl(slots),
            Dialect::Cuda | Dialect::Hip => self.c(),
        }
    }

    fn wgsl(&self, slots: &[usize]) -> String {
        let Parts { operands, threads, helpers, body, .. } = &self.parts;
        let is_shared = |slot: usize| {
            let mut of_slot = operands.iter().zip(slots).filter(|(_, s)| **s == slot);
            of_slot.any(|(o, _)| o.stores && storage::shares_words(o.dtype))
        };
        let mut text =
            "alias pos = u32;\n@group(0) @binding(0) var<storage, read> table: array<u32>;\n".to_string();
        if self.raises {
            text += "@group(0) @binding(1) var<storage, read_write> status: array<atomic<u32>>;\n";
        }
        for slot in 0..slots.iter().max().map_or(0, |&s| s + 1) {
            let (at, of) = (slot + 2, if is_shared(slot) { "atomic<u32>" } else { "u32" });
            _ = writeln!(text, "@group(0) @binding({at}) var<storage, read_write> a{slot}: array<{of}>;");
        }
        for (name, of, count) in &self.functions.shared {
            _ = writeln!(text, "var<workgroup> {name}: array<{of}, {count}>;");
        }
        let mut functions = self.functions.text.clone();
        for (k, (o, &slot)) in operands.iter().zip(slots).enumerate() {
            functions += &storage::wgsl(k, o.dtype, slot, is_shared(slot), o.stores);
        }
        functions += &self.of_record();
        text += helpers;
        text += &self.used_helpers(&[&functions, body, helpers]);
        text += &functions;
        _ = write!(
            text,
            "{}@compute @workgroup_size({threads})
fn kernel_main(
    @builtin(workgroup_id) group_at: vec3<u32>,
    @builtin(num_workgroups) group_count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {{
let place = group_at.x + group_at.y * group_count.x;
{}{body}}}
",
            FIND,
            self.entry()
        );
        text
    }

    fn c(&self) -> String {
        let Parts { operands, threads, helpers, body, .. } = &self.parts;
        let mut functions = self.functions.text.clone();
        for (k, o) in operands.iter().enumerate() {
            functions += &storage::c(k, o.dtype, o.stores);
        }
        functions += &translate(&self.of_record(), self.dialect).text;
        functions = self.used_helpers(&[&functions, body]) + &functions;
        let find = translate(FIND, self.dialect).text;
        let shared = &self.functions.shared;
        let fields: String = shared.iter().map(|(name, of, _)| format!("{of} *{name};\n")).collect();
        let arrays: String =
            shared.iter().map(|(name, of, count)| format!("__shared__ {of} {name}[{count}];\n")).collect();
        let names: String = shared.iter().map(|(name, ..)| format!(", {name}")).collect();
        format!(
            "{PRELUDE}{helpers}struct Kernel {{
const u32 *table;
u32 *status;
{fields}{functions}{find}__device__ void run(u32 place, u32 local) const {{
{}{body}}}
}};
extern \"C\" __global__ void __launch_bounds__({threads}) kernel_main(const u32 *table, u32 *status) {{
{arrays}const Kernel kernel = {{table, status{names}}};
kernel.run(blockIdx.x + blockIdx.y * gridDim.x, threadIdx.x);
}}
",
            self.entry()
        )
    }

    /// From the place among all groups to a task and a group of it.
    fn entry(&self) -> String {
        format!(
            "if (place >= table[1]) {{ return; }}
let found = find_task(place);
let task = {HEADER}u + table[0] + found * {}u;
let group = place - table[{HEADER}u + found];
",
            self.record()
        )
    }

    /// The functions that read a task's record.
    fn of_record(&self) -> String {
        let mut text = "fn word(task: u32, j: u32) -> u32 { return table[task + j]; }\n".to_string();
        for (k, o) in self.parts.operands.iter().enumerate() {
            let at = self.parts.words + k * self.operand_words();
            text += &match self.dialect {
                Dialect::Wgsl => format!("fn base_{k}(task: u32) -> pos {{ return table[task + {at}u]; }}\n"),
                _ => format!(
                    "fn base_{k}(task: u32) -> pos {{ return (pos)(((unsigned long long)table[task + {}u] << 32 | table[task + {at}u]) / {}); }}\n",
                    at + 1,
                    o.dtype.size()
                ),
            };
            if self.parts.strides > 0 {
                let signed = if self.dialect == Dialect::Wgsl { "" } else { "(i32)" };
                let place = at + 2;
                text += &format!(
                    "fn stride_{k}(task: u32, d: u32) -> pos {{ return {signed}table[task + {place}u + d]; }}\n"
                );
            }
        }
        for ty in [Type::F32, Type::F64, Type::I32, Type::I64, Type::Bool] {
            text += &self.scalar(ty);
        }
        if self.raises {
            text += "fn raise(kind: u32, a: u32, b: u32) {\n";
            text += match self.dialect {
                Dialect::Wgsl => {
                    "if (atomicAdd(&status[0], 1u) == 0u) {\natomicStore(&status[1], kind);\natomicStore(&status[2], a);\natomicStore(&status[3], b);\n}\n}\n"
                }
                _ => {
                    "if (atomicAdd(status, 1u) == 0u) {\nstatus[1] = kind;\nstatus[2] = a;\nstatus[3] = b;\n}\n}\n"
                }
            };
        }
        text
    }

    fn scalar(&self, ty: Type) -> String {
        let wide = self.dialect != Dialect::Wgsl;
        if ty == Type::F64 && !wide || self.parts.scalars == 0 {
            return String::new();
        }
        let at = self.scalars_at();
        let low = format!("table[task + {at}u + 2u * j]");
        let value = match ty {
            Type::Bool => format!("{low} != 0u"),
            Type::F64 | Type::I64 if wide => {
                let high = format!("table[task + {}u + 2u * j]", at + 1);
                format!("bitcast<{}>((unsigned long long){high} << 32 | {low})", type_name(ty, self.dialect))
            }
            ty => format!("bitcast<{}>({low})", type_name(ty, self.dialect)),
        };
        let (name, result) = (format!("{ty:?}").to_lowercase(), type_name(ty, self.dialect));
        format!("fn scalar_{name}(task: u32, j: u32) -> {result} {{ return {value}; }}\n")
    }

    /// The helpers of loads and stores that these texts mention.
    fn used_helpers(&self, texts: &[&str]) -> String {
        let mentioned = |name: &str| texts.iter().any(|text| text.contains(&format!("{name}(")));
        let used = storage::HELPERS.iter().filter(|(name, _)| mentioned(name));
        let int64 = type_name(Type::I64, self.dialect);
        used.map(|(_, text)| translate(&text.replace("int64", int64), self.dialect).text).collect()
    }
}

/// The last task whose first group is not after the place.
const FIND: &str = "\
fn find_task(place: u32) -> u32 {
    var low = 0u;
    var high = table[0];
    while (low + 1u < high) {
        let middle = (low + high) / 2u;
        if (table[2u + middle] <= place) { low = middle; } else { high = middle; }
    }
    return low;
}
";
