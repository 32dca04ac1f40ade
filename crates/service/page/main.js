// The page: which view is shown, and when it is read again.

import { h, show } from "./dom.js";
import { enter, get } from "./server.js";
import { problem } from "./parts.js";
import * as jobs from "./jobs.js";
import * as datasets from "./datasets.js";
import * as servers from "./servers.js";
import * as audit from "./audit.js";

const VIEWS = { jobs, datasets, servers, audit };

// Pause after a question that was not answered.
const LATER = 4000;

const main = document.getElementById("content");
const at = (id) => document.getElementById(id);

// What each view has read.
const known = {};
let timer;
let turn = 0;

// The view that the address names, and what it names in it.
function place() {
  const [name, argument] = location.hash.slice(1).split("/");
  return name in VIEWS ? [name, argument] : ["jobs", undefined];
}

// Reads what the view shows, shows it, and comes back.
async function look() {
  clearTimeout(timer);
  const own = ++turn;
  const [name, argument] = place();
  const view = VIEWS[name];
  let pause = LATER;
  try {
    const before = known[name];
    const now = await view.load(argument, before);
    if (own !== turn) return;
    known[name] = now;
    connected(true);
    tell(before ? view.news(before, now) : "");
    draw(name);
    pause = view.pause(now);
  } catch (error) {
    if (own !== turn) return;
    connected(false);
    show(main, problem(error.message, error.hint), known[name] ? view.view(known[name]) : h("h1", {}, view.title));
  }
  if (!document.hidden) timer = setTimeout(look, pause);
}

function draw(name) {
  if (known[name]) show(main, VIEWS[name].view(known[name]));
}

// Says to those who do not see the page what has changed.
function tell(text) {
  if (text) at("news").textContent = text;
}

function connected(is) {
  const word = is ? "live" : "no answer";
  show(at("connection"), h("span", { class: `state ${is ? "done" : "failed"}` }, h("span", { class: "dot", "aria-hidden": "true" }), word));
}

// Goes where the address says.
function go() {
  const [name, argument] = place();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS[name].title} · Shamisen`;
  draw(name);
  look().then(() => {
    if (argument) at("job")?.focus();
  });
}

document.addEventListener("click", (event) => {
  const action = event.target.closest("[data-action]")?.dataset.action;
  if (action === "skip") {
    event.preventDefault();
    main.focus();
  } else if (action === "more") {
    audit.more();
    look();
  }
});
addEventListener("hashchange", go);
addEventListener("resize", () => draw(place()[0]));
document.addEventListener("visibilitychange", () => document.hidden || look());

try {
  await enter();
  const [who, server] = await Promise.all([get("/v1/whoami"), get("/v1/server")]);
  at("who").textContent = `${who.name} · ${who.role}`;
  at("server").textContent = `server ${server.party}`;
  go();
} catch (error) {
  connected(false);
  show(main, h("h1", {}, "Not open"), problem(error.message, error.hint));
}
