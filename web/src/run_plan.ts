// For `cargo xtask page`, which puts what natively planned programs compute here beside what the crate's own executor computes.

import { Buffers, GpuDevice } from "./device.js";
import { GpuBound } from "./gpu.js";
import { toBuffer, type WrittenBuffer, type WrittenPlan } from "./plan.js";
import type { Arrays } from "./runner.js";

/** A plan with its constants' words. */
type WholePlan = WrittenPlan & { buffers: (WrittenBuffer & { words?: number[] })[] };

/** What a program may find changed by another, and may change: made here, so that it is given. */
const KEPT = new Set(["parameter", "state"]);

/** Runs a plan that the crate has written: what is given and what is asked for, by name, weights in canonical order. */
export async function runPlan(device: GPUDevice, plan: WholePlan, given: Arrays, outputs: readonly string[]): Promise<Arrays> {
  const own = new Buffers();
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const upload = (buffer: WrittenBuffer & { words?: number[] }): GPUBuffer | undefined => {
    const values = given[buffer.name];
    const data = buffer.usage === "constant" ? new Uint32Array(buffer.words ?? [])
      : KEPT.has(buffer.usage) && values ? toBuffer(buffer, values) : undefined;
    if (!data) return undefined;
    const made = own.make(device, buffer.name, buffer.bytes, usage);
    device.queue.writeBuffer(made, 0, data);
    return made;
  };
  try {
    const bound = await GpuBound.create(new GpuDevice(device), plan, upload, {});
    const isInput = ([name]: [string, Float32Array]): boolean => plan.buffers.some((b) => b.name === name && b.usage === "input");
    try {
      return await bound.run(Object.fromEntries(Object.entries(given).filter(isInput)), outputs);
    } finally {
      bound.destroy();
    }
  } finally {
    own.destroy();
  }
}
