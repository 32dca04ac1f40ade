// This server, and what it knows of the two others.

import { h } from "./dom.js";
import { get } from "./server.js";
import { facts, id, sentence, state, when } from "./parts.js";
import { ago, bytes, count, duration } from "./words.js";

export const title = "Servers";

// Seconds by which the clocks of two servers may differ.
const CLOCK = 5;

export async function load() {
  const [server, contacts] = await Promise.all([get("/v1/server"), get("/v1/contacts")]);
  return { server, contacts };
}

export const pause = () => 5000;

export function news(before, { contacts }) {
  const states = new Map(before.contacts.map((contact) => [contact.server, health(contact)[1]]));
  const changed = contacts.filter((contact) => states.get(contact.server) !== health(contact)[1]);
  return changed.map((contact) => `Server ${contact.server}: ${health(contact)[1]}.`).join(" ");
}

// Kind and word of a peer's state.
function health({ called, problem, contradiction, clock }) {
  if (contradiction) return ["failed", "its log was changed"];
  if (called === undefined) return ["queued", "not called yet"];
  if (problem) return ["failed", "does not answer"];
  if (Math.abs(clock) > CLOCK) return ["interrupted", "its clock differs"];
  return ["done", "answers"];
}

export function view({ server, contacts }) {
  const isShort = server.free_disk !== null && server.free_disk < server.free_disk_wanted;
  const own = h("section", { class: "card", "data-key": server.party, "aria-labelledby": `server-${server.party}` },
    h("div", { class: "title" }, h("h2", { id: `server-${server.party}` }, `Server ${server.party}`, h("small", {}, " this one")),
      isShort ? state("interrupted", "short of disk space") : state("done", "runs")),
    facts([
      ["Version", server.version],
      ["Security", server.security],
      ["Free disk space", server.free_disk === null ? "not known" : bytes(server.free_disk)],
      ["Threads of a computation", count(server.lanes)],
    ]));
  const cards = [[server.party, own], ...contacts.map((contact) => [contact.server, peer(contact, server)])];
  cards.sort(([one], [other]) => one - other);
  return [h("h1", {}, title), h("div", { class: "servers" }, cards.map(([, card]) => card))];
}

function peer(contact, server) {
  const { server: number, address, called, answered, problem, version, clock, round_trip: roundTrip, noted, contradiction } = contact;
  const [kind, word] = health(contact);
  const other = version && version !== server.version ? " (another one than here)" : "";
  return h("section", { class: "card", "data-key": number, "aria-labelledby": `server-${number}` },
    h("div", { class: "title" }, h("h2", { id: `server-${number}` }, `Server ${number}`), state(kind, word)),
    problem && h("p", { class: "reason" }, sentence(problem)),
    contradiction && h("p", { class: "reason" }, sentence(contradiction)),
    facts([
      ["Address", address],
      ["Called", called !== undefined && ago(called)],
      ["Last answer", answered !== undefined && ago(answered)],
      ["Version", version && version + other],
      ["Round trip", roundTrip !== undefined && duration(roundTrip)],
      ["Clock", clock !== undefined && clockWords(clock)],
      ["Audit log noted here", noted && ["up to entry ", count(noted.end.seq), ", ", when(noted.time)]],
      ["Hash of that entry", noted && id(noted.end.hash)],
    ]));
}

function clockWords(clock) {
  const size = Math.abs(clock);
  return size < 0.1 ? "as here" : `${duration(size)} ${clock > 0 ? "ahead" : "behind"}`;
}
