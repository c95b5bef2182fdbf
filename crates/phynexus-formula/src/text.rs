//! Formulas as text, one readable line a node, and back: the same formula to the last bit.
//!
//! ```
//! # use phynexus_formula::Formula;
//! let text = "\
//! inputs float32 float32
//! scalars float64
//! 0 = input 0
//! 1 = input 1
//! 2 = scalar 0
//! 3 = cast float32 2
//! 4 = mul 1 3
//! 5 = sub 0 4
//! outputs 5
//! ";
//! let formula: Formula = text.parse()?;
//! assert_eq!(formula.to_string(), text);
//! # Ok::<(), phynexus_formula::ParseError>(())
//! ```
//!
//! Operands of a node are the numbers of earlier ones. A constant is its type and its value.

use crate::builder::Builder;
use crate::node::{Binary, Constant, Formula, Id, Node, Reduction, Type, Unary};
use std::fmt;
use std::iter::Enumerate;
use std::str::FromStr;

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// The lines of a text, of which those that are empty say nothing.
pub struct Lines<'a> {
    lines: Enumerate<std::str::Lines<'a>>,
    number: usize,
}

impl<'a> Lines<'a> {
    /// From the beginning.
    pub fn new(text: &'a str) -> Lines<'a> {
        Lines { lines: text.lines().enumerate(), number: 0 }
    }

    /// The words of the next line, the first one apart; None at the end of the text.
    pub fn words(&mut self) -> Option<(&'a str, Vec<&'a str>)> {
        loop {
            let (number, line) = self.lines.next()?;
            self.number = number + 1;
            let mut words = line.split_whitespace();
            if let Some(first) = words.next() {
                return Some((first, words.collect()));
            }
        }
    }

    /// What follows the word that the next line begins with.
    pub fn after(&mut self, word: &str) -> Result<Vec<&'a str>, ParseError> {
        match self.words() {
            Some((first, rest)) if first == word => Ok(rest),
            Some((first, _)) => Err(self.error(format!("expected {word:?}, found {first:?}"))),
            None => Err(self.error(format!("expected {word:?}, but the text ends here"))),
        }
    }

    /// That something is wrong with the line that was read last.
    pub fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.number, message: message.into() }
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, types: &[Type]| {
            f.write_str(word)?;
            types.iter().try_for_each(|ty| write!(f, " {}", ty.name()))?;
            f.write_str("\n")
        };
        list(f, "inputs", &self.inputs)?;
        list(f, "scalars", &self.scalars)?;
        for (i, &node) in self.nodes.iter().enumerate() {
            write!(f, "{i} =")?;
            match node {
                Node::Const(c) => write!(f, " {} {}", c.ty.name(), Literal(c))?,
                Node::Input { slot, .. } => write!(f, " input {slot}")?,
                Node::Scalar { slot, .. } => write!(f, " scalar {slot}")?,
                Node::Index => write!(f, " index")?,
                Node::Length => write!(f, " length")?,
                Node::Unary(op, _) => write!(f, " {}", op.name())?,
                Node::Binary(op, ..) => write!(f, " {}", op.name())?,
                Node::Select(..) => write!(f, " select")?,
                Node::Cast(ty, _) => write!(f, " cast {}", ty.name())?,
                Node::Reduce(op, _) => write!(f, " reduce {}", op.name())?,
            }
            node.operands().try_for_each(|id| write!(f, " {}", id.0))?;
            f.write_str("\n")?;
        }
        f.write_str("outputs")?;
        self.outputs.iter().try_for_each(|id| write!(f, " {}", id.0))?;
        f.write_str("\n")
    }
}

/// The value of a constant: the shortest number that is read as the same; of NaNs the bits.
struct Literal(Constant);

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Literal(c) = *self;
        match c.ty {
            Type::F32 | Type::F64 if c.as_f64().is_nan() => write!(f, "nan:{:016x}", c.bits),
            Type::F32 => write!(f, "{:?}", c.as_f64() as f32),
            Type::F64 => write!(f, "{:?}", c.as_f64()),
            _ => write!(f, "{}", c.as_i64()),
        }
    }
}

fn constant(ty: Type, text: &str) -> Option<Constant> {
    match ty {
        Type::F32 | Type::F64 if text.starts_with("nan:") => {
            let bits = u64::from_str_radix(&text[4..], 16).ok()?;
            f64::from_bits(bits).is_nan().then_some(Constant { ty, bits })
        }
        Type::F32 => Some(Constant::float(ty, text.parse::<f32>().ok()?.into())),
        Type::F64 => Some(Constant::float(ty, text.parse().ok()?)),
        _ => {
            let value: i64 = text.parse().ok()?;
            Some(Constant::int(ty, value)).filter(|c| c.as_i64() == value)
        }
    }
}

impl FromStr for Formula {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Formula, ParseError> {
        let mut lines = Lines::new(text);
        let formula = Formula::read(&mut lines)?;
        match lines.words() {
            None => Ok(formula),
            Some((word, _)) => Err(lines.error(format!("the formula has ended, but {word:?} follows"))),
        }
    }
}

impl Formula {
    /// Reads a formula that is a part of a text, up to its outputs.
    pub fn read(lines: &mut Lines<'_>) -> Result<Formula, ParseError> {
        let inputs = types(lines, "inputs")?;
        let scalars = types(lines, "scalars")?;
        let mut reader = Reader { builder: Builder::over(inputs, scalars), ids: Vec::new() };
        loop {
            let Some((first, words)) = lines.words() else {
                return Err(lines.error("the formula ends without outputs"));
            };
            if first == "outputs" {
                let outputs: Option<Vec<Id>> = words.iter().map(|word| reader.id(word)).collect();
                return match outputs {
                    Some(outputs) if !outputs.is_empty() => Ok(reader.builder.finish(&outputs)),
                    _ => Err(lines.error("outputs are the numbers of one or more nodes")),
                };
            }
            let number = reader.ids.len();
            if first.parse() != Ok(number) || words.first() != Some(&"=") {
                return Err(lines.error(format!("expected \"{number} = ...\", found {first:?}")));
            }
            let node = reader.node(&words[1..]).map_err(|message| lines.error(message))?;
            reader.ids.push(reader.builder.insert(node));
        }
    }
}

/// The types that a line lists.
fn types(lines: &mut Lines<'_>, word: &str) -> Result<Vec<Type>, ParseError> {
    let names = lines.after(word)?;
    names
        .iter()
        .map(|name| Type::named(name).ok_or_else(|| lines.error(format!("no type is called {name:?}"))))
        .collect()
}

/// The nodes that were read so far.
struct Reader {
    builder: Builder,
    /// Where each went: a node that is there twice becomes one.
    ids: Vec<Id>,
}

impl Reader {
    fn id(&self, word: &str) -> Option<Id> {
        self.ids.get(word.parse::<usize>().ok()?).copied()
    }

    /// The node that is described by what follows the equals sign.
    fn node(&self, words: &[&str]) -> Result<Node, String> {
        let Some((&what, rest)) = words.split_first() else { return Err("a node is missing".into()) };
        let (kind, rest) = match (what, rest) {
            ("cast" | "reduce", [kind, rest @ ..]) => (*kind, rest),
            _ => ("", rest),
        };
        if let (Some(ty), [value]) = (Type::named(what), rest) {
            return constant(ty, value).map(Node::Const).ok_or(format!("{value:?} is no {what}"));
        }
        if let ("input" | "scalar", [slot]) = (what, rest) {
            let slot = slot.parse().map_err(|_| format!("{slot:?} is no number of an operand"))?;
            let ty = |list: &[Type]| {
                let ty = list.get(slot as usize).copied();
                ty.ok_or(format!("{what} {slot} is none of the {} that there are", list.len()))
            };
            return Ok(match what {
                "input" => Node::Input { slot, ty: ty(self.builder.inputs())? },
                _ => Node::Scalar { slot, ty: ty(self.builder.scalars())? },
            });
        }
        let ids = rest.iter().map(|word| self.id(word).ok_or(format!("{word:?} is no earlier node")));
        let ids: Vec<Id> = ids.collect::<Result<_, _>>()?;
        let ty = |id: Id| self.builder.ty(id);
        let alike = |a: Id, b: Id| ty(a) == ty(b);
        let node = match *ids {
            [] if what == "index" => Some(Node::Index),
            [] if what == "length" => Some(Node::Length),
            [a] if what == "cast" => Type::named(kind).map(|to| Node::Cast(to, a)),
            [a] if what == "reduce" => Reduction::named(kind).map(|op| Node::Reduce(op, a)),
            [a] => Unary::named(what).filter(|op| op.takes(ty(a))).map(|op| Node::Unary(op, a)),
            [a, b] if alike(a, b) => {
                Binary::named(what).filter(|op| op.takes(ty(a))).map(|op| Node::Binary(op, a, b))
            }
            [c, yes, no] if what == "select" && ty(c) == Type::Bool && alike(yes, no) => {
                Some(Node::Select(c, yes, no))
            }
            _ => None,
        };
        node.ok_or_else(|| {
            let types: Vec<&str> = ids.iter().map(|&id| ty(id).name()).collect();
            format!("no node is {:?} of ({})", [what, kind].join(" ").trim_end(), types.join(", "))
        })
    }
}
