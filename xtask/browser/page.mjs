// node page.mjs FILE: runs the plans of FILE, which xtask/tools/src/written_plans.rs writes, by the package's executor (web/src/gpu.ts) in headless
// Chromium, and compares with the results in FILE.
//
// $CHROMIUM is the browser. Exit status 1 if a result differs by more than TOLERANCE of the largest value, if a plan that
// was changed on purpose passes, or if the check itself cannot be made.
import { readFileSync } from 'node:fs';
import { main } from './browser.mjs';

const WHOLE_RUN_MINUTES = 5;
const TOLERANCE = 2e-6;

const files = (plans) => ({
  '/': new URL('page.html', import.meta.url),
  '/run_plan.js': new URL('../../web/test/built/run_plan.js', import.meta.url),
  '/plans.json': plans,
});
const differs = ({ error }) => !(error <= TOLERANCE);

// Whether all of a pass's arrays are as expected, with a line of each pass and one of each array that isn't.
async function runs(page, name, index) {
  const compared = await page.evaluate((index) => window.run(index), index);
  const worst = compared.reduce((worst, next) => (next.error > worst.error ? next : worst));
  const off = worst.error === 0 ? 'equal' : `off by ${worst.error.toExponential(1)} at most, in ${worst.name}`;
  console.log(`${name}: ${compared.map((array) => array.name).join(', ')}; ${off}`);
  for (const { name: array, length, index, error, expected, found } of compared.filter(differs)) {
    console.error(`FAILED ${name}: ${array}[${index}] of ${length} is ${found}, not ${expected} (off by ${error})`);
  }
  return compared.length > 0 && !compared.some(differs);
}

// Whether this check sees what is wrong: results that differ, and what the device refuses.
async function seesFaults(page, index) {
  const flipped = await page.evaluate((index) => window.run(index, 'flipped'), index);
  const refused = await page.evaluate((index) => window.run(index, 'misaligned').then(() => 'nothing', String), index);
  const seen = { flipped: flipped.some(differs), misaligned: refused.includes('alignment') };
  if (!seen.flipped) console.error('FAILED: with a flipped bit in a uniform the results are the same');
  if (!seen.misaligned) console.error(`FAILED: of a misaligned binding the device says ${refused}`);
  if (seen.flipped && seen.misaligned) console.log('a flipped bit in a uniform and a misaligned binding are noticed');
  return seen.flipped && seen.misaligned;
}

async function check(plans, page, version) {
  const { adapter, names } = await page.evaluate(() => window.open());
  console.log(`page: Chromium ${version}, ${adapter}; expected is what ${JSON.parse(readFileSync(plans)).computed_on} gave`);
  let passed = names.length > 0;
  for (const [index, name] of names.entries()) passed = (await runs(page, name, index)) && passed;
  return (await seesFaults(page, names.indexOf('dense forward'))) && passed;
}

await main('node page.mjs FILE', WHOLE_RUN_MINUTES, files, check);
