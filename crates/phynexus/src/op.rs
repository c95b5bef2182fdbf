//! Operations as data: a value that infers shapes, runs, and says its gradient in terms of other operations.

use crate::array::Array;
use crate::gradient::RowSparse;
use crate::node::{Context, Edge, Node, Saved};
use crate::ops::function::Passage;
use crate::ops::{factor, index, map, matmul, newton_schulz, place, random, reduce, shape, sort};
use crate::program;
use crate::tape;
use crate::tensor::Tensor;
use crate::view::View;
use phynexus_core::{DType, Device, Error, Result, Shape};
use smallvec::SmallVec;
use std::sync::Arc;

/// What is known of an operand or a result without its values.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The shape.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
    /// The device.
    pub device: &'static dyn Device,
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shape {} {} on {}", self.shape, self.dtype, self.device.id())
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Spec) -> bool {
        self.shape == other.shape && self.dtype == other.dtype && self.device.id() == other.device.id()
    }
}

impl From<&Array> for Spec {
    fn from(a: &Array) -> Spec {
        Spec { shape: *a.shape(), dtype: a.dtype(), device: a.device() }
    }
}

/// A few of something.
pub type Few<T> = SmallVec<[T; 2]>;

/// Which of an operation's operands and results its gradient reads, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Operands.
    pub inputs: u32,
    /// Results.
    pub outputs: u32,
}

/// What every operation can do.
pub trait Operation {
    /// The name that errors and recordings use.
    fn name(&self) -> &str;
    /// The results' shapes, dtypes and devices; an error if the operands do not fit.
    fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>>;
    /// The results.
    fn run(&self, inputs: &[&Array]) -> Result<Few<Array>>;
    /// What `grad` reads if the operands in `wanted` (a bit each) need gradients; `None` if there is no gradient.
    fn saves(&self, wanted: u32) -> Option<Needs>;
    /// The operands' gradients, in order, for those that are wanted.
    fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>>;
    /// How a gradient of the only result passes element by element, if it does so: to the first operand, or for
    /// [`matmul::Linear`] to the sums before its activation. The dtype is that of the result.
    fn passage(&self, _: DType) -> Option<Arc<Passage>> {
        None
    }
    /// The first operand's gradient as the only rows that are not zero, where the operation was asked for it so.
    fn rows(&self, _: &Context) -> Result<Option<RowSparse>> {
        Ok(None)
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident($kind:ty)),* $(,)?) => {
        /// Every operation of the engine. To add one: a struct that implements [`Operation`], and a line here.
        #[derive(Clone, Debug)]
        pub enum Op {
            $($(#[$doc])* $variant($kind)),*
        }

        impl Op {
            /// The names of all variants.
            pub const VARIANTS: &[&str] = &[$(stringify!($variant)),*];
        }

        impl Operation for Op {
            fn name(&self) -> &str {
                match self { $(Op::$variant(op) => op.name()),* }
            }
            fn infer(&self, inputs: &[Spec]) -> Result<Few<Spec>> {
                match self { $(Op::$variant(op) => op.infer(inputs)),* }
            }
            fn run(&self, inputs: &[&Array]) -> Result<Few<Array>> {
                match self { $(Op::$variant(op) => op.run(inputs)),* }
            }
            fn saves(&self, wanted: u32) -> Option<Needs> {
                match self { $(Op::$variant(op) => op.saves(wanted)),* }
            }
            fn grad(&self, context: &Context) -> Result<Few<Option<Tensor>>> {
                match self { $(Op::$variant(op) => op.grad(context)),* }
            }
            fn passage(&self, result: DType) -> Option<Arc<Passage>> {
                match self { $(Op::$variant(op) => op.passage(result)),* }
            }
            fn rows(&self, context: &Context) -> Result<Option<RowSparse>> {
                match self { $(Op::$variant(op) => op.rows(context)),* }
            }
        }
    };
}

operations! {
    /// A formula, elementwise or over rows.
    Map(map::Map),
    /// Another dtype.
    Cast(map::Cast),
    /// Another device.
    Move(place::Move),
    /// A contiguous copy.
    Copy(shape::Copy),
    /// Another shape of the same elements.
    Reshape(shape::Reshape),
    /// Dimensions in another order.
    Permute(shape::Permute),
    /// Repeated along dimensions of size 1.
    Expand(shape::Expand),
    /// Evenly spaced elements of each dimension.
    Slice(shape::Slice),
    /// A slice replaced by other values.
    Overwrite(shape::Overwrite),
    /// The reverse of a slice: into zeros.
    Embed(shape::Embed),
    /// One after the other along a dimension.
    Concat(shape::Concat),
    /// A reduction over some dimensions.
    Reduce(reduce::Reduce),
    /// Running sums along the last dimension.
    CumSum(reduce::CumSum),
    /// Matrix products.
    MatMul(matmul::MatMul),
    /// `activation(x Wᵀ + b)`.
    Linear(matmul::Linear),
    /// A matrix taken apart, or a system of equations solved.
    Factor(factor::Factor),
    /// The nearest matrix with orthonormal rows or columns, about.
    NewtonSchulz(newton_schulz::NewtonSchulz),
    /// Elements that an index selects along a dimension.
    Gather(index::Gather),
    /// Elements added or written where an index says.
    Scatter(index::Scatter),
    /// Positions of true elements.
    Nonzero(index::Nonzero),
    /// Rows in order.
    Sort(sort::Sort),
    /// Random numbers.
    Random(random::Random),
    /// One value everywhere.
    Fill(random::Fill),
    /// Evenly spaced numbers.
    Range(random::Range),
}

impl Op {
    /// Whether the result is made of its only operand's elements, perhaps of its very memory.
    pub(crate) fn is_view(&self) -> bool {
        matches!(self, Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_))
    }
}

/// Runs an operation; records it on the tape where a gradient is wanted.
pub fn apply(op: Op, inputs: &[&Tensor]) -> Result<Few<Tensor>> {
    let mut arrays: SmallVec<[Array; 3]> = SmallVec::new();
    let mut edges: SmallVec<[Edge; 3]> = SmallVec::new();
    for input in inputs {
        let (array, edge) = input.operand(op.name())?;
        arrays.push(array);
        edges.push(edge);
    }
    if let [first, rest @ ..] = &arrays[..] {
        for other in rest {
            same_device(op.name(), first, other)?;
        }
    }
    let refs: SmallVec<[&Array; 3]> = arrays.iter().collect();
    let outputs = op.run(&refs)?;
    drop(refs);
    let shares = |out: &Array| Arc::ptr_eq(out.buffer(), arrays[0].buffer());
    let followed = op.is_view() && tape::views_are_followed() && shares(&outputs[0]);
    let view = followed.then(|| View::new(inputs[0], &op));

    let mut wanted = 0u32;
    if tape::grad_enabled() {
        for (i, (edge, array)) in edges.iter().zip(&arrays).enumerate() {
            if !matches!(edge, Edge::None) && array.dtype().is_float() {
                wanted |= 1 << i;
            }
        }
    }
    let needs = if wanted == 0 { None } else { op.saves(wanted) };
    let recording = program::recording();
    let results = match needs {
        None => {
            let results: Few<Tensor> = outputs.into_iter().map(Tensor::new).collect();
            if recording {
                program::note(&op, inputs, &results)?;
            }
            results
        }
        Some(needs) => {
            let noted = recording.then(|| op.clone());
            let results = record(op, wanted, needs, arrays, edges, outputs);
            if let Some(op) = noted {
                program::note(&op, inputs, &results)?;
            }
            results
        }
    };
    if let Some(view) = view {
        results[0].set_view(view);
    }
    Ok(results)
}

/// [`apply`] for an operation of one result.
pub fn apply1(op: Op, inputs: &[&Tensor]) -> Result<Tensor> {
    let mut results = apply(op, inputs)?;
    debug_assert_eq!(results.len(), 1);
    Ok(results.remove(0))
}

fn record(
    op: Op,
    wanted: u32,
    needs: Needs,
    arrays: SmallVec<[Array; 3]>,
    edges: SmallVec<[Edge; 3]>,
    outputs: Few<Array>,
) -> Few<Tensor> {
    let specs: Box<[Spec]> = arrays.iter().chain(&outputs).map(Spec::from).collect();
    let floats: u32 = outputs.iter().enumerate().map(|(i, a)| (a.dtype().is_float() as u32) << i).sum();
    let mut saved = SmallVec::new();
    for (i, (array, edge)) in arrays.into_iter().zip(&edges).enumerate() {
        if needs.inputs >> i & 1 == 1 {
            saved.push(Saved::input(i, array, edge.clone()));
        }
    }
    for (i, array) in outputs.iter().enumerate() {
        if needs.outputs >> i & 1 == 1 {
            saved.push(Saved::output(i, array.clone()));
        }
    }
    let node = Node::new(op, wanted, specs, edges, saved);
    outputs
        .into_iter()
        .enumerate()
        .map(|(i, array)| {
            let edge = if floats >> i & 1 == 1 { Edge::Node(node.clone(), i as u32) } else { Edge::None };
            Tensor::with_edge(array, edge)
        })
        .collect()
}

/// An error that names both devices if they differ.
pub fn same_device(what: &str, a: &Array, b: &Array) -> Result<()> {
    if std::ptr::addr_eq(a.device(), b.device()) || a.device().id() == b.device().id() {
        return Ok(());
    }
    Err(Error::Runtime(format!(
        "{what}: tensors are on different devices, {} and {}; move one with .to({:?})",
        a.device().id(),
        b.device().id(),
        a.device().id().to_string()
    )))
}
