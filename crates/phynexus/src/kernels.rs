//! The kernels that every array needs, made once for each dtype: copy (with a cast) and fill.

use phynexus_core::{DType, Kernel, Once, Spec};
use phynexus_formula::Builder;

type Cells<const N: usize> = [Once<Kernel>; N];

/// Elements of `from` into elements of `to`.
pub fn copy(from: DType, to: DType) -> &'static Kernel {
    static KERNELS: [Cells<8>; 8] = [const { [const { Once::new() }; 8] }; 8];
    KERNELS[from as usize][to as usize].get_or_init(|| {
        let mut b = Builder::new();
        let x = b.input(from.compute());
        let y = b.cast(to.compute(), x);
        Kernel::new(Spec::Map { formula: b.finish(&[y]), inputs: vec![from], outputs: vec![to] })
    })
}

/// One value (entry 0 of the control table) into all elements.
pub fn fill(dtype: DType) -> &'static Kernel {
    static KERNELS: Cells<8> = [const { Once::new() }; 8];
    KERNELS[dtype as usize].get_or_init(|| {
        let mut b = Builder::new();
        let value = b.scalar(dtype.compute());
        Kernel::new(Spec::Map { formula: b.finish(&[value]), inputs: vec![], outputs: vec![dtype] })
    })
}
