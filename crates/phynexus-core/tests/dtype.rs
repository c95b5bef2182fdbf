//! Element types and their promotion.

use phynexus_core::{Category, DType};

/// `torch.promote_types` for every pair, rows and columns in this order: bool, uint8, int32, int64, float16, bfloat16,
/// float32, float64.
const PROMOTED: [&str; 8] = [
    "bool    uint8   int32   int64   float16 bfloat16 float32 float64",
    "uint8   uint8   int32   int64   float16 bfloat16 float32 float64",
    "int32   int32   int32   int64   float16 bfloat16 float32 float64",
    "int64   int64   int64   int64   float16 bfloat16 float32 float64",
    "float16 float16 float16 float16 float16 float32  float32 float64",
    "bfloat16 bfloat16 bfloat16 bfloat16 float32 bfloat16 float32 float64",
    "float32 float32 float32 float32 float32 float32  float32 float64",
    "float64 float64 float64 float64 float64 float64  float64 float64",
];

#[test]
fn promotion_of_two_tensors() {
    for (a, row) in DType::ALL.into_iter().zip(PROMOTED) {
        for (b, name) in DType::ALL.into_iter().zip(row.split_whitespace()) {
            assert_eq!(a.promote(b).name(), name, "{a} with {b}");
        }
    }
}

/// What `torch.result_type(tensor, number)` gives for True, 1 and 1.0.
#[test]
fn promotion_with_a_number() {
    for dtype in DType::ALL {
        let number = |category| dtype.promote_scalar(category).name();
        let found = [number(Category::Bool), number(Category::Integer), number(Category::Float)];
        let name = dtype.name();
        let expected = match dtype {
            DType::Bool => ["bool", "int64", "float32"],
            DType::U8 | DType::I32 | DType::I64 => [name, name, "float32"],
            _ => [name; 3],
        };
        assert_eq!(found, expected, "{dtype}");
    }
}

#[test]
fn names_and_sizes() {
    for (dtype, size) in DType::ALL.into_iter().zip([1, 1, 4, 8, 2, 2, 4, 8]) {
        assert_eq!((DType::from_name(dtype.name()), dtype.size()), (Some(dtype), size));
    }
    assert_eq!(DType::from_name("complex64"), None);
}
