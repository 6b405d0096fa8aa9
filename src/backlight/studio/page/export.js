// Taking things along: downloads from the server, what the page can make itself, the clipboard.

import { html } from "./html.js";
import { token } from "./actions.js";
import { boxTitle } from "./boxes.js";
import { shapeText, exact } from "./numbers.js";
import { entryOf, norm } from "./trace.js";
import { seen } from "./camera.js";
import { at, folding, notify, offline, selection, trace } from "./store.js";

const FILES = [
  ["html", "Report (HTML)", "the same page in one file, without a network"],
  ["svg", "Graph (SVG)", "the drawn graph"],
  ["tex", "Derivation (LaTeX)", "of the selected value"],
  ["csv", "Numbers (CSV)", "the training's, or the table of nodes"],
  ["json", "Trace (JSON)", "everything, schema version 1"],
  ["py", "Script (Python)", "makes what is on the screen again"],
];

export function ExportMenu() {
  const where = new URLSearchParams({ token: token(), at: JSON.stringify(at.value) });
  const { node, entry } = selection.value;
  const current = trace.value;
  if (current && node !== null && current.nodes[node].gradient)
    where.set("target", current.target(node, entry));
  if (offline.value) {
    return html`<ul class="menu-list">
      <li><button type="button" data-closes onClick=${saveGraph}>Graph (SVG)<small>what is drawn now</small></button></li>
      <li><button type="button" data-closes onClick=${saveTable}>Numbers (CSV)<small>the table of nodes</small></button></li>
      <li><button type="button" data-closes onClick=${saveTrace}>Trace (JSON)<small>schema version 1</small></button></li></ul>`;
  }
  return html`<ul class="menu-list">${FILES.map(
    ([kind, name, what]) => html`<li key=${kind}>
      <a href=${`./export/${kind}?${where}`} download data-closes data-export=${kind}>${name}<small>${what}</small></a></li>`,
  )}
    <li><button type="button" data-closes onClick=${() => copy(location.href, "link")}>Copy link<small>to this very view</small></button></li></ul>`;
}

/** Put text on the clipboard, and say so. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notify(`Copied the ${what}.`);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    notify(
      done ? `Copied the ${what}.` : "The clipboard cannot be reached from here.",
      done ? "info" : "warning",
    );
  }
}

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function saveTrace() {
  save("trace.json", "application/json", JSON.stringify(trace.value.written));
}

const DRAWN = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "fill-opacity",
  "opacity",
  "font-family",
  "font-size",
  "font-style",
  "font-weight",
  "text-anchor",
];

/** The drawn graph with its colours, as a file by itself; for it everything is drawn with its details. */
function saveGraph() {
  if (!document.getElementById("graph-svg"))
    return notify("Switch from the table to the graph first.", "warning");
  const part = seen.value;
  seen.value = null;
  return setTimeout(() => {
    writeGraph(document.getElementById("graph-svg"));
    seen.value = part;
  }, 60);
}

function writeGraph(source) {
  const twin = source.cloneNode(true);
  const from = [...source.querySelectorAll("*")];
  [...twin.querySelectorAll("*")].forEach((element, k) => {
    const style = getComputedStyle(from[k]);
    for (const name of DRAWN) {
      const value = style.getPropertyValue(name);
      if ((value && value !== "none") || name === "fill" || name === "stroke")
        element.setAttribute(name, value);
    }
    for (const name of ["class", "role", "tabindex", "aria-pressed"]) element.removeAttribute(name);
  });
  const inside = twin.querySelector("g");
  twin.removeAttribute("style");
  const box = source.querySelector("g").getBBox();
  twin.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  twin.setAttribute("viewBox", `${box.x - 10} ${box.y - 10} ${box.width + 20} ${box.height + 20}`);
  twin.setAttribute("width", Math.round(box.width + 20));
  twin.setAttribute("height", Math.round(box.height + 20));
  return save("graph.svg", "image/svg+xml", new XMLSerializer().serializeToString(twin));
}

function saveTable() {
  const current = trace.value;
  const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const size = (array) => (!array ? "" : array.shape.length ? norm(array) : entryOf(array, 0));
  const rows = folding.value.boxes.map((box) => {
    const node = current.nodes[box.out];
    const { name, formula } = boxTitle(current, box);
    return [
      quote(name),
      quote(formula),
      quote(shapeText(node.shape)),
      exactOr(size(node.value)),
      exactOr(size(node.gradient)),
    ].join(",");
  });
  save(
    "nodes.csv",
    "text/csv",
    ["node,formula,shape,value or norm,gradient or norm", ...rows].join("\n") + "\n",
  );
}

const exactOr = (value) => (value === "" || value === null ? "" : exact(value).replace("−", "-"));
