// The camera over the graph: zoom, move, fit, follow what happens; one transform, nothing drawn anew.

import { useLayoutEffect, useState } from "./vendor/preact/hooks.js";
import { effect, signal } from "./vendor/preact-signals/signals.js";
import { cursor, folding, last, moment, narrow, selection, trace } from "./store.js";

/** Where the graph is: a shift in pixels and a scale. */
export const camera = signal({ x: 0, y: 0, k: 1 });
/** The boxes and edges in their places, null before the first layout. */
export const placed = signal(null);
/** The part of a large graph that is drawn with every detail; null: all of it. */
export const seen = signal(null);
const SMALLEST = 0.12;
const LARGEST = 3;
const MANY = 60;
const ILLEGIBLE = 0.34;
const SETTLED = 160;

// The window's size as the last change of it told: asking the page would lay it out anew.
let room = { width: 0, height: 0 };

export function zoomBy(factor) {
  zoomAt(factor, room.width / 2, room.height / 2);
}

function zoomAt(factor, px, py) {
  const { x, y, k } = camera.value;
  const next = Math.max(SMALLEST, Math.min(LARGEST, k * factor));
  camera.value = { k: next, x: px - ((px - x) * next) / k, y: py - ((py - y) * next) / k };
}

const LEGIBLE = 0.72;
const WHOLE = 0.6;

/** Show the whole graph, but not larger than life. */
export function fitGraph() {
  fit(SMALLEST);
}

/** Show the whole graph, or when it would be too small to read, the part where something happens. */
export function fitLegible() {
  fit(LEGIBLE, WHOLE);
  const atEnd = cursor.value === last.value;
  const chosen = folding.value?.owner[selection.value.node];
  follow(atEnd ? (chosen >= 0 ? [chosen] : []) : happening(moment.value), false);
}

function fit(least, whole = least) {
  if (!placed.value) return;
  const { width, height } = placed.value.result;
  if (!room.width || !width) return;
  const all = Math.min(1.25, (room.width - 16) / width, (room.height - 16) / height);
  const k = all >= whole ? all : least;
  const start = (most, size) => (size * k > most ? 4 : (most - size * k) / 2);
  camera.value = { k, x: start(room.width, width), y: start(room.height, height) };
}

let gliding = 0;
let settling = null;

/**
 * Move the drawing with the camera: one transform of a layer of its own, drawn sharp again when it
 * rests. Gives what ends it.
 */
export function moveWithCamera(element) {
  return effect(() => {
    const { x, y, k } = camera.value;
    const { style } = element;
    style.willChange = "transform";
    style.transform = `translate(${x.toFixed(2)}px, ${y.toFixed(2)}px) scale(${k.toFixed(4)})`;
    clearTimeout(settling);
    settling = setTimeout(() => (style.willChange = "auto"), SETTLED);
    look();
  });
}

/** Of a large graph only what is in the window and beside it needs its details; from far away, names do. */
function look() {
  const { x, y, k } = camera.peek();
  const many = (placed.value?.folded.boxes.length ?? 0) > MANY;
  const before = seen.peek();
  if (!room.width || (!many && k >= ILLEGIBLE)) {
    if (before) seen.value = null;
    return;
  }
  const left = -x / k;
  const top = -y / k;
  const right = left + room.width / k;
  const bottom = top + room.height / k;
  const plain = k < ILLEGIBLE;
  if (
    before &&
    before.plain === plain &&
    before.left <= left &&
    before.right >= right &&
    before.top <= top &&
    before.bottom >= bottom &&
    before.right - before.left < (4 * room.width) / k
  )
    return;
  const [w, h] = [(room.width / k) * 0.75, (room.height / k) * 0.75];
  seen.value = { plain, left: left - w, top: top - h, right: right + w, bottom: bottom + h };
}

/** Whether what stands around a point is drawn with its details. */
export function isSeen(window_, { x, y }, width = 0, height = 0) {
  if (!window_) return true;
  if (window_.plain) return false;
  return (
    x + width / 2 >= window_.left &&
    x - width / 2 <= window_.right &&
    y + height / 2 >= window_.top &&
    y - height / 2 <= window_.bottom
  );
}

/** The boxes of a moment: where it happens, and where a contribution comes from. */
export function happening(now) {
  if (!now || now.box === undefined || now.box < 0) return [];
  const from = now.kind === "edge" ? folding.value.owner[trace.value.edges[now.edge].target] : -1;
  return from >= 0 && from !== now.box ? [now.box, from] : [now.box];
}

/** Bring boxes into view, only when they are not; the first of them when not all fit. */
export function follow(boxes, smooth = true) {
  const found = placed.value;
  if (!room.width || !boxes.length || !found?.result.nodes[boxes[0]]) return;
  const { k } = camera.value;
  const shift = (axis, side, offset, size, margin) => {
    const ends = (list) => [
      Math.min(...list.map((index) => found.result.nodes[index][axis] - found.sizes[index][side] / 2)) * k -
        margin,
      Math.max(...list.map((index) => found.result.nodes[index][axis] + found.sizes[index][side] / 2)) * k +
        margin,
    ];
    let [low, high] = ends(boxes.filter((index) => found.result.nodes[index]));
    if (high - low > room[side]) [low, high] = ends(boxes.slice(0, 1));
    if (low + offset >= 0 && high + offset <= room[side]) return offset;
    return inside(room[side] / 2 - (low + high) / 2, room[side], size * k);
  };
  const x = shift("x", "width", camera.value.x, found.result.width, 20);
  const y = shift("y", "height", camera.value.y, found.result.height, 12);
  if (x === camera.value.x && y === camera.value.y) return;
  const still = !smooth || matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (still) camera.value = { x, y, k };
  else glide({ x, y, k });
}

/** Keep the graph's ends at the window's ends, or the whole graph in the middle. */
function inside(offset, most, size) {
  return size <= most ? (most - size) / 2 : Math.max(most - size - 8, Math.min(8, offset));
}

function glide(end) {
  const begin = camera.value;
  const begun = performance.now();
  const turn = ++gliding;
  const draw = (time) => {
    if (turn !== gliding) return;
    const part = Math.max(0, Math.min(1, (time - begun) / 260));
    const eased = 1 - (1 - part) ** 3;
    camera.value = {
      k: end.k,
      x: begin.x + (end.x - begin.x) * eased,
      y: begin.y + (end.y - begin.y) * eased,
    };
    if (part < 1) requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}

/** Zoom with the wheel or two fingers, move by dragging; knows the size of the window. */
export function useDragging(view) {
  const [held] = useState(() => new Map());
  useLayoutEffect(() => {
    const element = view.current;
    if (!element) return undefined;
    const wheel = (event) => {
      if (!event.ctrlKey && !event.metaKey && narrow.value) return;
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoomAt(Math.exp(-event.deltaY * 0.0016), event.clientX - box.left, event.clientY - box.top);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    const measured = () => (room = { width: element.clientWidth, height: element.clientHeight });
    measured();
    const observer = new ResizeObserver(() => {
      measured();
      fitLegible();
    });
    observer.observe(element);
    return () => {
      element.removeEventListener("wheel", wheel);
      observer.disconnect();
    };
  }, []);
  return {
    onPointerDown: (event) => {
      if (event.button !== 0) return;
      gliding++;
      held.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: 0 });
    },
    onPointerMove: (event) => {
      const start = held.get(event.pointerId);
      if (!start) return;
      const dx = event.clientX - start.x;
      const dy = event.clientY - start.y;
      start.moved += Math.abs(dx) + Math.abs(dy);
      if (start.moved < 4) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      if (held.size === 2) pinch(held, event);
      else camera.value = { ...camera.value, x: camera.value.x + dx, y: camera.value.y + dy };
      start.x = event.clientX;
      start.y = event.clientY;
    },
    onPointerUp: (event) => held.delete(event.pointerId),
    onPointerCancel: (event) => held.delete(event.pointerId),
    onPointerLeave: (event) =>
      event.pointerType === "mouse" &&
      !event.currentTarget.hasPointerCapture(event.pointerId) &&
      held.delete(event.pointerId),
  };
}

function pinch(held, event) {
  const other = [...held.entries()].find(([id]) => id !== event.pointerId)[1];
  const own = held.get(event.pointerId);
  const before = Math.hypot(own.x - other.x, own.y - other.y) || 1;
  const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
  const box = event.currentTarget.getBoundingClientRect();
  zoomAt(after / before, other.x - box.left, other.y - box.top);
}
