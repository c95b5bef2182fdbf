//! What types and functions are called outside of Rust, and what functions take.

use crate::node::{Binary, Reduction, Type, Unary};

macro_rules! named {
    ($kind:ident: $($variant:ident $name:literal),+) => {
        impl $kind {
            /// All of them.
            pub const ALL: &'static [$kind] = &[$($kind::$variant),+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $($kind::$variant => $name),+ }
            }

            /// The one of this name.
            pub fn named(name: &str) -> Option<$kind> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named!(Type: F32 "float32", F64 "float64", I32 "int32", I64 "int64", Bool "bool");

named!(Unary:
    Neg "neg", Abs "abs", Sign "sign", Exp "exp", Exp2 "exp2", Log "log", Log1p "log1p", Expm1 "expm1", Sqrt "sqrt",
    Rsqrt "rsqrt", Sin "sin", Cos "cos", Tanh "tanh", Sigmoid "sigmoid", Erf "erf", Floor "floor", Ceil "ceil",
    Round "round", Not "not", IsNan "isnan", IsFinite "isfinite", Detach "detach", Bits "bits", FromBits "frombits",
    RoundBf16 "roundbf16", RoundF16 "roundf16");

named!(Binary:
    Add "add", Sub "sub", Mul "mul", Div "div", FloorDiv "floordiv", Rem "rem", Pow "pow", Min "min", Max "max", Eq "eq",
    Ne "ne", Lt "lt", Le "le", And "and", Or "or", Xor "xor", Atan2 "atan2", Shl "shl", Shr "shr", Ushr "ushr",
    Within "within");

named!(Reduction: Sum "sum", Prod "prod", Max "max", Min "min");

impl Unary {
    /// Whether it is defined for an operand of this type.
    pub fn takes(self, ty: Type) -> bool {
        match self {
            Unary::Not => ty == Type::Bool,
            Unary::FromBits => ty.is_int(),
            Unary::RoundBf16 | Unary::RoundF16 => ty == Type::F32,
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Detach => ty != Type::Bool,
            _ => ty.is_float(),
        }
    }
}

impl Binary {
    /// Whether it is defined for operands of this type.
    pub fn takes(self, ty: Type) -> bool {
        match self {
            Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le => true,
            Binary::And | Binary::Or | Binary::Xor => !ty.is_float(),
            Binary::Div | Binary::Atan2 => ty.is_float(),
            Binary::Shl | Binary::Shr | Binary::Ushr | Binary::Within => ty.is_int(),
            _ => ty != Type::Bool,
        }
    }
}
