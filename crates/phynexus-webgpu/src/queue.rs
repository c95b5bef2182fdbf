//! Work that waits to be handed over: one encoder collects copies and kernels until something is read, or much has gathered.

use crate::arena::{Arenas, Piece};
use crate::error::Complaints;
use crate::pipeline::{Bound, Pipelines, Slots};
use phynexus_core::{Counters, Error, Result};
use phynexus_formula::print::Dialect;
use phynexus_gpu::table::{fill, grid, words_for};
use phynexus_gpu::{Program, Record, status};
use smallvec::SmallVec;

/// What a kernel sees of the table, in bytes: launches with more tasks are cut.
const WINDOW: u64 = 64 << 10;
/// Tables and small uploads of one submission, in bytes.
const TABLE: u64 = 4 << 20;
/// Uploads up to this size go along with the tables.
const SMALL: usize = 64 << 10;
/// Kernels of one submission.
const MOST: usize = 512;
/// Bytes that are read at once.
const CHUNK: u64 = 64 << 20;
const STATUS: u64 = 4 * status::WORDS as u64;

/// The connection to a GPU, and what waits for it.
#[derive(Debug)]
pub(crate) struct Queue {
    device: wgpu::Device,
    queue: wgpu::Queue,
    complaints: Complaints,
    pub arenas: Arenas<wgpu::Buffer>,
    pipelines: Pipelines,
    table_buffer: wgpu::Buffer,
    status_buffer: wgpu::Buffer,
    staging: Option<wgpu::Buffer>,
    /// Tables and small uploads of the next submission.
    table: Vec<u32>,
    encoder: Option<wgpu::CommandEncoder>,
    pass: Option<wgpu::ComputePass<'static>>,
    waiting: usize,
    /// Whether a kernel that may find something wrong has been queued since the status was last read.
    suspicious: bool,
    slots: usize,
    pub counters: Counters,
}

impl Queue {
    /// Opens a GPU.
    pub fn open(adapter: &wgpu::Adapter, name: &str) -> Result<Queue> {
        let limits = adapter.limits();
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: None,
            required_features: wgpu::Features::empty(),
            required_limits: limits.clone(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        });
        let opened = crate::adapter::wait(request);
        let (device, queue) = match opened {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => return Err(Error::Runtime(format!("{name} cannot be opened: {error}"))),
            None => return Err(Error::Runtime(format!("{name} does not answer"))),
        };
        let complaints = Complaints::of(&device, name);
        let buffer = |size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let storage =
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let (table_buffer, status_buffer) = (buffer(TABLE + WINDOW, storage), buffer(STATUS, storage));
        let largest = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(u32::MAX as u64);
        complaints.check()?;
        Ok(Queue {
            complaints,
            arenas: Arenas::new(largest),
            pipelines: Pipelines::default(),
            table_buffer,
            status_buffer,
            staging: None,
            table: Vec::new(),
            encoder: None,
            pass: None,
            waiting: 0,
            suspicious: false,
            slots: limits.max_storage_buffers_per_shader_stage as usize,
            counters: Counters::default(),
            device,
            queue,
        })
    }

    /// Memory for a tensor.
    pub fn allocate(&mut self, bytes: usize) -> Result<u64> {
        let Queue { device, complaints, .. } = self;
        let make = |size| {
            let usage =
                wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size,
                usage,
                mapped_at_creation: false,
            });
            complaints.check().map(|()| buffer)
        };
        let piece = self.arenas.allocate(bytes, make);
        self.forget_shrunk();
        Ok(piece?.handle())
    }

    /// Gives unused arenas back.
    pub fn shrink(&mut self) -> Result<()> {
        self.flush()?;
        self.arenas.shrink();
        self.forget_shrunk();
        Ok(())
    }

    /// Bind groups keep the memory of arenas.
    fn forget_shrunk(&mut self) {
        if std::mem::take(&mut self.arenas.shrunk) {
            self.pipelines.forget_groups();
        }
    }

    fn encoder(&mut self) -> &mut wgpu::CommandEncoder {
        self.pass = None;
        self.encoder.get_or_insert_with(|| self.device.create_command_encoder(&Default::default()))
    }

    /// Hands over what waits.
    pub fn flush(&mut self) -> Result<Option<wgpu::SubmissionIndex>> {
        self.pass = None;
        let Some(encoder) = self.encoder.take() else { return Ok(None) };
        if !self.table.is_empty() {
            self.queue.write_buffer(&self.table_buffer, 0, bytes_of(&self.table));
            self.table.clear();
        }
        let index = self.queue.submit([encoder.finish()]);
        self.waiting = 0;
        self.counters.submissions += 1;
        self.complaints.check()?;
        Ok(Some(index))
    }

    /// Room for words in the table; returns where it begins, in words.
    fn room(&mut self, words: usize) -> Result<usize> {
        let first = self.table.len().next_multiple_of(64);
        if 4 * (first + words) as u64 <= TABLE {
            self.table.resize(first, 0);
            return Ok(first);
        }
        self.flush()?;
        Ok(0)
    }

    /// Copies bytes to a piece, in order with everything else.
    pub fn write(&mut self, piece: Piece, size: usize, offset: usize, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.counters.uploaded += data.len() as u64;
        let (start, end) = (offset / 4 * 4, (offset + data.len()).next_multiple_of(4));
        if start != offset || end != offset + data.len() {
            // Words are written whole. Beyond a tensor's end nobody looks.
            let mut whole = vec![0; end - start];
            if start != offset || offset + data.len() < size {
                self.read(piece, start, &mut whole)?;
            }
            whole[offset - start..][..data.len()].copy_from_slice(data);
            return self.upload(piece, start, &whole);
        }
        self.upload(piece, offset, data)
    }

    fn upload(&mut self, piece: Piece, offset: usize, data: &[u8]) -> Result<()> {
        let to = self.memory(piece.arena)?;
        let at = piece.offset + offset as u64;
        if data.len() > SMALL {
            self.flush()?;
            self.queue.write_buffer(&to, at, data);
            return self.complaints.check();
        }
        let first = self.room(data.len() / 4)?;
        self.table.extend(data.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        let table = self.table_buffer.clone();
        self.encoder().copy_buffer_to_buffer(&table, 4 * first as u64, &to, at, data.len() as u64);
        Ok(())
    }

    /// Copies a piece's bytes to the host after all work that was queued before, and raises what kernels found.
    pub fn read(&mut self, piece: Piece, offset: usize, out: &mut [u8]) -> Result<()> {
        let from = self.memory(piece.arena)?;
        let (start, end) = (offset as u64 / 4 * 4, (offset + out.len()).next_multiple_of(4) as u64);
        let mut at = start;
        while at < end {
            let length = CHUNK.min(end - at);
            let (staging, status) = (self.staging(length + STATUS)?, self.status_buffer.clone());
            let encoder = self.encoder();
            encoder.copy_buffer_to_buffer(&from, piece.offset + at, &staging, STATUS, length);
            encoder.copy_buffer_to_buffer(&status, 0, &staging, 0, STATUS);
            self.wait(&staging, length + STATUS, |bytes| {
                let bytes = &bytes[STATUS as usize..];
                let (low, high) = (at.max(offset as u64), (at + length).min((offset + out.len()) as u64));
                out[(low - offset as u64) as usize..(high - offset as u64) as usize]
                    .copy_from_slice(&bytes[(low - at) as usize..(high - at) as usize]);
            })?;
            at += length;
        }
        self.counters.downloaded += out.len() as u64;
        Ok(())
    }

    /// Waits for all that was queued, and raises what kernels found.
    pub fn synchronize(&mut self) -> Result<()> {
        let (staging, status) = (self.staging(STATUS)?, self.status_buffer.clone());
        self.encoder().copy_buffer_to_buffer(&status, 0, &staging, 0, STATUS);
        self.wait(&staging, STATUS, |_| ())
    }

    fn staging(&mut self, size: u64) -> Result<wgpu::Buffer> {
        if let Some(staging) = self.staging.as_ref().filter(|s| s.size() >= size) {
            return Ok(staging.clone());
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: size.next_power_of_two().max(4096),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.complaints.check()?;
        Ok(self.staging.insert(buffer).clone())
    }

    /// Hands over what waits, lets `look` see the staging buffer once it is there, and checks the status in front of it.
    fn wait(&mut self, staging: &wgpu::Buffer, size: u64, look: impl FnOnce(&[u8])) -> Result<()> {
        let index = self.flush()?;
        self.counters.waits += 1;
        let (send, receive) = std::sync::mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, ..size, move |result| _ = send.send(result));
        let polled = self.device.poll(wgpu::PollType::Wait { submission_index: index, timeout: None });
        self.complaints.check()?;
        polled.map_err(|e| Error::Runtime(format!("waiting for the GPU failed: {e}")))?;
        match receive.try_recv() {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(Error::Runtime(format!("the GPU's memory cannot be read: {e}"))),
            Err(e) => return Err(Error::Runtime(format!("the GPU did not answer: {e}"))),
        }
        let found = {
            let view = staging
                .get_mapped_range(..size)
                .map_err(|e| Error::Runtime(format!("the GPU's memory cannot be read: {e}")))?;
            look(&view);
            let word = |i: usize| {
                u32::from_le_bytes([view[4 * i], view[4 * i + 1], view[4 * i + 2], view[4 * i + 3]])
            };
            std::array::from_fn(word)
        };
        staging.unmap();
        if std::mem::take(&mut self.suspicious)
            && let Err(error) = status::check(found)
        {
            self.queue.write_buffer(&self.status_buffer, 0, &[0; STATUS as usize]);
            return Err(error);
        }
        Ok(())
    }

    fn memory(&self, arena: usize) -> Result<wgpu::Buffer> {
        self.arenas.memory(arena).cloned().ok_or_else(|| Error::Runtime("a tensor's memory is gone".into()))
    }

    /// Queues a program: one dispatch for all records whose operands are in the same arenas.
    pub fn dispatch(&mut self, program: &Program, records: &[Record<'_>]) -> Result<()> {
        let mut batches: SmallVec<[(Slots, Vec<&Record<'_>>); 1]> = SmallVec::new();
        for record in records.iter().filter(|r| r.groups > 0) {
            let own: Slots = record.operands.iter().map(|p| Piece::of(p.buffer.handle()).arena).collect();
            match batches.iter_mut().find(|(known, _)| *known == own) {
                Some((_, of)) => of.push(record),
                None => batches.push((own, vec![record])),
            }
        }
        let most =
            (WINDOW as usize / 4 - words_for(program, 0)) / (words_for(program, 1) - words_for(program, 0));
        for (arenas, records) in batches {
            for some in records.chunks(most.max(1)) {
                self.dispatch_one(program, &arenas, some)?;
            }
        }
        Ok(())
    }

    fn dispatch_one(&mut self, program: &Program, arenas: &Slots, records: &[&Record<'_>]) -> Result<()> {
        let mut distinct = Slots::new();
        let mut slots = Slots::new();
        for &arena in arenas {
            slots.push(distinct.iter().position(|&known| known == arena).unwrap_or(distinct.len()));
            if slots.last() == Some(&distinct.len()) {
                distinct.push(arena);
            }
        }
        let bound = 1 + program.raises() as usize + distinct.len();
        if bound > self.slots {
            return Err(Error::Runtime(format!(
                "kernel {} needs {bound} buffers at once, and this GPU binds {}: its tensors are too large to share some",
                program.name(),
                self.slots
            )));
        }
        let first = self.room(words_for(program, records.len()))?;
        let base = |buffer: &phynexus_core::Buffer, dtype: phynexus_core::DType| {
            Piece::of(buffer.handle()).offset / dtype.size() as u64
        };
        let groups = fill(&mut self.table, program, records, Dialect::Wgsl, base);
        let groups = groups.inspect_err(|_| self.table.truncate(first))?;
        let Queue { device, complaints, pipelines, arenas, table_buffer, status_buffer, .. } = self;
        let pipeline = pipelines.pipeline(device, complaints, program, &slots, WINDOW)?;
        let bound = Bound { table: table_buffer, window: WINDOW, status: status_buffer };
        let memory = |arena| arenas.memory(arena).cloned();
        let group = pipelines.group(device, &bound, program.raises(), &distinct, memory)?;
        if self.pass.is_none() {
            let pass = self.encoder().begin_compute_pass(&Default::default()).forget_lifetime();
            self.pass = Some(pass);
        }
        if let Some(pass) = &mut self.pass {
            let (x, y) = grid(groups);
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[4 * first as u32]);
            pass.dispatch_workgroups(x, y, 1);
        }
        self.suspicious |= program.raises();
        self.counters.kernels += 1;
        self.waiting += 1;
        if self.waiting >= MOST {
            self.flush()?;
        }
        Ok(())
    }
}

/// Words as bytes, as the host's own order has them; GPUs are little-endian, and so is every host that has one.
fn bytes_of(words: &[u32]) -> &[u8] {
    // SAFETY: any bits are valid bytes, and a word has four.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), 4 * words.len()) }
}
