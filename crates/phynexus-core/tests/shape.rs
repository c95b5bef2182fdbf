//! Shapes: counting without overflow, broadcasting, dimensions counted from the end.

use phynexus_core::{Error, MAX_DIMS, Shape};

fn shape(sizes: &[usize]) -> Shape {
    Shape::new(sizes).unwrap()
}

#[test]
fn what_memory_cannot_address_is_refused() {
    let most = isize::MAX as usize / 8; // elements of eight bytes
    assert_eq!(shape(&[most]).elements(), most);
    for bad in [
        &[most + 1][..],
        &[usize::MAX],
        &[1 << 32, 1 << 32],
        &[1 << 20; 8],
        &[0, usize::MAX],
        &[usize::MAX, 0],
    ] {
        let error = Shape::new(bad).unwrap_err();
        assert_eq!(error, Error::Value(format!("shape {bad:?} has more elements than memory can address")));
    }
}

#[test]
fn at_most_eight_dimensions() {
    assert_eq!(shape(&[2; MAX_DIMS]).elements(), 256);
    let error = Shape::new(&[2; MAX_DIMS + 1]).unwrap_err();
    assert!(error.message().starts_with("a tensor has at most 8 dimensions, got 9"), "{error}");
}

#[test]
fn broadcast() {
    let cases: [(&[usize], &[usize], &[usize]); 8] = [
        (&[], &[], &[]),
        (&[], &[3, 2], &[3, 2]),
        (&[2], &[3, 2], &[3, 2]),
        (&[3, 1], &[1, 4], &[3, 4]),
        (&[1, 1], &[5], &[1, 5]),
        (&[0], &[1], &[0]),
        (&[2, 0], &[1, 1], &[2, 0]),
        (&[4, 1, 3], &[2, 1], &[4, 2, 3]),
    ];
    for (a, b, both) in cases {
        assert_eq!(shape(a).broadcast(&shape(b)), Ok(shape(both)));
        assert_eq!(shape(b).broadcast(&shape(a)), Ok(shape(both)));
    }
    for (a, b) in [(&[2][..], &[3][..]), (&[0], &[2]), (&[2, 3], &[3, 2]), (&[4, 2, 1], &[3, 1])] {
        let message = shape(a).broadcast(&shape(b)).unwrap_err();
        assert!(matches!(&message, Error::Value(m) if m.contains("do not broadcast")), "{message}");
    }
    let error = shape(&[2, 3]).broadcast(&shape(&[4, 3])).unwrap_err();
    let expected = "shapes (2, 3) and (4, 3) do not broadcast: sizes 2 and 4 at dimension 2 from the end differ and neither is 1";
    assert_eq!(error.message(), expected);
    // Each fits, the two together do not.
    assert!(shape(&[1 << 40, 1]).broadcast(&shape(&[1 << 40])).is_err());
}

#[test]
fn axis() {
    let three = shape(&[2, 3, 4]);
    for (axis, found) in [(0, 0), (2, 2), (-1, 2), (-3, 0)] {
        assert_eq!(three.axis(axis), Ok(found));
    }
    for axis in [3, -4, isize::MAX, isize::MIN] {
        assert!(matches!(three.axis(axis), Err(Error::Index(_))));
    }
    assert_eq!((Shape::SCALAR.axis(0), Shape::SCALAR.axis(-1)), (Ok(0), Ok(0)));
    assert!(Shape::SCALAR.axis(1).is_err());
}

#[test]
fn other_sizes() {
    let three = shape(&[2, 3, 4]);
    assert_eq!((three.without(1, false), three.without(1, true)), (shape(&[2, 4]), shape(&[2, 1, 4])));
    assert_eq!(three.with(0, 9), Ok(shape(&[9, 3, 4])));
    assert!(three.with(0, usize::MAX).is_err());
    assert_eq!(
        (format!("{three}"), format!("{}", shape(&[5])), format!("{}", Shape::SCALAR)),
        ("(2, 3, 4)".into(), "(5,)".into(), "()".into())
    );
}
