//! Shapes of up to eight dimensions, with checked arithmetic.

use crate::error::{Error, Result};

/// The most dimensions that a tensor may have.
pub const MAX_DIMS: usize = 8;

/// The sizes of a tensor's dimensions; behaves as a slice.
#[derive(Clone, Copy)]
pub struct Shape {
    len: u8,
    dims: [usize; MAX_DIMS],
}

impl Shape {
    /// The shape of a scalar, `()`.
    pub const SCALAR: Shape = Shape { len: 0, dims: [1; MAX_DIMS] };

    /// A shape whose number of elements is known to fit; an error where it has more than eight dimensions or
    /// its elements cannot be counted.
    pub fn new(dims: &[usize]) -> Result<Shape> {
        if dims.len() > MAX_DIMS {
            return Err(Error::Value(format!(
                "a tensor has at most {MAX_DIMS} dimensions, got {} in shape {dims:?}",
                dims.len()
            )));
        }
        // Sizes of 8-byte elements must be addressable too, hence the isize bound with room for them. Zeros count
        // as ones here: strides are products of the other sizes.
        let fits = dims
            .iter()
            .try_fold(8usize, |n, &d| n.checked_mul(d.max(1)).filter(|&n| n <= isize::MAX as usize));
        if fits.is_none() {
            return Err(Error::Value(format!("shape {dims:?} has more elements than memory can address")));
        }
        Ok(Shape::of(dims))
    }

    /// A shape from sizes already checked.
    pub(crate) fn of(dims: &[usize]) -> Shape {
        let mut shape = Shape { len: dims.len() as u8, dims: [1; MAX_DIMS] };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }

    /// The number of elements.
    #[inline]
    pub fn elements(&self) -> usize {
        self.iter().product()
    }

    /// The shape that both broadcast to, as NumPy: aligned at the end, sizes equal or one of them 1.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape> {
        let len = self.len().max(other.len());
        let mut dims = [1; MAX_DIMS];
        for i in 0..len {
            let at = |s: &Shape| if i < s.len() { s[s.len() - 1 - i] } else { 1 };
            dims[len - 1 - i] = match (at(self), at(other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                (a, b) => {
                    return Err(Error::Value(format!(
                        "shapes {self} and {other} do not broadcast: sizes {a} and {b} at dimension {} from the end \
                         differ and neither is 1",
                        i + 1
                    )));
                }
            };
        }
        Shape::new(&dims[..len])
    }

    /// A dimension counted from the end where negative, checked.
    pub fn axis(&self, axis: isize) -> Result<usize> {
        let n = self.len().max(1) as isize;
        if axis < -n || axis >= n {
            return Err(Error::Index(format!(
                "dimension {axis} is out of range for a tensor of {} dimensions (shape {self}); expected {} to {}",
                self.len(),
                -n,
                n - 1
            )));
        }
        Ok(if axis < 0 { (axis + n) as usize } else { axis as usize })
    }

    /// This shape without dimension `axis`, or with it kept at size 1.
    pub fn without(&self, axis: usize, keep: bool) -> Shape {
        let mut shape = *self;
        if !keep {
            shape.dims.copy_within(axis + 1.., axis);
            shape.len -= 1;
        }
        shape.dims[if keep { axis } else { MAX_DIMS - 1 }] = 1;
        shape
    }

    /// This shape with a new dimension before `axis`; there must be room for it.
    pub(crate) fn inserted(&self, axis: usize, size: usize) -> Shape {
        let mut shape = *self;
        shape.dims.copy_within(axis..MAX_DIMS - 1, axis + 1);
        shape.dims[axis] = size;
        shape.len += 1;
        shape
    }

    /// This shape with dimension `axis` of a size that is not larger.
    pub(crate) fn narrowed(&self, axis: usize, size: usize) -> Shape {
        let mut shape = *self;
        shape.dims[axis] = size;
        shape
    }

    /// This shape with dimension `axis` of another size.
    pub fn with(&self, axis: usize, size: usize) -> Result<Shape> {
        let mut copy = *self;
        copy.dims[axis] = size;
        Shape::new(&copy)
    }
}

impl std::ops::Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.dims[..self.len as usize]
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Shape) -> bool {
        **self == **other
    }
}

impl Eq for Shape {}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &**self {
            [one] => write!(f, "({one},)"),
            dims => write!(f, "({})", dims.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
        }
    }
}
