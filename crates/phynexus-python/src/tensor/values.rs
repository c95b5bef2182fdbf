//! Values in and out: NumPy, lists, bytes, DLPack, copies and moves.

use super::{Made, PyTensor, made};
use crate::convert::{self, Given};
use crate::device::PyDevice;
use crate::dtype::PyDType;
use crate::error::{run, to_python, waiting};
use crate::memory;
use phynexus::{DType, Device, Gradient, Tensor, Value, forbid_reading};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyString, PyTuple};
use std::sync::Arc;

fn plain<'py>(py: Python<'py>, dtype: DType, value: Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::F(x) => x.into_pyobject(py)?.into_any(),
        Value::I(x) if dtype == DType::Bool => (x != 0).into_pyobject(py)?.to_owned().into_any(),
        Value::I(x) => x.into_pyobject(py)?.into_any(),
    })
}

/// What a pickled tensor is made of: bytes, shape, dtype, requires_grad, device.
type Parts = (Py<PyAny>, Vec<usize>, &'static str, bool, String);

/// Where `to` goes.
type Target = (Option<&'static dyn Device>, Option<DType>);

fn target(value: &Bound<'_, PyAny>) -> PyResult<Target> {
    if let Ok(t) = value.cast::<PyTensor>() {
        let t = &t.get().0;
        return Ok((Some(t.device()), Some(t.dtype())));
    }
    let is_device = value.is_instance_of::<PyDevice>()
        || value.getattr("value").is_ok_and(|v| v.is_instance_of::<PyString>());
    let named = |d: &str| ["cpu", "cuda", "rocm", "webgpu"].contains(&d.split(':').next().unwrap_or(d));
    let is_name = value.cast::<PyString>().is_ok_and(|s| s.to_str().is_ok_and(named));
    if is_device || is_name {
        return Ok((Some(PyDevice::resolve(Some(value))?), None));
    }
    Ok((None, Some(PyDType::parse(value)?)))
}

impl PyTensor {
    pub(super) fn cast(&self, py: Python<'_>, dtype: DType) -> Made {
        run(py, self.0.shape().elements(), || phynexus::cast(&self.0, dtype)).map(PyTensor)
    }

    fn move_to(&self, device: &'static dyn Device) -> phynexus::Result<Tensor> {
        phynexus::to_device(&self.0, device)
    }
}

#[pymethods]
impl PyTensor {
    /// The values as a NumPy array: on the CPU the same memory, from another device a copy. Where several elements share
    /// memory (after `expand`) the array is read-only.
    ///
    /// Raises:
    ///     RuntimeError: the tensor requires gradients; take `.detach()` first.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.ones(2).numpy()
    ///     array([1., 1.], dtype=float32)
    fn numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.0.requires_grad() {
            return Err(PyRuntimeError::new_err(
                "numpy() of a tensor that requires gradients: call .detach().numpy(), or ._numpy_data for a parameter",
            ));
        }
        forbid_reading(&self.0, "numpy()").map_err(to_python)?;
        memory::to_numpy(py, &self.0.array())
    }

    /// The values as a NumPy array, whatever the tape thinks. Assigning writes values back, outside the tape.
    /// NumPy has no bfloat16: such values are read as a float32 copy.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> w = neurenix.ones(2, requires_grad=True)
    ///     >>> w._numpy_data -= 0.5
    ///     >>> w.tolist()
    ///     [0.5, 0.5]
    #[getter]
    fn _numpy_data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let array = self.0.array();
        match array.dtype() {
            DType::BF16 => memory::to_numpy(py, &array.cast(DType::F32).map_err(to_python)?),
            _ => memory::to_numpy(py, &array),
        }
    }
    #[setter]
    #[allow(non_snake_case)] // the setter of `_numpy_data`
    fn set__numpy_data(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let source = memory::from_array(value)?;
        let (own, given) = (self.0.shape(), *source.shape());
        if own != given {
            return Err(PyValueError::new_err(format!(
                "_numpy_data of shape {own} cannot take values of shape {given}"
            )));
        }
        let array = self.0.array();
        let same = array.buffer().handle() == source.buffer().handle();
        if same && array.dtype() == source.dtype() && array.layout().is_contiguous() {
            array.buffer().bump(); // NumPy has written into this very memory already
            return Ok(());
        }
        let source =
            source.cast(array.dtype()).and_then(|s| s.to_device(array.device())).map_err(to_python)?;
        self.0.write_values(&source, "_numpy_data").map_err(to_python)
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = self.numpy(py)?;
        let array = match dtype {
            Some(d) => {
                let options = PyDict::new(py);
                options.set_item("copy", false)?;
                array.call_method("astype", (d,), Some(&options))?
            }
            None => array,
        };
        if copy == Some(true) { array.call_method0("copy") } else { Ok(array) }
    }

    /// The value of a tensor of one element as a Python number.
    ///
    /// Raises:
    ///     ValueError: more or fewer elements than one.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.Tensor([2.5]).item()
    ///     2.5
    fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, self.0.dtype(), self.only("item()")?)
    }

    /// The values as nested lists of Python numbers.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.eye(2, dtype="bool").tolist()
    ///     [[True, False], [False, True]]
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        forbid_reading(&self.0, "tolist()").map_err(to_python)?;
        let array = self.0.array();
        let array =
            if array.dtype() == DType::BF16 { array.cast(DType::F32).map_err(to_python)? } else { array };
        memory::to_numpy(py, &array)?.call_method0("tolist")
    }

    /// The values as bytes, row-major and little-endian.
    fn tobytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let array = self.0.array();
        forbid_reading(&self.0, "tobytes()").map_err(to_python)?;
        let size = array.elements() * array.dtype().size();
        if array.device().host_pointer(array.buffer()).is_some() {
            return PyBytes::new_with(py, size, |bytes| array.read_into(bytes).map_err(to_python));
        }
        let host = waiting(&array, || array.to_bytes())?;
        PyBytes::new_with(py, size, |bytes| {
            bytes.copy_from_slice(&host);
            Ok(())
        })
    }

    /// The tensor on another device, or with another dtype (or both, those of another tensor): a copy, or itself where
    /// nothing changes. With `inplace` this very object changes, and every holder of it (optimizers, modules) follows.
    ///
    /// Args:
    ///     targets: a device, a dtype, a tensor, each perhaps followed by `inplace`; or a device and a dtype.
    ///     inplace: whether this object itself moves.
    ///     device: where to, in place of a target.
    ///     dtype: what to, in place of a target.
    ///     non_blocking: taken for PyTorch's sake; work is queued wherever that is safe.
    ///     copy: a copy also where nothing changes.
    ///
    /// Raises:
    ///     RuntimeError: a device that is not there, or `inplace` on a result of recorded operations.
    ///
    /// Example:
    ///     >>> import neurenix
    ///     >>> neurenix.ones(1).to("float64").dtype
    ///     neurenix.float64
    #[pyo3(signature = (*targets, inplace=false, device=None, dtype=None, non_blocking=false, copy=false))]
    fn to<'py>(
        this: &Bound<'py, Self>,
        targets: &Bound<'_, PyTuple>,
        mut inplace: bool,
        device: Option<&Bound<'_, PyAny>>,
        dtype: Option<&Bound<'_, PyAny>>,
        non_blocking: bool,
        copy: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (t, _) = (this.get(), non_blocking);
        if inplace && copy {
            return Err(PyTypeError::new_err(
                "to() cannot both copy and change this object: give inplace or copy",
            ));
        }
        let mut device = device.map(|d| PyDevice::resolve(Some(d))).transpose()?;
        let mut dtype = dtype.map(PyDType::parse).transpose()?;
        for (k, value) in targets.iter().enumerate() {
            // Only right behind a single target: PyTorch's other forms have other flags there.
            if let Ok(flag) = value.cast::<PyBool>()
                && (k, targets.len()) == (1, 2)
            {
                inplace = flag.is_true();
                continue;
            }
            let (to_device, to_dtype) = target(&value)?;
            if device.is_some() && to_device.is_some() || dtype.is_some() && to_dtype.is_some() {
                return Err(PyTypeError::new_err(format!(
                    "to() takes a device, a dtype, one of each, or a tensor, got {} as well",
                    value.repr()?
                )));
            }
            (device, dtype) = (device.or(to_device), dtype.or(to_dtype));
        }
        if device.is_none() && dtype.is_none() {
            return Err(PyTypeError::new_err("to() needs a device, a dtype or a tensor"));
        }
        let (device, dtype) = (device.unwrap_or(t.0.device()), dtype.unwrap_or(t.0.dtype()));
        if device.id() == t.0.device().id() && dtype == t.0.dtype() {
            let copied =
                || -> PyResult<_> { Ok(Bound::new(this.py(), PyTensor::clone(t, this.py())?)?.into_any()) };
            return if copy { copied() } else { Ok(this.clone().into_any()) };
        }
        if !inplace {
            let moved = phynexus::to(&t.0, device, dtype).map_err(to_python)?;
            return Ok(Bound::new(this.py(), PyTensor(moved))?.into_any());
        }
        if !t.0.is_leaf() {
            return Err(PyRuntimeError::new_err(
                "to(inplace=True) of a result of recorded operations would cut it off from its gradient; use .to() or .detach()",
            ));
        }
        if t.0.requires_grad() && !dtype.is_float() {
            return Err(PyRuntimeError::new_err(format!(
                "a tensor that requires gradients cannot become {dtype}"
            )));
        }
        let change = |x: &Tensor| phynexus::to(&x.detach(), device, dtype).map(|moved| moved.array());
        let values = change(&t.0).map_err(to_python)?;
        let moved = |grad| {
            Ok(match grad {
                Gradient::Dense(grad) => Gradient::Dense(Tensor::new(change(&grad)?)),
                Gradient::Rows(rows) => Gradient::Rows(Arc::new(rows.to(device, dtype)?)),
            })
        };
        let grad = t.0.gradient().map(moved).transpose().map_err(to_python)?;
        t.0.set_array(values);
        t.0.set_gradient(grad).map_err(to_python)?;
        Ok(this.clone().into_any())
    }

    /// The tensor on the CPU.
    fn cpu(&self) -> Made {
        made(self.move_to(phynexus::cpu()))
    }
    /// The tensor with the dtype of another, where that one is.
    fn type_as(&self, py: Python<'_>, other: Given<'_, '_>) -> Made {
        made(self.cast(py, other.dtype())?.move_to(other.device()))
    }
    /// As float32.
    fn float(&self, py: Python<'_>) -> Made {
        self.cast(py, DType::F32)
    }
    /// As float64.
    fn double(&self, py: Python<'_>) -> Made {
        self.cast(py, DType::F64)
    }
    /// As float16.
    fn half(&self, py: Python<'_>) -> Made {
        self.cast(py, DType::F16)
    }
    /// As bfloat16.
    fn bfloat16(&self, py: Python<'_>) -> Made {
        self.cast(py, DType::BF16)
    }
    /// As int64.
    fn long(&self, py: Python<'_>) -> Made {
        self.cast(py, DType::I64)
    }
    /// As int32.
    fn int(&self, py: Python<'_>) -> Made {
        self.cast(py, DType::I32)
    }
    /// As bool: whether not zero.
    fn bool(&self, py: Python<'_>) -> Made {
        self.cast(py, DType::Bool)
    }
    /// A copy that gradients flow through.
    fn clone(&self, py: Python<'_>) -> Made {
        run(py, self.0.shape().elements(), || self.0.copy()).map(PyTensor)
    }
    /// Itself where the elements follow each other in memory, else a copy where they do.
    fn contiguous(&self, py: Python<'_>) -> Made {
        run(py, self.0.shape().elements(), || phynexus::contiguous(&self.0)).map(PyTensor)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, Parts)> {
        let rebuild = py.import("neurenix._phynexus")?.getattr("_rebuild")?.unbind();
        let bytes = self.tobytes(py)?.into_any().unbind();
        let (dtype, device) = (self.0.dtype().name(), self.0.device().id().to_string());
        Ok((rebuild, (bytes, self.0.shape().to_vec(), dtype, self.0.requires_grad(), device)))
    }

    fn __copy__(&self) -> PyTensor {
        Clone::clone(self)
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Made {
        if !self.0.is_leaf() {
            return Err(PyRuntimeError::new_err(
                "only leaf tensors can be deep-copied; use .detach() or .clone()",
            ));
        }
        let copy = self.0.detach().copy().map_err(to_python)?;
        copy.set_requires_grad(self.0.requires_grad()).map_err(to_python)?;
        Ok(PyTensor(copy))
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<&Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        forbid_reading(&self.0, "__dlpack__()").map_err(to_python)?;
        crate::dlpack::export(py, &self.0, stream, max_version, dl_device, copy)
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        crate::dlpack::device(&self.0)
    }
}

/// Puts a pickled tensor together.
#[pyfunction]
#[pyo3(signature = (data, shape, dtype, requires_grad, device=None))]
pub fn _rebuild(
    data: &[u8],
    shape: Vec<isize>,
    dtype: &Bound<'_, PyAny>,
    requires_grad: bool,
    device: Option<&Bound<'_, PyAny>>,
) -> Made {
    let (shape, dtype) = (convert::shape_of(&shape)?, PyDType::parse(dtype)?);
    let device = crate::device::PyDevice::resolve(device)?;
    let array = phynexus::Array::from_bytes(data, shape, dtype, device).map_err(to_python)?;
    let t = Tensor::new(array);
    t.set_requires_grad(requires_grad).map_err(to_python)?;
    Ok(PyTensor(t))
}
