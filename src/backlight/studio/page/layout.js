// Where boxes and edges go: dagre, in a worker where there can be one, remembered by its input.

import { place } from "./layout-place.js";

const cache = new Map();
const waiting = new Map();
let worker = null;
let tried = false;
let number = 0;

function startWorker(offline) {
  if (tried) return;
  tried = true;
  if (offline || typeof Worker === "undefined" || !location.protocol.startsWith("http")) return;
  try {
    worker = new Worker(new URL("./layout-worker.js", location.href), { type: "module" });
  } catch {
    worker = null;
    return;
  }
  worker.onmessage = ({ data }) => {
    waiting.get(data.id)?.(data.result);
    waiting.delete(data.id);
  };
  worker.onerror = () => {
    worker = null;
    for (const [id, done] of waiting) done(null, id);
    waiting.clear();
  };
}

/** Lay out `{nodes: [{width, height}], edges: [{from, to, width, height}], direction}`. */
export async function layout(input, offline = false) {
  const key = JSON.stringify(input);
  if (cache.has(key)) return cache.get(key);
  startWorker(offline);
  let result = null;
  if (worker && input.nodes.length > 40) {
    const id = ++number;
    result = await new Promise((done) => {
      waiting.set(id, done);
      worker.postMessage({ id, input });
    });
  }
  result ??= place(input);
  if (cache.size > 60) cache.delete(cache.keys().next().value);
  cache.set(key, result);
  return result;
}
