//! The tape: accumulation, graphs of all forms, hooks, higher derivatives, and changes in place.

mod common;

use common::{error, grad_of, integers, leaf, near, shape, tensor, values};
use phynexus::formula::ops::Op as Row;
use phynexus::{
    Buffer, DType, GradMode, Hook, Index, ReduceOp, Result, Tensor, Value, backward, binary, expand, grad,
    slice, unary,
};
use std::slice::from_ref;
use std::sync::{Arc, Mutex, Weak};

fn add(a: &Tensor, b: &Tensor) -> Tensor {
    binary(Row::Add, a, b).unwrap()
}

fn mul(a: &Tensor, b: &Tensor) -> Tensor {
    binary(Row::Mul, a, b).unwrap()
}

fn scale(a: &Tensor, factor: f64) -> Tensor {
    binary(Row::Mul, a, factor).unwrap()
}

fn sum(t: &Tensor) -> Tensor {
    t.reduce(ReduceOp::Sum, None, false).unwrap()
}

fn back(t: &Tensor) -> Result<()> {
    backward(from_ref(t), &[None], false, false)
}

/// Elements from `start` on of a tensor of one dimension, as a view.
fn tail(t: &Tensor, start: usize) -> Tensor {
    let range = phynexus::Range { start, size: t.shape()[0] - start, step: 1 };
    slice(t, [range].into_iter().collect()).unwrap()
}

#[test]
fn gradients_accumulate_in_leaves() {
    let x = leaf(&[1.0, 2.0], &[2]);
    back(&sum(&mul(&x, &x))).unwrap();
    assert_eq!(grad_of(&x), [2.0, 4.0]);
    let first = x.grad().unwrap();
    back(&sum(&scale(&x, 10.0))).unwrap();
    assert_eq!(grad_of(&x), [12.0, 14.0]);
    assert!(x.grad().unwrap().is(&first), "gradients are added in place");
    x.set_grad(None).unwrap();
    back(&sum(&x)).unwrap();
    assert_eq!(grad_of(&x), [1.0, 1.0]);
}

#[test]
fn no_two_gradients_share_memory() {
    let (x, y) = (leaf(&[1.0, 2.0], &[2]), leaf(&[3.0, 4.0], &[2]));
    let upstream = tensor(&[1.0, 1.0], &[2]);
    for _ in 0..2 {
        backward(&[add(&x, &y)], &[Some(upstream.clone())], false, false).unwrap();
    }
    x.grad().unwrap().fill(Value::F(9.0)).unwrap();
    assert_eq!((values(&upstream), grad_of(&y)), (vec![1.0, 1.0], vec![2.0, 2.0]));
}

/// All its elements are one place in memory.
#[test]
fn an_expanded_gradient_is_not_added_to_in_place() {
    let x = leaf(&[1.0, 2.0, 3.0], &[3]);
    x.set_grad(Some(expand(&tensor(&[1.0], &[1]), shape(&[3])).unwrap())).unwrap();
    back(&sum(&scale(&x, 2.0))).unwrap();
    assert_eq!(grad_of(&x), [3.0, 3.0, 3.0]);
}

/// d = (x + x²)·(x − x²) with every value used twice.
#[test]
fn diamonds_sum_their_branches() {
    let x = leaf(&[3.0], &[1]);
    let square = mul(&x, &x);
    let (plus, minus) = (add(&x, &square), binary(Row::Sub, &x, &square).unwrap());
    back(&sum(&mul(&plus, &minus))).unwrap();
    assert_eq!(grad_of(&x), [2.0 * 3.0 - 4.0 * 27.0]);
}

#[test]
fn graphs_are_freed_unless_retained() {
    let x = leaf(&[2.0], &[1]);
    let y = sum(&mul(&x, &x));
    backward(from_ref(&y), &[None], true, false).unwrap();
    back(&y).unwrap();
    assert_eq!(grad_of(&x), [8.0]);
    let text = error(back(&y));
    assert!(text.contains("second time") && text.contains("retain_graph=True"), "{text}");
    assert!(error(back(&sum(&tensor(&[1.0], &[1])))).contains("requires_grad"));
    assert!(error(back(&scale(&leaf(&[1.0, 2.0], &[2]), 2.0))).contains("(2,)"));
    let odd = backward(&[y], &[Some(tensor(&[1.0, 2.0], &[2]))], false, false);
    assert!(error(odd).contains("(2,)"));
}

#[test]
fn nothing_is_recorded_without_need() {
    let x = leaf(&[2.0], &[1]);
    let y = {
        let _mode = GradMode::new(false);
        mul(&x, &x)
    };
    assert!(!y.requires_grad() && y.is_leaf());
    let z = mul(&x, &x).detach();
    assert!(!z.requires_grad());
    assert!(phynexus::grad_enabled(), "the mode ends with its scope");
    let counts = integers(&[3], &[1]);
    assert!(error(counts.set_requires_grad(true)).contains("int64"));
    let truth = binary(Row::Gt, &x, 0.0).unwrap();
    assert!(!truth.requires_grad());
}

/// A hook that notes its name and what it sees, and answers with a multiple.
fn noting(seen: &Arc<Mutex<Vec<(&'static str, f64)>>>, name: &'static str, factor: Option<f64>) -> Hook {
    let seen = seen.clone();
    Arc::new(move |t: &Tensor| {
        seen.lock().unwrap().push((name, values(t)[0]));
        Ok(factor.map(|f| scale(t, f)))
    })
}

/// A hook of a leaf sees the whole gradient once, however often the leaf was used.
#[test]
fn hooks_run_in_order_on_whole_gradients() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let x = leaf(&[2.0], &[1]);
    let middle = scale(&x, 3.0);
    middle.add_hook(noting(&seen, "middle", Some(2.0))).unwrap();
    x.add_hook(noting(&seen, "first", Some(10.0))).unwrap();
    let gone = x.add_hook(noting(&seen, "removed", Some(0.0))).unwrap();
    x.add_hook(noting(&seen, "second", None)).unwrap();
    gone.remove();
    let total = seen.clone();
    x.add_accumulated_hook(Arc::new(move |leaf: &Tensor| {
        total.lock().unwrap().push(("accumulated", grad_of(leaf)[0]));
        Ok(None)
    }))
    .unwrap();
    // middle is used twice (gradient 2, doubled to 4, times 3 for x), x itself twice more.
    let y = add(&add(&middle, &middle), &add(&x, &scale(&x, 5.0)));
    backward(&[sum(&y)], &[None], true, false).unwrap();
    let expected = [("middle", 2.0), ("first", 18.0), ("second", 180.0), ("accumulated", 180.0)];
    assert_eq!(*seen.lock().unwrap(), expected);
    seen.lock().unwrap().clear();
    let found = grad(&[sum(&y)], from_ref(&x), &[None], true, false).unwrap();
    assert_eq!(values(found[0].as_ref().unwrap()), [180.0]);
    assert_eq!(*seen.lock().unwrap(), expected[..3], "grad() runs hooks, but nothing accumulates");
    assert!(error(tensor(&[1.0], &[1]).add_hook(noting(&seen, "", None))).contains("requires"));
    assert!(error(middle.add_accumulated_hook(noting(&seen, "", None))).contains("leaf"));
    x.add_hook(Arc::new(|_: &Tensor| Ok(Some(tensor(&[1.0, 2.0], &[2]))))).unwrap();
    assert!(error(back(&sum(&y))).contains("(2,)"));
}

#[test]
fn results_keep_their_gradient_where_asked() {
    let x = leaf(&[2.0], &[1]);
    let y = mul(&x, &x);
    y.retain_grad().unwrap();
    back(&sum(&scale(&y, 7.0))).unwrap();
    assert_eq!((grad_of(&y), grad_of(&x)), (vec![7.0], vec![28.0]));
}

#[test]
fn grad_gives_what_was_asked_for_and_touches_nothing_else() {
    let (x, y, unused) = (leaf(&[2.0], &[1]), leaf(&[3.0], &[1]), leaf(&[1.0], &[1]));
    let branch = unary(Row::Exp, &y).unwrap();
    let z = sum(&mul(&mul(&x, &x), &branch));
    let inputs = [x.clone(), unused, branch.clone(), x.clone()];
    let found = grad(&[z], &inputs, &[None], false, false).unwrap();
    let numbers: Vec<Option<Vec<f64>>> = found.iter().map(|g| g.as_ref().map(values)).collect();
    let e = 3f64.exp();
    assert_eq!(numbers, [Some(vec![4.0 * e]), None, Some(vec![4.0]), Some(vec![4.0 * e])]);
    assert!(x.grad().is_none() && y.grad().is_none());
    // The branch of y was not walked: what it saved is still there.
    back(&sum(&branch)).unwrap();
    assert!(near(&grad_of(&y), &[e], 1e-15));
    assert!(error(grad(&[sum(&x)], &[tensor(&[1.0], &[1])], &[None], false, false)).contains("input 0"));
}

#[test]
fn derivatives_of_derivatives() {
    let x = leaf(&[1.5], &[]);
    let square = mul(&x, &x);
    let mut y = mul(&square, &square);
    for expected in [4.0 * 1.5f64.powi(3), 12.0 * 2.25, 24.0 * 1.5] {
        y = grad(&[y], from_ref(&x), &[None], true, true).unwrap().remove(0).unwrap();
        assert!(near(&values(&y), &[expected], 1e-14), "{:?}, expected {expected}", values(&y));
    }
    back(&y).unwrap();
    assert!(near(&grad_of(&x), &[24.0], 1e-14));
}

/// In a thread whose stack would not survive recursion.
#[test]
fn long_chains_need_no_stack_and_leak_nothing() {
    let work = || {
        let x = leaf(&[0.5], &[1]);
        let mut alive: Vec<Weak<Buffer>> = Vec::new();
        let chain = |alive: &mut Vec<Weak<Buffer>>| {
            let mut y = x.clone();
            for i in 0..100_000 {
                y = if i % 2 == 0 {
                    binary(Row::Add, &y, 1e-6).unwrap()
                } else {
                    unary(Row::Tanh, &y).unwrap()
                };
                alive.push(Arc::downgrade(y.array().buffer()));
            }
            y
        };
        let living = |alive: &[Weak<Buffer>]| alive.iter().filter(|b| b.strong_count() > 0).count();
        let y = chain(&mut alive);
        assert!(living(&alive) >= 50_000, "tanh keeps its results for the way back");
        back(&sum(&y)).unwrap();
        assert!(grad_of(&x)[0] > 0.0);
        assert!(living(&alive) <= 1, "the way back frees what it used");
        drop(y);
        let y = chain(&mut alive); // dropped without a way back
        assert!(living(&alive) >= 50_000);
        drop(y);
        assert_eq!(living(&alive), 0);
        // with the history of its gradient
        let y = sum(&chain(&mut alive));
        let g = grad(&[y], from_ref(&x), &[None], true, true).unwrap().remove(0).unwrap();
        assert!(g.requires_grad());
        drop(g);
        assert_eq!(living(&alive), 0);
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(work).unwrap().join().unwrap();
}

fn doubled(t: &Tensor) -> Result<()> {
    t.update("mul_", |t| binary(Row::Mul, t, 2.0))
}

/// Each either has the right gradient or is an error that says so; never a wrong one.
mod changes_in_place {
    use super::*;

    const CHANGED: &str = "changed in place";

    #[test]
    fn of_a_result_carry_their_history() {
        let x = leaf(&[1.0, 2.0], &[2]);
        let y = scale(&x, 3.0);
        doubled(&y).unwrap();
        y.update("add_", |y| binary(Row::Add, y, &x)).unwrap();
        assert_eq!(values(&y), [7.0, 14.0]);
        back(&sum(&y)).unwrap();
        assert_eq!(grad_of(&x), [7.0, 7.0]);
    }

    #[test]
    fn of_a_value_that_a_gradient_needs_are_errors() {
        let x = leaf(&[1.0, 2.0], &[2]);
        for change in [
            doubled as fn(&Tensor) -> Result<()>,
            |y| y.update("square_", |y| binary(Row::Mul, y, y)),
            |y| y.fill(Value::F(0.0)),
            |y| y.set_at(&[Index::At(0)], &tensor(&[5.0], &[])),
            |y| y.assign(&tensor(&[5.0], &[1]), "copy_"),
            |y| y.detach().fill(Value::F(0.0)),
            |y| tail(y, 1).fill(Value::F(0.0)),
        ] {
            let y = scale(&x, 3.0);
            let z = sum(&mul(&y, &y)); // needs y
            change(&y).unwrap();
            assert!(error(back(&z)).contains(CHANGED));
            let y = unary(Row::Exp, &x).unwrap(); // needs its own result
            let z = sum(&y);
            change(&y).unwrap();
            assert!(error(back(&z)).contains(CHANGED));
        }
        let y = scale(&x, 3.0);
        y.update("square_", |y| binary(Row::Mul, y, y)).unwrap();
        back(&sum(&y)).unwrap();
        assert_eq!(grad_of(&x), [18.0, 36.0], "its own gradient needs what was written over, and has a copy");
    }

    #[test]
    fn of_a_value_that_no_gradient_needs_are_right() {
        let x = leaf(&[1.0, 2.0], &[2]);
        let y = scale(&x, 3.0);
        let z = sum(&y); // needs nothing
        doubled(&y).unwrap();
        back(&z).unwrap();
        assert_eq!(grad_of(&x), [3.0, 3.0]);
    }

    #[test]
    fn through_views_are_part_of_the_history_of_all_who_share_the_memory() {
        let x = leaf(&[1.0, 2.0], &[2]);
        let base = scale(&x, 3.0);
        let view = tail(&base, 1);
        doubled(&base).unwrap();
        back(&sum(&mul(&view, &view))).unwrap();
        assert_eq!(grad_of(&x), [0.0, 144.0], "base, then view: (6x)²");

        x.set_grad(None).unwrap();
        let base = scale(&x, 3.0);
        let early = sum(&base);
        let view = tail(&base, 1);
        let brother = tail(&base, 1);
        doubled(&view).unwrap();
        backward(&[sum(&base)], &[None], true, false).unwrap();
        assert_eq!(grad_of(&x), [3.0, 6.0], "view, then base");
        backward(&[sum(&brother)], &[None], true, false).unwrap();
        assert_eq!(grad_of(&x), [3.0, 12.0], "view, then another");
        back(&early).unwrap();
        assert_eq!(grad_of(&x), [6.0, 15.0], "what was made before is as it was");
    }

    #[test]
    fn through_memory_that_is_shared_are_errors_where_the_history_would_be_wrong() {
        let x = leaf(&[1.0, 2.0], &[2]);
        let alias;
        let y = scale(&x, 3.0);
        alias = y.detach();
        doubled(&alias).unwrap();
        assert!(error(binary(Row::Add, &y, 1.0)).contains(CHANGED), "alias, then the tensor");

        // The leaf itself is what it is: its gradient is that at the new values.
        x.set_grad(None).unwrap();
        x.detach().fill(Value::F(5.0)).unwrap();
        back(&sum(&mul(&x, &x))).unwrap();
        assert_eq!(grad_of(&x), [10.0, 10.0]);
        let part = tail(&x, 1);
        x.detach().fill(Value::F(6.0)).unwrap();
        assert!(error(binary(Row::Add, &part, 1.0)).contains(CHANGED), "leaf's alias, then its view");
    }

    #[test]
    fn by_index_give_both_sides_their_gradient() {
        let base = leaf(&[1.0, 2.0, 3.0, 4.0], &[4]);
        let value = leaf(&[5.0, 6.0], &[2]);
        let weights = tensor(&[10.0, 20.0, 30.0, 40.0], &[4]);
        let check = |index: &[Index], written: &Tensor, expected: ([f64; 4], [f64; 2])| {
            base.set_grad(None).unwrap();
            value.set_grad(None).unwrap();
            let y = scale(&base, 1.0);
            y.set_at(index, written).unwrap();
            back(&sum(&mul(&y, &weights))).unwrap();
            assert_eq!(grad_of(&base), expected.0);
            assert_eq!(grad_of(&value), expected.1);
        };
        let range = Index::Range(Some(1), None, Some(2));
        check(&[range], &value, ([10.0, 0.0, 30.0, 0.0], [20.0, 40.0]));
        let at = |places: &[i64]| [Index::Tensor(integers(places, &[places.len()]))];
        check(&at(&[-1, 0]), &value, ([0.0, 20.0, 30.0, 0.0], [40.0, 10.0]));
        // Of two writes to one place the last stays, and only it has a gradient.
        check(&at(&[2, 2]), &value, ([10.0, 20.0, 0.0, 40.0], [0.0, 30.0]));
        let mask = Tensor::new(common::array(&[0.0, 1.0, 1.0, 0.0], &[4], DType::Bool));
        check(&[Index::Tensor(mask)], &value, ([10.0, 0.0, 0.0, 40.0], [20.0, 30.0]));
        check(&at(&[0, 1, 3]), &tail(&value, 1), ([0.0, 0.0, 30.0, 0.0], [0.0, 70.0]));
        // Into a tensor without history.
        let plain = tensor(&[0.0; 4], &[4]);
        plain.set_at(&[Index::Range(Some(2), None, None)], &value).unwrap();
        value.set_grad(None).unwrap();
        back(&sum(&mul(&plain, &weights))).unwrap();
        assert_eq!(grad_of(&value), [30.0, 40.0]);
        assert!(error(base.set_at(&[Index::At(0)], &tensor(&[1.0], &[]))).contains("leaf"));
    }

    #[test]
    fn of_a_leaf_are_errors_while_recording() {
        let x = leaf(&[1.0, 2.0], &[2]);
        assert!(error(doubled(&x)).contains("no_grad()"));
        assert!(error(x.fill(Value::F(0.0))).contains("no_grad()"));
        let wide = expand(&tensor(&[1.0], &[1]), shape(&[3])).unwrap();
        assert!(error(doubled(&wide)).contains("clone()"));
        assert_eq!(values(&x), [1.0, 2.0]);
    }

    /// As an optimizer does it.
    #[test]
    fn of_a_leaf_without_recording_spare_only_gradients_that_need_it_not() {
        let x = leaf(&[1.0, 2.0], &[2]);
        let (needs, needs_not) = (sum(&mul(&x, &x)), sum(&scale(&x, 3.0)));
        {
            let _mode = GradMode::new(false);
            x.update("sub_", |x| binary(Row::Sub, x, 0.1)).unwrap();
        }
        assert!(x.is_leaf() && x.requires_grad());
        assert!(error(back(&needs)).contains(CHANGED));
        back(&needs_not).unwrap();
        assert_eq!(grad_of(&x), [3.0, 3.0]);
    }
}
