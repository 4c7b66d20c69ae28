// Runs a plan that the crate locally-connected has written as JSON (`WrittenPlan`) on a page's own GPUDevice:
//
//   const bound = await BoundPlan.create(device, plan);   // once: buffers, pipelines, bind groups
//   bound.write('input', values);                         // inputs and parameters, by name, as Float32Arrays
//   bound.record(computePass);                            // as often as you like, into a pass of yours
//   await bound.read('output');                           // once it is submitted: outputs and gradients
//   bound.destroy();
//
// It knows WebGPU and no kernel: every size, range and number of workgroups stands in the plan.

const VERSION = 1;
const ARRAYS = { f32: Float32Array, f16: globalThis.Float16Array, u32: Uint32Array };
const SCOPES = ['internal', 'out-of-memory', 'validation'];

/** What `action` gives at once; the device's first error over it is thrown. */
async function scoped(device, what, action) {
  for (const scope of SCOPES) device.pushErrorScope(scope);
  const caught = [];
  let made;
  try {
    made = action();
  } finally {
    for (const _ of SCOPES) caught.push(device.popErrorScope());
  }
  const error = (await Promise.all(caught)).find((error) => error !== null);
  if (error) {
    made?.destroy?.();
    throw new Error(`${what}: ${error.message}`);
  }
  return made;
}

/** A pipeline, and the layout of bind group 0: the uniform, then the storage buffers. */
async function compile(device, { name, wgsl, entry_point: entryPoint, bindings }) {
  const types = bindings.map((access) => (access === 'read' ? 'read-only-storage' : 'storage'));
  const buffers = [{ type: 'uniform', hasDynamicOffset: true }, ...types.map((type) => ({ type }))];
  const entries = buffers.map((buffer, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer }));
  const { layout, compiled } = await scoped(device, `shader ${name}`, () => {
    const module = device.createShaderModule({ label: name, code: wgsl });
    const layout = device.createBindGroupLayout({ label: name, entries });
    const pipelineLayout = device.createPipelineLayout({ label: name, bindGroupLayouts: [layout] });
    const compute = { module, entryPoint };
    const compiled = device.createComputePipelineAsync({ label: name, layout: pipelineLayout, compute });
    compiled.catch(() => {}); // Where a scope has an error, that is thrown.
    return { layout, compiled };
  });
  return { layout, pipeline: await compiled };
}

/** Where an array has element `i` of the buffer that holds `part` of it. */
const placeOf = (part, i) => (part === undefined ? i
  : (part.first_entry + Math.floor(i / part.filters)) * part.all_filters + part.first_filter + (i % part.filters));

export class BoundPlan {
  static async create(device, plan) {
    if (plan.version !== VERSION) throw new Error(`a plan of version ${plan.version}, but this runs version ${VERSION}`);
    const missing = plan.buffers.find(({ dtype }) => ARRAYS[dtype] === undefined);
    if (missing) throw new Error(`${missing.name} is of ${missing.dtype}, for which this browser has no array`);
    const shaders = await Promise.all(plan.shaders.map((shader) => compile(device, shader)));
    return scoped(device, 'buffers and bind groups', () => new BoundPlan(device, plan, shaders));
  }

  constructor(device, plan, shaders) {
    Object.assign(this, { device, plan });
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    this.buffers = plan.buffers.map(({ name, bytes, words }) => {
      const buffer = device.createBuffer({ label: name, size: bytes, usage });
      if (words) device.queue.writeBuffer(buffer, 0, new Uint32Array(words));
      return buffer;
    });
    // One buffer has the uniforms of all dispatches, as far apart as the device asks for.
    const alignment = device.limits.minUniformBufferOffsetAlignment;
    const most = Math.max(1, ...plan.dispatches.map(({ uniform }) => 4 * uniform.length));
    const stride = Math.ceil(most / alignment) * alignment;
    const uniforms = new Uint32Array((stride / 4) * Math.max(1, plan.dispatches.length));
    plan.dispatches.forEach(({ uniform }, at) => uniforms.set(uniform, (stride / 4) * at));
    this.uniforms = device.createBuffer({
      label: 'uniforms', size: uniforms.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(this.uniforms, 0, uniforms);
    this.steps = plan.dispatches.map(({ shader, uniform, bindings, workgroups }, at) => {
      const { layout, pipeline } = shaders[shader];
      const storage = bindings.map(({ buffer, offset, size }) => ({ buffer: this.buffers[buffer], offset, size }));
      const resources = [{ buffer: this.uniforms, size: 4 * uniform.length }, ...storage];
      const entries = resources.map((resource, binding) => ({ binding, resource }));
      const group = device.createBindGroup({ label: plan.shaders[shader].name, layout, entries });
      return { pipeline, group, uniformOffset: stride * at, workgroups };
    });
  }

  /** The plan's buffers of one array, those of weights being parts of it, and its length. */
  named(name, usages) {
    const all = this.plan.buffers.map((buffer, at) => ({ ...buffer, gpu: this.buffers[at] }));
    const parts = all.filter((buffer) => buffer.name === name && usages.includes(buffer.usage));
    if (parts.length === 0) throw new Error(`the plan has no ${usages.join(' or ')} ${name}`);
    return { parts, length: parts.reduce((sum, { elements }) => sum + elements, 0) };
  }

  write(name, values) {
    const { parts, length } = this.named(name, ['input', 'parameter', 'gradient']);
    if (values.length !== length) throw new Error(`${name} has ${length} values, but ${values.length} are given`);
    for (const { gpu, dtype, bytes, elements, part } of parts) {
      const array = new ARRAYS[dtype](bytes / ARRAYS[dtype].BYTES_PER_ELEMENT);
      for (let i = 0; i < elements; i += 1) array[i] = values[placeOf(part, i)];
      this.device.queue.writeBuffer(gpu, 0, array);
    }
  }

  record(pass) {
    for (const { pipeline, group, uniformOffset, workgroups } of this.steps) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group, [uniformOffset]);
      pass.dispatchWorkgroups(...workgroups);
    }
  }

  async read(name) {
    const { parts, length } = this.named(name, ['output', 'gradient']);
    const values = new Float32Array(length);
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    for (const { gpu, dtype, bytes, elements, part } of parts) {
      const copy = this.device.createBuffer({ label: `copy of ${name}`, size: bytes, usage });
      const encoder = this.device.createCommandEncoder();
      encoder.copyBufferToBuffer(gpu, 0, copy, 0, bytes);
      this.device.queue.submit([encoder.finish()]);
      await copy.mapAsync(GPUMapMode.READ);
      const array = new ARRAYS[dtype](copy.getMappedRange());
      for (let i = 0; i < elements; i += 1) values[placeOf(part, i)] = array[i];
      copy.destroy(); // Else its memory is held until it is collected.
    }
    return values;
  }

  destroy() {
    for (const buffer of [...this.buffers, this.uniforms]) buffer.destroy();
  }
}
