// The worker that lays out large graphs while the page stays responsive.

import { place } from "./layout-place.js";

self.onmessage = ({ data }) => {
  self.postMessage({ id: data.id, result: place(data.input) });
};
