//! Running sums as modules.

mod common;

use common::{DIALECTS, printed};
use phynexus_core::{DType, Spec};
use phynexus_formula::print::Dialect;

#[test]
fn running_sums_are_valid_modules() {
    use DType::{BF16, F16, F32, I32, I64, U8};
    for (from, to) in [(F32, F32), (F16, F16), (BF16, BF16), (I32, I32), (U8, I64)] {
        for (dialect, length) in DIALECTS.into_iter().flat_map(|d| [4, 2000].map(|n| (d, n))) {
            let shape = [3, length];
            let texts =
                printed(dialect, Spec::CumSum, &[(from, &shape, Some(&[1, 3]))], &[(to, &shape, None)], &[]);
            let text = &texts.unwrap()[0].1;
            assert_eq!(text.contains("parts["), length > 1024);
            assert_eq!(text.contains("raise("), to == I64 && dialect == Dialect::Wgsl);
        }
    }
}
