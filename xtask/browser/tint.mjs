// node tint.mjs DIR: compiles every variant of DIR/variants.json with Tint, in headless Chromium.
//
// variants.json is an array of { name, file, entry_point, constants: { NAME: number }, pipeline }; `file` lies in DIR. The
// driver compiles those that aren't `pipeline: false` too.
// $CHROMIUM is the browser. Exit status 1 if a variant fails, there is none, or the check itself cannot be made.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { main } from './browser.mjs';

const WHOLE_RUN_MINUTES = 15;
const AT_ONCE = 8;

function variantsOf(dir) {
  const variants = JSON.parse(readFileSync(join(dir, 'variants.json'), 'utf8'));
  if (!Array.isArray(variants)) throw new Error('variants.json is not an array');
  const sources = new Map();
  for (const variant of variants) {
    if (typeof variant.file !== 'string') throw new Error(`variants.json: no file in ${JSON.stringify(variant)}`);
    if (!sources.has(variant.file)) sources.set(variant.file, readFileSync(join(dir, variant.file), 'utf8'));
  }
  if (variants.length === 0) throw new Error(`${dir}/variants.json lists no variant`);
  return { variants, sources };
}

async function check(dir, page, version) {
  const { variants, sources } = variantsOf(dir);
  const adapter = await page.evaluate(() => window.openDevice());
  console.log(`tint: Chromium ${version}, ${adapter}, WebGPU default limits`);

  let failed = 0;
  const compile = async (variant) => {
    const job = [variant, sources.get(variant.file)];
    const errors = await page.evaluate(([variant, source]) => window.compile(variant, source), job);
    if (errors.length === 0) return;
    failed += 1;
    const constants = JSON.stringify(variant.constants ?? {});
    console.error(`FAILED ${variant.name} (${variant.file}, ${variant.entry_point}, ${constants})`);
    for (const error of errors) console.error(`  ${error.trimEnd().replaceAll('\n', '\n  ')}`);
  };
  const queue = [...variants];
  const worker = async () => { while (queue.length > 0) await compile(queue.shift()); };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const pipelines = variants.filter((variant) => variant.pipeline !== false).length;
  console.log(`${variants.length} shader variants compiled by Tint, ${pipelines} as pipelines, ${failed} failed`);
  return failed === 0;
}

await main('node tint.mjs DIR', WHOLE_RUN_MINUTES, () => ({ '/': new URL('tint.html', import.meta.url) }), check);
