//! Indexing as PyTorch's: integers, slices, ellipsis, new axes, masks and integer tensors, for reading and writing. It is
//! NumPy's but for integers beside index tensors: here they take their dimension away first, there they are index tensors.

use crate::op::{Op, apply1};
use crate::ops::index::{Gather, Hands, Nonzero, Scatter};
use crate::ops::shape::Range;
use crate::tape::grad_enabled;
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, ReduceOp, Result, ScatterOp, Shape, Value};
use phynexus_formula::ops::Op as Row;
use smallvec::SmallVec;

/// One entry of an index.
#[derive(Clone, Debug)]
pub enum Index {
    /// A position, from the end where negative.
    At(isize),
    /// `start:stop:step`.
    Range(Option<isize>, Option<isize>, Option<isize>),
    /// `None`: a new dimension.
    New,
    /// `...`: as many full ranges as fit.
    Rest,
    /// Positions (an integer tensor) or a mask (a bool tensor).
    Tensor(Tensor),
}

/// An index worked out for a shape: a slice, the shape it is seen in, and index tensors for some dimensions of that.
struct Plan {
    ranges: SmallVec<[Range; 4]>,
    shape: Shape,
    /// (dimension of `shape`, positions)
    picks: Vec<(usize, Tensor)>,
}

fn range(size: usize, start: Option<isize>, stop: Option<isize>, step: Option<isize>) -> Result<Range> {
    let n = size as isize;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::Value("a slice step cannot be zero".into()));
    }
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clip = |at: Option<isize>, default: isize| match at {
        None => default,
        Some(at) => (if at < 0 { at.saturating_add(n) } else { at }).clamp(low, high),
    };
    let (first, last) =
        if step > 0 { (clip(start, 0), clip(stop, n)) } else { (clip(start, n - 1), clip(stop, -1)) };
    let distance = if step > 0 { last - first } else { first - last };
    let size = if distance <= 0 { 0 } else { (distance as usize).div_ceil(step.unsigned_abs()) };
    Ok(Range { start: first.max(0) as usize, size, step })
}

/// The positions of a mask's true elements, one tensor for each of its dimensions.
fn positions(mask: &Tensor) -> Result<Vec<Tensor>> {
    let flat = apply1(Op::Nonzero(Nonzero), &[mask])?;
    let shape = mask.shape();
    let mut all = Vec::new();
    for axis in 0..shape.len() {
        let after: usize = shape[axis + 1..].iter().product();
        let number =
            |n: usize| super::Operand::Number(Value::I(n.max(1) as i64), phynexus_core::Category::Integer);
        let whole = super::binary(Row::FloorDivide, &flat, number(after))?;
        all.push(super::binary(Row::Remainder, &whole, number(shape[axis]))?);
    }
    Ok(all)
}

fn plan(shape: &Shape, index: &[Index]) -> Result<Plan> {
    let consumed = |i: &Index| match i {
        Index::New | Index::Rest => 0,
        Index::Tensor(t) if t.dtype() == DType::Bool => t.shape().len(),
        _ => 1,
    };
    let used: usize = index.iter().map(consumed).sum();
    if used > shape.len() {
        return Err(Error::Index(format!("too many indices: {used} for a tensor of shape {shape}")));
    }
    if index.iter().filter(|i| matches!(i, Index::Rest)).count() > 1 {
        return Err(Error::Index("an index can have only one ellipsis (...)".into()));
    }
    let (mut ranges, mut dims, mut picks) = (SmallVec::new(), Vec::new(), Vec::new());
    let full = |size: usize| Range { start: 0, size, step: 1 };
    let mut axis = 0;
    let rest = shape.len() - used;
    let implicit = !index.iter().any(|i| matches!(i, Index::Rest));
    let implied = [Index::Rest];
    for entry in index.iter().chain(if implicit { &implied[..] } else { &[] }) {
        match entry {
            Index::New => dims.push(1),
            Index::Rest => {
                for _ in 0..rest {
                    ranges.push(full(shape[axis]));
                    dims.push(shape[axis]);
                    axis += 1;
                }
            }
            Index::At(at) => {
                let size = shape[axis] as isize;
                if *at < -size || *at >= size {
                    return Err(out_of_range(*at as i64, axis, shape));
                }
                let place = if *at < 0 { at + size } else { *at } as usize;
                ranges.push(Range { start: place, size: 1, step: 1 });
                axis += 1;
            }
            Index::Range(start, stop, step) => {
                let range = range(shape[axis], *start, *stop, *step)?;
                dims.push(range.size);
                ranges.push(range);
                axis += 1;
            }
            Index::Tensor(t) if t.dtype() == DType::Bool && t.shape().is_empty() => {
                // A mask without dimensions adds one, of one element or none.
                let count = t.array().first()?.as_i64();
                let at = super::arange(Value::I(0), Value::I(count), Value::I(1), DType::I64, t.device())?;
                picks.push((dims.len(), at));
                dims.push(1);
            }
            Index::Tensor(t) if t.dtype() == DType::Bool => {
                let own = t.shape();
                if own[..] != shape[axis..axis + own.len()] {
                    return Err(Error::Index(format!(
                        "a mask of shape {own} does not fit dimensions {axis} and on of shape {shape}"
                    )));
                }
                // Its dimensions are seen as one.
                picks.push((dims.len(), apply1(Op::Nonzero(Nonzero), &[&t.detach()])?));
                dims.push(own.elements());
                ranges.extend(own.iter().map(|&size| full(size)));
                axis += own.len();
            }
            Index::Tensor(t) => {
                if t.dtype().is_float() {
                    return Err(Error::Index(format!(
                        "an index tensor must hold integers or be a bool mask, got {}; convert it with .long()",
                        t.dtype()
                    )));
                }
                picks.push((dims.len(), super::cast(&t.detach(), DType::I64)?));
                dims.push(shape[axis]);
                ranges.push(full(shape[axis]));
                axis += 1;
            }
        }
    }
    Ok(Plan { ranges, shape: Shape::new(&dims)?, picks })
}

/// Where picked elements are: a view with the picked dimensions as one in front, one position for each element picked.
struct Picked {
    /// Order that brings the picked dimensions to the front.
    order: SmallVec<[usize; 8]>,
    /// (picked elements' common dimension, rest...)
    flat: Shape,
    /// One-dimensional positions in it.
    at: Tensor,
    /// The broadcast shape of the index tensors.
    picked: Shape,
    /// How many of the other dimensions stand before the picked ones in the result.
    before: usize,
}

fn picked(plan: &Plan) -> Result<Picked> {
    let Plan { shape, picks, .. } = plan;
    let mut common = Shape::SCALAR;
    for (_, t) in picks {
        common = common.broadcast(&t.shape()).map_err(|e| Error::Index(format!("index tensors: {e}")))?;
    }
    let axes: Vec<usize> = picks.iter().map(|(d, _)| *d).collect();
    let rest: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
    // Where other dimensions stand between the picked ones, those come first.
    let together = axes.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let before = if together { axes[0] } else { 0 };
    let mut linear: Option<Tensor> = None;
    for (axis, t) in picks {
        let size = shape[*axis];
        let at = from_start(t, *axis, shape)?;
        if let Some(high) = at.bound(ReduceOp::Max)?.map(Value::as_i64).filter(|&high| high >= size as i64) {
            return Err(out_of_range(high, *axis, shape));
        }
        linear = Some(match linear {
            None => at,
            Some(sum) => {
                let number = super::Operand::Number(Value::I(size as i64), phynexus_core::Category::Integer);
                super::add(&super::binary(Row::Mul, &sum, number)?, &at)?
            }
        });
    }
    let at = linear.ok_or_else(|| Error::Index("an index needs at least one index tensor here".into()))?;
    let at = super::reshape(&super::expand(&at, common)?, Shape::new(&[common.elements()])?)?;
    let mut flat = vec![axes.iter().map(|&a| shape[a]).product()];
    flat.extend(rest.iter().map(|&a| shape[a]));
    let order = axes.iter().chain(&rest).copied().collect();
    Ok(Picked { order, flat: Shape::new(&flat)?, at, picked: common, before })
}

fn out_of_range(at: i64, axis: usize, shape: &Shape) -> Error {
    let size = shape[axis];
    Error::Index(format!("index {at} is out of range for dimension {axis} of size {size} (shape {shape})"))
}

/// Positions counted from the start of dimension `axis`; those beyond its end are found where they are used.
pub(super) fn from_start(t: &Tensor, axis: usize, shape: &Shape) -> Result<Tensor> {
    let (low, size) = (t.bound(ReduceOp::Min)?.map_or(0, Value::as_i64), shape[axis] as i64);
    if low >= 0 {
        return Ok(t.clone());
    }
    if low < -size {
        return Err(out_of_range(low, axis, shape));
    }
    let number = |n: i64| super::Operand::Number(Value::I(n), phynexus_core::Category::Integer);
    let negative = super::binary(Row::Lt, t, number(0))?;
    super::where_(&negative, (&super::binary(Row::Add, t, number(size))?).into(), t.into())
}

impl Tensor {
    /// `self[index]`.
    pub fn at(&self, index: &[Index]) -> Result<Tensor> {
        let plan = plan(&self.shape(), index)?;
        let seen = super::reshape(&super::slice(self, plan.ranges.clone())?, plan.shape)?;
        if plan.picks.is_empty() {
            return Ok(seen);
        }
        if let [(axis, t)] = &plan.picks[..] {
            return seen.pick(*axis, &from_start(t, *axis, &plan.shape)?, Hands::All);
        }
        let p = picked(&plan)?;
        let front = super::reshape(&super::permute(&seen, &p.order)?, p.flat)?;
        let rows = front.pick(0, &p.at, Hands::All)?;
        let mut dims = p.picked.to_vec();
        dims.extend_from_slice(&p.flat[1..]);
        let rows = super::reshape(&rows, Shape::new(&dims)?)?;
        super::permute(&rows, &to_place(p.picked.len(), p.flat.len() - 1, p.before))
    }

    /// The elements at `positions` (of any shape) of one dimension, in its place.
    pub(super) fn pick(&self, axis: usize, positions: &Tensor, hands: Hands) -> Result<Tensor> {
        let shape = self.shape();
        let index = spread(positions, axis, &shape)?;
        let rows = apply1(Op::Gather(Gather { axis, hands }), &[self, &index])?;
        let mut dims = shape[..axis].to_vec();
        dims.extend_from_slice(&positions.shape());
        dims.extend_from_slice(&shape[axis + 1..]);
        super::reshape(&rows, Shape::new(&dims)?)
    }

    /// `self[index] = value`.
    pub fn set_at(&self, index: &[Index], value: &Tensor) -> Result<()> {
        const WHAT: &str = "assignment to an index";
        self.check_writable(WHAT)?;
        crate::program::forbid(WHAT)?;
        let plan = plan(&self.shape(), index)?;
        super::elementwise::check_scalar(WHAT, value, self.dtype())?;
        let value = super::cast(value, self.dtype())?;
        let sliced = super::slice(self, plan.ranges.clone())?;
        // The dimensions of a mask, which are seen as one, may lie apart in memory: then this is a copy.
        let is_view = sliced.array().layout().reshape(&plan.shape).is_some();
        let seen = super::reshape(&sliced, plan.shape)?;
        if plan.picks.is_empty() {
            return seen.assign(&fit(&value, plan.shape, WHAT)?, WHAT);
        }
        let recorded = grad_enabled() && (seen.requires_grad() || value.requires_grad());
        if let ([(axis, at)], false) = (&plan.picks[..], recorded || !is_view) {
            let picked = Shape::new(&[&plan.shape[..*axis], &at.shape(), &plan.shape[axis + 1..]].concat())?;
            let rows = plan.shape.with(*axis, at.shape().elements())?;
            let value = super::reshape(&fit(&value, picked, WHAT)?, rows)?;
            let index = spread(&from_start(at, *axis, &plan.shape)?, *axis, &plan.shape)?;
            return seen.write_at(*axis, &index, &value, WHAT);
        }
        let part = replaced(&seen, &plan, &value, WHAT)?;
        sliced.assign(&super::reshape(&part, sliced.shape())?, WHAT)
    }

    /// Positions of the elements that are not zero, one row each.
    pub fn nonzero(&self) -> Result<Tensor> {
        let mask = super::cast(&self.detach(), DType::Bool)?;
        let shape = mask.shape();
        if shape.is_empty() {
            let count = mask.array().first()?.as_i64() as usize;
            return super::full(Shape::new(&[count, 0])?, Value::I(0), DType::I64, self.device());
        }
        super::stack(&positions(&mask)?, 1)
    }
}

/// A one-dimensional index seen in `shape` with dimension `axis` as long as it.
fn spread(positions: &Tensor, axis: usize, shape: &Shape) -> Result<Tensor> {
    let count = positions.shape().elements();
    let mut line = vec![1; shape.len()];
    line[axis] = count;
    super::expand(&super::reshape(positions, Shape::new(&line)?)?, shape.with(axis, count)?)
}

/// The order that puts `picked` leading dimensions after `before` of the `rest`.
fn to_place(picked: usize, rest: usize, before: usize) -> SmallVec<[usize; 8]> {
    (picked..picked + before).chain(0..picked).chain(picked + before..picked + rest).collect()
}

/// `seen` with `value` where the plan's index tensors say.
fn replaced(seen: &Tensor, plan: &Plan, value: &Tensor, what: &str) -> Result<Tensor> {
    let p = picked(plan)?;
    let mut result_dims: Vec<usize> = p.flat[1..1 + p.before].to_vec();
    result_dims.extend_from_slice(&p.picked);
    result_dims.extend_from_slice(&p.flat[1 + p.before..]);
    let value = fit(value, Shape::new(&result_dims)?, what)?;
    let lead: SmallVec<[usize; 8]> = (p.before..p.before + p.picked.len())
        .chain(0..p.before)
        .chain(p.before + p.picked.len()..result_dims.len())
        .collect();
    let rows = p.flat.with(0, p.picked.elements())?;
    let value = super::reshape(&super::permute(&value, &lead)?, rows)?;
    let front = super::reshape(&super::permute(seen, &p.order)?, p.flat)?;
    let index = spread(&p.at, 0, &p.flat)?;
    let scatter = Scatter { axis: 0, op: ScatterOp::Set };
    let done = apply1(Op::Scatter(scatter), &[&front, &index, &value])?;
    let moved: SmallVec<[usize; 8]> = p.order.iter().map(|&a| plan.shape[a]).collect();
    super::unpermute(&super::reshape(&done, Shape::new(&moved)?)?, &p.order)
}

/// The value repeated to the shape that it is assigned to; leading dimensions of size 1 may be too many.
fn fit(value: &Tensor, shape: Shape, what: &str) -> Result<Tensor> {
    let own = value.shape();
    let extra = own.len().saturating_sub(shape.len());
    let value = if own[..extra].iter().all(|&n| n == 1) {
        super::reshape(value, Shape::new(&own[extra..])?)?
    } else {
        value.clone()
    };
    value.array().layout().broadcast(&shape).map_err(|_| {
        Error::Value(format!("{what}: a value of shape {own} does not fit into shape {shape}"))
    })?;
    super::expand(&value, shape)
}
