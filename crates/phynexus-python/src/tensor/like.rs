//! Static methods that make a tensor like another.

use super::create::{Opt, Options};
use super::{Made, PyTensor};
use crate::convert;
use crate::error::to_python;
use crate::generator::PyGenerator;
use pyo3::prelude::*;

#[pymethods]
impl PyTensor {
    /// As `empty`, with shape, dtype and device of another tensor.
    #[staticmethod]
    #[pyo3(signature = (input, *, dtype=None, device=None, requires_grad=false))]
    fn empty_like(
        input: &Bound<'_, PyTensor>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        let t = input.get();
        Options::like(t, dtype, device, requires_grad)?.empty(t.0.shape())
    }

    /// As `zeros`, with shape, dtype and device of another tensor.
    #[staticmethod]
    #[pyo3(signature = (input, *, dtype=None, device=None, requires_grad=false))]
    fn zeros_like(
        input: &Bound<'_, PyTensor>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        let t = input.get();
        Options::like(t, dtype, device, requires_grad)?.fill(input.py(), t.0.shape(), 0.0)
    }

    /// As `ones`, with shape, dtype and device of another tensor.
    #[staticmethod]
    #[pyo3(signature = (input, *, dtype=None, device=None, requires_grad=false))]
    fn ones_like(
        input: &Bound<'_, PyTensor>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        let t = input.get();
        Options::like(t, dtype, device, requires_grad)?.fill(input.py(), t.0.shape(), 1.0)
    }

    /// As `full`, with shape, dtype and device of another tensor.
    #[staticmethod]
    #[pyo3(signature = (input, fill_value, *, dtype=None, device=None, requires_grad=false))]
    fn full_like(
        input: &Bound<'_, PyTensor>,
        fill_value: &Bound<'_, PyAny>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
    ) -> Made {
        let (value, t) = (convert::number(fill_value)?.0, &input.get().0);
        let options = Options::like(input.get(), dtype, device, requires_grad)?;
        let dtype = options.dtype.unwrap_or(t.dtype());
        options.finish(phynexus::full(t.shape(), value, dtype, options.device).map_err(to_python))
    }

    /// As `rand`, with shape, dtype and device of another tensor.
    #[staticmethod]
    #[pyo3(signature = (input, *, dtype=None, device=None, requires_grad=false, generator=None))]
    fn rand_like(
        input: &Bound<'_, PyTensor>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> Made {
        let t = input.get();
        Options::like(t, dtype, device, requires_grad)?.random(input.py(), t.0.shape(), false, generator)
    }

    /// As `randn`, with shape, dtype and device of another tensor.
    #[staticmethod]
    #[pyo3(signature = (input, *, dtype=None, device=None, requires_grad=false, generator=None))]
    fn randn_like(
        input: &Bound<'_, PyTensor>,
        dtype: Opt<'_, '_>,
        device: Opt<'_, '_>,
        requires_grad: bool,
        generator: Option<&Bound<'_, PyGenerator>>,
    ) -> Made {
        let t = input.get();
        Options::like(t, dtype, device, requires_grad)?.random(input.py(), t.0.shape(), true, generator)
    }
}
