//! Element types as stored in buffers, and PyTorch's promotion table.

use crate::{Error, Result, Value};
use phynexus_formula::Type;
use std::ops::RangeInclusive;

/// How an element is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DType {
    Bool,
    U8,
    I32,
    I64,
    /// IEEE half precision: stored, computed in float32.
    F16,
    /// The upper half of a float32: stored, computed in float32.
    BF16,
    F32,
    F64,
}

/// The three kinds that decide a promotion: a higher kind wins whatever its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Category {
    Bool,
    Integer,
    Float,
}

impl DType {
    /// All element types.
    pub const ALL: [DType; 8] =
        [DType::Bool, DType::U8, DType::I32, DType::I64, DType::F16, DType::BF16, DType::F32, DType::F64];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// The name, as NumPy writes it.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "uint8",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// The dtype of that name.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// What formulas compute in for operands stored so.
    pub const fn compute(self) -> Type {
        match self {
            DType::Bool => Type::Bool,
            DType::U8 | DType::I32 => Type::I32,
            DType::I64 => Type::I64,
            DType::F16 | DType::BF16 | DType::F32 => Type::F32,
            DType::F64 => Type::F64,
        }
    }

    /// The kind.
    pub const fn category(self) -> Category {
        match self {
            DType::Bool => Category::Bool,
            DType::U8 | DType::I32 | DType::I64 => Category::Integer,
            _ => Category::Float,
        }
    }

    /// Whether this is one of the four float types.
    pub const fn is_float(self) -> bool {
        matches!(self.category(), Category::Float)
    }

    /// The integers that it holds; None for floats, which round what they cannot hold.
    pub const fn integers(self) -> Option<RangeInclusive<i64>> {
        Some(match self {
            DType::Bool => 0..=1,
            DType::U8 => 0..=u8::MAX as i64,
            DType::I32 => i32::MIN as i64..=i32::MAX as i64,
            DType::I64 => i64::MIN..=i64::MAX,
            _ => return None,
        })
    }

    /// Whether it holds a number, apart from the digits after its point; a truth value is made of any.
    pub fn holds(self, value: Value) -> bool {
        match (self.integers(), value) {
            (None, _) => true,
            _ if self == DType::Bool => true,
            (Some(range), Value::I(n)) => range.contains(&n),
            // The bounds are powers of two, or less by 1; as floats the largest of them are not exact.
            (Some(range), Value::F(x)) => {
                x.trunc() >= *range.start() as f64 && x < (*range.end() as i128 + 1) as f64
            }
        }
    }

    /// An error for a number that it does not hold.
    pub fn check(self, what: &str, value: Value) -> Result<()> {
        match self.integers() {
            Some(range) if !self.holds(value) => Err(Error::Value(format!(
                "{what}: {} does not fit into {self} ({} to {}); use a wider dtype",
                match value {
                    Value::F(x) => x.to_string(),
                    Value::I(n) => n.to_string(),
                },
                range.start(),
                range.end()
            ))),
            _ => Ok(()),
        }
    }

    /// The common type of two tensors, as PyTorch has it: the higher kind wins; within a kind the wider; float16
    /// with bfloat16 gives float32.
    pub fn promote(self, other: DType) -> DType {
        use DType::{BF16, F16, F32};
        match (self, other) {
            (F16, BF16) | (BF16, F16) => F32,
            (a, b) => a.max(b), // the declaration order is the order of promotion
        }
    }

    /// The common type of a tensor and a Python number of kind `scalar`: the tensor's, unless the number's kind is
    /// higher, then the default type of that kind.
    pub fn promote_scalar(self, scalar: Category) -> DType {
        match scalar {
            _ if scalar <= self.category() => self,
            Category::Float => DType::F32,
            _ => DType::I64,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
