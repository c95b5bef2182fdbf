//! Indexing against a slow and obvious reference, over random expressions: reading and writing.

mod common;

use common::{Rng, array, error, integers, tensor, values};
use phynexus::{DType, Index, Tensor};

/// An entry of an index worked out: what it picks of its dimension.
enum Item {
    New,
    /// An ellipsis; the dimensions that it stands for follow as positions.
    Gap,
    Positions(Vec<usize>),
    /// One position, whose dimension goes away.
    At(usize),
    /// A tensor of positions: shape and values.
    Pick(Vec<usize>, Vec<usize>),
}

/// All multi-indices of a shape, row-major.
fn places(dims: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &n in dims {
        all = all.iter().flat_map(|p| (0..n).map(move |i| [&p[..], &[i]].concat())).collect();
    }
    all
}

/// The shape of the result and where each of its elements stands in a tensor of shape `dims`, as PyTorch has it: single
/// positions are taken first; then picked dimensions stand where the picks are if these are together, else in front.
fn reference(dims: &[usize], items: &[Item]) -> (Vec<usize>, Vec<usize>) {
    let strides: Vec<usize> = (0..dims.len()).map(|a| dims[a + 1..].iter().product()).collect();
    let stands = |i: &usize| !matches!(items[*i], Item::At(_) | Item::Gap);
    let left: Vec<usize> = (0..items.len()).filter(stands).collect();
    let picks: Vec<usize> = (0..left.len()).filter(|&k| matches!(items[left[k]], Item::Pick(..))).collect();
    let mut common: Vec<usize> = vec![];
    for item in items {
        if let Item::Pick(shape, _) = item {
            while common.len() < shape.len() {
                common.insert(0, 1);
            }
            let offset = common.len() - shape.len();
            shape.iter().enumerate().filter(|(_, n)| **n != 1).for_each(|(d, &n)| common[offset + d] = n);
        }
    }
    let together = picks.windows(2).all(|w| w[1] == w[0] + 1);
    // Each dimension of the result: of an item, or (None) of the picks.
    let mut slots: Vec<(Option<usize>, usize)> = Vec::new();
    let picked = |slots: &mut Vec<_>| slots.extend(common.iter().map(|&n| (None, n)));
    if !together {
        picked(&mut slots);
    }
    for (i, item) in items.iter().enumerate() {
        match item {
            Item::Gap | Item::At(_) => {}
            Item::New => slots.push((Some(i), 1)),
            Item::Positions(p) => slots.push((Some(i), p.len())),
            Item::Pick(..) if together && left[picks[0]] == i => picked(&mut slots),
            Item::Pick(..) => {}
        }
    }
    let sizes: Vec<usize> = slots.iter().map(|s| s.1).collect();
    let locate = |place: &Vec<usize>| {
        let of = |i: usize| slots.iter().position(|s| s.0 == Some(i)).map(|d| place[d]);
        let pick: Vec<usize> = (0..slots.len()).filter(|&d| slots[d].0.is_none()).map(|d| place[d]).collect();
        let (mut flat, mut axis) = (0, 0);
        for (i, item) in items.iter().enumerate() {
            let at = match item {
                Item::New | Item::Gap => continue,
                Item::Positions(p) => p[of(i).unwrap()],
                Item::At(at) => *at,
                Item::Pick(shape, values) => {
                    let own = &pick[pick.len() - shape.len()..];
                    let step = |at: usize, (&n, &k): (&usize, &usize)| at * n + if n == 1 { 0 } else { k };
                    values[shape.iter().zip(own).fold(0, step)]
                }
            };
            flat += at * strides[axis];
            axis += 1;
        }
        flat
    };
    (sizes.clone(), places(&sizes).iter().map(locate).collect())
}

/// `start:stop:step` one by one.
fn positions(n: usize, start: Option<isize>, stop: Option<isize>, step: isize) -> Vec<usize> {
    let n = n as isize;
    let end = |at: isize| if at < 0 { at + n } else { at };
    let (first, last) = if step > 0 { (0, n) } else { (n - 1, -1) };
    let mut at = start
        .map_or(first, |s| end(s).clamp(if step > 0 { 0 } else { -1 }, if step > 0 { n } else { n - 1 }));
    let stop = stop.map_or(last, |s| end(s).max(-1));
    let mut all = vec![];
    while (0..n).contains(&at) && if step > 0 { at < stop } else { at > stop } {
        all.push(at as usize);
        at += step;
    }
    all
}

/// A random expression for a tensor of this shape.
fn expression(dims: &[usize], rng: &mut Rng) -> (Vec<Index>, Vec<Item>) {
    let (mut index, mut items) = (Vec::new(), Vec::new());
    let common = [&[][..], &[2], &[3], &[2, 3]][rng.below(4)];
    let mut masked = false;
    let mut axis = 0;
    let tensors = rng.below(2) == 0;
    while axis < dims.len() {
        let n = dims[axis];
        match rng.below(if tensors { 9 } else { 6 }) {
            0 if items.iter().filter(|i| matches!(i, Item::New)).count() < 2 => {
                index.push(Index::New);
                items.push(Item::New);
                continue;
            }
            1 if n > 0 => {
                let at = rng.below(n);
                index.push(Index::At(if rng.below(2) == 0 { at as isize } else { at as isize - n as isize }));
                items.push(Item::At(at));
            }
            2 if !index.iter().any(|i| matches!(i, Index::Rest)) => {
                let count = rng.below(dims.len() - axis + 1);
                index.push(Index::Rest);
                items.push(Item::Gap);
                items.extend(dims[axis..axis + count].iter().map(|&n| Item::Positions((0..n).collect())));
                axis += count;
                continue;
            }
            3 if !index.iter().any(|i| matches!(i, Index::Rest)) && rng.below(3) == 0 => {
                items.extend(dims[axis..].iter().map(|&n| Item::Positions((0..n).collect())));
                return (index, items);
            }
            6 if n > 0 && !masked => {
                let shape: Vec<usize> =
                    common.iter().map(|&n| if rng.below(3) == 0 { 1 } else { n }).collect();
                let at: Vec<usize> = (0..shape.iter().product()).map(|_| rng.below(n)).collect();
                let negative = rng.below(2) as i64 * n as i64;
                let signed: Vec<i64> = at.iter().map(|&a| a as i64 - negative).collect();
                index.push(Index::Tensor(integers(&signed, &shape)));
                items.push(Item::Pick(shape, at));
            }
            7 if !masked && common.is_empty() => {
                masked = true;
                let wide = 1 + rng.below((dims.len() - axis).min(2));
                let own = &dims[axis..axis + wide];
                let truth: Vec<f64> = (0..own.iter().product()).map(|_| rng.below(2) as f64).collect();
                index.push(Index::Tensor(Tensor::new(array(&truth, own, DType::Bool))));
                let hits: Vec<Vec<usize>> =
                    places(own).into_iter().zip(&truth).filter(|(_, t)| **t != 0.0).map(|(p, _)| p).collect();
                let of = |d: usize| Item::Pick(vec![hits.len()], hits.iter().map(|p| p[d]).collect());
                items.extend((0..wide).map(of));
                axis += wide - 1;
            }
            _ => {
                let mut bound = || (rng.below(3) > 0).then(|| rng.below(2 * n + 5) as isize - n as isize - 2);
                let (start, stop) = (bound(), bound());
                let step = [1, 1, 2, 3, -1, -2][rng.below(6)];
                index.push(Index::Range(start, stop, Some(step)));
                items.push(Item::Positions(positions(n, start, stop, step)));
            }
        }
        axis += 1;
    }
    (index, items)
}

#[test]
fn reads_and_writes_what_the_reference_does() {
    let mut rng = Rng(11);
    let mut advanced = 0;
    for round in 0..12_000 {
        let dims: Vec<usize> =
            (0..1 + rng.below(4)).map(|_| rng.below(5).max((round % 7 > 0) as usize)).collect();
        let (index, items) = expression(&dims, &mut rng);
        let (shape, places) = reference(&dims, &items);
        advanced += index.iter().any(|i| matches!(i, Index::Tensor(_))) as usize;
        let count: usize = dims.iter().product();
        let mut expected: Vec<f64> = (0..count).map(|i| i as f64).collect();
        let t = tensor(&expected, &dims);
        let what = format!("{index:?} of {dims:?}");
        let found = t.at(&index).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(found.shape()[..], shape, "{what}");
        assert_eq!(values(&found), places.iter().map(|&p| p as f64).collect::<Vec<_>>(), "{what}");

        let new: Vec<f64> = (0..places.len()).map(|i| 1000.0 + i as f64).collect();
        t.set_at(&index, &tensor(&new, &shape)).unwrap_or_else(|e| panic!("{what}: {e}"));
        places.iter().zip(&new).for_each(|(&p, &v)| expected[p] = v);
        assert_eq!(values(&t), expected, "writing {what}");
        t.set_at(&index, &tensor(&[-1.0], &[])).unwrap();
        places.iter().for_each(|&p| expected[p] = -1.0);
        assert_eq!(values(&t), expected, "writing one value, {what}");
    }
    assert!(advanced > 1000, "only {advanced} expressions had index tensors");
}

/// The operand of an assignment may be part of what is written.
#[test]
fn overlapping_memory_is_read_before_it_is_written() {
    let t = tensor(&[1.0, 2.0, 3.0, 4.0], &[4]);
    let front = t.at(&[Index::Range(None, Some(-1), None)]).unwrap();
    t.set_at(&[Index::Range(Some(1), None, None)], &front).unwrap();
    assert_eq!(values(&t), [1.0, 1.0, 2.0, 3.0]);
    let t = tensor(&[1.0, 2.0, 3.0, 4.0], &[4]);
    let backwards = t.at(&[Index::Range(None, None, Some(-1))]).unwrap();
    t.assign(&backwards, "copy_").unwrap();
    assert_eq!(values(&t), [4.0, 3.0, 2.0, 1.0]);
}

#[test]
fn what_does_not_fit_is_an_error_with_the_values() {
    let t = tensor(&[0.0; 6], &[2, 3]);
    let text = |index: &[Index]| error(t.at(index));
    assert!(text(&[Index::At(2)]).contains("index 2 is out of range for dimension 0 of size 2"));
    assert!(text(&[Index::At(-3)]).contains("-3"));
    assert!(text(&[Index::At(0), Index::At(0), Index::At(0)]).contains("too many indices"));
    assert!(text(&[Index::Rest, Index::Rest]).contains("ellipsis"));
    assert!(text(&[Index::Range(None, None, Some(0))]).contains("zero"));
    assert!(
        text(&[Index::Tensor(integers(&[0, 3], &[2])), Index::At(0)]).contains("index 3 is out of range")
    );
    assert!(text(&[Index::Tensor(integers(&[5], &[1]))]).contains('5'));
    assert!(text(&[Index::Tensor(tensor(&[1.0], &[1]))]).contains("float64"));
    let mask = Tensor::new(array(&[1.0, 0.0, 1.0], &[3], DType::Bool));
    assert!(text(&[Index::Tensor(mask)]).contains("(3,)"));
    let pair = [Index::Tensor(integers(&[0, 1], &[2])), Index::Tensor(integers(&[0, 1, 2], &[3]))];
    assert!(text(&pair).contains("index tensors"));
    let odd = t.set_at(&[Index::At(0)], &tensor(&[1.0, 2.0], &[2]));
    assert!(error(odd).contains("(2,)"));
    assert_eq!(values(&t), [0.0; 6]);
}
