// A field that keeps what is being typed while the page around it changes, until it is entered or left.

import { html } from "./html.js";
import { useState } from "./vendor/preact/hooks.js";

/** An input like any other; `onChange` is told when something has been entered. */
export function Typed({ value, onChange, onKeyDown, ...rest }) {
  const [draft, setDraft] = useState(null);
  const changed = (event) => {
    setDraft(null);
    onChange(event);
  };
  const key = (event) => {
    if (event.key === "ArrowUp" || event.key === "ArrowDown") setDraft(null);
    onKeyDown?.(event);
  };
  return html`<input ...${rest} value=${draft ?? value} onInput=${(event) => setDraft(event.target.value)}
    onChange=${changed} onKeyDown=${key} onBlur=${() => setDraft(null)} />`;
}
