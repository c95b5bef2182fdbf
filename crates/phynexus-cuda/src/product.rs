//! Products by the vendor's library, followed by what our own kernel does while it has the sums at hand.

use crate::blas;
use crate::device::native;
use phynexus_core::{DType, Device, Kernel, Layout, ReduceOp, Result, Spec, Task, View};
use phynexus_formula::{Builder, Formula};
use phynexus_gpu::{Gpu, Kind};
use std::sync::{LazyLock, OnceLock};

/// From so many multiplications on a product by the library is worth further kernels for what follows it; with
/// `NEURENIX_BLAS=1` it always is.
fn large() -> usize {
    static LARGE: LazyLock<usize> =
        LazyLock::new(|| if std::env::var("NEURENIX_BLAS").is_ok_and(|v| v == "1") { 0 } else { 64 << 20 });
    *LARGE
}

/// A product: both ways of it. All GPUs of a kind share one, so it knows none of them.
pub(crate) struct Product {
    own: Box<dyn Kind>,
    bias: bool,
    accumulate: bool,
    sums: bool,
    epilogue: Option<Formula>,
    /// Bias and epilogue as one formula over the product, by dtype.
    ends: [OnceLock<Kernel>; 8],
    row_sums: Kernel,
}

impl Product {
    /// `own` with the library beside it, where the specification is one of a product.
    pub fn of(spec: &Spec, own: Box<dyn Kind>) -> Box<dyn Kind> {
        let Spec::MatMul { bias, accumulate, sums, epilogue, .. } = spec else { return own };
        Box::new(Product {
            own,
            bias: *bias,
            accumulate: *accumulate,
            sums: *sums,
            epilogue: epilogue.clone(),
            ends: Default::default(),
            row_sums: Kernel::new(Spec::Reduce { op: ReduceOp::Sum, axes: 1 }),
        })
    }

    fn is_plain(&self) -> bool {
        !self.bias && !self.sums && self.epilogue.is_none()
    }

    fn end(&self, dtype: DType) -> &Kernel {
        self.ends[dtype as usize].get_or_init(|| {
            let (ty, mut b) = (dtype.compute(), Builder::new());
            let mut value = b.input(ty);
            let mut inputs = vec![dtype];
            if self.bias {
                let bias = b.input(ty);
                value = b.add(value, bias);
                inputs.push(dtype);
            }
            if let Some(epilogue) = &self.epilogue {
                let mut operands = vec![value];
                if epilogue.inputs().len() == 2 {
                    operands.push(b.input(ty));
                    inputs.push(dtype);
                }
                value = b.inline(epilogue, &operands, &[])[0];
            }
            Kernel::new(Spec::Map { formula: b.finish(&[value]), inputs, outputs: vec![dtype] })
        })
    }

    /// What follows the product of `task`.
    fn finish(&self, device: &dyn Device, task: &Task<'_>) -> Result<()> {
        let out = &task.outputs[0];
        if self.bias || self.epilogue.is_some() {
            let spread: Option<Layout> =
                self.bias.then(|| task.inputs[2].layout.broadcast(out.layout.shape())).transpose()?;
            let mut inputs: Vec<View<'_>> = vec![*out];
            inputs.extend(spread.as_ref().map(|layout| View { layout, ..task.inputs[2] }));
            inputs.extend(task.inputs.get(2 + usize::from(self.bias)));
            let end = Task { inputs: &inputs, outputs: &task.outputs[..1], scalars: &[] };
            device.launch(self.end(out.dtype), &[end])?;
        }
        if self.sums {
            let sums = Task { inputs: &task.inputs[..1], outputs: &task.outputs[1..], scalars: &[] };
            device.launch(&self.row_sums, &[sums])?;
        }
        Ok(())
    }
}

impl Kind for Product {
    fn launch(&self, gpu: &dyn Gpu, tasks: &[Task<'_>]) -> Result<()> {
        let device = native(gpu.device().id());
        for task in tasks {
            let product = blas::Product::of(&task.inputs[0], &task.inputs[1], &task.outputs[0]);
            // Sums in half precision are not rounded before the bias is added.
            let exact = self.is_plain() || task.outputs[0].dtype.size() > 2;
            match product.filter(|p| exact && (self.is_plain() || p.work() >= large())) {
                Some(product) if device.multiply(&product, self.accumulate)? => self.finish(device, task)?,
                _ => self.own.launch(gpu, &[*task])?,
            }
        }
        Ok(())
    }
}
