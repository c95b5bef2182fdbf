//! The tensor class. Its methods are grouped by kind in the files of this folder.

mod arithmetic;
mod compare;
mod create;
mod gradient;
mod indexing;
mod info;
pub mod inplace;
mod like;
mod reduce;
mod shape;
pub mod values;

use crate::device::PyDevice;
use crate::dtype::PyDType;
use phynexus::Tensor;
use pyo3::prelude::*;

/// A tensor: numbers of one dtype in up to eight dimensions, on one device, that the tape can differentiate.
///
/// Args:
///     data: numbers, nested sequences, or arrays by any protocol (the array interface, DLPack, `__array__`, buffers), which
///         keep their dtype; always copied. Python floats become float32, ints int64, bools bool. Lists get the common
///         dtype of what they hold; in them a tensor of one element counts as a number, as in PyTorch.
///     dtype: the dtype wanted; None keeps that of the data.
///     device: where the values go; None is the CPU.
///     requires_grad: whether `backward` computes a gradient for it (floating-point only).
///
/// Raises:
///     TypeError: data that cannot become numbers, or gradients for integers.
///     ValueError: an unknown dtype or device, more than eight dimensions, ragged lists, numbers that the dtype does not hold.
///
/// Example:
///     >>> import neurenix
///     >>> x = neurenix.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
///     >>> (x * x).sum().backward()
///     >>> x.grad.tolist()
///     [[2.0, 4.0], [6.0, 8.0]]
#[pyclass(name = "Tensor", module = "neurenix", subclass, frozen, weakref)]
#[derive(Clone)]
pub struct PyTensor(pub Tensor);

impl From<Tensor> for PyTensor {
    fn from(t: Tensor) -> PyTensor {
        PyTensor(t)
    }
}

/// What most methods return.
pub type Made = PyResult<PyTensor>;

/// Turns an engine result into a Python one.
pub fn made(result: phynexus::Result<Tensor>) -> Made {
    result.map(PyTensor).map_err(crate::error::to_python)
}

#[pymethods]
impl PyTensor {
    #[new]
    #[pyo3(signature = (data, dtype=None, device=None, requires_grad=false))]
    fn new(
        data: &Bound<'_, PyAny>,
        dtype: Option<&Bound<'_, PyAny>>,
        device: Option<&Bound<'_, PyAny>>,
        requires_grad: bool,
    ) -> Made {
        let dtype = dtype.map(PyDType::parse).transpose()?;
        let device = match (device, data.cast::<PyTensor>()) {
            (None, Ok(tensor)) => tensor.get().0.device(),
            _ => PyDevice::resolve(device)?,
        };
        let t = crate::data::tensor(data, dtype, device)?;
        if requires_grad {
            t.set_requires_grad(true).map_err(crate::error::to_python)?;
        }
        Ok(PyTensor(t))
    }
}
