//! Element types as stored in buffers, and PyTorch's promotion table.

use phynexus_formula::Type;

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
