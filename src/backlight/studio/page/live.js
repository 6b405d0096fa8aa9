// Loss and metrics while training runs, its controls, and the same numbers as a table.

import { html } from "./html.js";
import { Typed } from "./typed.js";
import { Panel } from "./panel.js";
import { useState } from "./vendor/preact/hooks.js";
import { Chart } from "./charts.js";
import { format, plural } from "./numbers.js";
import { train, configure } from "./actions.js";
import { at, notify, offline, scalars, server, wanted } from "./store.js";

const LINES = [
  ["--series-1", undefined],
  ["--series-2", [6, 3]],
  ["--series-3", [2, 3]],
  ["--series-4", [8, 3, 2, 3]],
];

export function Live() {
  const [what, setWhat] = useState("loss");
  const [asTable, setTable] = useState(false);
  const [logarithmic, setLogarithmic] = useState(false);
  const history = scalars.value;
  const training = server.value?.training;
  const choices = ["loss", "gradient_norm", "learning_rate", ...Object.keys(history.metrics ?? {})];
  const shown = choices.includes(what) ? what : "loss";
  const values = shown in history ? history[shown] : history.metrics[shown];
  const series = [{ name: shown, values: clean(values, logarithmic), colour: LINES[0][0] }];
  const head = html`<span class="compact"><select aria-label="Which curve" value=${shown} onChange=${(event) => setWhat(event.target.value)}>
        ${choices.map((each) => html`<option key=${each} value=${each}>${each.replaceAll("_", " ")}</option>`)}</select></span>
      <button type="button" class="quiet small" aria-pressed=${logarithmic} onClick=${() => setLogarithmic(!logarithmic)}>log</button>
      <button type="button" class="quiet small" aria-pressed=${asTable} onClick=${() => setTable(!asTable)}>table</button>`;
  return html`<${Panel} name="loss" title="Loss and metrics" className="live" head=${head}>
    ${server.value?.live && !offline.value && html`<${Controls} training=${training} />`}
    ${training?.stopped && html`<p class="stopped small">${training.stopped}</p>`}
    ${
      asTable
        ? html`<${ScalarTable} history=${history} />`
        : history.step.length
          ? html`<${Chart} x=${history.step} series=${series} logarithmic=${logarithmic} marker=${at.value.step}
          label=${`${shown} over ${plural(history.step.length, "step")}, at the end ${format(values.at(-1))}`} />`
          : html`<p class="muted pad small">${server.value?.live ? "Press Start: the curve is drawn while it runs." : "There is no history."}</p>`
    }
    <p class="live-numbers small">${training ? html`step <strong>${training.step}</strong> · epoch <strong>${training.epoch}</strong>` : ""}
      ${history.loss.length ? html` · loss <strong>${format(history.loss.at(-1))}</strong>` : ""}
      ${Object.entries(history.metrics ?? {}).map(([name, list]) => {
        const newest = lastNumber(list);
        return newest === null
          ? ""
          : html` · ${name.replaceAll("_", " ")} <strong>${format(newest, 3)}</strong>`;
      })}</p>
  <//>`;
}

function lastNumber(list) {
  for (let k = list.length - 1; k >= 0; k--) if (list[k] !== null) return list[k];
  return null;
}

function clean(values, logarithmic) {
  return (values ?? []).map((each) => {
    const number = each === null ? null : Number(each);
    return number === null || !Number.isFinite(number) || (logarithmic && number <= 0) ? null : number;
  });
}

function Controls({ training }) {
  const running = training?.running;
  const config = server.value?.subject?.config;
  const speed = "speed" in wanted.value ? wanted.value.speed : training?.speed;
  const rate = wanted.value.learning_rate ?? training?.learning_rate ?? config?.learning_rate;
  const setRate = (event) => {
    const text = event.target.value.trim();
    if (Number(text) > 0) return configure({ learning_rate: Number(text) });
    event.target.value = String(rate);
    return notify(`The learning rate is a number above 0, not “${text}”.`, "warning");
  };
  return html`<div class="row wrap train-controls" role="group" aria-label="Training">
    <button type="button" class=${running ? "" : "primary"} onClick=${() => train(running ? "pause" : "start")}>${running ? "Pause" : "Start"}</button>
    <button type="button" disabled=${running} onClick=${() => train("step", { count: 1 })}>One step</button>
    <button type="button" onClick=${() => train("reset")}>Reset</button>
    <label class="compact"><select aria-label="Speed of training" value=${speed === null || speed === undefined ? "" : String(speed)}
      onChange=${(event) => train("speed", { speed: event.target.value === "" ? null : Number(event.target.value) })}>
      <option value="1">1/s</option><option value="10">10/s</option><option value="100">100/s</option><option value="">full speed</option></select></label>
    ${
      config &&
      html`<label class="compact"><span class="small">rate</span> <${Typed} type="text" inputmode="decimal" class="short" aria-label="Learning rate" value=${String(rate)} onChange=${setRate} /></label>`
    }
  </div>`;
}

function ScalarTable({ history }) {
  const names = ["loss", "gradient_norm", "learning_rate"];
  const metrics = Object.keys(history.metrics ?? {});
  const count = history.step.length;
  const every = Math.max(1, Math.ceil(count / 200));
  const rows = history.step
    .map((_, k) => k)
    .filter((k) => k % every === 0 || k === count - 1)
    .reverse();
  return html`<div class="panel-scroll" tabindex="0" role="region" aria-label="Loss and metrics as a table"><table class="numbers"><thead><tr><th scope="col">step</th>${[...names, ...metrics].map((each) => html`<th scope="col" key=${each}>${each.replaceAll("_", " ")}</th>`)}</tr></thead>
    <tbody>${rows.map((k) => html`<tr key=${history.step[k]}><th scope="row">${history.step[k]}</th>${names.map((name) => html`<td>${format(history[name]?.[k])}</td>`)}${metrics.map((name) => html`<td>${format(history.metrics[name][k])}</td>`)}</tr>`)}</tbody></table></div>`;
}
