//! Random generators as Python objects.

use phynexus::Generator;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;

/// A seed: 64 bits, of which negative numbers mean those of their two's complement, as in PyTorch.
pub struct Seed(pub u64);

impl<'py> FromPyObject<'_, 'py> for Seed {
    type Error = PyErr;
    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Seed> {
        let far = || PyValueError::new_err(format!("a seed must be in [-2**63, 2**64), got {}", &*value));
        match value.extract::<i128>() {
            Ok(n) if (i64::MIN as i128..=u64::MAX as i128).contains(&n) => Ok(Seed(n as u64)),
            Ok(_) => Err(far()),
            Err(e) if e.is_instance_of::<PyOverflowError>(value.py()) => Err(far()),
            Err(e) => Err(e),
        }
    }
}

/// A stream of random numbers: Philox, where seed and offset decide every number, on every device and for any number of threads.
///
/// Args:
///     seed: an integer in [-2**63, 2**64); None takes one from the system.
///
/// Raises:
///     ValueError: a seed out of that range.
///
/// Example:
///     >>> import neurenix
///     >>> g = neurenix.Generator(7)
///     >>> a = neurenix.rand(3, generator=g)
///     >>> b = neurenix.rand(3, generator=neurenix.Generator(7))
///     >>> (a == b).all().item()
///     True
///
/// References:
///     Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
#[pyclass(name = "Generator", module = "neurenix", frozen)]
pub struct PyGenerator(pub Generator);

impl PyGenerator {
    /// The generator given, or the default one.
    pub fn pick<'a>(given: Option<&'a Bound<'_, PyGenerator>>) -> &'a Generator {
        given.map_or(Generator::default_one(), |g| &g.get().0)
    }
}

#[pymethods]
impl PyGenerator {
    #[new]
    #[pyo3(signature = (seed=None))]
    fn new(seed: Option<Seed>) -> PyGenerator {
        PyGenerator(Generator::new(seed.map_or_else(phynexus::entropy, |s| s.0)))
    }
    /// Starts the stream of another seed; returns itself.
    fn manual_seed(this: Bound<'_, Self>, seed: Seed) -> Bound<'_, Self> {
        this.get().0.set_position(seed.0, 0);
        this
    }
    /// The seed.
    #[getter]
    fn seed(&self) -> u64 {
        self.0.position().0
    }
    /// The next unused block of the stream.
    #[getter]
    fn offset(&self) -> u64 {
        self.0.position().1
    }
    #[setter]
    fn set_offset(&self, offset: u64) {
        self.0.set_position(self.0.position().0, offset);
    }
    fn __repr__(&self) -> String {
        let (seed, offset) = self.0.position();
        format!("Generator(seed={seed}, offset={offset})")
    }
}
