//! Arrays: elements on a device under a layout. They know nothing of gradients.

use crate::kernels;
use phynexus_core::{
    Buffer, DType, Device, Error, Layout, ReduceOp, Result, Shape, Spec, Task, Value, View, reserve,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// Elements of one dtype on one device. Cloning shares the memory. One pointer: arrays are handed around a lot.
#[derive(Clone, Debug)]
pub struct Array(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    buffer: Arc<Buffer>,
    dtype: DType,
    layout: Layout,
}

impl Array {
    /// A contiguous array with undefined contents.
    pub fn empty(shape: Shape, dtype: DType, device: &'static dyn Device) -> Result<Array> {
        device.check_dtype(dtype)?;
        let bytes = shape.elements() * dtype.size(); // Shape::new has checked this product
        let buffer = Arc::new(Buffer::new(device, bytes)?);
        Ok(Array::from_parts(buffer, dtype, Layout::contiguous(shape)))
    }

    /// A contiguous array of one value.
    pub fn full(shape: Shape, value: Value, dtype: DType, device: &'static dyn Device) -> Result<Array> {
        let array = Array::empty(shape, dtype, device)?;
        array.fill(value)?;
        Ok(array)
    }

    /// An array over memory that is already there.
    pub fn from_parts(buffer: Arc<Buffer>, dtype: DType, layout: Layout) -> Array {
        Array(Arc::new(Inner { buffer, dtype, layout }))
    }

    /// A contiguous array of these bytes.
    pub fn from_bytes(data: &[u8], shape: Shape, dtype: DType, device: &'static dyn Device) -> Result<Array> {
        let need = shape.elements() * dtype.size();
        if data.len() != need {
            return Err(Error::Value(format!(
                "shape {shape} of {dtype} needs {need} bytes, got {}",
                data.len()
            )));
        }
        let array = Array::empty(shape, dtype, device)?;
        if dtype == DType::Bool && data.iter().any(|&b| b > 1) {
            let truth: Vec<u8> = data.iter().map(|&b| (b != 0) as u8).collect();
            device.write(array.buffer(), 0, &truth)?;
        } else {
            device.write(array.buffer(), 0, data)?;
        }
        Ok(array)
    }

    /// Itself, or a copy where bytes of a bool array that came from outside are neither 0 nor 1: kernels count on that.
    pub fn with_truth_values(self) -> Result<Array> {
        if self.dtype() != DType::Bool || self.elements() == 0 {
            return Ok(self);
        }
        let bytes = Array::from_parts(self.buffer().clone(), DType::U8, *self.layout());
        let axes = bytes.shape().len();
        let most = Array::empty(Shape::SCALAR, DType::U8, self.device())?;
        crate::ops::launch(Spec::Reduce { op: ReduceOp::Max, axes }, &[bytes.view()], &most)?;
        if most.first()?.as_i64() <= 1 { Ok(self) } else { bytes.cast(DType::Bool) }
    }

    /// Whether nobody else can see this array's memory.
    pub fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
            && Arc::strong_count(&self.0.buffer) == 1
            && !self.0.buffer.is_foreign()
    }

    /// A number that no other living array has; clones have the same.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// The memory.
    pub fn buffer(&self) -> &Arc<Buffer> {
        &self.0.buffer
    }
    /// How elements are stored.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }
    /// Which elements.
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }
    /// The shape.
    pub fn shape(&self) -> &Shape {
        self.0.layout.shape()
    }
    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.0.layout.elements()
    }
    /// Where the elements are.
    pub fn device(&self) -> &'static dyn Device {
        self.0.buffer.device()
    }

    /// As an operand of a launch.
    pub fn view(&self) -> View<'_> {
        self.view_as(&self.0.layout)
    }

    /// As an operand under another layout.
    pub fn view_as<'a>(&'a self, layout: &'a Layout) -> View<'a> {
        View { buffer: &self.0.buffer, dtype: self.0.dtype, layout }
    }

    /// The same memory under another layout.
    pub fn with_layout(&self, layout: Layout) -> Array {
        Array::from_parts(self.buffer().clone(), self.dtype(), layout)
    }

    /// Itself where the elements follow each other, else a copy where they do.
    pub fn contiguous(&self) -> Result<Array> {
        if self.layout().is_contiguous() { Ok(self.clone()) } else { self.copy() }
    }

    /// A contiguous copy.
    pub fn copy(&self) -> Result<Array> {
        self.cast(self.dtype())
    }

    /// A contiguous copy in another dtype.
    pub fn cast(&self, dtype: DType) -> Result<Array> {
        let out = Array::empty(*self.shape(), dtype, self.device())?;
        out.write_from(self)?;
        Ok(out)
    }

    /// Writes the elements of `source` (same shape and device, any dtype) over this array's.
    pub fn write_from(&self, source: &Array) -> Result<()> {
        Array::write_all(std::slice::from_ref(self), &[source])
    }

    /// The same with several arrays in one launch; all are on one device, the sources have one dtype and the targets one.
    pub fn write_all(targets: &[Array], sources: &[&Array]) -> Result<()> {
        let (Some(target), Some(source)) = (targets.first(), sources.first()) else { return Ok(()) };
        let views: SmallVec<[_; 8]> =
            targets.iter().zip(sources).map(|(to, from)| ([from.view()], [to.view()])).collect();
        let task = |(inputs, outputs)| Task { inputs, outputs, scalars: &[] };
        let tasks: SmallVec<[Task<'_>; 8]> = views.iter().map(|(from, to)| task((from, to))).collect();
        target.device().launch(kernels::copy(source.dtype(), target.dtype()), &tasks)
    }

    /// Writes one value everywhere.
    pub fn fill(&self, value: Value) -> Result<()> {
        let kernel = kernels::fill(self.dtype());
        let value = match self.dtype() {
            dtype if dtype.is_float() => Value::F(value.as_f64()),
            DType::Bool => Value::I(value.is_true() as i64),
            _ => Value::I(value.as_i64()),
        };
        self.device().launch(kernel, &[Task { inputs: &[], outputs: &[self.view()], scalars: &[value] }])
    }

    /// Under another shape of as many elements: a view where that is possible, else a copy.
    pub fn reshape(&self, shape: Shape) -> Result<Array> {
        match self.layout().reshape(&shape) {
            Some(layout) => Ok(self.with_layout(layout)),
            None => Ok(self.copy()?.with_layout(Layout::contiguous(shape))),
        }
    }

    /// A copy on another device, or itself when it is there.
    pub fn to_device(&self, device: &'static dyn Device) -> Result<Array> {
        if self.device().id() == device.id() {
            return Ok(self.clone());
        }
        Array::from_bytes(&self.to_bytes()?, *self.shape(), self.dtype(), device)
    }

    /// All elements, row-major, on the host.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let size = self.elements() * self.dtype().size();
        let mut bytes = reserve(size)?;
        bytes.resize(size, 0);
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes all elements, row-major, into memory of their size on the host.
    pub fn read_into(&self, bytes: &mut [u8]) -> Result<()> {
        let source = self.contiguous()?;
        if bytes.is_empty() {
            return Ok(());
        }
        source.device().read(source.buffer(), source.layout().offset() * source.dtype().size(), bytes)
    }

    /// The value of the first element; the array must have one.
    pub fn first(&self) -> Result<Value> {
        let size = self.dtype().size();
        let mut b = [0u8; 8];
        self.device().read(self.buffer(), self.layout().offset() * size, &mut b[..size])?;
        Ok(match self.dtype() {
            DType::Bool | DType::U8 => Value::I(b[0] as i64),
            DType::I32 => Value::I(i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as i64),
            DType::I64 => Value::I(i64::from_le_bytes(b)),
            DType::F16 => Value::F(half::f16::from_le_bytes([b[0], b[1]]).to_f64()),
            DType::BF16 => Value::F(half::bf16::from_le_bytes([b[0], b[1]]).to_f64()),
            DType::F32 => Value::F(f32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f64),
            DType::F64 => Value::F(f64::from_le_bytes(b)),
        })
    }
}
