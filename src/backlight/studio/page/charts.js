// Curves by uPlot in the colours of the page.

import uPlot from "./vendor/uplot/uplot.js";
import { html } from "./html.js";
import { useEffect, useRef } from "./vendor/preact/hooks.js";
import { theme } from "./store.js";

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** One chart: `series` is a list of {name, values, colour, dash}; `x` are the steps. */
export function Chart({ x, series, logarithmic = false, label, marker = null }) {
  const holder = useRef(null);
  const chart = useRef(null);
  const names = series.map((each) => each.name).join("|");
  const at = useRef(marker);
  at.current = marker;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  useEffect(() => {
    const element = holder.current;
    chart.current = new uPlot(
      options(series, logarithmic, element.clientWidth, element.clientHeight, at),
      [x, ...series.map((each) => each.values)],
      element,
    );
    const observer = new ResizeObserver(
      () =>
        element.clientWidth &&
        chart.current?.setSize({ width: element.clientWidth, height: element.clientHeight }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.current?.destroy();
      chart.current = null;
    };
  }, [names, logarithmic, theme.value, dark]);
  useEffect(() => {
    chart.current?.setData([x, ...series.map((each) => each.values)]);
  }, [x, series, marker]);
  return html`<div class="chart" ref=${holder} role="img" aria-label=${label}></div>`;
}

function options(series, logarithmic, width, height, at) {
  const ink = colour("--muted");
  const grid = { stroke: colour("--line-faint"), width: 1 };
  const axis = { stroke: ink, grid, ticks: { ...grid, size: 4 }, font: "11px system-ui", size: 46, gap: 4 };
  return {
    width: Math.max(width, 120),
    height: Math.max(height, 60),
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: false }, y: { distr: logarithmic ? 3 : 1 } },
    axes: [{ ...axis, size: 26 }, { ...axis }],
    hooks: { draw: [(plot) => drawMarker(plot, at.current)] },
    series: [
      {},
      ...series.map((each) => ({
        label: each.name,
        stroke: colour(each.colour),
        width: 1.75,
        dash: each.dash,
        points: { show: false },
        spanGaps: true,
      })),
    ],
  };
}

function drawMarker(plot, step) {
  if (step === null || step === undefined) return;
  const x = Math.round(plot.valToPos(step, "x", true));
  const { ctx, bbox } = plot;
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  ctx.save();
  ctx.strokeStyle = colour("--highlight");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}
