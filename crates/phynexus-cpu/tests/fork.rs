//! A forked child computes with a pool of its own.

mod common;

use common::{Tensor, launch};
use phynexus_core::{DType, Spec};
use phynexus_cpu::set_num_threads;
use phynexus_formula::{Type, ops::Op};

/// `exp` of two million elements: work for several threads.
fn compute(x: &Tensor) -> Vec<u8> {
    let y = Tensor::empty(DType::F32, x.layout.shape());
    let spec = Spec::Map {
        formula: Op::Exp.formula(Type::F32),
        inputs: vec![DType::F32],
        outputs: vec![DType::F32],
    };
    launch(spec, &[x], &[&y]).unwrap();
    y.bytes()
}

#[cfg(unix)]
#[test]
fn a_forked_child_computes() {
    set_num_threads(3);
    let x = Tensor::new(DType::F32, &[2_000_000], &vec![0.5; 2_000_000]);
    let expected = compute(&x);
    for _ in 0..5 {
        // SAFETY: the child only computes, allocates memory that this process's threads are not allocating at this
        // moment, and leaves without running destructors.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let right = compute(&x) == expected;
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(if right { 0 } else { 1 }) };
        }
        let mut status = -1;
        for _ in 0..2000 {
            // SAFETY: waits for our own child.
            if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(status, 0, "the child hung (-1) or computed something else");
        assert!(compute(&x) == expected);
    }
}
