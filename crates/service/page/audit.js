// The audit log, the latest entries first.

import { h } from "./dom.js";
import { get } from "./server.js";
import { empty, state, table } from "./parts.js";
import { count, moment, short, timeOfDay } from "./words.js";

export const title = "Audit log";

// Entries that are read at once.
const PAGE = 50;

// A number beyond every entry.
const BEYOND = Number.MAX_SAFE_INTEGER;

// Entries that somebody wants to see.
let wanted = PAGE;

export function more() {
  wanted += PAGE;
}

export async function load(_, before) {
  let entries = before?.entries ?? [];
  const { last } = await get(`/v1/audit?from=${BEYOND}`);
  const first = Math.max(1, last - wanted + 1);
  if (entries.length === 0 || entries[0].seq > first) entries = [];
  for (let next = entries.at(-1)?.seq + 1 || first; next <= last; next = entries.at(-1).seq + 1) {
    const page = await get(`/v1/audit?from=${next}`);
    if (page.entries.length === 0) break;
    entries = [...entries, ...page.entries];
  }
  return { entries: entries.slice(-wanted), last };
}

export const pause = () => 5000;

export function news(before, { last }) {
  const added = last - before.last;
  return added > 0 ? `${count(added)} new in the audit log.` : "";
}

export function view({ entries, last }) {
  if (last === 0) return [h("h1", {}, title), empty("Nothing has happened yet.")];
  const rows = [...entries].reverse().map(row);
  const first = entries[0].seq;
  return [
    h("h1", {}, title),
    h("p", { class: "lead" }, `The log has ${count(last)} entries, each of which holds the hash of the one before. `, h("code", {}, "shamisen audit verify"), " follows them, and compares the three servers’ logs."),
    h("section", { class: "card", "aria-label": title },
      table(`Entries ${count(last)} to ${count(first)}`, ["No.", "Time", "Who", "What", "About", "Decision"], rows),
      first > 1 && h("p", {}, h("button", { type: "button", "data-action": "more" }, "Show earlier entries"))),
  ];
}

function row({ seq, text }) {
  if (!text) {
    return { key: seq, cells: [count(seq), null, null, h("span", { class: "quiet" }, "about others: not yours to read"), null, null] };
  }
  const { time, who, what, subject, digest, decision, reason, peer } = text;
  const kind = { accepted: "done", refused: "failed", noted: "queued" }[decision];
  return { key: seq, cells: [count(seq), h("time", { class: "whole", datetime: time }, moment(Date.parse(time) / 1000) + seconds(time)), person(who), h("code", { class: "whole" }, what), about(subject, digest, reason, peer), state(kind, decision)] };
}

const seconds = (time) => timeOfDay(Date.parse(time) / 1000).slice(5);

function person(who) {
  if (!who) return "this server";
  const { name, role, fingerprint } = who;
  if (name) return role ? `${name}, ${role}` : name;
  return fingerprint ? h("span", {}, "key ", h("code", { class: "whole" }, short(fingerprint))) : "a stranger";
}

function about(subject, digest, reason, peer) {
  const parts = [
    subject && h("code", {}, subject.length > 24 && /^[0-9a-f]+$/.test(subject) ? short(subject) : subject),
    reason && h("span", {}, reason),
    peer && h("span", {}, `server ${peer.party}, up to entry ${count(peer.seq)}`),
    !reason && !peer && digest && h("span", { class: "quiet" }, "hash ", h("code", {}, short(digest))),
  ].filter(Boolean);
  return parts.length > 0 ? h("span", { class: "about" }, parts) : "";
}
