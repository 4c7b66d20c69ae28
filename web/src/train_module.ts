// The module with training: apart, so that it is fetched where it is needed.

import initTrain, * as train from "./train_glue.js";
import { Module, type Start } from "./wasm.js";

export { train };
export const trainModule = /* @__PURE__ */ new Module(initTrain as Start, () => new URL("./train.wasm", import.meta.url));
