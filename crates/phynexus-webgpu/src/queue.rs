//! Work that waits to be handed over: one encoder collects copies and kernels until something is read, or much has gathered.

use crate::answer::{Answer, Part, Question, parts};
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
    pub async fn open(adapter: &wgpu::Adapter, name: &str) -> Result<Queue> {
        let limits = adapter.limits();
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: None,
            required_features: wgpu::Features::empty(),
            required_limits: limits.clone(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        });
        let (device, queue) =
            request.await.map_err(|error| Error::Runtime(format!("{name} cannot be opened: {error}")))?;
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
        for part in parts(offset, out.len()) {
            let question = self.ask(Some((piece, &part)))?;
            let answer = self.wait(question)?;
            self.take(answer, |bytes| part.copy(bytes, out))?;
        }
        Ok(())
    }

    /// Waits for all that was queued, and raises what kernels found.
    pub fn synchronize(&mut self) -> Result<()> {
        let question = self.ask(None)?;
        let answer = self.wait(question)?;
        self.take(answer, |_| ())
    }

    /// Memory that the host can read.
    fn staging(&mut self, size: u64) -> Result<wgpu::Buffer> {
        if let Some(staging) = self.staging.take_if(|s| s.size() >= size) {
            return Ok(staging);
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: size.next_power_of_two().max(4096),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.complaints.check()?;
        Ok(buffer)
    }

    /// Hands over what waits, and after it a copy of the status and of a part of a piece to where the host can read it.
    pub fn ask(&mut self, of: Option<(Piece, &Part)>) -> Result<Question> {
        let size = STATUS + of.map_or(0, |(_, part)| part.bytes());
        let (staging, status) = (self.staging(size)?, self.status_buffer.clone());
        self.encoder().copy_buffer_to_buffer(&status, 0, &staging, 0, STATUS);
        if let Some((piece, part)) = of {
            let (from, at) = (self.memory(piece.arena)?, piece.offset + part.start);
            self.encoder().copy_buffer_to_buffer(&from, at, &staging, STATUS, part.bytes());
        }
        let index = self.flush()?;
        self.counters.waits += 1;
        let raises = std::mem::take(&mut self.suspicious);
        Ok(Question::new(staging, size, index, raises))
    }

    /// Waits for the GPU.
    fn wait(&mut self, question: Question) -> Result<Answer> {
        let submission_index = question.index.clone();
        let polled = self.device.poll(wgpu::PollType::Wait { submission_index, timeout: None });
        if polled.is_err() {
            // A device that is gone says so when it is asked for nothing in particular.
            _ = self.device.poll(wgpu::PollType::Poll);
        }
        self.complaints.check()?;
        polled.map_err(|e| Error::Runtime(format!("waiting for the GPU failed: {e}")))?;
        crate::adapter::wait(question).unwrap_or_else(|| Err(Error::Runtime("the GPU did not answer".into())))
    }

    /// Lets `look` see what was copied, and raises what kernels found.
    pub fn take(&mut self, answer: Answer, look: impl FnOnce(&[u8])) -> Result<()> {
        self.complaints.check()?;
        let found = {
            let view = answer.bytes()?;
            let (status, bytes) = view.split_at(STATUS as usize);
            look(bytes);
            let word = |i: usize| {
                u32::from_le_bytes([status[4 * i], status[4 * i + 1], status[4 * i + 2], status[4 * i + 3]])
            };
            self.counters.downloaded += bytes.len() as u64;
            std::array::from_fn(word)
        };
        let raises = answer.raises;
        self.staging = Some(answer.done());
        if raises && let Err(error) = status::check(found) {
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

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    /// A device that is gone is an error wherever it is used, from then on.
    #[test]
    fn a_lost_device_is_an_error_that_says_what_to_do() {
        let Some(gpu) = crate::adapter::devices().first() else { return };
        let mut queue = crate::adapter::wait(Queue::open(&gpu.adapter, "the GPU")).unwrap().unwrap();
        let piece = Piece::of(queue.allocate(64).unwrap());
        queue.write(piece, 64, 0, &[7; 64]).unwrap();
        let mut out = [0; 64];
        queue.read(piece, 0, &mut out).unwrap();
        assert_eq!(out, [7; 64]);
        queue.device.destroy();
        let says_so = |result: Result<()>| {
            let error = result.unwrap_err();
            assert!(
                matches!(&error, Error::Runtime(m) if m.contains("lost") && m.contains("checkpoint")),
                "{error}"
            );
        };
        for _ in 0..2 {
            says_so(queue.read(piece, 0, &mut out));
            says_so(queue.synchronize());
            says_so(queue.allocate(100 << 20).map(drop));
        }
        assert_eq!(out, [7; 64], "what was there is not overwritten");
    }
}
