//! Static methods that make tensors.

use super::{Made, PyTensor, made};
use crate::convert::{self, Count};
use crate::device::PyDevice;
use crate::dtype::PyDType;
use crate::error::{run, to_python};
use crate::generator::PyGenerator;
use phynexus::{Array, DType, Device, Shape, Tensor, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// The keyword arguments that all of them share.
pub(super) struct Options {
    pub dtype: Option<DType>,
    pub device: &'static dyn Device,
    requires_grad: bool,
}

pub(super) type Opt<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

impl Options {
    fn new(dtype: Opt<'_, '_>, device: Opt<'_, '_>, requires_grad: bool) -> PyResult<Options> {
        Ok(Options {
            dtype: dtype.map(PyDType::parse).transpose()?,
            device: PyDevice::resolve(device)?,
            requires_grad,
        })
    }

    pub fn like(
        t: &PyTensor,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> PyResult<Options> {
        let device = if device.is_some() { PyDevice::resolve(device)? } else { t.0.device() };
        let dtype = dtype.map(PyDType::parse).transpose()?.unwrap_or(t.0.dtype());
        Ok(Options { dtype: Some(dtype), device, requires_grad })
    }

    pub fn finish(&self, t: PyResult<Tensor>) -> Made {
        let t = t?;
        if self.requires_grad {
            t.set_requires_grad(true).map_err(to_python)?;
        }
        Ok(PyTensor(t))
    }

    pub fn fill(&self, py: Python<'_>, shape: Shape, value: f64) -> Made {
        let dtype = self.dtype.unwrap_or(DType::F32);
        let value = if dtype.is_float() { Value::F(value) } else { Value::I(value as i64) };
        self.finish(run(py, shape.elements(), || phynexus::full(shape, value, dtype, self.device)))
    }

    pub fn empty(&self, shape: Shape) -> Made {
        let array = Array::empty(shape, self.dtype.unwrap_or(DType::F32), self.device);
        self.finish(array.map(Tensor::new).map_err(to_python))
    }

    pub fn random(
        &self,
        py: Python<'_>,
        shape: Shape,
        normal: bool,
        g: Option<&Bound<'_, PyGenerator>>,
    ) -> Made {
        let (dtype, g) = (self.dtype.unwrap_or(DType::F32), PyGenerator::pick(g));
        let draw = if normal { phynexus::normal } else { phynexus::uniform };
        self.finish(run(py, shape.elements(), || draw(shape, dtype, self.device, g)))
    }
}

#[pymethods]
impl PyTensor {
    /// A tensor with undefined contents.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.empty((2, 3)).shape
    ///     (2, 3)
    #[staticmethod]
    #[pyo3(signature = (*shape, size=None, dtype=None, device=None, requires_grad=false))]
    fn empty(
        shape: &Bound<'_, PyTuple>,
        size: Opt<'_, '_>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        Options::new(dtype, device, requires_grad)?.empty(convert::shape(shape, size)?)
    }

    /// Zeros.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.zeros((2,)).tolist()
    ///     [0.0, 0.0]
    #[staticmethod]
    #[pyo3(signature = (*shape, size=None, dtype=None, device=None, requires_grad=false))]
    fn zeros(
        shape: &Bound<'_, PyTuple>,
        size: Opt<'_, '_>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        Options::new(dtype, device, requires_grad)?.fill(shape.py(), convert::shape(shape, size)?, 0.0)
    }

    /// Ones.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.ones(2, dtype="int64").tolist()
    ///     [1, 1]
    #[staticmethod]
    #[pyo3(signature = (*shape, size=None, dtype=None, device=None, requires_grad=false))]
    fn ones(
        shape: &Bound<'_, PyTuple>,
        size: Opt<'_, '_>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        Options::new(dtype, device, requires_grad)?.fill(shape.py(), convert::shape(shape, size)?, 1.0)
    }

    /// One value everywhere. Its kind decides the dtype where none is given.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.full((2,), 7).tolist()
    ///     [7, 7]
    #[staticmethod]
    #[pyo3(signature = (size, fill_value, *, dtype=None, device=None, requires_grad=false))]
    fn full(
        size: &Bound<'_, PyAny>,
        fill_value: &Bound<'_, PyAny>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        let (value, kind) = convert::number(fill_value)?;
        let options = Options::new(dtype, device, requires_grad)?;
        let dtype = options.dtype.unwrap_or(DType::Bool.promote_scalar(kind));
        let shape = convert::shape_from(size)?;
        options.finish(run(fill_value.py(), shape.elements(), || {
            phynexus::full(shape, value, dtype, options.device)
        }))
    }

    /// Random numbers, uniform in [0, 1).
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> x = neurenix.Tensor.rand((1000,))
    ///     >>> ((x >= 0) & (x < 1)).all().item()
    ///     True
    #[staticmethod]
    #[pyo3(signature = (*shape, size=None, dtype=None, device=None, requires_grad=false, generator=None))]
    fn rand(
        shape: &Bound<'_, PyTuple>,
        size: Opt<'_, '_>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> Made {
        Options::new(dtype, device, requires_grad)?.random(
            shape.py(),
            convert::shape(shape, size)?,
            false,
            generator,
        )
    }

    /// Random numbers of the standard normal distribution.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.randn((100, 10)).shape
    ///     (100, 10)
    #[staticmethod]
    #[pyo3(signature = (*shape, size=None, dtype=None, device=None, requires_grad=false, generator=None))]
    fn randn(
        shape: &Bound<'_, PyTuple>,
        size: Opt<'_, '_>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> Made {
        Options::new(dtype, device, requires_grad)?.random(
            shape.py(),
            convert::shape(shape, size)?,
            true,
            generator,
        )
    }

    /// Random integers: `randint(low, high, size)` of [low, high), or `randint(high, size)` of [0, high).
    ///
    /// Raises:
    ///     ValueError: low is not less than high, or numbers that the dtype does not hold.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.randint(3, 4, (2,)).tolist()
    ///     [3, 3]
    ///     >>> neurenix.Tensor.randint(1, size=(2,)).tolist()
    ///     [0, 0]
    #[staticmethod]
    #[pyo3(signature = (low=None, high=None, size=None, *, dtype=None, device=None, requires_grad=false, generator=None))]
    #[allow(clippy::too_many_arguments)]
    fn randint(
        low: Opt<'_, '_>,
        high: Opt<'_, '_>,
        size: Opt<'_, '_>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> Made {
        let missing = || PyTypeError::new_err("randint takes (low, high, size) or (high, size)");
        let (low, high, size) = match (low, high, size) {
            (Some(low), Some(high), Some(size)) => (Some(low), high, size),
            (Some(high), None, Some(size)) | (None, Some(high), Some(size)) => (None, high, size),
            (Some(high), Some(size), None) => (None, high, size),
            _ => return Err(missing()),
        };
        let bound = |value: &Bound<'_, PyAny>| match convert::number(value)? {
            (Value::I(n), _) => Ok(n),
            (Value::F(x), _) => {
                Err(PyTypeError::new_err(format!("randint: bounds must be integers, got {x}")))
            }
        };
        let (low, high) = (low.map_or(Ok(0), bound)?, bound(high)?);
        let shape = convert::shape_from(size)?;
        let options = Options::new(dtype, device, requires_grad)?;
        let (dtype, g) = (options.dtype.unwrap_or(DType::I64), PyGenerator::pick(generator));
        let device = options.device;
        options.finish(phynexus::random_integers(low, high, shape, dtype, device, g).map_err(to_python))
    }

    /// The integers below n in random order.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> sorted(neurenix.Tensor.randperm(4).tolist())
    ///     [0, 1, 2, 3]
    #[staticmethod]
    #[pyo3(signature = (n, *, dtype=None, device=None, generator=None))]
    fn randperm(
        n: Count,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> Made {
        let options = Options::new(dtype, device, false)?;
        let dtype = options.dtype.unwrap_or(DType::I64);
        made(phynexus::permutation(n.0, dtype, options.device, PyGenerator::pick(generator)))
    }

    /// Evenly spaced numbers: from 0 to `start`, or from `start` to `end`, without the last.
    ///
    /// Raises:
    ///     ValueError: a step of 0, bounds that are not finite, or too many elements.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.arange(1, 2, 0.5).tolist()
    ///     [1.0, 1.5]
    #[staticmethod]
    #[pyo3(signature = (start, end=None, step=None, *, dtype=None, device=None, requires_grad=false))]
    fn arange(
        start: &Bound<'_, PyAny>,
        end: Opt<'_, '_>,
        step: Opt<'_, '_>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        let zero = (Value::I(0), phynexus::Category::Integer);
        let (start, end) = match end {
            Some(end) => (convert::number(start)?, convert::number(end)?),
            None => (zero, convert::number(start)?),
        };
        let step = step.map_or(Ok((Value::I(1), zero.1)), convert::number)?;
        let kind = start.1.max(end.1).max(step.1);
        let options = Options::new(dtype, device, requires_grad)?;
        let dtype = options.dtype.unwrap_or(DType::U8.promote_scalar(kind));
        let dtype = if options.dtype.is_none() && !dtype.is_float() { DType::I64 } else { dtype };
        options.finish(phynexus::arange(start.0, end.0, step.0, dtype, options.device).map_err(to_python))
    }

    /// `steps` numbers from `start` to `end`, both included.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.linspace(0, 1, 3).tolist()
    ///     [0.0, 0.5, 1.0]
    #[staticmethod]
    #[pyo3(signature = (start, end, steps, *, dtype=None, device=None, requires_grad=false))]
    fn linspace(
        start: f64,
        end: f64,
        steps: isize,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        let steps = usize::try_from(steps)
            .map_err(|_| PyValueError::new_err(format!("linspace: steps must be 0 or more, got {steps}")))?;
        let options = Options::new(dtype, device, requires_grad)?;
        let dtype = options.dtype.unwrap_or(DType::F32);
        options.finish(phynexus::linspace(start, end, steps, dtype, options.device).map_err(to_python))
    }

    /// Ones on the diagonal of an (n, m) matrix.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.eye(2).tolist()
    ///     [[1.0, 0.0], [0.0, 1.0]]
    #[staticmethod]
    #[pyo3(signature = (n, m=None, *, dtype=None, device=None, requires_grad=false))]
    fn eye(n: Count, m: Option<Count>, dtype: Opt<'_, '_>, device: Opt<'_, '_>, requires_grad: bool) -> Made {
        let options = Options::new(dtype, device, requires_grad)?;
        let dtype = options.dtype.unwrap_or(DType::F32);
        options.finish(phynexus::eye(n.0, m.map_or(n.0, |m| m.0), dtype, options.device).map_err(to_python))
    }

    /// A tensor that shares the memory of anything with `__dlpack__`. What may not be written is copied: memory marked as
    /// read-only, capsules of before DLPack 1, which cannot say (as JAX gives them), and truth values that are not 0 or 1.
    ///
    /// Raises:
    ///     BufferError: memory of another kind of device, that is not aligned, or a description that cannot be true.
    ///     TypeError: a dtype that tensors do not have.
    ///
    /// Example:
    ///     >>> import neurenix, numpy
    ///     >>> a = numpy.zeros(2, "float32")
    ///     >>> t = neurenix.Tensor.from_dlpack(a)
    ///     >>> a[0] = 5
    ///     >>> t.tolist()
    ///     [5.0, 0.0]
    #[staticmethod]
    fn from_dlpack(source: &Bound<'_, PyAny>) -> Made {
        Ok(PyTensor(Tensor::new(crate::dlpack::import(source)?)))
    }

    /// A tensor of raw bytes, row-major and little-endian.
    ///
    /// Raises:
    ///     ValueError: the bytes do not fill the shape exactly.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor.from_bytes(b"\x01\x00", (2,), "bool").tolist()
    ///     [True, False]
    #[staticmethod]
    fn from_bytes(data: &[u8], shape: &Bound<'_, PyAny>, dtype: &Bound<'_, PyAny>) -> Made {
        let (shape, dtype) = (convert::shape_from(shape)?, PyDType::parse(dtype)?);
        made(Array::from_bytes(data, shape, dtype, phynexus::cpu()).map(Tensor::new))
    }
}
