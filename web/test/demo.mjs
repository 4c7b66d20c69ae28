// The demo page as a person uses it, with pictures of it in $SHOTS, or target/web/shots.
import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SHOTS = process.env.SHOTS ?? fileURLToPath(new URL('../../target/web/shots/', import.meta.url));
mkdirSync(SHOTS, { recursive: true });
const DIGITS = fileURLToPath(new URL('../../tests/fixtures/digits/', import.meta.url));

const assert = (condition, message) => { if (!condition) throw new Error(message); };

async function open(browser, origin, { query = '', ...options } = {}, prepare = async () => {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light', ...options });
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
  await prepare(page);
  await page.goto(`${origin}/demo/index.html${query}`);
  await page.waitForFunction(() => document.documentElement.dataset.state, null, { timeout: 60_000 });
  return { page, done: async () => { await context.close(); assert(errors.length === 0, `the page has errors: ${errors}`); } };
}

// A stroke through points of the drawing area, each from 0 to 1.
async function stroke(page, points) {
  await page.locator('#pad').scrollIntoViewIfNeeded();
  const { x, y, width, height } = await page.locator('#pad').boundingBox();
  const at = ([px, py]) => [x + px * width, y + py * height];
  await page.mouse.move(...at(points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...at(point), { steps: 6 });
  await page.mouse.up();
}

const circle = Array.from({ length: 25 }, (_, i) => [.5 + .2 * Math.sin(i / 4), .5 - .32 * Math.cos(i / 4)]);
const one = [[.5, .12], [.5, .88]];
const answers = (page, digit) => page.waitForFunction((digit) => document.documentElement.dataset.answer === digit, digit, { timeout: 30_000 });
const shot = (page, name) => page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
const painted = (page, id) => page.evaluate((id) => {
  const canvas = document.getElementById(id);
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size;
}, id);

// Waits for the second epoch. A busy machine's software adapter takes most of the time to compile what trains, before the first.
async function learns(page) {
  const start = performance.now();
  const after = [];
  for (const [epoch, seconds] of [[1, 120], [2, 60]]) {
    const reached = (epoch) => Number(/Epoch (\d+)/.exec(document.getElementById('train-note').textContent)?.[1]) >= epoch;
    await page.waitForFunction(reached, epoch, { timeout: 1000 * seconds }).catch(async () => {
      const [button, note] = [await page.textContent('#train'), await page.textContent('#train-note')];
      throw new Error(`no epoch ${epoch} in ${seconds} s: the button says "${button}", the note "${note}"`);
    });
    after.push(`epoch ${epoch} after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
  return after.join(', ');
}

export const demo = {
  async drawnWithTheMouse(browser, origin) {
    const { page, done } = await open(browser, origin);
    assert((await page.textContent('#device')).startsWith('WebGPU'), await page.textContent('#device'));
    assert(await page.isHidden('#advice'), 'there is advice though there is WebGPU');
    await stroke(page, circle);
    await answers(page, '0');
    assert((await page.textContent('#answer')) === '0', 'the answer isn\'t shown');
    for (const id of ['filters', 'first', 'second']) assert(await painted(page, id) > 8, `${id} is blank`);
    await shot(page, 'desktop');
    await page.click('#clear');
    await answers(page, '');
    await stroke(page, one);
    await answers(page, '1');
    // Another filter is other weights.
    const before = await page.evaluate(() => document.getElementById('filters').toDataURL());
    await page.check('input[name=filter][value="4"]', { force: true });
    assert(before !== await page.evaluate(() => document.getElementById('filters').toDataURL()), 'the filter stays the same');
    await page.hover('#filters', { position: { x: 20, y: 20 } });
    assert(await page.isVisible('#window'), 'the window isn\'t marked');
    assert(/Row 1, column 1/.test(await page.textContent('#place')), await page.textContent('#place'));
    await done();
  },

  async knowsTheDataSetsDigits(browser, origin) {
    const { page, done } = await open(browser, origin);
    for (let turn = 0; turn < 3; turn += 1) {
      await page.click('#sample');
      await page.waitForFunction(() => document.documentElement.dataset.answer !== '');
    }
    await done();
  },

  async drawnWithTheKeyboard(browser, origin) {
    const { page, done } = await open(browser, origin);
    // Past nothing else: the drawing area comes first.
    await page.keyboard.press('Tab');
    assert(await page.evaluate(() => document.activeElement.id === 'pad'), 'the first stop isn\'t the drawing area');
    for (let up = 0; up < 7; up += 1) await page.keyboard.press('ArrowUp');
    await page.keyboard.down('Space');
    for (let down = 0; down < 14; down += 1) await page.keyboard.press('ArrowDown');
    await page.keyboard.up('Space');
    await answers(page, '1');
    await page.keyboard.press('c');
    await answers(page, '');
    await page.locator('input[name=filter]').first().focus();
    await page.keyboard.press('ArrowRight');
    assert(await page.isChecked('input[name=filter][value="1"]'), 'arrow keys don\'t choose filters');
    await done();
  },

  // Stopped while it trains; what it has learned answers, until Keras's weights are asked for again.
  async trainsLive(browser, origin) {
    const { page, done } = await open(browser, origin);
    const filters = () => page.evaluate(() => document.getElementById('filters').toDataURL());
    const kerasFilters = await filters();
    await page.click('#train');
    const epochs = await learns(page);
    assert(await page.textContent('#train') === 'Stop', 'there is no way to stop');
    assert(await page.isHidden('#restore'), 'weights can be exchanged while it trains');
    const early = await filters();
    assert(early !== kerasFilters, 'the filters are still Keras\'s');
    await page.waitForFunction((early) => document.getElementById('filters').toDataURL() !== early, early, { timeout: 60_000 });
    assert(/\dL/.test(await page.getAttribute('#curve path.loss', 'd')) && /\dL/.test(await page.getAttribute('#curve path.accuracy', 'd')), 'there are no curves');
    await shot(page, 'training');
    await page.click('#train');
    await page.waitForSelector('html[data-trained]');
    assert(/^Stopped after \d+ epochs/.test(await page.textContent('#train-note')), await page.textContent('#train-note'));
    await page.click('#restore');
    await page.waitForFunction((keras) => document.getElementById('filters').toDataURL() === keras, kerasFilters);
    await done();
    return epochs;
  },

  async trainsToTheEnd(browser, origin) {
    const { page, done } = await open(browser, origin, { query: '?cpu' });
    await page.focus('#train');
    await page.keyboard.press('Enter');
    await page.waitForSelector('html[data-trained]', { timeout: 110_000 });
    const note = await page.textContent('#train-note');
    const [, right] = /after 30 epochs: ([\d.]+) % of the 450 right/.exec(note) ?? [];
    assert(Number(right) > 95, note);
    await stroke(page, circle);
    await answers(page, '0');
    await shot(page, 'trained');
    await done();
    return note;
  },

  async runsAFileThatIsChosenOrDropped(browser, origin) {
    const { page, done } = await open(browser, origin);
    await page.setInputFiles('#file', `${DIGITS}digits.keras`);
    await page.waitForSelector('#file-result[data-done="digits.keras"]');
    const text = await page.textContent('#file-result');
    assert(text.includes('13,514 parameters') && text.includes('local_2') && /Output for your drawing/.test(text), text);
    const bytes = [...readFileSync(`${DIGITS}digits.h5`)];
    const data = await page.evaluateHandle((bytes) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], 'mine.h5'));
      return transfer;
    }, bytes);
    await page.dispatchEvent('#drop', 'dragenter', { dataTransfer: data });
    await page.dispatchEvent('#drop', 'drop', { dataTransfer: data });
    await page.waitForSelector('#file-result[data-done="mine.h5"]');
    await shot(page, 'file');
    await page.setInputFiles('#file', { name: 'broken.h5', mimeType: 'application/octet-stream', buffer: Buffer.from('nothing of Keras') });
    await page.waitForSelector('#file-result[data-done="broken.h5"]');
    assert((await page.textContent('#file-result .error')).includes('broken.h5'), await page.textContent('#file-result'));
    await done();
  },

  async measures(browser, origin) {
    const { page, done } = await open(browser, origin, { query: '?cpu' });
    await page.click('#bench');
    await page.waitForFunction(() => document.getElementById('bench').textContent === 'Measure again', null, { timeout: 100_000 });
    const rows = await page.locator('#bench-table tbody tr').allTextContents();
    assert(rows.length === 3 && rows.every((row) => /\d ms/.test(row) && /GB\/s/.test(row)), rows.join('; '));
    assert(/copies at \d/.test(await page.textContent('#bench-note')), await page.textContent('#bench-note'));
    await done();
    return `${await rows.join('; ')}`;
  },

  async saysWhatToTurnOnWithoutWebGPU(browser, origin) {
    const without = (page) => page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined }));
    const { page, done } = await open(browser, origin, {}, without);
    assert(/processor/.test(await page.textContent('#device')), await page.textContent('#device'));
    assert(await page.isVisible('#advice') && /Chrome/.test(await page.textContent('#advice')), 'no advice');
    await stroke(page, circle);
    await answers(page, '0');
    await shot(page, 'cpu');
    await done();
  },

  async onAPhone(browser, origin) {
    const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
    const { page, done } = await open(browser, origin, phone);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert(wide <= 390, `the page is ${wide} pixels wide`);
    const box = await page.locator('#pad').boundingBox();
    const session = await page.context().newCDPSession(page);
    const touch = (type, points) => session.send('Input.dispatchTouchEvent', { type, touchPoints: points.map(([x, y]) => ({ x: box.x + x * box.width, y: box.y + y * box.height })) });
    await touch('touchStart', [circle[0]]);
    for (const point of circle.slice(1)) await touch('touchMove', [point]);
    await touch('touchEnd', []);
    await answers(page, '0');
    await page.tap('#train');
    const epochs = await learns(page);
    await shot(page, 'phone');
    await done();
    return epochs;
  },

  async inTheDark(browser, origin) {
    const { page, done } = await open(browser, origin, { colorScheme: 'dark' });
    await stroke(page, circle);
    await answers(page, '0');
    await page.click('#train');
    const epochs = await learns(page);
    await shot(page, 'dark');
    await page.emulateMedia({ colorScheme: 'light' });
    await done();
    return epochs;
  },
};
