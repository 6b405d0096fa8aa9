// The header: menus, the stepping controls, time travel through training, export, theme, help.

import { html } from "./html.js";
import { useEffect, useRef, useState } from "./vendor/preact/hooks.js";
import { plural } from "./numbers.js";
import {
  asking,
  at,
  connection,
  cursor,
  dialog,
  goTo,
  last,
  offline,
  playing,
  plan,
  server,
  speed,
  stepBy,
  theme,
  title,
  tour,
  trace,
  unit,
} from "./store.js";
import { Typed } from "./typed.js";
import { DataMenu, ModelMenu, RunMenu } from "./menus.js";
import { ExportMenu } from "./export.js";
import { goToStep } from "./actions.js";

export function Header() {
  return html`<header class="header">
    <div class="brand"><span class="brand-mark" aria-hidden="true">∂</span><h1>Backlight<span class="subject">${title.value}</span></h1></div>
    <nav class="menus" aria-label="What is shown">
      <${Menu} name="Run"><${RunMenu} /><//>
      ${!offline.value && html`<${Menu} name="Data"><${DataMenu} /><//><${Menu} name="Model"><${ModelMenu} /><//>`}
      <${Menu} name="Export"><${ExportMenu} /><//>
    </nav>
    <div class="header-end">
      <button type="button" class="quiet" onClick=${() => (tour.value = { ...tour.value, open: !tour.value.open })}
        aria-pressed=${tour.value.open}>Tour</button>
      <${ThemeButton} />
      <button type="button" class="quiet icon" aria-label="Help and keyboard" title="Help and keyboard (?)" onClick=${() => (dialog.value = "help")}>?</button>
    </div>
  </header>
  <div class="controls" role="region" aria-label="Steps and time"><${Stepping} /><${TimeTravel} /></div>`;
}

/** A button that opens a panel below it; Escape or a click elsewhere closes it. */
export function Menu({ name, children }) {
  const [open, setOpen] = useState(false);
  const box = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const close = (event) => !box.current?.contains(event.target) && setOpen(false);
    document.addEventListener("pointerdown", close);
    document.addEventListener("focusin", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("focusin", close);
    };
  }, [open]);
  const key = (event) => {
    if (event.key !== "Escape" || !open) return;
    event.stopPropagation();
    setOpen(false);
    box.current.querySelector("button").focus();
  };
  const id = `menu-${name.toLowerCase()}`;
  return html`<div class="menu" ref=${box} onKeyDown=${key}>
    <button type="button" class="quiet" aria-expanded=${open} aria-controls=${id} onClick=${() => setOpen(!open)}>${name} <span aria-hidden="true">▾</span></button>
    <div id=${id} class="menu-panel" hidden=${!open} onClick=${(event) => event.target.closest("[data-closes]") && setOpen(false)}>${open && children}</div>
  </div>`;
}

const ICONS = {
  first: "M4 3v10M13 3L6 8l7 5z",
  back: "M11 3L5 8l6 5z",
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  next: "M5 3l6 5-6 5z",
  end: "M12 3v10M3 3l7 5-7 5z",
};

export function Icon({ name }) {
  return html`<svg class="icon-svg" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
}

function Stepping() {
  const ready = Boolean(trace.value);
  const total = last.value;
  const here = cursor.value;
  const phase = !plan.value
    ? ""
    : here === 0
      ? "start"
      : here <= plan.value.forwardEnd
        ? "forward pass"
        : here <= plan.value.backwardEnd
          ? "backward pass"
          : "update";
  return html`<div class="stepping" role="group" aria-label="Step through the passes">
    <div class="buttons">
      <button type="button" class="icon" aria-label="To the start" title="To the start (Home)" disabled=${!ready || here === 0} onClick=${() => goTo(0)}><${Icon} name="first" /></button>
      <button type="button" class="icon" aria-label="One step back" title="One step back (,)" disabled=${!ready || here === 0} onClick=${() => stepBy(-1)}><${Icon} name="back" /></button>
      <button type="button" class="icon primary" aria-label=${playing.value ? "Pause" : "Play"} title="Play or pause (space)" disabled=${!ready} onClick=${togglePlay}><${Icon} name=${playing.value ? "pause" : "play"} /></button>
      <button type="button" class="icon" aria-label="One step on" title="One step on (.)" disabled=${!ready || here >= total} onClick=${() => stepBy(1)}><${Icon} name="next" /></button>
      <button type="button" class="icon" aria-label="To the end" title="To the end (End)" disabled=${!ready || here >= total} onClick=${() => goTo(total)}><${Icon} name="end" /></button>
    </div>
    <input type="range" class="moments" min="0" max=${total} value=${here} step="1" aria-label="Moment of the passes"
      aria-valuetext=${`${here} of ${total}, ${phase}`} onInput=${(event) => goTo(Number(event.target.value))} />
    <span class="phase">${phase ? html`${here} / ${total} <span class="phase-name">${phase}</span>` : ""}</span>
    <span class="compact"><select aria-label="Step by" value=${unit.value} onChange=${(event) => (unit.value = event.target.value)}>
        <option value="node">by node</option><option value="layer">by layer</option>
        ${server.value?.training && html`<option value="batch">by batch</option>`}
      </select></span>
    <span class="compact"><select aria-label="Speed" value=${String(speed.value)} onChange=${(event) => (speed.value = Number(event.target.value))}>
        <option value="0.5">½×</option><option value="1">1×</option><option value="2">2×</option><option value="4">4×</option><option value="10">10×</option>
      </select></span>
  </div>`;
}

/** Play from here; from the start when the end has been reached. */
export function togglePlay() {
  if (!trace.value) return;
  if (!playing.value && cursor.value >= last.value && unit.value !== "batch") goTo(0);
  playing.value = !playing.value;
}

function TimeTravel() {
  const training = server.value?.training;
  const [draft, setDraft] = useState(null);
  if (!training) return null;
  const most = server.value.live ? training.step : Math.max(0, training.steps - 1);
  const here = Math.min(draft ?? at.value.step ?? most, most);
  if (!asking.value)
    return html`<div class="travel"><span class="travel-name">training step ${at.value.step ?? training.step}</span></div>`;
  return html`<div class="travel" role="group" aria-label="Time travel through training">
    <label><span class="travel-name">training step</span>
    <${Typed} type="number" min="0" max=${most} value=${here} aria-label="Training step"
      onChange=${(event) => goToStep(event.target.value === "" ? null : Number(event.target.value))} /></label>
    <input type="range" min="0" max=${most} value=${here} aria-label="Time travel" aria-valuetext=${`step ${here} of ${plural(most, "step")}`}
      onInput=${(event) => setDraft(Number(event.target.value))} onBlur=${() => setDraft(null)}
      onPointerUp=${() => setTimeout(() => setDraft(null), 100)}
      onChange=${(event) => {
        setDraft(null);
        goToStep(Number(event.target.value));
      }} />
    ${at.value.step !== null && server.value.live && html`<button type="button" class="quiet small" onClick=${() => goToStep(null)}>latest</button>`}
  </div>`;
}

function ThemeButton() {
  const order = { auto: "light", light: "dark", dark: "auto" };
  const mark = { auto: "◐", light: "☀", dark: "☾" };
  return html`<button type="button" class="quiet icon" aria-label=${`Colours: ${theme.value}`} title=${`Colours: ${theme.value}`}
    onClick=${() => (theme.value = order[theme.value])}><span aria-hidden="true">${mark[theme.value]}</span></button>`;
}

export function Connection() {
  const words = {
    open: null,
    report: null,
    connecting: "Connecting …",
    lost: "The connection is lost; trying again …",
  };
  const text = connection.value in words ? words[connection.value] : connection.value;
  return text ? html`<div class="banner" role="status">${text}</div>` : null;
}
