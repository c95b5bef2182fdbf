//! Formulas built from Python, node by node.

use crate::dtype::PyDType;
use crate::error::{detached, to_python};
use crate::tensor::PyTensor;
use parking_lot::Mutex;
use phynexus::formula::ops::{Op, Promotion};
use phynexus::formula::print::Dialect;
use phynexus::formula::{Binary, Builder, Constant, Formula, Id, Rank, Reduction, Type, Unary};
use phynexus::{DType, MapFn, Tensor, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::sync::{Arc, OnceLock};

/// The one of a kind that Python calls by this name; underscores do not count.
fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, wanted: &str, what: &str) -> PyResult<T> {
    let plain = wanted.replace('_', "");
    all.iter().copied().find(|&one| name(one) == plain).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|&one| name(one)).collect();
        PyValueError::new_err(format!("no {what} is called {wanted:?}; known: {}", known.join(", ")))
    })
}

/// The reduction of this name.
pub fn reduction(name: &str) -> PyResult<Reduction> {
    named(Reduction::ALL, Reduction::name, name, "reduction")
}

fn type_of(name: &str) -> PyResult<Type> {
    named(Type::ALL, Type::name, name, "formula type")
}

/// Builds a formula: every method adds a node and returns its number. Asking twice gives the same number.
#[pyclass(name = "Graph", module = "neurenix._phynexus", frozen)]
pub struct PyGraph(Mutex<(Builder, u32)>);

impl PyGraph {
    fn with<T>(&self, work: impl FnOnce(&mut Builder) -> PyResult<T>) -> PyResult<T> {
        work(&mut self.0.lock().0)
    }

    /// Adds a node made of others after checking that they exist.
    fn node(
        &self,
        operands: &[u32],
        make: impl FnOnce(&mut Builder, &[Id]) -> PyResult<Id>,
    ) -> PyResult<u32> {
        let known = self.0.lock().1;
        if let Some(bad) = operands.iter().find(|&&id| id > known) {
            return Err(PyValueError::new_err(format!("this graph has no node {bad}")));
        }
        let ids: Vec<Id> = operands.iter().map(|&id| Id(id)).collect();
        let id = self.with(|b| make(b, &ids))?;
        let mut state = self.0.lock();
        state.1 = state.1.max(id.0);
        Ok(id.0)
    }
}

fn same(b: &Builder, x: Id, y: Id, what: &str) -> PyResult<()> {
    if b.ty(x) == b.ty(y) {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "{what}: operands are {} and {}; cast one",
        b.ty(x).name(),
        b.ty(y).name()
    )))
}

#[pymethods]
impl PyGraph {
    #[new]
    fn new() -> PyGraph {
        PyGraph(Mutex::new((Builder::new(), 0)))
    }
    /// The next tensor operand.
    fn input(&self, r#type: &str) -> PyResult<u32> {
        let ty = type_of(r#type)?;
        self.node(&[], |b, _| Ok(b.input(ty)))
    }
    /// The next number that is the same for all elements.
    fn scalar(&self, r#type: &str) -> PyResult<u32> {
        let ty = type_of(r#type)?;
        self.node(&[], |b, _| Ok(b.scalar(ty)))
    }
    /// A constant.
    fn constant(&self, r#type: &str, value: f64) -> PyResult<u32> {
        let ty = type_of(r#type)?;
        self.node(&[], |b, _| Ok(b.constant(Constant::number(ty, value))))
    }
    /// A function of one node.
    fn unary(&self, op: &str, a: u32) -> PyResult<u32> {
        let kind = named(Unary::ALL, Unary::name, op, "function of one operand")?;
        self.node(&[a], |b, ids| {
            let ty = b.ty(ids[0]);
            if !kind.takes(ty) {
                return Err(PyTypeError::new_err(format!("{op} of {} is not defined", ty.name())));
            }
            Ok(b.unary(kind, ids[0]))
        })
    }
    /// A function of two nodes of one type.
    fn binary(&self, op: &str, a: u32, b: u32) -> PyResult<u32> {
        let kind = named(Binary::ALL, Binary::name, op, "function of two operands")?;
        self.node(&[a, b], |builder, ids| {
            same(builder, ids[0], ids[1], op)?;
            let ty = builder.ty(ids[0]);
            if !kind.takes(ty) {
                return Err(PyTypeError::new_err(format!("{op} of {} is not defined", ty.name())));
            }
            Ok(builder.binary(kind, ids[0], ids[1]))
        })
    }
    /// `condition ? yes : no`.
    fn select(&self, condition: u32, yes: u32, no: u32) -> PyResult<u32> {
        self.node(&[condition, yes, no], |b, ids| {
            same(b, ids[1], ids[2], "select")?;
            if b.ty(ids[0]) != Type::Bool {
                let text = format!("select: the condition must be bool, got {}", b.ty(ids[0]).name());
                return Err(PyTypeError::new_err(text));
            }
            Ok(b.select(ids[0], ids[1], ids[2]))
        })
    }
    /// Conversion to another type.
    fn cast(&self, r#type: &str, a: u32) -> PyResult<u32> {
        let ty = type_of(r#type)?;
        self.node(&[a], |b, ids| Ok(b.cast(ty, ids[0])))
    }
    /// A reduction over the whole tensor (or row): "sum", "prod", "max", "min".
    fn reduce(&self, op: &str, a: u32) -> PyResult<u32> {
        let kind = reduction(op)?;
        self.node(&[a], |b, ids| Ok(b.reduce(kind, ids[0])))
    }
    /// The position of the element in its row, int64.
    fn index(&self) -> PyResult<u32> {
        self.node(&[], |b, _| Ok(b.index()))
    }
    /// The number of elements, int64.
    fn length(&self) -> PyResult<u32> {
        self.node(&[], |b, _| Ok(b.length()))
    }
    /// The type of a node.
    fn r#type(&self, a: u32) -> PyResult<&'static str> {
        let known = self.0.lock().1;
        self.with(|b| {
            if a <= known { Ok(b.ty(Id(a)).name()) } else { Err(PyValueError::new_err("no such node")) }
        })
    }
    /// How often a node changes: "scalar", "row" or "element".
    fn rank(&self, a: u32) -> PyResult<&'static str> {
        let known = self.0.lock().1;
        self.with(|b| {
            if a > known {
                return Err(PyValueError::new_err("no such node"));
            }
            Ok(match b.rank(Id(a)) {
                Rank::Scalar => "scalar",
                Rank::Row => "row",
                Rank::Element => "element",
            })
        })
    }
    /// The formula of these outputs; the graph can still grow.
    fn finish(&self, outputs: Vec<u32>) -> PyResult<PyFormula> {
        let state = self.0.lock();
        if outputs.is_empty() || outputs.iter().any(|&id| id > state.1) {
            return Err(PyValueError::new_err(format!("outputs {outputs:?} are not nodes of this graph")));
        }
        let ids: Vec<Id> = outputs.into_iter().map(Id).collect();
        Ok(PyFormula::new(state.0.clone().finish(&ids)))
    }
}

/// A finished formula.
#[pyclass(name = "Formula", module = "neurenix._phynexus", frozen)]
pub struct PyFormula(pub Formula, OnceLock<Arc<MapFn>>);

impl PyFormula {
    /// A formula that nobody has applied yet.
    pub fn new(formula: Formula) -> PyFormula {
        PyFormula(formula, OnceLock::new())
    }
}

#[pymethods]
impl PyFormula {
    /// Types of the tensor operands.
    #[getter]
    fn inputs(&self) -> Vec<&'static str> {
        self.0.inputs().iter().map(|ty| ty.name()).collect()
    }
    /// Types of the numbers.
    #[getter]
    fn scalars(&self) -> Vec<&'static str> {
        self.0.scalars().iter().map(|ty| ty.name()).collect()
    }
    /// Positions of the tensor operands that it reads.
    #[getter]
    fn reads(&self) -> Vec<usize> {
        (0..self.0.inputs().len()).filter(|&slot| self.0.reads(slot)).collect()
    }
    /// The number of results.
    #[getter]
    fn outputs(&self) -> usize {
        self.0.outputs().len()
    }
    fn __len__(&self) -> usize {
        self.0.nodes().len()
    }
    /// Applies it to tensors that broadcast together; reductions go over the last dimension, and a result that is the same for
    /// a whole row has size 1 there. The results are off the tape.
    fn apply(
        &self,
        py: Python<'_>,
        inputs: Vec<Bound<'_, PyTensor>>,
        dtypes: Vec<Bound<'_, PyAny>>,
        scalars: Vec<f64>,
    ) -> PyResult<Vec<PyTensor>> {
        let function = self.1.get_or_init(|| MapFn::plain("formula", self.0.clone()));
        let dtypes: Vec<DType> = dtypes.iter().map(PyDType::parse).collect::<PyResult<_>>()?;
        let tensors: Vec<Tensor> = inputs.iter().map(|t| t.get().0.clone()).collect();
        let values: Vec<Value> = scalars.into_iter().map(Value::F).collect();
        let results = detached(py, || phynexus::apply_function(function, &tensors, &dtypes, &values))?;
        Ok(results.into_iter().map(PyTensor).collect())
    }
    /// The kernel's text for a device, "wgsl", "cuda" or "hip", without the results that are numbers, which the host
    /// computes; empty if there are no others.
    fn print(&self, dialect: &str) -> PyResult<String> {
        let dialect = dialect_of(dialect)?;
        let outputs = self.0.outputs();
        let rest: Vec<usize> =
            (0..outputs.len()).filter(|&i| self.0.rank(outputs[i]) != Rank::Scalar).collect();
        if rest.is_empty() {
            return Ok(String::new());
        }
        let kernel = phynexus::formula::hoist(&self.0.select(&rest)).kernel;
        phynexus::gpu::print(&kernel, dialect).map_err(to_python)
    }
}

fn dialect_of(name: &str) -> PyResult<Dialect> {
    Ok(match name {
        "wgsl" => Dialect::Wgsl,
        "cuda" => Dialect::Cuda,
        "hip" => Dialect::Hip,
        other => {
            return Err(PyValueError::new_err(format!(
                "no dialect is called {other:?}; known: wgsl, cuda, hip"
            )));
        }
    })
}

/// Name and text of every kernel that is no formula of an operation or a rule, for a device: "wgsl", "cuda" or "hip".
#[pyfunction]
fn printed_kernels(dialect: &str) -> PyResult<Vec<(String, String)>> {
    phynexus::gpu::programs(dialect_of(dialect)?).map_err(to_python)
}

/// What every operation of the table and its derivative compute, for all types that its operands may have, by name.
#[pyfunction]
fn operation_formulas() -> Vec<(String, PyFormula)> {
    let mut found = Vec::new();
    for &op in Op::ALL {
        let types: &[Type] = match op.row().promotion {
            Promotion::Float => &[Type::F32, Type::F64],
            Promotion::Number => &[Type::F32, Type::F64, Type::I32, Type::I64],
            Promotion::Any => &[Type::F32, Type::F64, Type::I32, Type::I64, Type::Bool],
            Promotion::Integer => &[Type::I32, Type::I64, Type::Bool],
            Promotion::Bool => &[Type::Bool],
        };
        for &ty in types {
            let f = op.formula(ty);
            if op.row().differentiable && ty.is_float() {
                let wanted: Vec<usize> = (0..f.inputs().len()).filter(|&k| f.inputs()[k] == ty).collect();
                let gradient = phynexus::formula::differentiate(&f, &wanted).formula;
                found.push((format!("{} {} gradient", op.name(), ty.name()), PyFormula::new(gradient)));
            }
            found.push((format!("{} {}", op.name(), ty.name()), PyFormula::new(f)));
        }
    }
    found
}

/// Adds the classes and functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyGraph>()?;
    m.add_class::<PyFormula>()?;
    m.add_function(wrap_pyfunction!(printed_kernels, m)?)?;
    m.add_function(wrap_pyfunction!(operation_formulas, m)?)
}
