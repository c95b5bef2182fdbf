//! Views against the enumeration of their elements, one index after the other.

use phynexus_core::{Error, Layout, MAX_DIMS, Shape, philox};

/// A stream of reproducible random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 += 1;
        philox::block(11, self.0)[0] as usize % n
    }

    fn sizes(&mut self, dims: usize) -> Vec<usize> {
        (0..dims).map(|_| [0, 1, 1, 2, 2, 3, 3, 4, 5, 6][self.below(10)]).collect()
    }

    /// A view of some buffer: permuted, stepped, reversed, cut, repeated.
    fn layout(&mut self) -> Layout {
        let dims = self.below(5);
        let mut layout = Layout::contiguous(shape(&self.sizes(dims)));
        if dims > 1 && self.below(2) == 0 {
            let (a, b) = (self.below(dims), self.below(dims));
            let mut order: Vec<usize> = (0..dims).collect();
            order.swap(a, b);
            layout = layout.permute(&order);
        }
        for axis in 0..dims {
            let size = layout.shape()[axis];
            layout = match self.below(6) {
                0 => layout.slice(axis, size.saturating_sub(1), size, -1),
                1 => layout.slice(axis, 0, size.div_ceil(2), 2),
                2 => layout.slice(axis, size / 2, size - size / 2, 1),
                3 if size == 1 => {
                    let mut sizes = layout.shape().to_vec();
                    sizes[axis] = self.below(4);
                    layout.broadcast(&shape(&sizes)).unwrap()
                }
                _ => layout,
            };
        }
        layout
    }

    /// Other sizes with as many elements.
    fn regrouped(&mut self, elements: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut rest = elements;
        while rest > 1 && sizes.len() < 5 {
            let divisors: Vec<usize> = (1..=rest).filter(|d| rest.is_multiple_of(*d)).collect();
            let size = divisors[self.below(divisors.len())];
            sizes.push(size);
            rest /= size;
        }
        sizes.push(rest);
        sizes
    }
}

fn shape(sizes: &[usize]) -> Shape {
    Shape::new(sizes).unwrap()
}

/// All index tuples in row-major order.
fn indices(sizes: &[usize]) -> Vec<Vec<usize>> {
    sizes.iter().fold(vec![vec![]], |all, &size| {
        all.iter().flat_map(|head| (0..size).map(move |i| [&head[..], &[i]].concat())).collect()
    })
}

fn place(layout: &Layout, index: &[usize]) -> isize {
    assert_eq!(index.len(), layout.shape().len());
    layout.offset() as isize
        + index.iter().zip(layout.strides()).map(|(&i, &s)| i as isize * s).sum::<isize>()
}

fn places(layout: &Layout) -> Vec<isize> {
    indices(layout.shape()).iter().map(|index| place(layout, index)).collect()
}

#[test]
fn contiguity() {
    let mut random = Random(0);
    let mut seen = [0; 2];
    for _ in 0..3000 {
        let layout = random.layout();
        let all = places(&layout);
        let follow = all.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert_eq!(layout.is_contiguous(), follow, "{layout:?}");
        assert_eq!(layout.elements(), all.len());
        seen[follow as usize] += 1;
    }
    assert!(seen.iter().all(|&n| n > 300), "{seen:?}");
}

#[test]
fn span_and_overlap() {
    let mut random = Random(1);
    for _ in 0..3000 {
        let layout = random.layout();
        let mut all = places(&layout);
        all.sort_unstable();
        let (low, high) = layout.span();
        match (all.first(), all.last()) {
            (Some(&first), Some(&last)) => assert_eq!((low, high), (first, last + 1), "{layout:?}"),
            _ => assert_eq!(low, high),
        }
        let twice = all.windows(2).any(|pair| pair[0] == pair[1]);
        assert!(layout.overlaps() == twice || all.is_empty(), "{layout:?}");
    }
}

/// A layout that somebody else describes reaches the bytes that its elements need, or is an error.
#[test]
fn foreign() {
    let mut random = Random(7);
    for _ in 0..3000 {
        let own = random.layout();
        let (layout, low, bytes) = Layout::foreign(*own.shape(), own.strides(), 4).unwrap();
        let all = places(&layout);
        if all.is_empty() {
            assert_eq!((low, bytes), (0, 0));
            continue;
        }
        let first = all[0];
        assert_eq!(low as isize, 4 * first, "{own:?}");
        assert_eq!(bytes as isize, 4 * (all.iter().max().unwrap() + 1));
        assert_eq!(*all.iter().min().unwrap(), 0);
        let moved: Vec<isize> = places(&own).iter().map(|p| p - places(&own)[0] + first).collect();
        assert_eq!(all, moved);
    }
    let wrong =
        |sizes: &[usize], strides: &[isize], size| Layout::foreign(shape(sizes), strides, size).is_err();
    for stride in [isize::MIN, isize::MIN + 1, isize::MAX, 1 << 61, -(1 << 61)] {
        assert!(wrong(&[2], &[stride], 1));
        assert!(wrong(&[2, 2, 3], &[1, stride, stride], 8));
        assert!(!wrong(&[1, 2], &[stride, 1], 8)); // never stepped over
        assert!(!wrong(&[0, 2], &[stride, stride], 8));
    }
    assert!(wrong(&[1 << 20, 1 << 20], &[1 << 40, 1 << 40], 8));
}

/// Overlaps of strides that no view of ours has.
#[test]
fn foreign_overlaps() {
    for (sizes, strides, overlaps) in [
        (&[3, 3][..], &[1, 1][..], true),
        (&[3, 3], &[2, 1], true),
        (&[3, 3], &[3, 1], false),
        (&[3, 3], &[-3, 1], false),
        (&[3, 3], &[1, -3], false),
        (&[3, 3], &[1, -2], true),
        (&[1, 3], &[0, 1], false),
        (&[2, 3], &[0, 1], true),
    ] {
        let (layout, ..) = Layout::foreign(shape(sizes), strides, 4).unwrap();
        assert_eq!(layout.overlaps(), overlaps, "{layout:?}");
    }
}

/// Where there is a reshape it names the same elements in the same order; where there is none, no strides would.
#[test]
fn reshape() {
    let mut random = Random(2);
    let mut seen = [0; 2];
    for _ in 0..30_000 {
        let layout = random.layout();
        let mut sizes = random.regrouped(layout.elements());
        if layout.elements() == 0 {
            let dims = random.below(3);
            sizes = random.sizes(dims);
            sizes.push(0);
        }
        let wanted = places(&layout);
        let result = layout.reshape(&shape(&sizes));
        match result {
            Some(view) => {
                assert_eq!(**view.shape(), sizes);
                assert_eq!(places(&view), wanted, "{layout:?} to {sizes:?}");
                if !layout.is_contiguous() {
                    seen[1] += 1;
                }
            }
            None => {
                seen[0] += 1;
                // The only strides that could do are the distances of the first neighbours in each dimension.
                let mut step = wanted.len();
                let strides: Vec<isize> = (sizes.iter())
                    .map(|&size| {
                        step /= size;
                        if size > 1 { wanted[step] - wanted[0] } else { 0 }
                    })
                    .collect();
                let view = Layout::strided(shape(&sizes), &strides, layout.offset());
                assert_ne!(
                    places(&view),
                    wanted,
                    "{layout:?} can be viewed as {sizes:?} by strides {strides:?}"
                );
            }
        }
    }
    assert!(seen.iter().all(|&n| n > 1000), "{seen:?}");
}

#[test]
fn broadcast() {
    let mut random = Random(3);
    for _ in 0..3000 {
        let layout = random.layout();
        let lead = random.below(3);
        let mut sizes = random.sizes(lead);
        for &size in layout.shape().iter() {
            sizes.push(if size == 1 { random.below(4) } else { size });
        }
        let view = layout.broadcast(&shape(&sizes)).unwrap();
        for index in indices(&sizes) {
            let folded: Vec<usize> = index[lead..]
                .iter()
                .zip(layout.shape().iter())
                .map(|(&i, &size)| if size == 1 { 0 } else { i })
                .collect();
            assert_eq!(place(&view, &index), place(&layout, &folded), "{layout:?} to {sizes:?}");
        }
    }
    let row = Layout::contiguous(shape(&[3]));
    for bad in [&[2][..], &[3, 2], &[], &[1], &[0]] {
        let error = row.broadcast(&shape(bad)).unwrap_err();
        assert_eq!(error, Error::Value(format!("shape (3,) does not expand to {}", shape(bad))));
    }
}

#[test]
fn permute_slice_select_unsqueeze() {
    let mut random = Random(4);
    for _ in 0..3000 {
        let layout = random.layout();
        let dims = layout.shape().len();
        let at = random.below(dims + 1);
        let wider = layout.unsqueeze(at).unwrap();
        assert_eq!((wider.shape()[at], places(&wider)), (1, places(&layout)));
        if dims == 0 {
            continue;
        }
        let axis = random.below(dims);
        let mut order: Vec<usize> = (0..dims).collect();
        order.rotate_left(axis);
        let turned = layout.permute(&order);
        for index in indices(turned.shape()) {
            let mut original = vec![0; dims];
            order.iter().zip(&index).for_each(|(&a, &i)| original[a] = i);
            assert_eq!(place(&turned, &index), place(&layout, &original));
        }
        let size = layout.shape()[axis];
        if size == 0 {
            assert_eq!(layout.slice(axis, 0, 0, 1).elements(), 0);
            continue;
        }
        let (start, step) = (random.below(size), [1isize, 2, 3, -1, -2][random.below(5)]);
        let room =
            if step > 0 { (size - start).div_ceil(step as usize) } else { start / step.unsigned_abs() + 1 };
        let cut = layout.slice(axis, start, random.below(room + 1), step);
        for index in indices(cut.shape()) {
            let mut original = index.clone();
            original[axis] = (start as isize + index[axis] as isize * step) as usize;
            assert_eq!(place(&cut, &index), place(&layout, &original));
        }
        let one = layout.select(axis, start);
        for index in indices(one.shape()) {
            let mut original = index.clone();
            original.insert(axis, start);
            assert_eq!(place(&one, &index), place(&layout, &original));
        }
    }
}

/// `x[::huge]` has one element; the step must not overflow the strides.
#[test]
fn a_huge_step() {
    let cut = Layout::contiguous(shape(&[5, 7])).slice(0, 2, 1, isize::MAX);
    assert_eq!((places(&cut), cut.span()), ((14..21).collect(), (14, 21)));
    assert_eq!(cut.strides(), [7, 1]);
    assert!(cut.is_contiguous());
}

#[test]
fn too_many_dimensions() {
    let full = Layout::contiguous(shape(&[1; MAX_DIMS]));
    assert!(matches!(full.unsqueeze(0), Err(Error::Value(_))));
}
