//! DLPack, both ways, for memory of the CPU and of CUDA and ROCm: the classic capsule and the versioned one of DLPack 1.
//!
//! On a GPU an exporter lets the importer's stream come after its own, and whoever lets go of memory last waits until nothing
//! uses it any more.

use crate::error::later;
use crate::memory::PyOwner;
use phynexus::{Array, Buffer, DType, Device, DeviceId, DeviceType, Layout, Tensor};
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_void};
use std::sync::Arc;

const CPU: i32 = 1;
const CUDA: i32 = 2;
const ROCM: i32 = 10;
const CLASSIC: &CStr = c"dltensor";
const CLASSIC_USED: &CStr = c"used_dltensor";
const VERSIONED: &CStr = c"dltensor_versioned";
const VERSIONED_USED: &CStr = c"used_dltensor_versioned";
const READ_ONLY: u64 = 1;
const COPIED: u64 = 2;

#[repr(C)]
struct DLTensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensor`.
#[repr(C)]
struct Classic {
    tensor: DLTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Classic)>,
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
struct Versioned {
    version: (u32, u32),
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Versioned)>,
    flags: u64,
    tensor: DLTensor,
}

/// What an exported tensor needs to stay alive.
struct Exported {
    array: Array,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

impl Drop for Exported {
    fn drop(&mut self) {
        settle(self.array.device());
    }
}

/// Waits until nothing uses the device's memory, before some of it goes back.
fn settle(device: &'static dyn Device) {
    if device.id().kind != DeviceType::Cpu {
        // There is nobody to tell; what is wrong with the device is said when it is next used.
        _ = device.settle();
    }
}

fn code(dtype: DType) -> (u8, u8) {
    match dtype {
        DType::Bool => (6, 8),
        DType::U8 => (1, 8),
        DType::I32 => (0, 32),
        DType::I64 => (0, 64),
        DType::F16 => (2, 16),
        DType::BF16 => (4, 16),
        DType::F32 => (2, 32),
        DType::F64 => (2, 64),
    }
}

/// The device of a tensor in DLPack's numbers.
pub fn device(t: &Tensor) -> (i32, i32) {
    place(t.device())
}

fn place(device: &dyn Device) -> (i32, i32) {
    let id = device.id();
    let kind = match id.kind {
        DeviceType::Cpu => CPU,
        DeviceType::Cuda => CUDA,
        DeviceType::Rocm => ROCM,
        DeviceType::WebGpu => 15,
    };
    (kind, id.index as i32)
}

fn describe(exported: &mut Exported) -> DLTensor {
    let array = &exported.array;
    let ((code, bits), (device_type, device_id)) = (code(array.dtype()), place(array.device()));
    DLTensor {
        data: array.buffer().handle() as *mut c_void,
        device_type,
        device_id,
        ndim: exported.shape.len() as i32,
        code,
        bits,
        lanes: 1,
        shape: exported.shape.as_mut_ptr(),
        strides: exported.strides.as_mut_ptr(),
        byte_offset: (array.layout().offset() * array.dtype().size()) as u64,
    }
}

unsafe extern "C" fn delete_classic(managed: *mut Classic) {
    // SAFETY: both boxes were leaked by `export`, and DLPack calls a deleter once.
    unsafe {
        drop(Box::from_raw((*managed).context.cast::<Exported>()));
        drop(Box::from_raw(managed));
    }
}

unsafe extern "C" fn delete_versioned(managed: *mut Versioned) {
    // SAFETY: as for `delete_classic`.
    unsafe {
        drop(Box::from_raw((*managed).context.cast::<Exported>()));
        drop(Box::from_raw(managed));
    }
}

/// Frees a capsule that nobody consumed; a consumer renames it.
unsafe extern "C" fn destroy(capsule: *mut ffi::PyObject) {
    // SAFETY: the capsule holds what its name says, and belongs to us until it is renamed.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, CLASSIC.as_ptr()) == 1 {
            delete_classic(ffi::PyCapsule_GetPointer(capsule, CLASSIC.as_ptr()).cast());
        } else if ffi::PyCapsule_IsValid(capsule, VERSIONED.as_ptr()) == 1 {
            delete_versioned(ffi::PyCapsule_GetPointer(capsule, VERSIONED.as_ptr()).cast());
        }
    }
}

/// Lets the importer's stream, by its number, come after all that is queued.
fn precede(device: &'static dyn Device, stream: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let number: Option<i64> = stream.filter(|s| !s.is_none()).map(|s| s.extract()).transpose()?;
    let id = device.id();
    let stream = match (id.kind, number) {
        (DeviceType::Cpu, None) | (DeviceType::Cuda | DeviceType::Rocm, Some(-1)) => return Ok(()),
        (DeviceType::Cuda, None) => 1, // the default stream
        (DeviceType::Rocm, None) => 0,
        (DeviceType::Cuda, Some(n @ 1..)) | (DeviceType::Rocm, Some(n @ (0 | 3..))) => n as u64,
        (DeviceType::Cpu, Some(_)) => return Err(PyBufferError::new_err("a CPU tensor takes no stream")),
        (_, Some(n)) => {
            return Err(PyBufferError::new_err(format!(
                "{n} is no stream of {id}: expected its address, -1 for none, {}",
                if id.kind == DeviceType::Cuda {
                    "1 or 2 for a default stream"
                } else {
                    "or 0 for the default stream"
                }
            )));
        }
        (DeviceType::WebGpu, None) => return Ok(()),
    };
    device.precede(stream).map_err(crate::error::to_python)
}

/// A capsule that shares the tensor's memory (or holds a copy, where asked).
pub fn export<'py>(
    py: Python<'py>,
    t: &Tensor,
    stream: Option<&Bound<'py, PyAny>>,
    max_version: Option<(u32, u32)>,
    dl_device: Option<(i32, i32)>,
    copy: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    if t.requires_grad() {
        return Err(PyBufferError::new_err(
            "a tensor that requires gradients cannot be exported; use .detach()",
        ));
    }
    let wanted = dl_device.unwrap_or(device(t));
    let to_host = wanted == (CPU, 0) && device(t) != wanted;
    if wanted != device(t) && (!to_host || copy == Some(false)) {
        return Err(PyBufferError::new_err(format!(
            "a tensor of {} cannot be exported as DLPack device {wanted:?} without a copy; move it with .to(), or .cpu()",
            t.device().id()
        )));
    }
    if t.device().id().kind == DeviceType::WebGpu && !to_host {
        return Err(PyBufferError::new_err(
            "memory of WebGPU has no address that other libraries know; move the tensor with .cpu()",
        ));
    }
    let array = match (to_host, copy) {
        (true, _) => t.array().to_device(phynexus::cpu()),
        (false, Some(true)) => t.array().copy(),
        _ => Ok(t.array()),
    }
    .map_err(crate::error::to_python)?;
    let copied = to_host || copy == Some(true);
    if !to_host {
        precede(array.device(), stream)?;
    }
    let mut exported = Box::new(Exported {
        shape: array.shape().iter().map(|&n| n as i64).collect(),
        strides: array.layout().strides().iter().map(|&s| s as i64).collect(),
        array: array.clone(),
    });
    let tensor = describe(&mut exported);
    let context = Box::into_raw(exported).cast();
    let (pointer, name): (*mut c_void, &CStr) = if max_version.is_some_and(|(major, _)| major >= 1) {
        let shared = array.layout().overlaps(); // a write to one element would change others
        let flags = if copied { COPIED } else { 0 } | if shared { READ_ONLY } else { 0 };
        let managed = Versioned { version: (1, 0), context, deleter: Some(delete_versioned), flags, tensor };
        (Box::into_raw(Box::new(managed)).cast(), VERSIONED)
    } else {
        (Box::into_raw(Box::new(Classic { tensor, context, deleter: Some(delete_classic) })).cast(), CLASSIC)
    };
    // SAFETY: the pointer is not null, the name is static, and the destructor matches both.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(pointer, name.as_ptr(), Some(destroy))) }
}

/// Calls the deleter of an imported tensor when its memory is not used any more.
#[derive(Debug)]
struct Imported {
    managed: *mut c_void,
    versioned: bool,
    device: &'static dyn Device,
    _source: PyOwner,
}

// SAFETY: DLPack allows the deleter to be called from any thread.
unsafe impl Send for Imported {}
// SAFETY: nothing is read through a shared reference.
unsafe impl Sync for Imported {}

impl phynexus::Owner for Imported {}

impl Drop for Imported {
    fn drop(&mut self) {
        let (device, versioned, managed) = (self.device, self.versioned, self.managed);
        later(move || {
            settle(device);
            // SAFETY: the pointer came from a capsule that was renamed, so the deleter is ours to call, once.
            unsafe {
                if versioned {
                    let managed = managed.cast::<Versioned>();
                    if let Some(delete) = (*managed).deleter {
                        delete(managed);
                    }
                } else {
                    let managed = managed.cast::<Classic>();
                    if let Some(delete) = (*managed).deleter {
                        delete(managed);
                    }
                }
            }
        });
    }
}

/// An array over the memory of anything with `__dlpack__`; a copy of what may not be written, since tensors can be changed
/// in place: memory marked as read-only, and as NumPy has it, what a capsule of before DLPack 1 holds, which cannot say.
pub fn import(source: &Bound<'_, PyAny>) -> PyResult<Array> {
    let py = source.py();
    if !source.hasattr("__dlpack__")? {
        return Err(PyTypeError::new_err(format!("{} has no __dlpack__", source.get_type().name()?)));
    }
    let told = source.call_method0("__dlpack_device__")?;
    let place: (i32, i32) = told.extract().map_err(|_| {
        PyBufferError::new_err(format!("__dlpack_device__ must return two integers, got {told}"))
    })?;
    let device = here(place)?;
    let options = pyo3::types::PyDict::new(py);
    if let Some(stream) = device.stream().map_err(crate::error::to_python)? {
        options.set_item("stream", stream)?;
    }
    let known = options.copy()?;
    options.set_item("max_version", (1, 0))?;
    let capsule = match source.call_method("__dlpack__", (), Some(&options)) {
        Err(e) if e.is_instance_of::<PyTypeError>(py) => {
            source.call_method("__dlpack__", (), Some(&known))?
        }
        other => other?,
    };
    let raw = capsule.as_ptr();
    // SAFETY: the capsule is alive, and its name says what its pointer points to.
    unsafe {
        let versioned = ffi::PyCapsule_IsValid(raw, VERSIONED.as_ptr()) == 1;
        if !versioned && ffi::PyCapsule_IsValid(raw, CLASSIC.as_ptr()) != 1 {
            return Err(if ffi::PyCapsule_CheckExact(raw) == 0 {
                let kind = capsule.get_type();
                PyTypeError::new_err(format!("__dlpack__ must return a capsule, got {}", kind.name()?))
            } else {
                PyRuntimeError::new_err("the DLPack capsule was consumed already")
            });
        }
        let (name, used) = if versioned { (VERSIONED, VERSIONED_USED) } else { (CLASSIC, CLASSIC_USED) };
        let managed = ffi::PyCapsule_GetPointer(raw, name.as_ptr());
        let (tensor, read_only) = if versioned {
            let managed = managed.cast::<Versioned>();
            if (*managed).version.0 != 1 {
                return Err(PyBufferError::new_err(format!(
                    "DLPack version {} is not known",
                    (*managed).version.0
                )));
            }
            (&(*managed).tensor, (*managed).flags & READ_ONLY != 0)
        } else {
            (&(*managed.cast::<Classic>()).tensor, true)
        };
        let (dtype, layout, address, bytes) = understand(tensor, place)?;
        ffi::PyCapsule_SetName(raw, used.as_ptr());
        let _source = PyOwner(Some(source.clone().unbind()));
        let owner = Box::new(Imported { managed, versioned, device, _source });
        if bytes == 0 {
            return Array::empty(*layout.shape(), dtype, device).map_err(crate::error::to_python);
        }
        let buffer = Buffer::foreign(device, address, bytes, owner);
        let array = Array::from_parts(Arc::new(buffer), dtype, layout);
        let array = array.with_truth_values().map_err(crate::error::to_python)?;
        if read_only && array.buffer().is_foreign() {
            array.copy().map_err(crate::error::to_python)
        } else {
            Ok(array)
        }
    }
}

/// The device that DLPack's numbers mean.
fn here((kind, index): (i32, i32)) -> PyResult<&'static dyn Device> {
    let kind = match kind {
        CPU => return Ok(phynexus::cpu()),
        CUDA => DeviceType::Cuda,
        ROCM => DeviceType::Rocm,
        _ => {
            return Err(PyBufferError::new_err(format!(
                "DLPack device {kind} cannot be imported; move the data to the CPU"
            )));
        }
    };
    let index = u32::try_from(index)
        .map_err(|_| PyBufferError::new_err(format!("DLPack device number {index} is negative")))?;
    phynexus::device(DeviceId { kind, index }).map_err(crate::error::to_python)
}

/// dtype, layout, and where the memory begins and how long it is, in bytes. The numbers are checked: nothing but the
/// addresses themselves is taken on trust.
fn understand(tensor: &DLTensor, place: (i32, i32)) -> PyResult<(DType, Layout, u64, usize)> {
    let wrong = |text: String| Err(PyBufferError::new_err(text));
    let own = (tensor.device_type, tensor.device_id);
    if own != place {
        return wrong(format!("the DLPack capsule is of device {own:?}, its exporter told {place:?}"));
    }
    let wanted = (tensor.code, tensor.bits);
    let dtype =
        DType::ALL.into_iter().find(|&d| code(d) == wanted && tensor.lanes == 1).ok_or_else(|| {
            PyTypeError::new_err(format!(
                "DLPack type (code {}, {} bits, {} lanes) is not supported",
                wanted.0, wanted.1, tensor.lanes
            ))
        })?;
    let Some(n) = usize::try_from(tensor.ndim).ok().filter(|&n| n <= phynexus::MAX_DIMS) else {
        return Err(PyValueError::new_err(format!(
            "a tensor has at most {} dimensions, the DLPack capsule tells of {}",
            phynexus::MAX_DIMS,
            tensor.ndim
        )));
    };
    if n > 0 && tensor.shape.is_null() {
        return wrong(format!("the DLPack capsule tells of {n} dimensions and has no sizes"));
    }
    let list = |p: *mut i64| -> Vec<isize> {
        if n == 0 {
            return vec![];
        }
        // SAFETY: DLPack promises `ndim` sizes, and as many strides where there are any.
        unsafe { std::slice::from_raw_parts(p, n) }.iter().map(|&s| s as isize).collect()
    };
    let shape = crate::convert::shape_of(&list(tensor.shape))?;
    let strides = match tensor.strides.is_null() {
        true => Layout::contiguous(shape).strides().to_vec(),
        false => list(tensor.strides),
    };
    let (layout, low, bytes) =
        Layout::foreign(shape, &strides, dtype.size()).map_err(crate::error::to_python)?;
    if bytes == 0 {
        return Ok((dtype, layout, 0, 0));
    }
    if tensor.data.is_null() {
        return wrong(format!("the DLPack capsule of shape {shape} has no memory (NULL)"));
    }
    let first = (tensor.data as u64).checked_add(tensor.byte_offset);
    let start = first.and_then(|first| first.checked_sub(low as u64));
    match start.filter(|start| start.checked_add(bytes as u64).is_some()) {
        Some(start) if start.is_multiple_of(dtype.size() as u64) => Ok((dtype, layout, start, bytes)),
        Some(_) => wrong("the DLPack memory is not aligned to its dtype".into()),
        None => wrong(format!("the DLPack offset of {} bytes leads out of memory", tensor.byte_offset)),
    }
}
