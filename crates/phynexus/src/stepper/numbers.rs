//! Numbers that devices tell the host.

use super::Stepper;
use crate::api;
use crate::array::Array;
use crate::machine::cpu;
use crate::tensor::Tensor;
use phynexus_core::{DType, DeviceId, DeviceType, ReduceOp, Result, Shape};
use phynexus_formula::ops::Op as Row;
use smallvec::SmallVec;

impl Stepper {
    /// Positions of parameters whose gradient holds a NaN or an infinity.
    pub fn nonfinite(&self) -> Result<Vec<usize>> {
        let (mut places, mut asked) = (Vec::new(), Vec::new());
        for (i, entry) in self.entries.iter().enumerate() {
            if let Some(grad) = entry.param.dense_grad()? {
                places.push(i);
                asked.push(all_finite(&grad.array())?);
            }
        }
        let known = told(&asked)?;
        Ok(places.into_iter().zip(known).filter(|(_, finite)| *finite == 0.0).map(|(i, _)| i).collect())
    }
}

/// Whether no element is NaN or infinite, as an array of one element.
fn all_finite(array: &Array) -> Result<Array> {
    let finite = api::unary(Row::IsFinite, &Tensor::new(array.clone()))?;
    Ok(finite.reduce(ReduceOp::All, None, false)?.array())
}

/// The values of arrays of one element each: what a device has to be waited for, it is once.
pub(super) fn told(arrays: &[Array]) -> Result<Vec<f64>> {
    let mut values = vec![0.0; arrays.len()];
    let mut devices: SmallVec<[DeviceId; 1]> = SmallVec::new();
    for id in arrays.iter().map(|array| array.device().id()) {
        if devices.contains(&id) {
            continue;
        }
        devices.push(id);
        let own: Vec<usize> = (0..arrays.len()).filter(|&i| arrays[i].device().id() == id).collect();
        if own.len() == 1 || id.kind == DeviceType::Cpu {
            for i in own {
                values[i] = arrays[i].first()?.as_f64();
            }
            continue;
        }
        let own_arrays: Vec<Array> = own.iter().map(|&i| arrays[i].clone()).collect();
        let bytes = line(&own_arrays)?.to_device(cpu())?.cast(DType::F64)?.to_bytes()?;
        for (i, word) in own.into_iter().zip(bytes.as_chunks().0) {
            values[i] = f64::from_le_bytes(*word);
        }
    }
    Ok(values)
}

/// Arrays of one element each as one.
pub(super) fn line(arrays: &[Array]) -> Result<Array> {
    let flat = |array: &Array| Ok(Tensor::new(array.reshape(Shape::new(&[1])?)?));
    let lines = arrays.iter().map(flat).collect::<Result<Vec<Tensor>>>()?;
    Ok(api::cat(&lines, 0)?.array())
}
