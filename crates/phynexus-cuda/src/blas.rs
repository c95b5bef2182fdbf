//! Products by the vendor's library, cuBLAS or rocBLAS, where that is installed; `NEURENIX_BLAS=0` does without.

use crate::driver::{Opaque, Platform};
use crate::libraries::load_for;
use libloading::Library;
use phynexus_core::{DType, Error, Float32Products, Result, View, float32_products};
use std::ffi::{c_int, c_longlong, c_uint, c_void};
use std::sync::OnceLock;

type Status = c_int;
type Create = unsafe extern "C" fn(*mut Opaque) -> Status;
type SetStream = unsafe extern "C" fn(Opaque, Opaque) -> Status;

/// A matrix as both take it, by columns: first element, type, distance of columns and of matrices.
macro_rules! gemm {
    ($($more:ty),*) => {
        unsafe extern "C" fn(
            Opaque, c_int, c_int, c_int, c_int, c_int, *const c_void,
            *const c_void, c_int, c_int, c_longlong,
            *const c_void, c_int, c_int, c_longlong,
            *const c_void,
            *mut c_void, c_int, c_int, c_longlong,
            $($more),*
        ) -> Status
    };
}
/// How many, what they are summed in, and the way.
type CudaGemm = gemm!(c_int, c_int, c_int);
/// The result once more, how many, what they are summed in, the way, which of them, and flags.
type RocmGemm = gemm!(*mut c_void, c_int, c_int, c_longlong, c_int, c_int, c_int, i32, c_uint);

/// The loaded library.
#[derive(Debug)]
struct Loaded {
    create: Create,
    set_stream: SetStream,
    gemm: Gemm,
    _library: Library,
}

#[derive(Clone, Copy, Debug)]
enum Gemm {
    Cuda(CudaGemm),
    Rocm(RocmGemm),
}

/// A handle of the library for one stream.
#[derive(Debug)]
pub(crate) struct Blas {
    loaded: &'static Loaded,
    handle: Opaque,
}

/// `c = a b (+ c)` for matrices by rows: sizes, and where they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Product {
    batch: c_int,
    rows: c_int,
    columns: c_int,
    depth: c_int,
    left: Matrix,
    right: Matrix,
    out: Matrix,
    dtype: DType,
}

/// A matrix whose rows (or columns, if `turned`) are contiguous.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Matrix {
    address: u64,
    turned: bool,
    line: c_int,
    batch: c_longlong,
}

impl Matrix {
    /// None for strides that the library does not know.
    fn of(view: &View<'_>) -> Option<Matrix> {
        let (shape, strides) = (view.layout.shape(), view.layout.strides());
        let (rows, columns) = (shape[1], shape[2]);
        let line = |stride: isize, count: usize, length: usize| {
            let line = if count == 1 { length as isize } else { stride };
            c_int::try_from(line).ok().filter(|&line| line as usize >= length.max(1) && line > 0)
        };
        let by_rows = (columns == 1 || strides[2] == 1).then(|| line(strides[1], rows, columns)).flatten();
        let by_columns = (rows == 1 || strides[1] == 1).then(|| line(strides[2], columns, rows)).flatten();
        let (turned, line) = by_rows.map(|line| (false, line)).or(by_columns.map(|line| (true, line)))?;
        let address = view.buffer.handle() + (view.layout.offset() * view.dtype.size()) as u64;
        let batch = if shape[0] == 1 { 0 } else { strides[0] as c_longlong };
        Some(Matrix { address, turned, line, batch })
    }
}

impl Product {
    /// The product of views (batch, rows, columns), where the library can compute it.
    pub fn of(a: &View<'_>, b: &View<'_>, out: &View<'_>) -> Option<Product> {
        let size = |n: usize| c_int::try_from(n).ok().filter(|&n| n > 0);
        let shape = out.layout.shape();
        let [left, right, result] = [Matrix::of(a)?, Matrix::of(b)?, Matrix::of(out)?];
        let fits = out.dtype.is_float() && !result.turned && (shape[0] == 1 || result.batch > 0);
        fits.then_some(())?;
        let depth = size(a.layout.shape()[2])?;
        let [batch, rows, columns] = [size(shape[0])?, size(shape[1])?, size(shape[2])?];
        Some(Product { batch, rows, columns, depth, left, right, out: result, dtype: out.dtype })
    }

    /// Multiplications in all.
    pub fn work(&self) -> usize {
        [self.batch, self.rows, self.columns, self.depth].iter().map(|&n| n as usize).product()
    }
}

impl Blas {
    /// Where the library is there: for a stream of the context that this thread has entered.
    pub fn open(platform: Platform, stream: Opaque) -> Option<Blas> {
        static LOADED: [OnceLock<Option<Loaded>>; 2] = [const { OnceLock::new() }; 2];
        let loaded = LOADED[platform as usize].get_or_init(|| Loaded::load(platform)).as_ref()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: writes one handle, which lives as long as the process, as the stream does.
        let ready = unsafe { (loaded.create)(&mut handle) == 0 && (loaded.set_stream)(handle, stream) == 0 };
        ready.then_some(Blas { loaded, handle })
    }

    /// Queues a product; `accumulate` adds it to what is there. False where the library does not know the type on this GPU.
    ///
    /// # Safety
    /// The memory that it names must be there.
    pub unsafe fn run(&self, p: &Product, accumulate: bool) -> Result<bool> {
        let (single, double) =
            ([1f32, f32::from(u8::from(accumulate))], [1f64, f64::from(u8::from(accumulate))]);
        let factors: [*const c_void; 2] = match p.dtype {
            DType::F64 => [0, 1].map(|i| (&raw const double[i]).cast()),
            _ => [0, 1].map(|i| (&raw const single[i]).cast()),
        };
        let (a, b, c) =
            (p.right.address as *const c_void, p.left.address as *const c_void, p.out.address as *mut c_void);
        let Product { batch, rows: m, columns: n, depth: k, left, right, out, dtype } = *p;
        // By columns everything is transposed: cᵀ = bᵀ aᵀ.
        // SAFETY: the vendors' documented signatures, and the caller's memory.
        let status = unsafe {
            match self.loaded.gemm {
                Gemm::Cuda(gemm) => {
                    let ty = match dtype {
                        DType::F64 => 1,
                        DType::F16 => 2,
                        DType::BF16 => 14,
                        _ => 0,
                    };
                    let compute = match (dtype, float32_products()) {
                        (DType::F64, _) => 70,
                        (DType::F32, Float32Products::Fast) => 77, // TF32
                        _ => 68,
                    };
                    let op = |turned| c_int::from(turned);
                    gemm(
                        self.handle,
                        op(right.turned),
                        op(left.turned),
                        n,
                        m,
                        k,
                        factors[0],
                        a,
                        ty,
                        right.line,
                        right.batch,
                        b,
                        ty,
                        left.line,
                        left.batch,
                        factors[1],
                        c,
                        ty,
                        out.line,
                        out.batch,
                        batch,
                        compute,
                        -1,
                    )
                }
                Gemm::Rocm(gemm) => {
                    let ty = match dtype {
                        DType::F64 => 152,
                        DType::F16 => 150,
                        DType::BF16 => 168,
                        _ => 151,
                    };
                    let compute = if dtype == DType::F64 { 152 } else { 151 };
                    let op = |turned| 111 + c_int::from(turned);
                    gemm(
                        self.handle,
                        op(right.turned),
                        op(left.turned),
                        n,
                        m,
                        k,
                        factors[0],
                        a,
                        ty,
                        right.line,
                        right.batch,
                        b,
                        ty,
                        left.line,
                        left.batch,
                        factors[1],
                        c,
                        ty,
                        out.line,
                        out.batch,
                        c,
                        ty,
                        out.line,
                        out.batch,
                        batch,
                        compute,
                        0,
                        0,
                        0,
                    )
                }
            }
        };
        // What each calls unknown, or unknown on this GPU, and no memory.
        let (unknown, no_memory) = match self.loaded.gemm {
            Gemm::Cuda(_) => ([8, 15], 3),
            Gemm::Rocm(_) => ([2, 15], 5),
        };
        match status {
            0 => Ok(true),
            code if unknown.contains(&code) => Ok(false),
            code if code == no_memory => {
                Err(Error::Memory(format!("no memory is left for the product ({m}, {k}) @ ({k}, {n})")))
            }
            code => Err(Error::Runtime(format!(
                "the library of matrix products failed with error {code} for ({m}, {k}) @ ({k}, {n}); NEURENIX_BLAS=0 does without"
            ))),
        }
    }
}

impl Loaded {
    fn load(platform: Platform) -> Option<Loaded> {
        if std::env::var("NEURENIX_BLAS").is_ok_and(|v| v == "0") {
            return None;
        }
        let names: &[&str] = match (platform, cfg!(windows)) {
            (Platform::Cuda, false) => {
                &["libcublas.so.13", "libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so"]
            }
            (Platform::Cuda, true) => &["cublas64_13.dll", "cublas64_12.dll"],
            (Platform::Rocm, false) => &["librocblas.so.5", "librocblas.so.4", "/opt/rocm/lib/librocblas.so"],
            (Platform::Rocm, true) => &["rocblas.dll"],
        };
        let library = load_for(platform, names)?;
        // SAFETY: these are the signatures that the vendors document.
        unsafe {
            let (create, set_stream, gemm) = match platform {
                Platform::Cuda => (
                    *library.get::<Create>(b"cublasCreate_v2\0").ok()?,
                    *library.get::<SetStream>(b"cublasSetStream_v2\0").ok()?,
                    Gemm::Cuda(*library.get(b"cublasGemmStridedBatchedEx\0").ok()?),
                ),
                Platform::Rocm => (
                    *library.get::<Create>(b"rocblas_create_handle\0").ok()?,
                    *library.get::<SetStream>(b"rocblas_set_stream\0").ok()?,
                    Gemm::Rocm(*library.get(b"rocblas_gemm_strided_batched_ex\0").ok()?),
                ),
            };
            Some(Loaded { create, set_stream, gemm, _library: library })
        }
    }
}
