//! The GPU of a browser. It answers between two turns of the page's event loop, so that nothing here waits: who reads awaits.

use crate::answer::parts;
use crate::arena::Piece;
use crate::device::{WebGpu, check};
use phynexus_core::{Buffer, Error, Result};
use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

static DEVICES: OnceLock<Vec<WebGpu>> = OnceLock::new();

/// What [`open`] has found, if it was called.
pub fn known_devices() -> &'static [WebGpu] {
    DEVICES.get().map_or(&[], Vec::as_slice)
}

/// As [`known_devices`]: the browser cannot be asked without waiting.
pub fn devices() -> &'static [WebGpu] {
    known_devices()
}

/// Asks the browser for its GPU, and opens it. None is no error; one that cannot be opened counts as none.
pub async fn open() -> &'static [WebGpu] {
    if DEVICES.get().is_none() {
        let mut description = wgpu::InstanceDescriptor::new_without_display_handle();
        description.backends = wgpu::Backends::BROWSER_WEBGPU;
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let found = match wgpu::Instance::new(description).request_adapter(&options).await {
            Ok(adapter) => WebGpu::opened(adapter, 0).await.ok(),
            Err(_) => None,
        };
        // Of two that asked at once, the first has won.
        _ = DEVICES.set(found.into_iter().collect());
    }
    known_devices()
}

/// A browser does not say.
pub(crate) fn memory(_: &wgpu::Adapter) -> Option<usize> {
    None
}

/// A page is one.
pub(crate) fn process() -> u32 {
    0
}

/// An error: the page would stand still, and with it the GPU's answer.
pub(crate) fn may_wait() -> Result<()> {
    Err(Error::Runtime(
        "values on WebGPU cannot be waited for in a browser: read them with `await tensor.data()` or `await tensor.item()`, or compute \
         this on the CPU"
            .into(),
    ))
}

/// What a future gives that has nothing to wait for.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl WebGpu {
    /// Copies a buffer's bytes to the host as they are after all that is queued now, and raises what kernels found.
    pub async fn fetch(&self, buffer: &Buffer, offset: usize, out: &mut [u8]) -> Result<()> {
        check(buffer, offset, out.len())?;
        let piece = Piece::of(buffer.handle());
        for part in parts(offset, out.len()) {
            let question = self.queue()?.ask(Some((piece, &part)))?;
            let answer = question.await?;
            self.queue()?.take(answer, |bytes| part.copy(bytes, out))?;
        }
        Ok(())
    }
}
