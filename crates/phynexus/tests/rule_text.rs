//! Rules as text: read, written again, and stepped; broken ones are refused or stepped, and panic nowhere.

mod common;

use common::{Rng, array, values};
use phynexus::stepper::{Counts, Given, Kind, Member, Rule};
use phynexus::{DType, Result, Stepper, Tensor, Value};

/// Momentum of a gradient that is divided by its norm; `count` is a number that remembers the largest norm so far, and
/// `row` sums the gradient along rows.
const RULE: &str = "\
operands param grad state:0 state:2 reduced:1
numbers step hyper:0 reduced:0 state:1
states full number row
stage sum tensor
inputs float32 float32
scalars
0 = input 1
1 = mul 0 0
outputs 1
stage sum row
inputs float32 float32
scalars float64
0 = input 1
outputs 0
prepared 1
inputs float32 float32
scalars float64 float64 float64
0 = input 1
1 = scalar 2
2 = cast float32 1
3 = mul 0 2
outputs 3
step
inputs float32 float32 float32 float32 float32
scalars float64 float64 float64 float64
0 = input 0
1 = input 1
2 = input 2
3 = input 3
4 = input 4
5 = scalar 1
6 = scalar 2
7 = scalar 3
8 = sqrt 6
9 = cast float32 8
10 = div 1 9
11 = float32 0.9
12 = mul 2 11
13 = add 10 12
14 = cast float32 5
15 = mul 13 14
16 = sub 0 15
17 = max 7 8
18 = add 3 4
outputs 16 13 17 18
";

fn tensor(values: &[f64], shape: &[usize]) -> Tensor {
    Tensor::new(array(values, shape, DType::F32))
}

/// One step of a parameter of shape (2, 3); the parameter and its states afterwards.
fn step(rule: &Rule) -> Result<(Tensor, Vec<Tensor>, Vec<f64>)> {
    let param = tensor(&[1.0; 6], &[2, 3]);
    param.set_grad(Some(tensor(&[1.0, -1.0, 3.0, 1.0, 2.0, 0.0], &[2, 3])))?;
    let state = |kind: &Kind| match kind {
        Kind::Tensor(extent) => Some(tensor(&vec![0.0; extent.sizes([1, 2, 3]).iter().product()], &{
            let sizes = extent.sizes([1, 2, 3]);
            if sizes.iter().product::<usize>() == 6 { vec![2, 3] } else { sizes.to_vec() }
        })),
        Kind::Blocks(n) => Some(tensor(&vec![0.0; 6usize.div_ceil(*n)], &[6usize.div_ceil(*n)])),
        Kind::Number => None,
    };
    let states: Vec<Tensor> = rule.states.iter().filter_map(state).collect();
    let member = Member {
        param: param.clone(),
        view: [1, 2, 3],
        states: states.iter().cloned().collect(),
        counts: Counts::new(
            0,
            rule.states.iter().filter(|kind| matches!(kind, Kind::Number)).map(|_| 0.0).collect(),
        ),
    };
    let mut stepper = Stepper::new(rule, vec![member])?;
    stepper.step(Given { hyper: &[Value::F(0.5)], ..Given::default() })?;
    Ok((param, states, stepper.numbers().concat()))
}

#[test]
fn a_rule_is_written_as_it_was_read_and_steps() {
    let rule: Rule = RULE.parse().unwrap();
    assert_eq!(rule.to_string(), RULE);
    let (param, states, numbers) = step(&rule).unwrap();
    assert_eq!(values(&param), [0.875, 1.125, 0.625, 0.875, 0.75, 1.0]);
    assert_eq!(values(&states[0]), [0.25, -0.25, 0.75, 0.25, 0.5, 0.0]);
    assert_eq!((values(&states[1]), numbers), (vec![3.0, 3.0], vec![4.0]));
}

#[test]
fn what_is_no_rule_is_said_with_its_line() {
    for (old, new, message) in [
        (
            "param grad",
            "param gard",
            "line 1: no operand is called \"gard\"; known: param, grad, extra, state, reduced",
        ),
        ("hyper:0", "hyper:x", "line 2: \"x\" of \"hyper:x\" is no number"),
        (
            "full number",
            "full blocks:0",
            "line 3: no kind of state is called \"blocks:0\"; known: blocks:N with N > 0",
        ),
        ("sum tensor", "sum", "line 4: a stage is a reduction, and what it keeps"),
        ("sum tensor", "mean tensor", "line 4: no reduction is called \"mean\"; known: sum, prod, max, min"),
        ("sum row", "sum line", "line 10: no extent is called \"line\"; known: full, row, column, batch"),
        (
            "stage sum row",
            "stag sum row",
            "line 10: expected a stage, what is prepared, or the step; found \"stag\"",
        ),
        ("prepared 1", "prepared", "line 15: prepared after how many stages?"),
        ("1 = mul 0 0", "1 = mull 0 0", "line 8: no node is \"mull\" of (float32, float32)"),
        ("outputs 16 13 17 18\n", "outputs 16 13 17 18\nx", "line 46: the rule has ended, but \"x\" follows"),
        ("outputs 16 13 17 18", "outputs 16 13 17", "the formula has 5 inputs, 4 scalars and 3 outputs"),
        (
            "prepared 1",
            "prepared 3",
            "the rule names a state, a stage or a hyperparameter that it does not have",
        ),
        ("prepared 1", "prepared 0", "what is prepared reads the result of a stage that comes later"),
        (
            "reduced:1",
            "reduced:2",
            "the rule names a state, a stage or a hyperparameter that it does not have",
        ),
        (
            "0 = input 1\n1 = mul",
            "0 = float64 1\n1 = mul",
            "must have one result and the first of the operands",
        ),
    ] {
        let mut text = RULE.replacen(old, new, 1);
        if message.starts_with("must have") {
            text = RULE.replacen("inputs float32 float32\n", "inputs float32 int32\n", 1);
        }
        assert_ne!(text, RULE, "{old}");
        let error = text.parse::<Rule>().unwrap_err().to_string();
        assert!(error.contains(message), "{error}\nand not {message}");
    }
    assert!("".parse::<Rule>().is_err());
}

/// What is left of a text in which words are exchanged, left out or doubled is refused, or it is a rule like any other.
#[test]
fn broken_texts_break_nothing() {
    let words: Vec<&str> =
        "0 1 2 9 17 input scalar add sqrt cast reduce sum max float32 float64 int32 bool index length = outputs stage \
         row column tensor tensors batch full number blocks:2 reduced:0 reduced:1 state:0 state:1 hyper:1 extra:0 size:1 grad"
            .split_whitespace()
            .collect();
    let mut rng = Rng(3);
    let parts: Vec<&str> = RULE.split_inclusive([' ', '\n']).collect();
    let (mut refused, mut bound, mut stepped) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut broken: Vec<String> = parts.iter().map(ToString::to_string).collect();
        for _ in 0..1 + rng.below(2) {
            let place = rng.below(broken.len());
            let end = if broken[place].ends_with('\n') { "\n" } else { " " };
            match rng.below(4) {
                0 => broken[place].clear(),
                1 => broken[place] = broken[rng.below(parts.len())].clone(),
                _ => broken[place] = words[rng.below(words.len())].to_owned() + end,
            }
        }
        match broken.concat().parse::<Rule>() {
            Err(_) => refused += 1,
            Ok(rule) => {
                assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
                if step(&rule).is_ok() { stepped += 1 } else { bound += 1 }
            }
        }
    }
    assert!(
        refused > 1000 && stepped > 300,
        "{refused} were refused, {bound} could not be stepped, {stepped} were"
    );
}
