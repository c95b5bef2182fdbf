//! Binds a rule to its tensors: the launches that it needs, for the dtypes that are stored.

use super::part::{Part, Seen, places};
use super::rule::{self, Extent, Kind, Operand, Over, Rule, Stage};
use super::{Join, Member, Stepper};
use crate::tensor::Tensor;
use phynexus_core::{DType, Error, ReduceOp, Result};
use phynexus_formula::{Formula, Reduction, Type};
use smallvec::SmallVec;
use std::ops::Range;

/// What happens before the last launch.
pub(super) enum Phase {
    /// Stages that one launch computes: what they reduce, and the reductions.
    Fused { part: Part, stages: Range<usize>, dtypes: SmallVec<[DType; 2]> },
    /// A stage whose values are stored, then reduced over these dimensions.
    Folded {
        part: Part,
        stage: usize,
        op: Reduction,
        axes: SmallVec<[usize; 3]>,
        extent: Extent,
        dtype: DType,
    },
    /// A number of each tensor, over all tensors.
    Everywhere { host: Formula, stage: usize, join: Join },
}

impl Phase {
    /// The first of its stages.
    fn first(&self) -> usize {
        match self {
            Phase::Fused { stages, .. } => stages.start,
            Phase::Folded { stage, .. } | Phase::Everywhere { stage, .. } => *stage,
        }
    }
}

const ROWS: Extent = Extent { batch: true, rows: true, columns: false };

impl Stepper {
    /// Binds a rule; all parameters have one dtype, states have the dtypes that they are stored in.
    pub fn new(rule: &Rule, members: Vec<Member>) -> Result<Stepper> {
        rule.check()?;
        let stored = stored(rule, &members)?;
        let (mut outputs, mut small, mut numbers) = (vec![0], Vec::new(), Vec::new());
        let mut results: SmallVec<[(DType, Seen); 4]> =
            SmallVec::from_iter([(members[0].param.dtype(), Seen::Along(Extent::FULL))]);
        let mut place = 0;
        for (i, kind) in rule.states.iter().enumerate() {
            let formula = rule.formula.select(&[i + 1]);
            match *kind {
                Kind::Number if !rule::is_number(&formula) => {
                    return Err(Error::Value(format!(
                        "state {i} is one number, but the formula gives it a value for each element; reduce it (total, mean, norm)"
                    )));
                }
                Kind::Number => {
                    numbers.push(i + 1);
                    continue;
                }
                Kind::Tensor(Extent::FULL) => {
                    outputs.push(i + 1);
                    results.push((members[0].states[place].dtype(), Seen::Along(Extent::FULL)));
                }
                Kind::Blocks(_) => {
                    outputs.push(i + 1);
                    results.push((members[0].states[place].dtype(), Seen::Blocks));
                }
                Kind::Tensor(extent) => {
                    if !rule.reach(&formula).within(extent) {
                        return Err(Error::Value(format!(
                            "state {i} has a value for each {extent:?}, but the formula gives it more; reduce it along axis=-1 or -2"
                        )));
                    }
                    let result = (members[0].states[place].dtype(), Seen::Along(extent));
                    small.push((place, extent, Part::new(rule, &formula, extent, &stored, &[result])));
                }
            }
            place += 1;
        }
        let main = Part::new(rule, &rule.formula.select(&outputs), Extent::FULL, &stored, &results);
        let host = (!numbers.is_empty()).then(|| rule.formula.select(&numbers));
        let phases = phases(rule, &stored)?;
        let prepared = rule.prepared.as_ref().map(|(formula, stages)| {
            let result =
                (if stored[0] == DType::F64 { DType::F64 } else { DType::F32 }, Seen::Along(Extent::FULL));
            let part = Part::new(rule, formula, Extent::FULL, &stored, &[result]);
            (part, phases.iter().take_while(|phase| phase.first() < *stages).count())
        });
        let couplings = phases.iter().filter(|p| matches!(p, Phase::Everywhere { .. })).count();
        let shapes = members.iter().map(|m| m.param.shape()).collect();
        let (dtype, kept) = (members[0].param.dtype(), members[0].states.iter().map(Tensor::dtype).collect());
        let shared = vec![0.0; couplings];
        Ok(Stepper {
            rule: rule.clone(),
            phases,
            main,
            small,
            host,
            entries: members,
            shapes,
            dtype,
            kept,
            count: numbers.len(),
            stored,
            shared,
            prepared,
        })
    }
}

/// The dtypes of the rule's operands, after a look at all tensors.
fn stored(rule: &Rule, members: &[Member]) -> Result<Vec<DType>> {
    let Some(first) = members.first() else {
        return Err(Error::Value("a stepper needs at least one parameter".into()));
    };
    let tensors = rule.states.iter().filter(|kind| !matches!(kind, Kind::Number));
    let kinds: Vec<&Kind> = tensors.collect();
    let dtypes: Vec<DType> = first.states.iter().map(Tensor::dtype).collect();
    for m in members {
        let shape = m.param.shape();
        let elements = shape.elements();
        let fits = |(state, kind): (&Tensor, &&Kind)| match **kind {
            Kind::Tensor(Extent::FULL) => state.shape() == shape,
            Kind::Tensor(extent) => {
                state.shape().elements() == extent.sizes(m.view).iter().product::<usize>()
            }
            Kind::Blocks(n) => state.shape().elements() == elements.div_ceil(n),
            Kind::Number => false,
        };
        let alike = m.states.len() == kinds.len()
            && m.states.iter().zip(&kinds).all(fits)
            && m.states.iter().zip(&dtypes).all(|(s, d)| s.dtype() == *d);
        let numbers = m.counts.numbers().len() + kinds.len() == rule.states.len();
        let viewed = m.view.iter().product::<usize>() == elements;
        if !alike || !numbers || !viewed || m.param.dtype() != first.param.dtype() {
            let dtypes: Vec<String> = dtypes.iter().map(DType::to_string).collect();
            return Err(Error::Value(format!(
                "a parameter of shape {shape} and {}, seen as {:?}, needs {} tensors and {} numbers as its states, each of the size that \
                 the rule says, stored as [{}], and the dtype {} of the others",
                m.param.dtype(),
                m.view,
                kinds.len(),
                rule.states.len() - kinds.len(),
                dtypes.join(", "),
                first.param.dtype()
            )));
        }
    }
    let place = |i: usize| rule.states[..i].iter().filter(|kind| !matches!(kind, Kind::Number)).count();
    let operands = rule.inputs.iter().zip(rule.formula.inputs());
    let dtype = operands.map(|(operand, ty)| match *operand {
        Operand::Param | Operand::Grad => first.param.dtype(),
        Operand::State(i) => dtypes[place(i)],
        Operand::Extra(_) | Operand::Reduced(_) => computed(*ty),
    });
    Ok(dtype.collect())
}

fn computed(ty: Type) -> DType {
    if ty == Type::F64 { DType::F64 } else { DType::F32 }
}

/// The launches before the last.
fn phases(rule: &Rule, stored: &[DType]) -> Result<Vec<Phase>> {
    let mut phases = Vec::new();
    let mut next = 0;
    while let Some(stage) = rule.stages.get(next) {
        let mut end = next + 1;
        phases.push(match (stage.over, fusion(rule, next)) {
            (Over::Tensors | Over::Norms, _) => {
                if !rule::is_number(&stage.formula) {
                    return Err(Error::Value(
                        "a number over all tensors is made of one number of each; reduce each tensor first (total, mean, norm)".into(),
                    ));
                }
                let join = if stage.over == Over::Norms { Join::Norm } else { Join::Reduced(stage.op) };
                Phase::Everywhere { host: stage.formula.clone(), stage: next, join }
            }
            (_, Some(kind)) => {
                // What tensor code is given does not wait for what reads its results.
                let given = rule.prepared.as_ref().map_or(0, |(_, stages)| *stages);
                let last = if next < given { given } else { rule.stages.len() };
                while end < last
                    && fusion(rule, end) == Some(kind)
                    && !rule::depends(rule, &rule.stages[end].formula, next..end)
                {
                    end += 1;
                }
                fused(rule, stored, next..end, kind)
            }
            (Over::Tensor(_) | Over::Norm, None) => {
                let kept = rule.kept(next);
                let (extent, dtype) = (rule.reach(&stage.formula), result_of(&stage.formula));
                let axes = (0..3).filter(|&i| extent.dims()[i] && !kept.dims()[i]).collect();
                let part = Part::new(rule, &stage.formula, extent, stored, &[(dtype, Seen::Along(extent))]);
                Phase::Folded { part, stage: next, op: stage.op, axes, extent, dtype }
            }
        });
        next = end;
    }
    Ok(phases)
}

/// How a stage can be computed together with its neighbours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fusion {
    /// What the stage reads is one row, which is reduced.
    Whole(Extent),
    /// Rows are reduced.
    Rows,
    /// There is nothing to reduce: values along so much are computed once, instead of in each element that reads them.
    Nothing(Extent),
}

fn fusion(rule: &Rule, stage: usize) -> Option<Fusion> {
    let Stage { formula, over, .. } = &rule.stages[stage];
    let kept = over.kept()?;
    match rule.reach(formula) {
        reach if reach != Extent::NONE && reach.within(kept) => Some(Fusion::Nothing(reach)),
        Extent::FULL if kept == ROWS => Some(Fusion::Rows),
        reach if kept == Extent::NONE && is_dense(rule, formula, reach) => Some(Fusion::Whole(reach)),
        _ => None,
    }
}

/// Whether all tensors that a formula reads differ along the same, and along something.
///
/// Places are numbered along the whole tensor, or along the columns of what has no columns.
fn is_dense(rule: &Rule, formula: &Formula, extent: Extent) -> bool {
    let [read, _] = formula.read_slots();
    let mut slots = (0..read.len()).filter(|&slot| read[slot]);
    let numbered = extent == Extent::FULL || !places(formula);
    numbered && extent != Extent::NONE && slots.all(|slot| rule.extent(rule.inputs[slot]) == extent)
}

fn fused(rule: &Rule, stored: &[DType], stages: Range<usize>, fusion: Fusion) -> Phase {
    let (extent, kept) = match fusion {
        Fusion::Whole(extent) => (extent, Extent::NONE),
        Fusion::Rows => (Extent::FULL, ROWS),
        Fusion::Nothing(extent) => (extent, extent),
    };
    let own = &rule.stages[stages.clone()];
    let op = |stage: &Stage| (extent != kept).then_some(stage.op);
    let parts: Vec<_> = own.iter().map(|stage| (&stage.formula, op(stage))).collect();
    let dtypes: SmallVec<[DType; 2]> = own.iter().map(|stage| result_of(&stage.formula)).collect();
    let results: Vec<(DType, Seen)> = dtypes.iter().map(|&dtype| (dtype, Seen::Along(kept))).collect();
    let part = Part::new(rule, &rule::joined(&parts), extent, stored, &results);
    Phase::Fused { part, stages, dtypes }
}

/// What a stage's values are stored as.
fn result_of(formula: &Formula) -> DType {
    computed(formula.ty(formula.outputs()[0]))
}

/// The reduction of whole arrays that does the same.
pub(super) fn folding(op: Reduction) -> ReduceOp {
    match op {
        Reduction::Sum => ReduceOp::Sum,
        Reduction::Prod => ReduceOp::Prod,
        Reduction::Max => ReduceOp::Max,
        Reduction::Min => ReduceOp::Min,
    }
}
