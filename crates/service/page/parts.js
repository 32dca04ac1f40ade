// What several views are made of.

import { h } from "./dom.js";
import { ago, moment } from "./words.js";

// A state: a dot in its colour, and the word.
export const state = (kind, word) => h("span", { class: `state ${kind}` }, h("span", { class: "dot", "aria-hidden": "true" }), word);

// A list of names with values; what has no value is left out.
export function facts(pairs) {
  const entries = pairs.filter(([, value]) => value !== null && value !== undefined && value !== false);
  return h("dl", { class: "facts" }, entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

// A table. Columns are names; a row has a key, and a cell for each column. On a narrow screen each row is a block, and each
// cell has its column's name before it.
export function table(caption, columns, rows) {
  const head = columns.map((name) => h("th", { scope: "col", role: "columnheader" }, name));
  const cell = (content, at) =>
    h("td", { role: "cell", "data-column": columns[at], class: content === null || content === "" ? "nothing" : null }, content);
  const body = rows.map(({ key, cells, current }) =>
    h("tr", { role: "row", "data-key": key, class: current ? "current" : null }, cells.map(cell)));
  return h("table", { role: "table" },
    h("caption", {}, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    h("tbody", { role: "rowgroup" }, body));
}

// A moment, and how long ago it was.
export const when = (time) => h("time", { datetime: new Date(time * 1000).toISOString() }, `${moment(time)} (${ago(time)})`);

// An id or a fingerprint in full.
export const id = (text) => h("code", { class: "id" }, text);

export const empty = (...content) => h("p", { class: "empty" }, content);

// What went wrong, and what to do.
export const problem = (text, hint) =>
  h("div", { class: "problem", role: "alert", "data-key": "problem" }, h("p", {}, sentence(text)), hint && h("p", { class: "hint" }, sentence(hint)));

// With a capital letter and a full stop.
export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
