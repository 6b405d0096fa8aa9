// A panel with a title that can be collapsed to its title; which ones are is remembered.

import { html } from "./html.js";
import { signal } from "./vendor/preact-signals/signals.js";

const KEY = "backlight-collapsed";

/** The names of the collapsed panels. */
export const collapsed = signal(new Set(remembered()));

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]");
  } catch {
    return [];
  }
}

function toggle(name) {
  const next = new Set(collapsed.value);
  if (!next.delete(name)) next.add(name);
  collapsed.value = next;
  try {
    localStorage.setItem(KEY, JSON.stringify([...next]));
  } catch {
    return;
  }
}

/** The button that collapses a panel, or opens it again. */
export function Collapse({ name }) {
  const closed = collapsed.value.has(name);
  return html`<button type="button" class="quiet icon collapse" aria-expanded=${!closed} aria-label=${`${closed ? "Expand" : "Collapse"} the ${name} panel`}
    title=${closed ? "Expand" : "Collapse"} onClick=${() => toggle(name)}><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true"><path d=${closed ? "M4 2l4 4-4 4" : "M2 4l4 4 4-4"} /></svg></button>`;
}

/** A panel: `name` in lower case tells it from the others, `head` stands beside its title. */
export function Panel({ name, title, className = "", head = null, children }) {
  const closed = collapsed.value.has(name);
  const id = `${className}-title`;
  return html`<section class=${`panel ${className} ${closed ? "collapsed" : ""}`} aria-labelledby=${id}>
    <div class="panel-head"><h2 id=${id}>${title}</h2>${!closed && head}<${Collapse} name=${name} /></div>
    ${!closed && children}</section>`;
}
