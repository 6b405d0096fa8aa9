// Keys for everything; none of them while something is being typed.

import { train } from "./actions.js";
import { step } from "./follow.js";
import { fitGraph, zoomBy } from "./camera.js";
import { walk } from "./graph.js";
import { togglePlay } from "./header.js";
import { layerStep } from "./stepping.js";
import {
  changeDetail,
  cursor,
  dialog,
  direction,
  goTo,
  last,
  litPath,
  offline,
  plan,
  playing,
  selection,
  server,
  trace,
  view,
} from "./store.js";

const ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || dialog.value) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (
      target.closest("input, select, textarea, [contenteditable]") &&
      !(target.type === "range" && !ARROWS.includes(event.key) && !["Home", "End"].includes(event.key))
    )
      return;
    if (act(event.key, target)) event.preventDefault();
  });
}

function act(key, target) {
  const onButton = target.closest("button, a, summary");
  const onBox = target.closest(".box");
  if (key === " ") return onButton ? false : (togglePlay(), true);
  if (key === "Enter") return onButton ? false : (enter(), true);
  if (ARROWS.includes(key)) return follow(key, target, onBox);
  const layer = (sign) => plan.value && goTo(layerStep(trace.value, plan.value, cursor.value, sign));
  const actions = {
    ".": () => step(1),
    ",": () => step(-1),
    ">": () => layer(1),
    "<": () => layer(-1),
    ":": () => layer(1),
    ";": () => layer(-1),
    Home: () => goTo(0),
    End: () => goTo(last.value),
    t: () => (view.value = view.value === "graph" ? "table" : "graph"),
    f: () => (direction.value = "forward"),
    b: () => (direction.value = "backward"),
    g: () => (direction.value = "both"),
    "[": () => changeDetail(-1),
    "]": () => changeDetail(1),
    "+": () => zoomBy(1.25),
    "=": () => zoomBy(1.25),
    "-": () => zoomBy(0.8),
    0: fitGraph,
    r: () =>
      server.value?.live && !offline.value && train(server.value.training?.running ? "pause" : "start"),
    n: () => server.value?.live && !offline.value && train("step", { count: 1 }),
    "/": () => document.getElementById("search")?.focus(),
    "?": () => (dialog.value = "help"),
    Escape: () => {
      litPath.value = null;
      playing.value = false;
    },
  };
  const chosen = actions[key] ?? actions[key.toLowerCase()];
  if (!chosen) return false;
  chosen();
  return true;
}

function follow(key, target, onBox) {
  const inGraph = onBox || target === document.body || target.closest("#graph-panel, #graph-svg") === target;
  if (!inGraph || !trace.value) return false;
  if (view.value === "graph") walk(key);
  else {
    const boxes = [...document.querySelectorAll(".table-view .link")];
    const here = boxes.findIndex((each) => each.getAttribute("aria-pressed") === "true");
    boxes[here + (key === "ArrowDown" || key === "ArrowRight" ? 1 : -1)]?.click();
  }
  return true;
}

function enter() {
  if (selection.value.node === null) return;
  const panel = document.getElementById("explain");
  panel?.focus();
  panel?.scrollIntoView({ block: "nearest" });
}
