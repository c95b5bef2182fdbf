//! Formulas made ready to be operations: kernels for the dtypes in use, and gradients.

use parking_lot::{Mutex, RwLock};
use phynexus_core::{DType, Kernel, Result, Spec as KernelSpec, Task, Value, View};
use phynexus_formula::ops::Op as Row;
use phynexus_formula::{
    Builder, Formula, Gradient, Rank, Reduction, Source, Type, differentiate, evaluate_scalars, hoist,
};
use smallvec::SmallVec;
use std::sync::{Arc, LazyLock, OnceLock};

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
    kernels: RwLock<Vec<(DTypes, Arc<Kernel>)>>,
    gradients: Mutex<Vec<(u32, Arc<GradientFn>)>>,
    result_gradient: OnceLock<Arc<MapFn>>,
}

/// The gradient of a function: again one, and what its operands are.
#[derive(Debug)]
pub(super) struct GradientFn {
    pub function: Arc<MapFn>,
    pub sources: Vec<Source>,
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
            kernels: RwLock::default(),
            gradients: Mutex::default(),
            result_gradient: OnceLock::new(),
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
        static TABLE: LazyLock<Vec<OnceLock<Arc<MapFn>>>> =
            LazyLock::new(|| (0..Row::ALL.len() * 5 * 8).map(|_| OnceLock::new()).collect());
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

    /// The sum or mean of a table row's elementwise result over the whole tensor.
    pub fn reduced(row: Row, ty: Type, mean: bool) -> Arc<MapFn> {
        static TABLE: LazyLock<Vec<OnceLock<Arc<MapFn>>>> =
            LazyLock::new(|| (0..Row::ALL.len() * 5 * 2).map(|_| OnceLock::new()).collect());
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

    fn kernel(&self, inputs: &[DType], outputs: &[DType]) -> Arc<Kernel> {
        let matches = |k: &DTypes| k[..inputs.len()] == *inputs && k[inputs.len()..] == *outputs;
        if let Some((_, kernel)) = self.kernels.read().iter().find(|(k, _)| matches(k)) {
            return kernel.clone();
        }
        let spec = KernelSpec::Map {
            formula: self.kernel.clone(),
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
        };
        let kernel = Arc::new(Kernel::new(spec));
        let key = inputs.iter().chain(outputs).copied().collect();
        self.kernels.write().push((key, kernel.clone()));
        kernel
    }

    /// The gradient with respect to the operands in `wanted`.
    pub(super) fn gradient(&self, wanted: u32) -> Arc<GradientFn> {
        let mut known = self.gradients.lock();
        if let Some((_, gradient)) = known.iter().find(|(w, _)| *w == wanted) {
            return gradient.clone();
        }
        let slots: Vec<usize> = (0..self.formula.inputs().len()).filter(|i| wanted >> i & 1 == 1).collect();
        let Gradient { formula, sources } = differentiate(&self.formula, &slots);
        let function = MapFn::new(format!("{} (gradient)", self.name), formula, 0, true);
        let gradient = Arc::new(GradientFn { function, sources });
        known.push((wanted, gradient.clone()));
        gradient
    }

    /// The gradient as a function of (result, upstream) alone, for an activation that allows it.
    pub fn from_result(&self) -> &Arc<MapFn> {
        self.result_gradient.get_or_init(|| self.new_from_result())
    }

    fn new_from_result(&self) -> Arc<MapFn> {
        let gradient = self.gradient(1);
        let mut b = Builder::new();
        let ty = self.formula.inputs()[0];
        let (result, upstream) = (b.input(ty), b.input(ty));
        let place = |s: &Source| if matches!(s, Source::Output(_)) { result } else { upstream };
        let operands: Vec<_> = gradient.sources.iter().map(place).collect();
        let outputs = b.inline(&gradient.function.formula, &operands, &[]);
        MapFn::new(gradient.function.name.clone(), b.finish(&outputs), 0, true)
    }

    /// Runs the kernel for these operands.
    pub fn launch(&self, inputs: &[View<'_>], outputs: &[View<'_>], scalars: &[Value]) -> Result<()> {
        let ins: DTypes = inputs.iter().map(|v| v.dtype).collect();
        let outs: DTypes = outputs.iter().map(|v| v.dtype).collect();
        let kernel = self.kernel(&ins, &outs);
        let hoisted = self.host.as_ref().map(|host| evaluate_scalars(host, scalars));
        let scalars = hoisted.as_deref().unwrap_or(scalars);
        outputs[0].buffer.device().launch(&kernel, &[Task { inputs, outputs, scalars }])
    }
}

/// Which outputs of a row-wise formula have one value for each row.
fn row_ranks(formula: &Formula) -> u32 {
    let is_row = |(i, id): (usize, &phynexus_formula::Id)| ((formula.rank(*id) != Rank::Element) as u32) << i;
    formula.outputs().iter().enumerate().map(is_row).sum()
}
