// The loss of a training as a curve, and the same as a table.

import { h } from "./dom.js";
import { figure } from "./words.js";
import { table } from "./parts.js";

// Width, height, and the room around the curve for its axes.
const WIDE = { width: 680, height: 270, left: 52, right: 66, top: 14, bottom: 40 };
const NARROW = { width: 340, height: 230, left: 46, right: 66, top: 14, bottom: 40 };

// Most rows of the table.
const ROWS = 12;

// The points, as { epoch, loss }, of a training with so many epochs.
export function curve(points, epochs) {
  const [first, last] = [points[0], points.at(-1)];
  const words = `The loss went from ${figure(first.loss)} at epoch ${place(first)} to ${figure(last.loss)} at epoch ${place(last)}.`;
  return h("figure", { class: "curve" },
    h("figcaption", {}, "Training loss"),
    drawing(points, epochs, words),
    h("details", {}, h("summary", {}, "The loss in figures"),
      table("Training loss", ["Epochs done", "Loss"], thinned(points).map((point) => ({ key: point.epoch, cells: [place(point), figure(point.loss)] })))));
}

const place = ({ epoch }) => epoch.toFixed(2);

function drawing(points, epochs, words) {
  const room = window.innerWidth < 700 ? NARROW : WIDE;
  const [xs, ys] = [ticks(Math.max(epochs, 1), room === WIDE ? 8 : 5), ticks(Math.max(...points.map(({ loss }) => loss), 1e-9), 5)];
  const [most, high] = [Math.max(epochs, 1), ys.at(-1)];
  const x = (epoch) => room.left + (room.width - room.left - room.right) * (epoch / most);
  const y = (loss) => room.top + (room.height - room.top - room.bottom) * (1 - loss / high);
  const at = ({ epoch, loss }) => `${x(epoch).toFixed(1)},${y(loss).toFixed(1)}`;
  const line = `M${points.map(at).join("L")}`;
  const end = points.at(-1);
  const base = y(0).toFixed(1);
  return h("svg", { viewBox: `0 0 ${room.width} ${room.height}`, role: "img", "aria-label": words, "data-points": points.length },
    ys.map((loss) => h("g", { class: "tick" },
      h("line", { x1: room.left, x2: room.width - room.right, y1: y(loss), y2: y(loss) }),
      h("text", { x: room.left - 8, y: y(loss) + 4, "text-anchor": "end" }, tickText(loss, ys)))),
    xs.filter((epoch) => epoch <= most).map((epoch) => h("g", { class: "tick" },
      h("text", { x: x(epoch), y: room.height - room.bottom + 18, "text-anchor": "middle" }, epoch))),
    h("text", { class: "axis", x: (room.left + room.width - room.right) / 2, y: room.height - 5, "text-anchor": "middle" }, "epochs"),
    h("path", { class: "area", d: `${line}L${x(end.epoch).toFixed(1)},${base}L${x(points[0].epoch).toFixed(1)},${base}Z` }),
    h("path", { class: "line", d: line }),
    h("circle", { class: "end", cx: x(end.epoch), cy: y(end.loss), r: 4 }),
    h("text", { class: "value", x: x(end.epoch) + 9, y: y(end.loss) + 4 }, figure(end.loss)));
}

// Round numbers from 0 to one that is not below the greatest.
function ticks(greatest, most) {
  const rough = greatest / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const whole = greatest >= most && Number.isInteger(greatest) ? Math.max(1, step) : step;
  return Array.from({ length: Math.ceil(greatest / whole - 1e-9) + 1 }, (_, at) => Number((at * whole).toPrecision(12)));
}

function tickText(number, all) {
  const step = all[1] - all[0];
  if (number >= 1e5) return number.toExponential(0);
  return number.toFixed(Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))));
}

// Some of the points, the first and the last among them.
function thinned(points) {
  const step = Math.max(1, (points.length - 1) / (ROWS - 1));
  const some = Array.from({ length: Math.min(points.length, ROWS) }, (_, at) => points[Math.round(at * step)]);
  return [...new Set(some)];
}
