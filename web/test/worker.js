// A fresh realm for each question that the page asks (api.js).
const wasm = () => performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.endsWith('.wasm'));

const ask = {
  async uninitialised() {
    const { Context } = await import('/dist/index.js');
    const kinds = [];
    for (const action of [() => Context.request(), () => Context.cpu()]) await action().catch(({ kind }) => kinds.push(kind));
    return kinds;
  },
  async both() {
    const { Context, LocallyConnected1D, init } = await import('/dist/index.js');
    await Promise.all([init(), init()]);
    const [kinds, found] = [[], []];
    for (const kind of [undefined, 'cpu']) {
      const context = await Context.request({ kind });
      const layer = await LocallyConnected1D.create(context, { filters: 2, kernelSize: 3 }, { inputShape: [7, 3] });
      layer.setWeights(layer.weightShapes.map(({ shape }) => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5)));
      kinds.push(context.kind);
      found.push(Array.from(await layer.forward(Float32Array.from({ length: 42 }, (_, i) => i / 10))));
    }
    return [kinds, found];
  },
  async without() {
    Object.defineProperty(self.navigator, 'gpu', { value: undefined });
    const { Context, LocallyConnected1D, init } = await import('/dist/index.js');
    await init();
    const hasCpu = () => wasm().some((name) => name.endsWith('cpu.wasm'));
    const before = hasCpu();
    const context = await Context.request();
    const layer = await LocallyConnected1D.create(context, { filters: 2, kernelSize: 3 }, { inputShape: [7, 3] });
    layer.setWeights(layer.weightShapes.map(({ shape }) => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5)));
    const y = await layer.forward(new Float32Array(21).fill(1));
    return { kind: context.kind, reason: context.reason, fetched: [before, hasCpu()], sum: y.reduce((a, b) => a + b) };
  },
  async inline() {
    const { Context, init } = await import('/dist/inline.js');
    await init();
    return [(await Context.request()).kind, wasm()];
  },
};

ask[location.search.slice(1)]().then((found) => postMessage({ found }), (error) => postMessage({ error: `${error.stack}` }));
