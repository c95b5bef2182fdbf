//! Types of the API as TypeScript knows them.

use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Element types. WebGPU has no float64, and computes int64 in 32 bits with checks. */
export type DType = "bool" | "uint8" | "int32" | "int64" | "float16" | "bfloat16" | "float32" | "float64";

/** Arrays that elements are taken from as they are. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array | Uint8ClampedArray | BigInt64Array;

/** Numbers or truth values, nested as deep as the tensor has dimensions. */
export type Nested = number | boolean | readonly Nested[];

/** What a new tensor is like. */
export interface TensorOptions {
  /** How elements are stored; "float32" where nothing else is said and the data is not a typed array. */
  dtype?: DType;
  /** Where: "cpu" (the default) or "webgpu:0", if `devices()` has found it. */
  device?: string;
  /** Whether `backward()` leaves a gradient in `.grad`. */
  requiresGrad?: boolean;
}

/** What becomes of the losses of single elements or rows. */
export type Reduction = "none" | "mean" | "sum";

/** A position, a range [start, stop, step] with null for open ends, a new dimension, the rest, or positions or a mask. */
export type Index = number | readonly [number | null, (number | null)?, (number | null)?] | null | "..." | Tensor;
"#;
