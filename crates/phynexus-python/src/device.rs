//! Devices as Python objects.

use phynexus::{Device, DeviceId, DeviceType};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// A processor that tensors can live on.
///
/// Args:
///     type: a `DeviceType`, or a string such as `"cpu"` or `"webgpu:0"`.
///     index: which of that kind, from 0.
///
/// Raises:
///     ValueError: an unknown kind or a negative index.
///
/// Example:
///     >>> import neurenix
///     >>> neurenix.Device("cpu") == neurenix.Device(neurenix.DeviceType.CPU, 0)
///     True
#[pyclass(name = "Device", module = "neurenix", frozen)]
#[derive(Clone, Copy)]
pub struct PyDevice(pub DeviceId);

const KINDS: [(&str, DeviceType); 4] = [
    ("cpu", DeviceType::Cpu),
    ("cuda", DeviceType::Cuda),
    ("rocm", DeviceType::Rocm),
    ("webgpu", DeviceType::WebGpu),
];

fn kind_name(kind: DeviceType) -> &'static str {
    KINDS[KINDS.iter().position(|(_, k)| *k == kind).unwrap_or(0)].0
}

impl PyDevice {
    /// A device from a `Device`, a `DeviceType` or a string.
    pub fn parse(value: &Bound<'_, PyAny>) -> PyResult<DeviceId> {
        if let Ok(device) = value.cast::<PyDevice>() {
            return Ok(device.get().0);
        }
        let text = match value.cast::<PyString>() {
            Ok(text) => text.to_str()?.to_string(),
            Err(_) => match value.getattr("value").and_then(|v| v.extract::<String>()) {
                Ok(text) => text, // a DeviceType
                Err(_) => {
                    return Err(PyTypeError::new_err(format!(
                        "expected a Device, a DeviceType or a string such as \"cpu\", got {}",
                        value.repr()?
                    )));
                }
            },
        };
        let (kind, index) = text.split_once(':').unwrap_or((&text, "0"));
        let found = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, k)| *k);
        match (found, index.parse::<u32>()) {
            (Some(kind), Ok(index)) => Ok(DeviceId { kind, index }),
            _ => Err(PyValueError::new_err(format!(
                "unknown device {text:?}; expected cpu, cuda, rocm or webgpu, with an index such as \"webgpu:0\""
            ))),
        }
    }

    /// The engine's device, if it is there.
    pub fn resolve(value: Option<&Bound<'_, PyAny>>) -> PyResult<&'static dyn Device> {
        match value {
            None => Ok(phynexus::cpu()),
            Some(value) => phynexus::device(PyDevice::parse(value)?).map_err(crate::error::to_python),
        }
    }
}

#[pymethods]
impl PyDevice {
    #[new]
    #[pyo3(signature = (r#type, index=None))]
    fn new(r#type: &Bound<'_, PyAny>, index: Option<i64>) -> PyResult<PyDevice> {
        let id = PyDevice::parse(r#type)?;
        match index {
            None => Ok(PyDevice(id)),
            Some(index) => u32::try_from(index)
                .map(|index| PyDevice(DeviceId { index, ..id }))
                .map_err(|_| PyValueError::new_err(format!("a device index must be 0 or more, got {index}"))),
        }
    }
    /// The kind of device: a `DeviceType`.
    #[getter]
    fn r#type(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let class = CLASS.get_or_try_init(py, || {
            Ok::<_, PyErr>(py.import("neurenix.device")?.getattr("DeviceType")?.unbind())
        })?;
        class.call1(py, (kind_name(self.0.kind),))
    }
    /// Which of that kind, from 0.
    #[getter]
    fn index(&self) -> u32 {
        self.0.index
    }
    /// What the vendor calls it, where it is present.
    #[getter]
    fn name(&self) -> String {
        phynexus::device(self.0).map_or_else(|_| self.0.to_string(), |d| d.name())
    }
    /// Bytes of memory that it has, or None where that is not known (the CPU's is the machine's).
    #[getter]
    fn memory(&self) -> Option<usize> {
        phynexus::device(self.0).ok().and_then(|d| d.memory())
    }
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        PyDevice::parse(other).is_ok_and(|id| id == self.0)
    }
    fn __hash__(&self) -> u64 {
        (self.0.kind as u64) << 32 | self.0.index as u64
    }
    fn __repr__(&self) -> String {
        format!("Device({:?})", self.0.to_string())
    }
    fn __str__(&self) -> String {
        self.0.to_string()
    }
    fn __reduce__(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, (&'static str, u32))> {
        Ok((py.get_type::<PyDevice>().into_any().unbind(), (kind_name(self.0.kind), self.0.index)))
    }
}
