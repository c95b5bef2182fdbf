//! What `wgpu` complains about, as errors of the engine. It calls back; nothing panics.

use parking_lot::Mutex;
use phynexus_core::{Error, Result};
use std::sync::Arc;

/// The first complaint since it was last looked at, and whether the device is lost for good.
#[derive(Clone, Debug, Default)]
pub(crate) struct Complaints(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    first: Option<Error>,
    lost: Option<String>,
}

impl Complaints {
    /// Listens to a device.
    pub fn of(device: &wgpu::Device, name: &str) -> Complaints {
        let complaints = Complaints::default();
        let (errors, lost) = (complaints.clone(), complaints.clone());
        let name = name.to_string();
        device.on_uncaptured_error(Arc::new(move |error| {
            let error = match error {
                wgpu::Error::OutOfMemory { .. } => Error::Memory(format!("{name} is out of memory")),
                wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
                    Error::Runtime(format!("{name} refused a command: {description}"))
                }
            };
            errors.0.lock().first.get_or_insert(error);
        }));
        device.set_device_lost_callback(move |_, message| {
            lost.0.lock().lost.get_or_insert(message);
        });
        complaints
    }

    /// The first complaint, if there is one; it is forgotten, unless the device is lost.
    pub fn check(&self) -> Result<()> {
        let mut state = self.0.lock();
        if let Some(message) = &state.lost {
            return Err(Error::Runtime(format!(
                "the GPU is lost ({message}), and with it all tensors that were there; start the program again from a checkpoint"
            )));
        }
        state.first.take().map_or(Ok(()), Err)
    }
}
