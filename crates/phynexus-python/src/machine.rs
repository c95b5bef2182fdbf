//! The machine: devices, threads, the default generator.

use crate::device::PyDevice;
use crate::error::to_python;
use crate::generator::{PyGenerator, Seed};
use phynexus::{
    Counters, Float32Products, Generator, Making, cpu_device, float32_products, set_float32_products,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::cell::Cell;
use std::path::PathBuf;

/// All devices that can run here.
#[pyfunction]
fn available_devices() -> Vec<PyDevice> {
    phynexus::available_devices().into_iter().map(|d| PyDevice(d.id())).collect()
}

/// The instruction sets of the CPU that kernels use.
#[pyfunction]
fn cpu_features() -> Vec<&'static str> {
    cpu_device::Cpu::features()
}

/// Sets how many threads the CPU kernels use; results do not depend on it.
#[pyfunction]
fn set_num_threads(n: i64) -> PyResult<()> {
    match usize::try_from(n) {
        Ok(n) if (1..=1024).contains(&n) => {
            cpu_device::set_num_threads(n);
            Ok(())
        }
        _ => Err(PyValueError::new_err(format!("the number of threads must be 1 to 1024, got {n}"))),
    }
}

/// Sets how exact products of float32 matrices are: "highest", or "high" or "medium" for what the hardware has.
#[pyfunction]
fn set_float32_matmul_precision(precision: &str) -> PyResult<()> {
    set_float32_products(match precision {
        "highest" => Float32Products::Exact,
        "high" | "medium" => Float32Products::Fast,
        _ => {
            return Err(PyValueError::new_err(format!(
                "precision must be \"highest\", \"high\" or \"medium\", got {precision:?}"
            )));
        }
    });
    Ok(())
}

/// What was set.
#[pyfunction]
fn get_float32_matmul_precision() -> &'static str {
    match float32_products() {
        Float32Products::Exact => "highest",
        Float32Products::Fast => "high",
    }
}

/// How many threads the CPU kernels use.
#[pyfunction]
fn get_num_threads() -> usize {
    cpu_device::num_threads()
}

/// Seeds the default generator with an integer in [-2**63, 2**64) and returns it.
#[pyfunction]
fn manual_seed(seed: Seed) -> PyGenerator {
    let g = Generator::default_one();
    g.set_position(seed.0, 0);
    PyGenerator(g.clone())
}

/// The generator that is used where none is given.
#[pyfunction]
fn default_generator() -> PyGenerator {
    PyGenerator(Generator::default_one().clone())
}

/// Gives cached memory back to the system.
#[pyfunction]
fn empty_cache(py: Python<'_>) {
    cpu_device::empty_cache();
    py.detach(|| phynexus::opened_devices().for_each(|device| device.empty_cache()));
}

/// Waits for all work that was queued on a device, and raises what was found wrong there.
#[pyfunction]
#[pyo3(signature = (device=None))]
fn synchronize(py: Python<'_>, device: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let device = PyDevice::resolve(device)?;
    py.detach(|| device.synchronize()).map_err(to_python)
}

/// What a device (all that are in use, if none is given) has done since the process began: kernels, submissions, waits, bytes
/// to it, bytes from it.
#[pyfunction]
#[pyo3(signature = (device=None))]
fn device_counters(device: Option<&Bound<'_, PyAny>>) -> PyResult<(u64, u64, u64, u64, u64)> {
    let counted: Vec<Counters> = match device {
        Some(device) => vec![PyDevice::resolve(Some(device))?.counters()],
        None => phynexus::opened_devices().map(|d| d.counters()).collect(),
    };
    let sum = |of: fn(&Counters) -> u64| counted.iter().map(of).sum();
    Ok((
        sum(|c| c.kernels),
        sum(|c| c.submissions),
        sum(|c| c.waits),
        sum(|c| c.uploaded),
        sum(|c| c.downloaded),
    ))
}

/// The bytes that tensors on a device hold now, and the most that they held at once.
#[pyfunction]
#[pyo3(signature = (device=None))]
fn memory_usage(device: Option<&Bound<'_, PyAny>>) -> PyResult<(usize, usize)> {
    let usage = PyDevice::resolve(device)?.usage();
    Ok((usage.current(), usage.peak()))
}

/// Lets the peak of [`memory_usage`] begin anew.
#[pyfunction]
#[pyo3(signature = (device=None))]
fn reset_peak_memory(device: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    PyDevice::resolve(device)?.usage().reset_peak();
    Ok(())
}

/// The version of the engine.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Says so if the environment asks for a number of threads that cannot be.
fn check_environment(py: Python<'_>) -> PyResult<()> {
    if let Ok(text) = std::env::var("NEURENIX_NUM_THREADS")
        && let Err(error) = cpu_device::parse_threads(&text)
    {
        let text = std::ffi::CString::new(format!("NEURENIX_NUM_THREADS is ignored: {error}"))?;
        PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyUserWarning>(), &text, 1)?;
    }
    Ok(())
}

/// Tells the engine where Python finds packages, some of which bring libraries of GPUs along.
fn tell_folders(py: Python<'_>) -> PyResult<()> {
    let folders: Vec<Bound<'_, PyAny>> = py.import("sys")?.getattr("path")?.extract()?;
    phynexus::look_in(folders.iter().filter_map(|folder| folder.extract::<PathBuf>().ok()).collect());
    Ok(())
}

thread_local! {
    static FORKING: Cell<Option<Making>> = const { Cell::new(None) };
}

/// Waits until no other thread is making a kernel, and keeps it so: a forked child would wait for that thread for ever.
#[pyfunction]
fn _before_fork() {
    FORKING.set(Some(Making::begin()));
}

/// Ends what `_before_fork` began, in the parent and in the child.
#[pyfunction]
fn _after_fork() {
    FORKING.take();
}

/// Lets `os.fork` wait for kernels that are being made.
fn watch_forks(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let os = m.py().import("os")?;
    if !os.hasattr("register_at_fork")? {
        return Ok(());
    }
    let (before, after) = (wrap_pyfunction!(_before_fork, m)?, wrap_pyfunction!(_after_fork, m)?);
    let hooks = PyDict::new(m.py());
    hooks.set_item("before", before)?;
    hooks.set_item("after_in_parent", &after)?;
    hooks.set_item("after_in_child", after)?;
    os.call_method("register_at_fork", (), Some(&hooks)).map(drop)
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    check_environment(m.py())?;
    tell_folders(m.py())?;
    m.add_function(wrap_pyfunction!(available_devices, m)?)?;
    m.add_function(wrap_pyfunction!(cpu_features, m)?)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(set_float32_matmul_precision, m)?)?;
    m.add_function(wrap_pyfunction!(get_float32_matmul_precision, m)?)?;
    m.add_function(wrap_pyfunction!(get_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(manual_seed, m)?)?;
    m.add_function(wrap_pyfunction!(default_generator, m)?)?;
    m.add_function(wrap_pyfunction!(empty_cache, m)?)?;
    m.add_function(wrap_pyfunction!(synchronize, m)?)?;
    m.add_function(wrap_pyfunction!(device_counters, m)?)?;
    m.add_function(wrap_pyfunction!(memory_usage, m)?)?;
    m.add_function(wrap_pyfunction!(reset_peak_memory, m)?)?;
    watch_forks(m)?;
    m.add_function(wrap_pyfunction!(version, m)?)
}
