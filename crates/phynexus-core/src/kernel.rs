//! The closed set of kernels. Operations are made of these; a device implements these and nothing else.

use crate::device::{Compiled, Device, DeviceType};
use crate::dtype::DType;
use crate::error::Result;
use crate::once::{Making, Once};
use phynexus_formula::Formula;

/// Reductions over any axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ReduceOp {
    Sum,
    Mean,
    Prod,
    /// NaN if any is NaN.
    Max,
    /// NaN if any is NaN.
    Min,
    /// Position (I64, row-major over the reduced axes) of the first maximum; a NaN counts as the largest.
    ArgMax,
    /// Position of the first minimum; a NaN counts as the smallest.
    ArgMin,
    /// Bool.
    Any,
    /// Bool.
    All,
}

impl ReduceOp {
    /// All of them.
    pub const EVERY: [ReduceOp; 9] = [
        ReduceOp::Sum,
        ReduceOp::Mean,
        ReduceOp::Prod,
        ReduceOp::Max,
        ReduceOp::Min,
        ReduceOp::ArgMax,
        ReduceOp::ArgMin,
        ReduceOp::Any,
        ReduceOp::All,
    ];
}

/// What a scatter does with the value that stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScatterOp {
    /// Replaces it; of several the last in row-major order stays.
    Set,
    /// Adds to it, in row-major order.
    Add,
}

/// What random numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Floats in [0, 1): 24 bits for up to float32, 53 for float64.
    Uniform,
    /// Floats of the standard normal distribution.
    Normal,
    /// Integers in [0, span) added to `low`, I64 (u64 arithmetic).
    Integer {
        /// The least value.
        low: i64,
        /// How many values there are.
        span: u64,
    },
}

impl Distribution {
    /// How many elements of `dtype` one Philox block gives.
    pub fn per_block(self, dtype: DType) -> u64 {
        if dtype.size() <= 4 { 4 } else { 2 }
    }
}

/// How matrices are taken apart. Triangular and symmetric operands are read in their triangle alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Factorization {
    /// `a = l lᵀ` from the lower triangle: output l with zeros above. A `ValueError` where a pivot is not positive.
    Cholesky,
    /// `a = q r`: outputs q (m, k) with orthonormal columns and r (k, n) upper triangular.
    Qr {
        /// Whether k is m; else it is the smaller of m and n.
        full: bool,
    },
    /// `a = v diag(w) vᵀ` from the lower triangle: outputs w (n), ascending, and v. The largest element of each vector
    /// is positive.
    Eigh,
    /// `a = u diag(s) vᵀ`: outputs u (m, k), s (the smaller of m and n), descending, and vᵀ (l, n). The
    /// largest element of each column of u is positive.
    Svd {
        /// Whether k is m and l is n; else they are the smaller of both.
        full: bool,
    },
    /// `a x = b`: inputs a and b, output x. A `ValueError` where a is singular.
    Solve,
    /// The same for triangular a, where nothing is checked.
    SolveTriangular {
        /// Which triangle is read.
        upper: bool,
        /// Whether `aᵀ x = b` is solved instead.
        transposed: bool,
        /// Whether the diagonal is taken for ones, unread.
        unit: bool,
    },
}

/// What a kernel computes. Shapes and strides come with each launch in the views.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// A formula over operands that are all broadcast to one shape (the layouts say so by strides of 0). Where it
    /// reduces, the last dimension is the row, and an output of rank `Row` has size 1 there. Outputs never overlap each other;
    /// an output may be the very view of an input (in place).
    Map {
        /// What is computed.
        formula: Formula,
        /// How the tensor operands are stored.
        inputs: Vec<DType>,
        /// How the results are stored.
        outputs: Vec<DType>,
    },
    /// Reduces the last `axes` dimensions of the one input into the contiguous output of the other dimensions. Sums of up to
    /// float32 are at least as accurate as pairwise; same bits for any number of threads.
    Reduce {
        /// The function.
        op: ReduceOp,
        /// How many trailing dimensions it goes over.
        axes: usize,
    },
    /// `out[b, m, n] = epilogue(sum_k a[b, m, k] * c[b, k, n] (+ bias[n]) (+ out) (, beside[b, m, n]))`: inputs a, c, bias
    /// (n) if there is one, and beside if the epilogue has two operands. All others 3-D with any strides; batches broadcast
    /// by strides of 0. One dtype for all (floats in their own precision, float16 and bfloat16 summed in float32; integers
    /// wrap).
    MatMul {
        /// Whether a third input is added to each row.
        bias: bool,
        /// Whether the product is added to what `out` holds.
        accumulate: bool,
        /// A formula of one or two inputs and one output, applied to every finished element.
        epilogue: Option<Formula>,
        /// Whether there is a second output (b, m), contiguous: `sum_k a[b, m, k]`, as accurate as [`Spec::Reduce`] (floats only).
        sums: bool,
        /// Whether the product is known to be symmetric (`a = cᵀ`, no bias, floats): half of it is computed and mirrored.
        symmetric: bool,
    },
    /// Factors each matrix of a batch (batch, rows, columns), any strides, float32 or float64. One row of w or s for each.
    /// Eigh and Svd refuse NaN and infinities with a `ValueError`; elsewhere they lead to NaN.
    Factor(Factorization),
    /// `out[i, j, k] = input[i, index[i, j, k], k]` along `axis`; index is I64 with out's shape (often by strides of 0).
    /// An index that is negative or too large is an `IndexError` that names value and size.
    Gather {
        /// The dimension that the index selects from.
        axis: usize,
    },
    /// The reverse: inputs (index, source) of one shape, output in place: `out[i, index[i, j, k], k] op= source[i, j, k]`.
    Scatter {
        /// The dimension that the index selects from.
        axis: usize,
        /// What happens there.
        op: ScatterOp,
    },
    /// Row-major positions (I64, into an output of exactly that many) of the true elements of the Bool input.
    Nonzero,
    /// Running sums along the last dimension.
    CumSum,
    /// Sorts rows of the last dimension: outputs (sorted values, I64 positions). Stable; NaN counts as the largest.
    /// On the processor outputs may have fewer elements in their last dimension: then these are the first in the order.
    Sort {
        /// Largest first.
        descending: bool,
    },
    /// Fills the contiguous output from Philox: element i is made of block `counter + i / per_block` alone, where a block
    /// gives four elements of up to float32 and two of any wider type ([`Distribution::per_block`]).
    Random {
        /// What is drawn.
        distribution: Distribution,
        /// The key.
        seed: u64,
        /// The position of the first element in the stream.
        counter: u64,
    },
}

/// A kernel: its specification and, once a device has run it, what that device made of it.
#[derive(Debug)]
pub struct Kernel {
    spec: Spec,
    compiled: [Once<Compiled>; 4],
}

impl Kernel {
    /// A kernel that nobody has compiled yet.
    pub fn new(spec: Spec) -> Kernel {
        Kernel { spec, compiled: Default::default() }
    }

    /// What it computes.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What `device` makes of it, made at the first call.
    #[inline]
    pub fn compiled(&self, device: &dyn Device) -> Result<&Compiled> {
        let slot = &self.compiled[device.id().kind as usize];
        if let Some(compiled) = slot.get() {
            return Ok(compiled);
        }
        // Drivers have locks of their own, and no child can use a GPU of its parent.
        let _making = (device.id().kind == DeviceType::Cpu).then(Making::begin);
        if let Some(compiled) = slot.get() {
            return Ok(compiled); // another thread was faster
        }
        let fresh = device.compile(&self.spec)?;
        Ok(slot.get_or_init(|| fresh))
    }
}
