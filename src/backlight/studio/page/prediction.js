// What the network predicts: a decision boundary, a confusion matrix with images, curves or a table.

import { html } from "./html.js";
import { useEffect, useRef, useState } from "./vendor/preact/hooks.js";
import { Panel } from "./panel.js";
import { format } from "./numbers.js";
import { goToExample } from "./actions.js";
import { asking, at, prediction, theme } from "./store.js";

export function Prediction() {
  const [asTable, setTable] = useState(false);
  const [images, setImages] = useState(false);
  const found = prediction.value;
  if (!found)
    return html`<${Panel} name="prediction" title="Prediction" className="prediction"><p class="muted small pad">working it out …</p><//>`;
  const views = { boundary: Boundary, confusion: Confusion, curve: Curve, scatter: Scatter, table: Rows };
  const Picture = views[found.kind];
  if (!Picture) return null;
  const twin = found.kind !== "table" && found.kind !== "confusion";
  const head = html`${found.metric?.name && html`<span class="small metric" title=${`${found.metric.name.replaceAll("_", " ")}${found.metric.rows ? ` on ${found.metric.rows} rows` : ""}`}><span class="metric-name">${found.metric.name.replaceAll("_", " ")}</span> <strong>${format(found.metric.value, 3)}</strong></span>`}
      ${found.kind === "confusion" && found.examples?.length > 0 && html`<button type="button" class="quiet small" aria-pressed=${images} onClick=${() => setImages(!images)}>examples</button>`}
      ${twin && html`<button type="button" class="quiet small" aria-pressed=${asTable} onClick=${() => setTable(!asTable)}>table</button>`}`;
  return html`<${Panel} name="prediction" title="Prediction" className="prediction" head=${head}>
    <div class="panel-scroll" tabindex="0" role="group" aria-label="Predictions">${asTable && twin ? html`<${Points} found=${found} />` : html`<${Picture} found=${found} images=${images} />`}</div><//>`;
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function rgb(name) {
  const text = css(name).replace("#", "");
  return [0, 2, 4].map((k) => parseInt(text.slice(k, k + 2), 16));
}

const SERIES = [
  "--series-1",
  "--series-2",
  "--series-3",
  "--series-4",
  "--series-5",
  "--series-6",
  "--series-7",
  "--series-8",
];

function useCanvas(draw, inputs) {
  const canvas = useRef(null);
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const size = element.clientWidth || 220;
    const ratio = devicePixelRatio || 1;
    element.width = Math.round(size * ratio);
    element.height = Math.round((element.clientHeight || size) * ratio);
    const context = element.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw(context, size, element.clientHeight || size);
  }, inputs);
  return canvas;
}

function Boundary({ found }) {
  const canvas = useCanvas(
    (context, width, height) => drawBoundary(context, width, height, found),
    [found, theme.value],
  );
  const choose = (event) => {
    if (!asking.value || !found.points.rows) return;
    const box = event.currentTarget.getBoundingClientRect();
    const px = found.x[0] + ((event.clientX - box.left) / box.width) * (found.x[1] - found.x[0]);
    const py = found.y[1] - ((event.clientY - box.top) / box.height) * (found.y[1] - found.y[0]);
    let best = 0;
    const away = (k) => Math.hypot(found.points.x[k] - px, found.points.y[k] - py);
    for (let k = 1; k < found.points.x.length; k++) if (away(k) < away(best)) best = k;
    goToExample(found.points.rows[best]);
  };
  return html`<div class="boundary-view"><canvas ref=${canvas} class="boundary" role="img" onClick=${choose}
    aria-label=${`Decision boundary over two features, ${found.points.x.length} points${found.classes ? `, classes ${found.classes.join(", ")}` : ""}`}></canvas>
    ${found.classes && html`<p class="small legend-line">${found.classes.map((name, k) => html`<span key=${name}><span class=${`shape shape-${k % 4} series-${k + 1}`} aria-hidden="true"></span>${name} </span>`)}</p>`}</div>`;
}

function drawBoundary(context, width, height, found) {
  const n = found.resolution;
  const paper = rgb("--panel");
  const classes = SERIES.map(rgb);
  const image = context.createImageData(n, n);
  const flat = found.values.flat().map(Number);
  const low = Math.min(...flat);
  const high = Math.max(...flat);
  for (let row = 0; row < n; row++)
    for (let column = 0; column < n; column++) {
      const value = Number(found.values[row][column]);
      let shade;
      let strength;
      if (!found.classes) {
        strength = (value - low) / (high - low || 1);
        shade = classes[0];
        strength *= 0.7;
      } else if (found.classes.length === 2) {
        shade = classes[value >= 0.5 ? 1 : 0];
        strength = 0.1 + Math.abs(value - 0.5);
      } else {
        shade = classes[found.labels[row][column] % classes.length];
        strength = 0.12 + 0.4 * value;
      }
      const place = 4 * ((n - 1 - row) * n + column);
      for (let k = 0; k < 3; k++)
        image.data[place + k] = paper[k] + (shade[k] - paper[k]) * Math.min(0.62, strength);
      image.data[place + 3] = 255;
    }
  const small = new OffscreenCanvas(n, n);
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, width, height);
  const chosen = at.peek().example;
  found.points.x.forEach((x, k) => {
    const px = ((x - found.x[0]) / (found.x[1] - found.x[0])) * width;
    const py = height - ((found.points.y[k] - found.y[0]) / (found.y[1] - found.y[0])) * height;
    const target = found.classes ? found.points.target[k] : 0;
    point(context, px, py, target, found.points.rows?.[k] === chosen && chosen !== null);
  });
}

/** A class has a shape as well as a colour. */
function point(context, x, y, target, chosen) {
  const r = chosen ? 6 : 3;
  context.beginPath();
  if (target % 4 === 0) context.arc(x, y, r, 0, 7);
  else if (target % 4 === 1) context.rect(x - r, y - r, 2 * r, 2 * r);
  else if (target % 4 === 2) {
    context.moveTo(x, y - r - 1);
    context.lineTo(x + r + 1, y + r);
    context.lineTo(x - r - 1, y + r);
    context.closePath();
  } else {
    context.moveTo(x, y - r - 1);
    context.lineTo(x + r + 1, y);
    context.lineTo(x, y + r + 1);
    context.lineTo(x - r - 1, y);
    context.closePath();
  }
  context.fillStyle = css(SERIES[target % SERIES.length]);
  context.fill();
  context.lineWidth = chosen ? 2.5 : 1;
  context.strokeStyle = css(chosen ? "--ink" : "--panel");
  context.stroke();
}

function Confusion({ found, images }) {
  if (images && found.examples?.length) {
    return html`<div class="digits">${found.examples.map((each) => html`<${Digit} key=${each.row} each=${each} classes=${found.classes} />`)}</div>`;
  }
  const most = Math.max(1, ...found.counts.flat());
  return html`<table class="confusion"><caption class="small">rows: true, columns: predicted</caption>
    <thead><tr><td></td>${found.classes.map((name) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
    <tbody>${found.counts.map(
      (row, k) =>
        html`<tr key=${k}><th scope="row">${found.classes[k]}</th>${row.map(
          (count, j) => html`
      <td key=${j} class=${`${j === k ? "hit" : count ? "miss" : ""} ${heat(count / most)}`}>${count || html`<span class="muted">·</span>`}</td>`,
        )}</tr>`,
    )}</tbody></table>`;
}

const heat = (share) => `heat-${share === 0 ? 0 : Math.min(4, 1 + Math.floor(share * 4))}`;

function Digit({ each, classes }) {
  const wrong = each.target !== each.predicted;
  const side = each.image ? Math.round(Math.sqrt(each.image.length)) : 0;
  const ranked = (each.probabilities ?? [])
    .map((p, k) => [Number(p), k])
    .sort((a, b) => b[0] - a[0])
    .slice(0, 3);
  return html`<button type="button" class=${`digit ${wrong ? "wrong" : ""}`} aria-pressed=${at.value.example === each.row} disabled=${!asking.value} onClick=${() => goToExample(each.row)}
      aria-label=${`Row ${each.row}: it is ${classes[each.target]}, predicted ${classes[each.predicted]}`}>
    ${
      each.image &&
      html`<svg viewBox=${`0 0 ${side} ${side}`} width="48" height="48" aria-hidden="true" shape-rendering="crispEdges">${each.image.map(
        (ink, k) =>
          Number(ink) > 0.04 &&
          html`
      <rect key=${k} class="ink" x=${k % side} y=${Math.floor(k / side)} width="1" height="1" fill-opacity=${Number(ink).toFixed(2)} />`,
      )}</svg>`
    }
    <span class="small">${wrong ? "✗" : "✓"} ${classes[each.target]} → ${classes[each.predicted]}</span>
    <span class="probabilities">${ranked.map(([p, k]) => html`<span key=${k} class="tiny-text">${classes[k]} ${format(p, 2)}</span>`)}</span></button>`;
}

function Curve({ found }) {
  const canvas = useCanvas(
    (context, width, height) => {
      const xs = [...found.x, ...found.points.x].map(Number);
      const ys = [...found.y, ...found.points.target].map(Number);
      const [x, y] = scales(xs, ys, width, height);
      axes(context, width, height);
      found.points.x.forEach((each, k) =>
        point(context, x(each), y(found.points.target[k]), 0, found.points.rows?.[k] === at.peek().example),
      );
      context.beginPath();
      found.x.forEach((each, k) => context.lineTo(x(each), y(found.y[k])));
      context.strokeStyle = css("--series-2");
      context.lineWidth = 2;
      context.stroke();
    },
    [found, theme.value],
  );
  return html`<canvas ref=${canvas} class="plot" role="img" aria-label="The prediction as a curve through the data"></canvas>`;
}

function Scatter({ found }) {
  const canvas = useCanvas(
    (context, width, height) => {
      const both = [...found.target, ...found.predicted].map(Number);
      const [x, y] = scales(both, both, width, height);
      axes(context, width, height);
      const low = Math.min(...both);
      const high = Math.max(...both);
      context.beginPath();
      context.moveTo(x(low), y(low));
      context.lineTo(x(high), y(high));
      context.strokeStyle = css("--muted");
      context.stroke();
      found.target.forEach((each, k) =>
        point(context, x(each), y(found.predicted[k]), 0, found.rows?.[k] === at.peek().example),
      );
    },
    [found, theme.value],
  );
  return html`<canvas ref=${canvas} class="plot" role="img" aria-label="Predicted against true values"></canvas>`;
}

function scales(xs, ys, width, height) {
  const to = (list, from, until) => {
    const low = Math.min(...list);
    const span = Math.max(...list) - low || 1;
    return (value) => from + ((Number(value) - low) / span) * (until - from);
  };
  return [to(xs, 10, width - 10), to(ys, height - 10, 10)];
}

function axes(context, width, height) {
  context.clearRect(0, 0, width, height);
  context.strokeStyle = css("--line");
  context.strokeRect(0.5, 0.5, width - 1, height - 1);
}

function Rows({ found }) {
  const text = (list) =>
    []
      .concat(list)
      .map((each) => format(each, 4))
      .join(", ");
  return html`<table class="numbers"><thead><tr><th scope="col">input</th><th scope="col">label</th><th scope="col">prediction</th></tr></thead>
    <tbody>${found.rows.map(
      (row, k) => html`<tr key=${k}><th scope="row">${text(row.features)}</th><td>${text(row.target)}</td>
      <td>${html`<svg class="meter" viewBox="0 0 60 8" width="60" height="8" aria-hidden="true"><rect class="bar-back" width="60" height="8" rx="2" /><rect class="meter-fill" width=${60 * Math.max(0, Math.min(1, Number([].concat(row.predicted)[0])))} height="8" rx="2" /></svg>`} ${text(row.predicted)}</td></tr>`,
    )}</tbody></table>`;
}

/** The table twin of a picture: its points. */
function Points({ found }) {
  const xs = found.points?.x ?? found.target;
  const columns =
    found.kind === "boundary"
      ? ["x", "y", "label"]
      : found.kind === "curve"
        ? ["x", "label"]
        : ["label", "prediction"];
  const row = (k) =>
    found.kind === "boundary"
      ? [
          found.points.x[k],
          found.points.y[k],
          found.classes?.[found.points.target[k]] ?? found.points.target[k],
        ]
      : found.kind === "curve"
        ? [found.points.x[k], found.points.target[k]]
        : [found.target[k], found.predicted[k]];
  return html`<table class="numbers"><thead><tr>${columns.map((each) => html`<th scope="col" key=${each}>${each}</th>`)}</tr></thead>
    <tbody>${xs.slice(0, 200).map((_, k) => html`<tr key=${k}>${row(k).map((each) => html`<td>${typeof each === "number" ? format(each) : each}</td>`)}</tr>`)}</tbody></table>`;
}
