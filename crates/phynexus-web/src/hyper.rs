//! The numbers that an optimizer's rules are given.

use crate::convert::{described, is_nothing, number_option, option, text_option};
use crate::error::{Made, wrong_type, wrong_value};
use js_sys::{Array, Object, Reflect};
use phynexus::Value;
use wasm_bindgen::{JsCast, JsValue};

/// A hyperparameter: a number, or several.
struct Hyper {
    name: String,
    /// None where the rules have no number for one that is null.
    values: Vec<Option<f64>>,
    is_list: bool,
    low: (f64, bool),
    high: (f64, bool),
    /// Whose largest value so far it is.
    largest: Option<String>,
    /// Whether the formulas have it.
    is_read: bool,
}

impl Hyper {
    fn of(entry: &JsValue) -> Made<Hyper> {
        let Some(name) = text_option(entry, "name")? else {
            return wrong_type("Optimizer: a hyperparameter of the entry has no name");
        };
        let included = |key: &str| Ok::<_, JsValue>(option(entry, key)?.is_none_or(|v| v.is_truthy()));
        let mut hyper = Hyper {
            name,
            values: vec![],
            is_list: false,
            low: (number_option(entry, "low")?.unwrap_or(f64::NEG_INFINITY), included("lowIncluded")?),
            high: (number_option(entry, "high")?.unwrap_or(f64::INFINITY), included("highIncluded")?),
            largest: text_option(entry, "largest")?,
            is_read: included("read")?,
        };
        if hyper.largest.is_none() {
            let value = Reflect::get(entry, &"value".into())?;
            hyper.is_list = Array::is_array(&value);
            hyper.values = hyper.read(&value)?;
        } else {
            hyper.values = vec![Some(0.0)];
        }
        Ok(hyper)
    }

    /// A value from JavaScript, if it is within the bounds.
    fn read(&self, value: &JsValue) -> Made<Vec<Option<f64>>> {
        let one = |value: JsValue| match value.as_f64() {
            Some(x) => self.check(x).map(|()| Some(x)),
            None if self.is_list && is_nothing(&value) => Ok(None),
            None => wrong_type(format!("{}: expected a number, got {}", self.name, described(&value))),
        };
        if !self.is_list {
            return Ok(vec![one(value.clone())?]);
        }
        if !Array::is_array(value) {
            return wrong_type(format!(
                "{}: expected an array of numbers, got {}",
                self.name,
                described(value)
            ));
        }
        value.unchecked_ref::<Array>().iter().map(one).collect()
    }

    fn check(&self, x: f64) -> Made<()> {
        let ((low, low_included), (high, high_included)) = (self.low, self.high);
        let fits = (x > low || low_included && x == low) && (x < high || high_included && x == high);
        if fits || self.low.0 == f64::NEG_INFINITY && self.high.0 == f64::INFINITY && !x.is_nan() {
            return Ok(());
        }
        let (open, close) = (if low_included { '[' } else { '(' }, if high_included { ']' } else { ')' });
        wrong_value(format!("{} must be in {open}{low}, {high}{close}, got {x}", self.name))
    }

    fn value(&self) -> JsValue {
        let one = |x: &Option<f64>| x.map_or(JsValue::NULL, JsValue::from);
        match self.values.as_slice() {
            [x] if !self.is_list => one(x),
            several => several.iter().map(one).collect::<Array>().into(),
        }
    }
}

/// All of them, in the order of the rules.
pub struct Hypers(Vec<Hyper>);

impl Hypers {
    /// Those of an entry of `optimizers.json`.
    pub fn of(entries: &Array) -> Made<Hypers> {
        entries.iter().map(|entry| Hyper::of(&entry)).collect::<Made<Vec<Hyper>>>().map(Hypers)
    }

    /// Sets one.
    pub fn set(&mut self, name: &str, value: &JsValue) -> Made<()> {
        let known = || self.0.iter().filter(|h| h.largest.is_none());
        let Some(at) = self.0.iter().position(|h| h.name == name && h.largest.is_none()) else {
            let names: Vec<&str> = known().map(|h| h.name.as_str()).collect();
            return wrong_type(format!(
                "no hyperparameter is called {name:?} here; known: {}",
                names.join(", ")
            ));
        };
        let hyper = &mut self.0[at];
        let values = hyper.read(value)?;
        let same = values.len() == hyper.values.len()
            && values.iter().zip(&hyper.values).all(|(new, old)| new.is_some() == old.is_some());
        if !same {
            return wrong_value(format!(
                "{name}: expected {} numbers, with null where {:?} has none; the formula is made for that",
                hyper.values.len(),
                hyper.values
            ));
        }
        if !hyper.is_read && values != hyper.values {
            return wrong_value(format!(
                "{name}: the formulas leave it out, as it was {:?} when they were made; export the optimizer from Python with \
                 the value that you want",
                hyper.values.iter().flatten().collect::<Vec<_>>()
            ));
        }
        hyper.values = values;
        Ok(())
    }

    /// One number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|h| h.name == name)?.values.first().copied().flatten()
    }

    /// What the next step is given; the largest values so far count it.
    pub fn scalars(&self) -> Vec<Value> {
        let of = |hyper: &Hyper| match &hyper.largest {
            Some(other) => vec![Some(self.largest(hyper, other))],
            None => hyper.values.clone(),
        };
        self.0.iter().flat_map(of).flatten().map(Value::F).collect()
    }

    fn largest(&self, hyper: &Hyper, other: &str) -> f64 {
        let known = hyper.values.first().copied().flatten().unwrap_or(0.0);
        known.max(self.number(other).unwrap_or(0.0))
    }

    /// A step was made.
    pub fn count(&mut self) {
        let largest = |hyper: &Hyper| Some(self.largest(hyper, hyper.largest.as_ref()?));
        let found: Vec<Option<f64>> = self.0.iter().map(largest).collect();
        for (hyper, largest) in self.0.iter_mut().zip(found) {
            if largest.is_some() {
                hyper.values = vec![largest];
            }
        }
    }

    /// As an object.
    pub fn object(&self) -> Made<Object> {
        let object = Object::new();
        for hyper in self.0.iter().filter(|h| h.largest.is_none()) {
            Reflect::set(&object, &hyper.name.as_str().into(), &hyper.value())?;
        }
        Ok(object)
    }
}
