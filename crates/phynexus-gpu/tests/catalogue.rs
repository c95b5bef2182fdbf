//! All programs of the kinds that are no formulas, and of conversions.

mod common;

use common::{DIALECTS, balanced, validate};
use phynexus_formula::print::Dialect;
use phynexus_gpu::programs;

#[test]
fn all_are_valid_modules() {
    for dialect in DIALECTS {
        let found = programs(dialect).unwrap();
        assert!(found.len() > 100, "{dialect:?}: {}", found.len());
        for (name, text) in found {
            match dialect {
                Dialect::Wgsl => validate(&name, &text),
                _ => assert!(balanced(&text) && text.contains("extern \"C\" __global__"), "{name}:\n{text}"),
            }
        }
    }
}

/// What launches differ in is in the table: a program serves all shapes, seeds and counters.
#[test]
fn names_tell_programs_apart() {
    for dialect in [Dialect::Cuda, Dialect::Hip] {
        let mut names: Vec<String> = programs(dialect).unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort();
        // Formulas are told apart by their kernels.
        let is_formula =
            |name: &String| name == "map" || name.starts_with("matmul") && name.split(' ').count() == 2;
        names.retain(|name| !is_formula(name));
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1], "two programs have one name");
        }
    }
}
