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
  // Layers and a training by an entry: what was fetched before there was a model, and afterwards.
  async entry(name) {
    const { Context, LocallyConnected1D, Sequential, init } = await import(`/dist/${name}.js`);
    await init();
    const context = await Context.request();
    await LocallyConnected1D.create(context, { filters: 2, kernelSize: 3, kernelRegularizer: 'l2' }, { inputShape: [7, 3] });
    const before = wasm();
    const model = await Sequential.create(context, [{ className: 'Flatten' }, { className: 'Dense', units: 1 }], { inputShape: [2, 2] });
    const { loss } = await model.fit(new Float32Array(32).fill(1), new Float32Array(8).fill(1), { loss: 'mse', epochs: 2 });
    return [context.kind, loss[1] < loss[0], ...[before, wasm()].map((all) => all.map((url) => url.split('/').at(-1)))];
  },
};

const [question, ...words] = location.search.slice(1).split('&');
ask[question](...words).then((found) => postMessage({ found }), (error) => postMessage({ error: `${error.stack}` }));
