//! Reading back: what was asked for, and what came.

use parking_lot::Mutex;
use phynexus_core::{Error, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 20;

/// A part of what is read: whole words of memory, and where those of their bytes go that were asked for.
pub(crate) struct Part {
    /// Its first byte, of the piece.
    pub start: u64,
    end: u64,
    /// The first byte that was asked for, and how many.
    offset: usize,
    length: usize,
}

/// The parts of so many bytes.
pub(crate) fn parts(offset: usize, length: usize) -> impl Iterator<Item = Part> {
    let (start, end) = (offset / 4 * 4, (offset + length).next_multiple_of(4));
    (start..if length == 0 { start } else { end }).step_by(CHUNK).map(move |at| Part {
        start: at as u64,
        end: end.min(at.saturating_add(CHUNK)) as u64,
        offset,
        length,
    })
}

impl Part {
    /// How many bytes are copied for it.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }

    /// Puts them where they belong.
    pub fn copy(&self, bytes: &[u8], out: &mut [u8]) {
        let (start, end) = (self.start as usize, self.end as usize);
        let (low, high) = (start.max(self.offset), end.min(self.offset + self.length));
        out[low - self.offset..high - self.offset].copy_from_slice(&bytes[low - start..high - start]);
    }
}

/// What the GPU says of memory that was asked for, and who waits for it.
type Mapped = (Option<Result<(), wgpu::BufferAsyncError>>, Option<Waker>);

/// Memory that the host will be able to read.
pub(crate) struct Question {
    answer: Option<Answer>,
    /// The submission that fills it.
    pub index: Option<wgpu::SubmissionIndex>,
    mapped: Arc<Mutex<Mapped>>,
}

impl Question {
    /// Asks for the first bytes of the memory.
    pub fn new(staging: wgpu::Buffer, size: u64, index: Option<wgpu::SubmissionIndex>, raises: bool) -> Self {
        let mapped = Arc::new(Mutex::new(Mapped::default()));
        let told = mapped.clone();
        staging.map_async(wgpu::MapMode::Read, ..size, move |result| {
            let mut told = told.lock();
            told.0 = Some(result);
            if let Some(waker) = told.1.take() {
                waker.wake();
            }
        });
        Question { answer: Some(Answer { staging, size, raises }), index, mapped }
    }
}

impl Future for Question {
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Answer>> {
        let result = {
            let mut mapped = self.mapped.lock();
            mapped.1 = Some(context.waker().clone());
            mapped.0.take()
        };
        match (result, self.answer.take()) {
            (Some(Ok(())), Some(answer)) => Poll::Ready(Ok(answer)),
            (Some(Err(e)), _) => Poll::Ready(Err(unreadable(e))),
            (_, answer) => {
                self.answer = answer;
                Poll::Pending
            }
        }
    }
}

/// Memory that the host can read.
pub(crate) struct Answer {
    staging: wgpu::Buffer,
    size: u64,
    /// Whether a kernel that may find something wrong ran before.
    pub raises: bool,
}

impl Answer {
    /// What is in it.
    pub fn bytes(&self) -> Result<wgpu::BufferView> {
        self.staging.get_mapped_range(..self.size).map_err(unreadable)
    }

    /// The memory, for the next question.
    pub fn done(self) -> wgpu::Buffer {
        self.staging.unmap();
        self.staging
    }
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Runtime(format!("the GPU's memory cannot be read: {error}"))
}
