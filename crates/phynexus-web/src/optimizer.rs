//! Optimizers whose step is a formula, from the data that Python exported.

use crate::convert::{check_options, described, option, tensors, text_option};
use crate::error::{Made, thrown, wrong_type, wrong_value};
use crate::hyper::Hypers;
use crate::tensor::Tensor;
use js_sys::{Array as JsArray, Object, Reflect};
use phynexus::stepper::{Counts, Extent, Given, Kind, Member, Rule, step};
use phynexus::{DType, DeviceType, Shape, Stepper, Value};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** An optimizer as data: an element of `optimizers` in optimizers.json, made from the Python class of that name. */
export interface OptimizerEntry {
  name: string;
  /** The first sentence about it. */
  summary: string;
  /** The numbers that may be set, with their defaults and bounds. */
  hyper: readonly {
    name: string; value?: number | readonly (number | null)[]; largest?: string;
    low?: number; high?: number; lowIncluded?: boolean; highIncluded?: boolean; read?: boolean;
  }[];
  /** Hyperparameters that are part of the formulas. */
  fixed: object;
  /** The rules as text, and what states begin as. */
  forms: object;
  /** Whether a step reads numbers back in between, which on WebGPU needs `await stepAsync()`. */
  reduces: boolean;
}
"#;

/// What a state begins as.
enum Init {
    Number(f64),
    Param,
}

/// A rule with its states.
struct Form {
    rule: Rule,
    states: Vec<(String, Init)>,
}

impl Form {
    fn of(form: &JsValue, hypers: &Hypers) -> Made<Form> {
        let Some(text) = text_option(form, "rule")? else {
            return wrong_type("Optimizer: a form of the entry has no rule");
        };
        let rule: Rule = text.parse().map_err(thrown)?;
        let states = option(form, "states")?.unwrap_or_default();
        let state = |state: JsValue| {
            let init = Reflect::get(&state, &"init".into())?;
            let init = match (init.as_f64(), init.as_string().as_deref()) {
                (Some(x), _) => Init::Number(x),
                (_, Some("param")) => Init::Param,
                _ => {
                    let from = text_option(&init, "hyper")?.and_then(|name| hypers.number(&name));
                    let wrong =
                        || wrong_type(format!("Optimizer: a state cannot begin as {}", described(&init)));
                    Init::Number(from.map_or_else(wrong, Ok)?)
                }
            };
            Ok::<_, JsValue>((text_option(&state, "name")?.unwrap_or_default(), init))
        };
        let states: Vec<(String, Init)> = JsArray::from(&states).iter().map(state).collect::<Made<_>>()?;
        if states.len() != rule.states.len() {
            let (named, needed) = (states.len(), rule.states.len());
            return wrong_value(format!("Optimizer: the entry names {named} states, its rule has {needed}"));
        }
        Ok(Form { rule, states })
    }

    /// A parameter's part in the steps.
    fn member(&self, param: &phynexus::Tensor) -> phynexus::Result<Member> {
        let (array, shape) = (param.array(), param.shape());
        let view = view(&shape);
        if shape.len() > 2 && (self.rule.is_mixed() || !self.rule.stages.is_empty()) {
            return Err(phynexus::Error::Value(format!(
                "a parameter of shape {shape} has more than two dimensions, of which this rule does not know rows and columns"
            )));
        }
        let mut member =
            Member { param: param.clone(), view, states: Default::default(), counts: Counts::default() };
        let mut numbers = smallvec::SmallVec::new();
        for (kind, (name, init)) in self.rule.states.iter().zip(&self.states) {
            let shape = match kind {
                Kind::Number => None,
                Kind::Tensor(Extent::FULL) => Some(shape),
                Kind::Tensor(extent) => Some(Shape::new(&extent.sizes(view))?),
                Kind::Blocks(_) => {
                    let text = format!("state {name} is stored in few bits, which only Python decides");
                    return Err(phynexus::Error::Value(text));
                }
            };
            let state = match (shape, init) {
                (None, Init::Number(x)) => {
                    numbers.push(*x);
                    continue;
                }
                (Some(_), Init::Param) => array.copy()?,
                (Some(shape), Init::Number(x)) => {
                    phynexus::Array::full(shape, Value::F(*x), DType::F32, array.device())?
                }
                (None, Init::Param) => {
                    return Err(phynexus::Error::Value(format!("state {name} is a number, not a parameter")));
                }
            };
            member.states.push(phynexus::Tensor::new(state));
        }
        member.counts.set_numbers(numbers);
        Ok(member)
    }
}

/// A parameter as (batch, rows, columns): all dimensions but the first are columns, a vector is one row.
fn view(shape: &Shape) -> [usize; 3] {
    match shape.len() {
        0 | 1 => [1, 1, shape.elements()],
        _ => [1, shape[0], shape[1..].iter().product()],
    }
}

/// What is stepped together: parameters of one form on one device.
struct Unit {
    matrix: bool,
    device: phynexus::DeviceId,
    stepper: Stepper,
    /// Which of the optimizer's parameters, and the tensors among their states.
    members: Vec<(usize, Vec<phynexus::Tensor>)>,
}

/// An optimizer of Python, from its data in `optimizers.json`.
///
/// ```js
/// const { optimizers } = await (await fetch("dist/optimizers.json")).json();
/// const adamw = optimizers.find((entry) => entry.name === "AdamW");
/// const optimizer = new Optimizer(adamw, [w, b], { lr: 0.01 });
/// loss.backward();
/// optimizer.step();
/// optimizer.zeroGrad();
/// ```
#[wasm_bindgen]
pub struct Optimizer {
    name: String,
    reduces: bool,
    hypers: Hypers,
    params: Vec<phynexus::Tensor>,
    units: Vec<Unit>,
    /// Of states, for vectors and for matrices.
    names: [Vec<(String, bool)>; 2],
}

#[wasm_bindgen]
impl Optimizer {
    /// @param entry - an element of `optimizers` in optimizers.json
    /// @param parameters - float32 leaves that require gradients, each once
    /// @param hyper - hyperparameters by name, where they differ from the entry's
    /// @throws {TypeError} an entry or a parameter of the wrong kind, or an unknown hyperparameter
    /// @throws {RangeError} a hyperparameter out of its bounds, or no parameters
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "OptimizerEntry")] entry: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Tensor[]")] parameters: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Record<string, number | (number | null)[]>")]
        hyper: JsValue,
    ) -> Made<Optimizer> {
        let Some(name) = text_option(entry, "name")? else {
            return wrong_type(
                "Optimizer: expected an entry of optimizers.json, got an object without a name",
            );
        };
        let (forms, list) = (option(entry, "forms")?.unwrap_or_default(), option(entry, "hyper")?);
        let mut hypers = Hypers::of(&JsArray::from(&list.unwrap_or_else(|| JsArray::new().into())))?;
        if hyper.is_object() {
            for key in Object::keys(hyper.unchecked_ref::<Object>()).iter() {
                let value = Reflect::get(&hyper, &key)?;
                hypers.set(&key.as_string().unwrap_or_default(), &value)?;
            }
        } else {
            check_options(&name, &hyper, &[])?;
        }
        let Some(vector) = option(&forms, "vector")? else {
            return wrong_type(format!("Optimizer: the entry {name:?} has no rule for vectors"));
        };
        let matrix = option(&forms, "matrix")?.unwrap_or_else(|| vector.clone());
        let forms = [Form::of(&vector, &hypers)?, Form::of(&matrix, &hypers)?];
        let params = tensors("Optimizer", parameters)?;
        check_parameters(&name, &params)?;
        let units = units(&forms, &params).map_err(thrown)?;
        let named = |form: &Form| {
            let kinds = form.rule.states.iter().map(|kind| matches!(kind, Kind::Number));
            form.states.iter().map(|(name, _)| name.clone()).zip(kinds).collect()
        };
        let reduces = option(entry, "reduces")?.is_some_and(|value| value.is_truthy());
        Ok(Optimizer { name, reduces, hypers, params, units, names: [named(&forms[0]), named(&forms[1])] })
    }

    /// The name of the Python class.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// The hyperparameters as they are now: a copy; `set` changes them.
    #[wasm_bindgen(getter, unchecked_return_type = "Record<string, number | (number | null)[]>")]
    pub fn hyper(&self) -> Made<Object> {
        self.hypers.object()
    }

    /// Sets a hyperparameter for the steps from now on.
    ///
    /// @throws {TypeError} an unknown name, or no number
    /// @throws {RangeError} a value out of its bounds
    pub fn set(
        &mut self,
        name: &str,
        #[wasm_bindgen(unchecked_param_type = "number | (number | null)[]")] value: &JsValue,
    ) -> Made<()> {
        self.hypers.set(name, value)
    }

    /// Updates every parameter that has a gradient, and its states; returns how many.
    ///
    /// @throws {Error} on WebGPU, for rules that read numbers back within a step: those need `await stepAsync()`
    pub fn step(&mut self) -> Made<usize> {
        let on_gpu = self.units.iter().any(|unit| unit.device.kind == DeviceType::WebGpu);
        if self.reduces && on_gpu {
            let text = format!(
                "{}: a step reads numbers back from the parameters' device, which a page cannot wait for on WebGPU; use \
                 `await optimizer.stepAsync()`, or keep the parameters on the CPU",
                self.name
            );
            return Err(js_sys::Error::new(&text).into());
        }
        self.check()?;
        let hyper = self.hypers.scalars();
        let mut steps = given(&mut self.units, &hyper);
        let count = step(&mut steps).map_err(thrown)?;
        self.hypers.count();
        Ok(count)
    }

    /// As `step`, for every rule on every device. Nothing else may change parameters or gradients before it is done.
    #[wasm_bindgen(js_name = stepAsync)]
    pub async fn step_async(&mut self) -> Made<usize> {
        self.check()?;
        let hyper = self.hypers.scalars();
        let mut steps = given(&mut self.units, &hyper);
        let count = phynexus::step_later(&mut steps).await.map_err(thrown)?;
        self.hypers.count();
        Ok(count)
    }

    /// Forgets the gradients of all parameters.
    #[wasm_bindgen(js_name = zeroGrad)]
    pub fn zero_grad(&self) -> Made<()> {
        self.params.iter().try_for_each(|param| param.set_grad(None)).map_err(thrown)
    }

    /// The states of a parameter by name: tensors, and for states that are numbers those; and "step", how many it has made.
    ///
    /// @param index - its position among the parameters
    /// @throws {RangeError} no such parameter
    #[wasm_bindgen(unchecked_return_type = "Record<string, Tensor | number>")]
    pub fn state(&self, index: usize) -> Made<Object> {
        let found = self.units.iter().find_map(|unit| {
            let place = unit.members.iter().position(|(param, _)| *param == index)?;
            Some((unit, place))
        });
        let Some((unit, place)) = found else {
            return wrong_value(format!("state: there is no parameter {index} of {}", self.params.len()));
        };
        let steps = unit.stepper.steps();
        let numbers = unit.stepper.numbers();
        let (mut tensors, mut numbers) = (unit.members[place].1.iter(), numbers[place].iter());
        let object = Object::new();
        Reflect::set(&object, &"step".into(), &(steps[place] as f64).into())?;
        for (name, is_number) in &self.names[unit.matrix as usize] {
            let value = match is_number {
                true => numbers.next().map(|&x| JsValue::from(x)),
                false => tensors.next().map(|t| Tensor::from(t.detach()).into()),
            };
            Reflect::set(&object, &name.as_str().into(), &value.unwrap_or_default())?;
        }
        Ok(object)
    }
}

impl Optimizer {
    /// That parameters are still what the steps were made for.
    fn check(&self) -> Made<()> {
        if self.units.iter().all(|unit| unit.stepper.is_current()) {
            return Ok(());
        }
        wrong_value(format!("{}: a parameter has another shape or dtype than when this was made", self.name))
    }
}

/// The steppers, and what they are given.
fn given<'a>(units: &'a mut [Unit], hyper: &'a [Value]) -> Vec<(&'a mut Stepper, Given<'a>)> {
    units.iter_mut().map(|unit| (&mut unit.stepper, Given { hyper, ..Given::default() })).collect()
}

fn check_parameters(name: &str, params: &[phynexus::Tensor]) -> Made<()> {
    if params.is_empty() {
        return wrong_value(format!("{name}: expected at least one parameter"));
    }
    for (i, param) in params.iter().enumerate() {
        if param.dtype() != DType::F32 {
            return wrong_type(format!(
                "{name}: parameter {i} is {}, and the rule is made for float32",
                param.dtype()
            ));
        }
        if !param.is_leaf() || !param.requires_grad() {
            return wrong_value(format!(
                "{name}: parameter {i} is not a tensor made with {{ requiresGrad: true }}"
            ));
        }
        if let Some(k) = params[..i].iter().position(|other| other.is(param)) {
            return wrong_value(format!("{name}: parameters {k} and {i} are the same tensor"));
        }
    }
    Ok(())
}

/// The parameters, those of one form on one device together.
fn units(forms: &[Form; 2], params: &[phynexus::Tensor]) -> phynexus::Result<Vec<Unit>> {
    let kind = |param: &phynexus::Tensor| (param.shape().len() > 1, param.device().id());
    let mut kinds: Vec<_> = params.iter().map(kind).collect();
    kinds.sort();
    kinds.dedup();
    let unit = |(matrix, device)| {
        let (form, mut members, mut kept) = (&forms[matrix as usize], vec![], vec![]);
        for (i, param) in params.iter().enumerate().filter(|(_, p)| kind(p) == (matrix, device)) {
            let member = form.member(param)?;
            kept.push((i, member.states.to_vec()));
            members.push(member);
        }
        Ok(Unit { matrix, device, stepper: Stepper::new(&form.rule, members)?, members: kept })
    };
    kinds.into_iter().map(unit).collect()
}
