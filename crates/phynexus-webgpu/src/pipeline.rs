//! Programs made ready: pipelines, their layouts, and bind groups, each made once.

use crate::error::Complaints;
use phynexus_core::{Error, Result};
use phynexus_gpu::Program;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

/// Which arena holds each operand, and which of those that a kernel binds that is.
pub(crate) type Slots = SmallVec<[usize; 8]>;

/// Whether a program needs the status, and how many arenas it binds.
type Shape = (bool, usize);

/// What has been made so far.
#[derive(Default, Debug)]
pub(crate) struct Pipelines {
    layouts: HashMap<Shape, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>,
    by_program: HashMap<(u64, Slots), Arc<wgpu::ComputePipeline>>,
    /// Many programs are the same text: those of an optimizer that is made a second time.
    by_text: HashMap<String, Arc<wgpu::ComputePipeline>>,
    groups: HashMap<(bool, Slots), wgpu::BindGroup>,
}

impl Pipelines {
    fn layout(
        &mut self,
        device: &wgpu::Device,
        shape: Shape,
        window: u64,
    ) -> &(wgpu::BindGroupLayout, wgpu::PipelineLayout) {
        self.layouts.entry(shape).or_insert_with(|| {
            let entry = |binding: usize, read_only: bool| wgpu::BindGroupLayoutEntry {
                binding: binding as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only },
                    has_dynamic_offset: binding == 0,
                    min_binding_size: if binding == 0 { NonZeroU64::new(window) } else { None },
                },
                count: None,
            };
            let mut entries = vec![entry(0, true)];
            entries.extend(shape.0.then(|| entry(1, false)));
            entries.extend((0..shape.1).map(|slot| entry(slot + 2, false)));
            let group = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            });
            let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&group)],
                immediate_size: 0,
            });
            (group, pipeline)
        })
    }

    /// The pipeline of a program whose operands are in these slots.
    pub fn pipeline(
        &mut self,
        device: &wgpu::Device,
        complaints: &Complaints,
        program: &Program,
        slots: &Slots,
        window: u64,
    ) -> Result<Arc<wgpu::ComputePipeline>> {
        let key = (program.id(), slots.clone());
        if let Some(known) = self.by_program.get(&key) {
            return Ok(known.clone());
        }
        let text = program.module(slots);
        let pipeline = match self.by_text.get(&text) {
            Some(known) => known.clone(),
            None => {
                let count = slots.iter().max().map_or(0, |&slot| slot + 1);
                let layout = self.layout(device, (program.raises(), count), window).1.clone();
                let description = wgpu::ShaderModuleDescriptor {
                    label: Some(program.name()),
                    source: wgpu::ShaderSource::Wgsl(Cow::Borrowed(&text)),
                };
                let checks = wgpu::ShaderRuntimeChecks {
                    force_loop_bounding: false,
                    ..wgpu::ShaderRuntimeChecks::checked()
                };
                // SAFETY: every loop of a kernel counts to a number of the table; all else stays checked.
                let module = unsafe { device.create_shader_module_trusted(description, checks) };
                let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(program.name()),
                    layout: Some(&layout),
                    module: &module,
                    entry_point: Some("kernel_main"),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        zero_initialize_workgroup_memory: false,
                        ..Default::default()
                    },
                    cache: None,
                });
                complaints.check().map_err(|e| {
                    Error::Runtime(format!("kernel {} was not compiled: {e}", program.name()))
                })?;
                let pipeline = Arc::new(pipeline);
                self.by_text.insert(text, pipeline.clone());
                pipeline
            }
        };
        self.by_program.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// The bind group of these arenas, with the table and, if the program raises, the status before them.
    pub fn group(
        &mut self,
        device: &wgpu::Device,
        bound: &Bound<'_>,
        raises: bool,
        arenas: &Slots,
        memory: impl Fn(usize) -> Option<wgpu::Buffer>,
    ) -> Result<wgpu::BindGroup> {
        if let Some(known) = self.groups.get(&(raises, arenas.clone())) {
            return Ok(known.clone());
        }
        let buffers: Option<Vec<wgpu::Buffer>> = arenas.iter().map(|&arena| memory(arena)).collect();
        let buffers = buffers.ok_or_else(|| Error::Runtime("an operand's memory is gone".into()))?;
        let table =
            wgpu::BufferBinding { buffer: bound.table, offset: 0, size: NonZeroU64::new(bound.window) };
        let entry = |binding: usize, resource| wgpu::BindGroupEntry { binding: binding as u32, resource };
        let mut entries = vec![entry(0, wgpu::BindingResource::Buffer(table))];
        entries.extend(raises.then(|| entry(1, bound.status.as_entire_binding())));
        entries.extend(buffers.iter().enumerate().map(|(slot, b)| entry(slot + 2, b.as_entire_binding())));
        let layout = &self.layout(device, (raises, arenas.len()), bound.window).0;
        let group =
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        self.groups.insert((raises, arenas.clone()), group.clone());
        Ok(group)
    }

    /// Forgets bind groups, whose arenas may be gone.
    pub fn forget_groups(&mut self) {
        self.groups.clear();
    }
}

/// What every kernel binds besides arenas.
pub(crate) struct Bound<'a> {
    pub table: &'a wgpu::Buffer,
    /// How much of the table a kernel sees, in bytes.
    pub window: u64,
    pub status: &'a wgpu::Buffer,
}
