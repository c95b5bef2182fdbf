//! Running sums as modules.

mod common;

use common::{DIALECTS, printed};
use phynexus_core::{DType, Error, Spec};
use phynexus_formula::print::Dialect;

#[test]
fn running_sums_are_valid_modules() {
    use DType::{BF16, F16, F32, I32, I64, U8};
    for (from, to) in [(F32, F32), (F16, F16), (BF16, BF16), (I32, I32), (U8, I64)] {
        for dialect in DIALECTS {
            let run = || {
                printed(dialect, Spec::CumSum, &[(from, &[3, 4], Some(&[1, 3]))], &[(to, &[3, 4], None)], &[])
            };
            match run() {
                Err(Error::Type(message)) if to == I64 && dialect == Dialect::Wgsl => {
                    assert!(message.contains("int32"))
                }
                texts => assert!(!texts.unwrap().is_empty()),
            }
        }
    }
}

#[test]
fn a_kind_that_is_missing_says_so() {
    let result = printed(
        Dialect::Wgsl,
        Spec::Sort { descending: false },
        &[(DType::F32, &[3], None)],
        &[(DType::F32, &[3], None), (DType::I64, &[3], None)],
        &[],
    );
    if let Err(error) = result {
        assert!(error.to_string().starts_with("Sort is not implemented for Wgsl"), "{error}");
    }
}
