//! Rules as text, and back: what Python traced, other languages step.
//!
//! The lines are, in this order: the operands, the numbers and the states; for each reduction a line that says what it is,
//! with a formula below; perhaps a formula for tensor code; the formula of the step.
//!
//! ```text
//! operands param grad state:0
//! numbers step hyper:0
//! states full
//! stage sum tensor
//! ...
//! prepared 1
//! ...
//! step
//! ...
//! ```

use super::rule::{Extent, Kept, Kind, Number, Operand, Over, Rule, Stage};
use phynexus_core::{Error, Result};
use phynexus_formula::text::Lines;
use phynexus_formula::{Formula, ParseError, Reduction};
use std::fmt;
use std::str::FromStr;

const EXTENTS: [(&str, [bool; 3]); 8] = [
    ("full", [true, true, true]),
    ("row", [true, true, false]),
    ("column", [true, false, true]),
    ("batch", [true, false, false]),
    ("tensor", [false, false, false]),
    ("rows", [false, true, false]),
    ("columns", [false, false, true]),
    ("matrix", [false, true, true]),
];

fn unknown<T>(what: &str, name: &str, known: &str) -> Result<T> {
    Err(Error::Value(format!("no {what} is called {name:?}; known: {known}")))
}

impl Extent {
    /// What has a value for each of these.
    pub fn named(name: &str) -> Result<Extent> {
        match EXTENTS.iter().find(|(known, _)| *known == name) {
            Some(&(_, [batch, rows, columns])) => Ok(Extent { batch, rows, columns }),
            None => unknown("extent", name, &EXTENTS.map(|(known, _)| known).join(", ")),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXTENTS.iter().find(|(_, dims)| *dims == self.dims()).map_or("", |(name, _)| name))
    }
}

/// Operands and numbers: a name, and which of them where there may be several.
macro_rules! numbered {
    ($kind:ident $what:literal: $($alone:ident $name:literal),*; $($many:ident $names:literal),+) => {
        impl $kind {
            /// The one of this name; the index is of those of which there may be several.
            pub fn named(name: &str, index: usize) -> Result<$kind> {
                match name {
                    $($name => Ok($kind::$alone),)*
                    $($names => Ok($kind::$many(index)),)+
                    _ => unknown($what, name, [$($name,)* $($names),+].join(", ").as_str()),
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $($kind::$alone => f.write_str($name),)*
                    $($kind::$many(index) => write!(f, "{}:{index}", $names),)+
                }
            }
        }
    };
}

numbered!(Operand "operand": Param "param", Grad "grad"; Extra "extra", State "state", Reduced "reduced");
numbered!(Number "number": Step "step"; Hyper "hyper", Size "size", State "state", Reduced "reduced", Scale "scale");

impl Kind {
    /// The kind of state of this name.
    pub fn named(name: &str) -> Result<Kind> {
        match name.strip_prefix("blocks:").map(str::parse) {
            Some(Ok(n)) if n > 0 => Ok(Kind::Blocks(n)),
            Some(_) => unknown("kind of state", name, "blocks:N with N > 0"),
            None if name == "number" => Ok(Kind::Number),
            None => Extent::named(name).map(Kind::Tensor),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Tensor(extent) => extent.fmt(f),
            Kind::Blocks(n) => write!(f, "blocks:{n}"),
            Kind::Number => f.write_str("number"),
        }
    }
}

impl Over {
    /// What is kept, or "norm", "tensors" or "norms".
    pub fn named(name: &str) -> Result<Over> {
        match name {
            "norm" => Ok(Over::Norm),
            "tensors" => Ok(Over::Tensors),
            "norms" => Ok(Over::Norms),
            _ => Extent::named(name).map(Over::Tensor),
        }
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Over::Tensor(kept) => kept.fmt(f),
            Over::Norm => f.write_str("norm"),
            Over::Tensors => f.write_str("tensors"),
            Over::Norms => f.write_str("norms"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, word: &str, items: &[T]) -> fmt::Result {
            f.write_str(word)?;
            items.iter().try_for_each(|item| write!(f, " {item}"))?;
            f.write_str("\n")
        }
        list(f, "operands", &self.inputs)?;
        list(f, "numbers", &self.numbers)?;
        list(f, "states", &self.states)?;
        for Stage { formula, op, over } in &self.stages {
            write!(f, "stage {} {over}\n{formula}", op.name())?;
        }
        if let Some((formula, stages)) = &self.prepared {
            write!(f, "prepared {stages}\n{formula}")?;
        }
        write!(f, "step\n{}", self.formula)
    }
}

impl FromStr for Rule {
    type Err = Error;

    /// Reads what [`Rule`]'s `Display` writes; a rule that does not fit together is refused, too.
    fn from_str(text: &str) -> Result<Rule> {
        let mut lines = Lines::new(text);
        let inputs = list(&mut lines, "operands", |word| indexed(word, Operand::named))?;
        let numbers = list(&mut lines, "numbers", |word| indexed(word, Number::named))?;
        let states = list(&mut lines, "states", Kind::named)?;
        let (mut stages, mut prepared) = (Vec::new(), None);
        loop {
            match lines.words() {
                Some(("stage", words)) if prepared.is_none() => {
                    let (op, over) = stage(&words).map_err(|e| at(&lines, &e))?;
                    stages.push(Stage { formula: formula(&mut lines)?, op, over });
                }
                Some(("prepared", words)) if prepared.is_none() => {
                    let count = words.first().and_then(|word| word.parse().ok());
                    let count =
                        count.ok_or_else(|| described(lines.error("prepared after how many stages?")))?;
                    prepared = Some((formula(&mut lines)?, count));
                }
                Some(("step", _)) => break,
                found => {
                    let found = found.map_or("the end of the text", |(word, _)| word);
                    let message = format!("expected a stage, what is prepared, or the step; found {found:?}");
                    return Err(described(lines.error(message)));
                }
            }
        }
        let (formula, kept) = (formula(&mut lines)?, Kept::default());
        let rule = Rule { formula, prepared, inputs, numbers, states, stages, kept };
        if let Some((word, _)) = lines.words() {
            return Err(described(lines.error(format!("the rule has ended, but {word:?} follows"))));
        }
        rule.check()?;
        Ok(rule)
    }
}

/// An error of the text.
fn described(error: ParseError) -> Error {
    Error::Value(format!("a rule that cannot be read: {error}"))
}

/// The error with the line that it is about.
fn at(lines: &Lines<'_>, error: &Error) -> Error {
    described(lines.error(error.message()))
}

fn formula(lines: &mut Lines<'_>) -> Result<Formula> {
    Formula::read(lines).map_err(described)
}

fn list<T>(lines: &mut Lines<'_>, word: &str, item: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    let words = lines.after(word).map_err(described)?;
    words.iter().map(|word| item(word).map_err(|e| at(lines, &e))).collect()
}

/// A name, perhaps with a number after a colon.
fn indexed<T>(word: &str, named: fn(&str, usize) -> Result<T>) -> Result<T> {
    let (name, index) = word.split_once(':').unwrap_or((word, "0"));
    let index = index.parse().map_err(|_| Error::Value(format!("{index:?} of {word:?} is no number")))?;
    named(name, index)
}

fn stage(words: &[&str]) -> Result<(Reduction, Over)> {
    let [op, over] = *words else {
        return Err(Error::Value("a stage is a reduction, and what it keeps".into()));
    };
    let known = || Reduction::ALL.iter().map(|op| op.name()).collect::<Vec<_>>().join(", ");
    let op = Reduction::named(op).map_or_else(|| unknown("reduction", op, &known()), Ok)?;
    Ok((op, Over::named(over)?))
}
