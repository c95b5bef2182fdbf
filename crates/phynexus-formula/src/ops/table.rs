//! The table: name, promotion, number of operands, where to test, formula.

use super::Promotion::{Any, Bool, Float, Integer, Number};
use super::{Row, Special, elementwise as e, loss, rowwise};
use crate::expr::infix;
use crate::{Binary as B, Unary as U};

/// A builder from expressions over the inputs `x` and the scalars `s`.
macro_rules! f {
    ($x:ident => $($out:expr),+) => { |b, x, s| infix(b, x, s, |$x, _| vec![$($out),+]) };
    ($x:ident, $s:ident => $($out:expr),+) => { |b, x, s| infix(b, x, s, |$x, $s| vec![$($out),+]) };
    ($x:ident, $s:ident => in $f:path) => { |b, x, s| infix(b, x, s, $f) };
}

macro_rules! operations {
    ($($op:ident = $row:expr;)*) => {
        /// An operation that is a formula.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum Op { $($op),* }

        impl Op {
            /// All operations, in the order of the table.
            pub const ALL: &'static [Op] = &[$(Op::$op),*];

            /// What there is to know about the operation.
            pub fn row(self) -> &'static Row {
                &ROWS[self as usize]
            }
        }

        static ROWS: &[Row] = &[$($row),*];
    };
}

/// Any finite numbers, positive ones, and ones where integer functions step.
const REAL: &[(f64, f64)] = &[(-2.0, 2.0)];
const POSITIVE: &[(f64, f64)] = &[(0.3, 3.0)];
const WIDE: &[(f64, f64)] = &[(-5.0, 5.0)];
/// A dividend and a divisor that is not zero.
const RATIO: &[(f64, f64)] = &[(-3.0, 3.0), (0.5, 2.0)];

operations! {
    Neg = Row::new("neg", Number, 1, REAL, f!(x => -x[0]));
    Abs = Row::new("abs", Number, 1, REAL, f!(x => x[0].abs()));
    Sign = Row::new("sign", Number, 1, REAL, f!(x => e::sign(x[0])));
    Square = Row::new("square", Number, 1, REAL, f!(x => x[0] * x[0]));
    Reciprocal = Row::new("reciprocal", Float, 1, POSITIVE, f!(x => 1.0 / x[0]));
    Exp = Row::new("exp", Float, 1, REAL, f!(x => x[0].exp()));
    Exp2 = Row::new("exp2", Float, 1, REAL, f!(x => x[0].unary(U::Exp2)));
    Expm1 = Row::new("expm1", Float, 1, REAL, f!(x => x[0].unary(U::Expm1)));
    Log = Row::new("log", Float, 1, POSITIVE, f!(x => x[0].log()));
    Log2 = Row::new("log2", Float, 1, POSITIVE, f!(x => x[0].log() / std::f64::consts::LN_2));
    Log10 = Row::new("log10", Float, 1, POSITIVE, f!(x => x[0].log() / std::f64::consts::LN_10));
    Log1p = Row::new("log1p", Float, 1, &[(-0.7, 2.0)], f!(x => x[0].log1p()));
    Sqrt = Row::new("sqrt", Float, 1, POSITIVE, f!(x => x[0].sqrt()));
    Rsqrt = Row::new("rsqrt", Float, 1, POSITIVE, f!(x => x[0].rsqrt()));
    Sin = Row::new("sin", Float, 1, WIDE, f!(x => x[0].unary(U::Sin)));
    Cos = Row::new("cos", Float, 1, WIDE, f!(x => x[0].unary(U::Cos)));
    Tan = Row::new("tan", Float, 1, &[(-1.2, 1.2)], f!(x => x[0].unary(U::Sin) / x[0].unary(U::Cos)));
    Asin = Row::new("asin", Float, 1, &[(-0.9, 0.9)], f!(x => e::angle(x[0], e::other_leg(x[0]))));
    Acos = Row::new("acos", Float, 1, &[(-0.9, 0.9)], f!(x => e::angle(e::other_leg(x[0]), x[0])));
    Atan = Row::new("atan", Float, 1, WIDE, f!(x => e::angle(x[0], x[0].number(1.0))));
    Tanh = Row::new("tanh", Float, 1, REAL, f!(x => x[0].tanh()));
    Sigmoid = Row::new("sigmoid", Float, 1, WIDE, f!(x => x[0].sigmoid()));
    Erf = Row::new("erf", Float, 1, REAL, f!(x => x[0].unary(U::Erf)));
    Floor = Row::new("floor", Number, 1, WIDE, f!(x => e::to_integer(U::Floor, x[0])));
    Ceil = Row::new("ceil", Number, 1, WIDE, f!(x => e::to_integer(U::Ceil, x[0])));
    Trunc = Row::new("trunc", Number, 1, WIDE, f!(x => e::truncated(x[0])));
    Round = Row::new("round", Number, 1, WIDE, f!(x => e::to_integer(U::Round, x[0])));
    RoundTo = Row::new("round_to", Float, 1, WIDE, f!(x, s => (x[0] * s[0] / s[1]).unary(U::Round) * s[1] / s[0])).scalars(&[10.0, 1.0]);
    Relu = Row::new("relu", Number, 1, REAL, f!(x => e::relu(x[0])));
    LeakyRelu = Row::new("leaky_relu", Float, 1, REAL, f!(x, s => x[0].gt(0.0).select(x[0], s[0] * x[0]))).scalars(&[0.01]);
    Elu = Row::new("elu", Float, 1, WIDE, f!(x, s => e::elu(x[0], s[0]))).scalars(&[1.3]);
    Gelu = Row::new("gelu", Float, 1, WIDE, f!(x => e::gelu(x[0])));
    GeluTanh = Row::new("gelu_tanh", Float, 1, WIDE, f!(x => e::gelu_tanh(x[0])));
    Silu = Row::new("silu", Float, 1, WIDE, f!(x => x[0] * x[0].sigmoid()));
    Mish = Row::new("mish", Float, 1, WIDE, f!(x => x[0] * e::softplus(x[0], x[0].number(1.0), x[0].number(20.0)).tanh()));
    Softplus = Row::new("softplus", Float, 1, WIDE, f!(x, s => e::softplus(x[0], s[0], s[1]))).scalars(&[1.5, 20.0]);
    Softsign = Row::new("softsign", Float, 1, WIDE, f!(x => x[0] / (1.0 + x[0].abs())));
    Clamp = Row::new("clamp", Number, 1, REAL, f!(x, s => e::at_most(e::at_least(x[0], s[0]), s[1]))).scalars(&[-0.7, 1.1]);
    ClampMin = Row::new("clamp_min", Number, 1, REAL, f!(x, s => e::at_least(x[0], s[0]))).scalars(&[-0.7]);
    ClampMax = Row::new("clamp_max", Number, 1, REAL, f!(x, s => e::at_most(x[0], s[0]))).scalars(&[1.1]);
    LogicalNot = Row::new("logical_not", Bool, 1, REAL, f!(x => !x[0])).truth();
    IsNan = Row::new("isnan", Any, 1, REAL, f!(x => e::is_nan(x[0]))).truth();
    IsInf = Row::new("isinf", Any, 1, REAL, f!(x => !e::is_finite(x[0]) & !e::is_nan(x[0]))).truth();
    IsFinite = Row::new("isfinite", Any, 1, REAL, f!(x => e::is_finite(x[0]))).truth();

    Add = Row::new("add", Any, 2, REAL, f!(x => e::arithmetic(B::Add, x)));
    Sub = Row::new("sub", Number, 2, REAL, f!(x => x[0] - x[1]));
    Mul = Row::new("mul", Any, 2, REAL, f!(x => e::arithmetic(B::Mul, x)));
    Div = Row::new("div", Float, 2, RATIO, f!(x => x[0] / x[1]));
    FloorDivide = Row::new("floor_divide", Number, 2, RATIO, f!(x => x[0].binary(B::FloorDiv, x[1])));
    Remainder = Row::new("remainder", Number, 2, RATIO, f!(x => x[0].binary(B::Rem, x[1])));
    Pow = Row::new("pow", Number, 2, &[(0.3, 2.0), (-2.0, 2.0)], f!(x => x[0].pow(x[1])));
    Minimum = Row::new("minimum", Any, 2, REAL, f!(x => e::arithmetic(B::Min, x)));
    Maximum = Row::new("maximum", Any, 2, REAL, f!(x => e::arithmetic(B::Max, x)));
    Atan2 = Row::new("atan2", Float, 2, &[(0.3, 2.0), (-2.0, 2.0)], f!(x => e::angle(x[0], x[1])));
    AddScaled = Row::new("add_scaled", Number, 2, REAL, f!(x, s => x[0] + s[0] * x[1])).scalars(&[0.6]);
    Eq = Row::new("eq", Any, 2, REAL, f!(x => x[0].eq(x[1]))).truth();
    Ne = Row::new("ne", Any, 2, REAL, f!(x => x[0].ne(x[1]))).truth();
    Lt = Row::new("lt", Any, 2, REAL, f!(x => e::less(B::Lt, x[0], x[1]))).truth();
    Le = Row::new("le", Any, 2, REAL, f!(x => e::less(B::Le, x[0], x[1]))).truth();
    Gt = Row::new("gt", Any, 2, REAL, f!(x => e::less(B::Lt, x[1], x[0]))).truth();
    Ge = Row::new("ge", Any, 2, REAL, f!(x => e::less(B::Le, x[1], x[0]))).truth();
    IsClose = Row::new("isclose", Float, 2, REAL, f!(x, s => e::is_close(x, s))).scalars(&[0.2, 0.3, 0.0]).truth();
    LogicalAnd = Row::new("logical_and", Bool, 2, REAL, f!(x => x[0] & x[1])).truth();
    LogicalOr = Row::new("logical_or", Bool, 2, REAL, f!(x => x[0].binary(B::Or, x[1]))).truth();
    LogicalXor = Row::new("logical_xor", Bool, 2, REAL, f!(x => x[0].binary(B::Xor, x[1]))).truth();
    BitwiseAnd = Row::new("bitwise_and", Integer, 2, WIDE, f!(x => x[0] & x[1]));
    BitwiseOr = Row::new("bitwise_or", Integer, 2, WIDE, f!(x => x[0].binary(B::Or, x[1])));
    BitwiseXor = Row::new("bitwise_xor", Integer, 2, WIDE, f!(x => x[0].binary(B::Xor, x[1])));

    Where = Row::new("where", Any, 3, REAL, f!(x => x[0].select(x[1], x[2]))).special(Special::Condition);
    Lerp = Row::new("lerp", Float, 3, REAL, f!(x => e::lerp(x[0], x[1], x[2])));

    SquaredError = Row::new("squared_error", Float, 2, REAL, f!(x => loss::squared_error(x[0], x[1])));
    AbsoluteError = Row::new("absolute_error", Float, 2, REAL, f!(x => (x[0] - x[1]).abs()));
    SmoothL1 = Row::new("smooth_l1", Float, 2, REAL, f!(x, s => loss::smooth_l1(x[0], x[1], s[0]))).scalars(&[0.8]);
    Huber = Row::new("huber", Float, 2, REAL, f!(x, s => loss::huber(x[0], x[1], s[0]))).scalars(&[0.8]);
    Bce = Row::new("bce", Float, 2, &[(0.05, 0.95)], f!(x => loss::bce(x[0], x[1])));
    BceWithLogits = Row::new("bce_with_logits", Float, 2, &[(-3.0, 3.0), (0.0, 1.0)],
        f!(x => loss::bce_with_logits(x[0], x[1], x[0].number(1.0))));
    BceWithLogitsWeighted = Row::new("bce_with_logits_weighted", Float, 3, &[(-3.0, 3.0), (0.0, 1.0), (0.5, 3.0)],
        f!(x => loss::bce_with_logits(x[0], x[1], x[2])));
    KlDiv = Row::new("kl_div", Float, 2, &[(-3.0, 0.0), (0.05, 1.0)], f!(x => loss::kl_div(x[0], x[1])));
    KlDivLogTarget = Row::new("kl_div_log_target", Float, 2, &[(-3.0, 0.0)], f!(x => x[1].exp() * (x[1] - x[0])));

    Softmax = Row::new("softmax", Float, 1, REAL, f!(x => rowwise::softmax(x[0]))).over_rows(1);
    LogSoftmax = Row::new("log_softmax", Float, 1, REAL, f!(x => rowwise::log_softmax(x[0]))).over_rows(1);
    LogSumExp = Row::new("logsumexp", Float, 1, REAL, f!(x => rowwise::logsumexp(x[0]))).over_rows(1);
    Moments = Row::new("moments", Float, 1, REAL, f!(x, s => in rowwise::moments)).scalars(&[1.0]).over_rows(2);
    Norm2 = Row::new("norm2", Float, 1, REAL, f!(x => rowwise::norm2(x[0]))).over_rows(1);
    LayerNorm = Row::new("layer_norm", Float, 3, REAL,
        f!(x, s => rowwise::layer_norm(x[0], s[0]) * x[1] + x[2])).scalars(&[0.01]).over_rows(1);
    LayerNormPlain = Row::new("layer_norm_plain", Float, 1, REAL,
        f!(x, s => rowwise::layer_norm(x[0], s[0]))).scalars(&[0.01]).over_rows(1);
    RmsNorm = Row::new("rms_norm", Float, 2, REAL,
        f!(x, s => rowwise::rms_norm(x[0], s[0]) * x[1])).scalars(&[0.01]).over_rows(1);
    CrossEntropy = Row::new("cross_entropy", Float, 2, REAL, f!(x, s => in rowwise::cross_entropy))
        .scalars(&[-100.0, 0.1]).special(Special::Label).over_rows(2);
    CrossEntropyWeighted = Row::new("cross_entropy_weighted", Float, 3, &[(-2.0, 2.0), (-2.0, 2.0), (0.5, 2.0)],
        f!(x, s => in rowwise::cross_entropy)).scalars(&[-100.0, 0.1]).special(Special::Label).over_rows(2);
    CrossEntropySoft = Row::new("cross_entropy_soft", Float, 2, &[(-2.0, 2.0), (0.0, 1.0)],
        f!(x, s => in rowwise::cross_entropy_soft)).scalars(&[0.1]).over_rows(1);
    CrossEntropySoftWeighted = Row::new("cross_entropy_soft_weighted", Float, 3, &[(-2.0, 2.0), (0.0, 1.0), (0.5, 2.0)],
        f!(x, s => in rowwise::cross_entropy_soft)).scalars(&[0.1]).over_rows(1);
}
