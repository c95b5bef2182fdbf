//! Formulas made ready to be operations: kernels for the dtypes in use, and gradients.

use crate::op::Few;
use phynexus_core::{Chain, DType, Kernel, Once, Result, Spec as KernelSpec, Task, Value, View};
use phynexus_formula::ops::Op as Row;
use phynexus_formula::{
    Binary, Builder, Formula, Gradient, Id, Node, Rank, Reduction, Source, Type, differentiate,
    differentiate_loss, evaluate_scalars, hoist, is_product,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// By the operands wanted and whether the first result is the loss.
type Gradients = Chain<((u32, bool), Arc<GradientFn>)>;
type DTypes = SmallVec<[DType; 8]>;

/// A formula ready to be an operation: its kernels by dtype, and its gradients, each again such a function.
#[derive(Debug)]
pub struct MapFn {
    pub(super) name: String,
    pub(super) formula: Formula,
    /// The formula that devices run: what is the same for all elements is computed by `host`.
    kernel: Formula,
    host: Option<Formula>,
    pub(super) differentiable: bool,
    /// Which results have one value for each row, a bit each.
    pub(super) row_results: u32,
    kernels: Chain<(DTypes, Arc<Kernel>)>,
    gradients: Gradients,
    passage: Once<Option<Arc<Passage>>>,
}

/// The gradient of a function: again one, and what its operands are.
#[derive(Debug)]
pub(super) struct GradientFn {
    pub function: Arc<MapFn>,
    pub sources: Vec<Source>,
    /// The operands that its results are, where it does nothing else.
    pub same: Option<Few<usize>>,
}

/// How a gradient passes an elementwise function: by a formula of it and one tensor beside it.
#[derive(Debug)]
pub struct Passage {
    /// Of the gradient and what stands beside it.
    pub(super) function: Arc<MapFn>,
    /// Whether that is the function's result, and not its operand.
    pub(crate) output: bool,
    /// The product of matrices with this formula at its end.
    product: Once<Kernel>,
}

impl Passage {
    /// The product of matrices whose elements pass at once.
    pub(super) fn product(&self) -> &Kernel {
        self.product.get_or_init(|| {
            let epilogue = Some(self.function.kernel.clone());
            let (bias, accumulate, symmetric, sums) = (false, false, false, false);
            Kernel::new(KernelSpec::MatMul { bias, accumulate, epilogue, symmetric, sums })
        })
    }
}

impl MapFn {
    /// A function of this formula; `rows` says which results have one value for each row.
    pub fn new(name: String, formula: Formula, row_results: u32, differentiable: bool) -> Arc<MapFn> {
        let hoisted = hoist(&formula);
        // A host formula that only hands its operands on costs a call for nothing.
        let plain = hoisted.host.outputs().len() == formula.scalars().len()
            && hoisted.host.outputs().iter().enumerate().all(|(i, id)| {
                matches!(hoisted.host.node(*id), phynexus_formula::Node::Scalar { slot, .. } if slot as usize == i)
            });
        Arc::new(MapFn {
            name,
            formula,
            kernel: hoisted.kernel,
            host: (!plain).then_some(hoisted.host),
            differentiable,
            row_results,
            kernels: Chain::new(),
            gradients: Chain::new(),
            passage: Once::new(),
        })
    }

    /// What it computes.
    pub fn formula(&self) -> &Formula {
        &self.formula
    }

    /// A function of somebody's own formula, whose reductions go over the last dimension; it has no gradient.
    pub fn plain(name: &str, formula: Formula) -> Arc<MapFn> {
        let rows = row_ranks(&formula);
        MapFn::new(name.into(), formula, rows, false)
    }

    /// The function of a table row for operands of `ty`; the operands in `numbers` (a bit each) are scalars and
    /// come before the row's own.
    pub fn of(row: Row, ty: Type, numbers: u32) -> &'static Arc<MapFn> {
        const SLOTS: usize = Row::ALL.len() * 5 * 8;
        static TABLE: [Once<Arc<MapFn>>; SLOTS] = [const { Once::new() }; SLOTS];
        TABLE[(row as usize * 5 + ty as usize) * 8 + numbers as usize].get_or_init(|| {
            let about = row.row();
            let mut b = Builder::new();
            let operands: Vec<_> = (0..about.inputs)
                .map(|k| {
                    let ty = about.input_type(k, ty);
                    if numbers >> k & 1 == 1 { b.scalar(ty) } else { b.input(ty) }
                })
                .collect();
            let scalars: Vec<_> = (0..about.scalars).map(|k| b.scalar(about.scalar_type(k, ty))).collect();
            let results = (about.build)(&mut b, &operands, &scalars);
            let formula = b.finish(&results);
            let row_results = if about.row_wise { row_ranks(&formula) } else { 0 };
            MapFn::new(about.name.into(), formula, row_results, about.differentiable)
        })
    }

    /// A power with this exponent, where products and roots compute it; the exponent is then part of the function.
    pub fn power(ty: Type, exponent: Value) -> Option<Arc<MapFn>> {
        static TABLE: Chain<((Type, u64), Arc<MapFn>)> = Chain::new();
        let number = exponent.as_f64();
        if !is_product(ty, number) {
            return None;
        }
        let key = (ty, number.to_bits());
        let made = || {
            let mut b = Builder::new();
            let (base, exponent) = (b.input(ty), b.number(ty, number));
            let power = b.binary(Binary::Pow, base, exponent);
            (key, MapFn::new(Row::Pow.name().into(), b.finish(&[power]), 0, true))
        };
        Some(TABLE.find_or_add(|(known, _)| *known == key, made).1.clone())
    }

    /// The sum or mean of a table row's elementwise result over the whole tensor.
    pub fn reduced(row: Row, ty: Type, mean: bool) -> Arc<MapFn> {
        const SLOTS: usize = Row::ALL.len() * 5 * 2;
        static TABLE: [Once<Arc<MapFn>>; SLOTS] = [const { Once::new() }; SLOTS];
        let slot = &TABLE[(row as usize * 5 + ty as usize) * 2 + mean as usize];
        slot.get_or_init(|| MapFn::new_reduced(row, ty, mean)).clone()
    }

    fn new_reduced(row: Row, ty: Type, mean: bool) -> Arc<MapFn> {
        let elementwise = row.formula(ty);
        let mut b = Builder::new();
        let inputs: Vec<_> = elementwise.inputs().to_vec().into_iter().map(|ty| b.input(ty)).collect();
        let scalars: Vec<_> = elementwise.scalars().to_vec().into_iter().map(|ty| b.scalar(ty)).collect();
        let each = b.inline(&elementwise, &inputs, &scalars)[0];
        let mut result = b.reduce(Reduction::Sum, each);
        if mean {
            let length = b.length();
            let length = b.cast(ty, length);
            result = b.div(result, length);
        }
        let name = format!("{}_{}", row.name(), if mean { "mean" } else { "sum" });
        MapFn::new(name, b.finish(&[result]), 1, row.row().differentiable)
    }

    fn kernel(&self, inputs: &[DType], outputs: &[DType]) -> &Arc<Kernel> {
        let made = || {
            let spec = KernelSpec::Map {
                formula: self.kernel.clone(),
                inputs: inputs.to_vec(),
                outputs: outputs.to_vec(),
            };
            (inputs.iter().chain(outputs).copied().collect(), Arc::new(Kernel::new(spec)))
        };
        let matches = |(k, _): &(DTypes, _)| k[..inputs.len()] == *inputs && k[inputs.len()..] == *outputs;
        &self.kernels.find_or_add(matches, made).1
    }

    /// The gradient with respect to the operands in `wanted`, perhaps with the first result for the loss.
    pub(super) fn gradient(&self, wanted: u32, is_loss: bool) -> Arc<GradientFn> {
        let key = (wanted, is_loss);
        self.gradients.find_or_add(|(k, _)| *k == key, || (key, self.new_gradient(wanted, is_loss))).1.clone()
    }

    fn new_gradient(&self, wanted: u32, is_loss: bool) -> Arc<GradientFn> {
        let slots: Vec<usize> = (0..self.formula.inputs().len()).filter(|i| wanted >> i & 1 == 1).collect();
        let differentiate = if is_loss { differentiate_loss } else { differentiate };
        let Gradient { formula, sources } = differentiate(&self.formula, &slots);
        let operand = |id: &Id| match formula.node(*id) {
            Node::Input { slot, .. } => Some(slot as usize),
            _ => None,
        };
        let same = formula.outputs().iter().map(operand).collect();
        let function = MapFn::new(format!("{} (gradient)", self.name), formula, 0, true);
        Arc::new(GradientFn { function, sources, same })
    }

    /// How a gradient passes it, if it is elementwise, has one operand, and reads no more than one of that and its result.
    pub fn passage(&self) -> Option<&Arc<Passage>> {
        self.passage.get_or_init(|| self.new_passage().map(Arc::new)).as_ref()
    }

    fn new_passage(&self) -> Option<Passage> {
        let f = &self.formula;
        let simple = f.inputs().len() == 1 && f.outputs().len() == 1 && f.scalars().is_empty();
        if !simple || !self.differentiable || f.is_row_wise() || f.ty(f.outputs()[0]) != f.inputs()[0] {
            return None;
        }
        let gradient = self.gradient(1, false);
        let beside = gradient.sources.iter().filter(|s| !matches!(s, Source::Upstream(_)));
        let output = match beside.collect::<Few<_>>()[..] {
            [Source::Output(_)] => true,
            [Source::Input(_)] => false,
            _ => return None,
        };
        let mut b = Builder::new();
        let (upstream, beside) = (b.input(f.inputs()[0]), b.input(f.inputs()[0]));
        let place = |s: &Source| if matches!(s, Source::Upstream(_)) { upstream } else { beside };
        let operands: Vec<_> = gradient.sources.iter().map(place).collect();
        let outputs = b.inline(&gradient.function.formula, &operands, &[]);
        let function = MapFn::new(gradient.function.name.clone(), b.finish(&outputs), 0, true);
        Some(Passage { function, output, product: Once::new() })
    }

    /// Runs the kernel for these operands.
    pub fn launch(&self, inputs: &[View<'_>], outputs: &[View<'_>], scalars: &[Value]) -> Result<()> {
        let ins: DTypes = inputs.iter().map(|v| v.dtype).collect();
        let outs: DTypes = outputs.iter().map(|v| v.dtype).collect();
        let kernel = self.kernel(&ins, &outs);
        let hoisted = self.host.as_ref().map(|host| evaluate_scalars(host, scalars));
        let scalars = hoisted.as_deref().unwrap_or(scalars);
        outputs[0].buffer.device().launch(kernel, &[Task { inputs, outputs, scalars }])
    }
}

/// Which outputs of a row-wise formula have one value for each row.
fn row_ranks(formula: &Formula) -> u32 {
    let is_row = |(i, id): (usize, &phynexus_formula::Id)| ((formula.rank(*id) != Rank::Element) as u32) << i;
    formula.outputs().iter().enumerate().map(is_row).sum()
}
