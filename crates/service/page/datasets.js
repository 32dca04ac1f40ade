// Data sets and the terms on which they are given.

import { h } from "./dom.js";
import { get } from "./server.js";
import { empty, facts, id, state, table } from "./parts.js";
import { count, counted } from "./words.js";

export const title = "Data sets";

export async function load() {
  const [sets, who] = await Promise.all([get("/v1/datasets"), get("/v1/whoami")]);
  sets.sort((one, other) => one.name.localeCompare(other.name) || one.id.localeCompare(other.id));
  return { sets, own: who.fingerprint };
}

export const pause = () => 10000;

export function news(before, { sets }) {
  const known = new Set(before.sets.map((set) => set.id));
  return sets.filter((set) => !known.has(set.id)).map((set) => `There is a new data set, ${set.name}.`).join(" ");
}

export function view({ sets, own }) {
  const all = sets.map((set) => card(set, own));
  return [h("h1", {}, title),
    all.length > 0 ? all : empty("There are no data sets that you may know of. An owner brings one with ", h("code", {}, "shamisen put"), ".")];
}

function card(set, own) {
  const heading = `set-${set.id}`;
  const { features, target, classes } = set.schema;
  return h("section", { class: "card", "data-key": set.id, "aria-labelledby": heading },
    h("div", { class: "title" }, h("h2", { id: heading }, set.name), set.expired ? state("failed", "expired") : state("done", "open")),
    h("div", { class: "columns" },
      facts([
        ["Owner", set.owner_fingerprint === own ? `${set.owner} (you)` : set.owner],
        ["Task", set.task ?? "none: for the target of another data set"],
        ["Rows", `${count(set.rows)} to train on, ${count(set.test_rows)} to test on`],
        ["Target", set.task && target],
        ["Classes", classes.length > 0 && names(classes)],
        ["Features", h("details", {}, h("summary", {}, counted(features.length, "feature")), h("p", { class: "list" }, features.join(", ")))],
        ["Id", id(set.id)],
      ]),
      h("div", {}, usage(set), terms(set, own))));
}

const names = (all) => (all.length > 8 ? `${all.slice(0, 8).join(", ")} and ${count(all.length - 8)} more` : all.join(", "));

// How many of the trainings that the terms allow were admitted.
function usage({ name, trainings, terms }) {
  return h("div", { class: "progress" },
    h("progress", { max: terms.max_jobs, value: Math.min(trainings, terms.max_jobs), "aria-label": `Trainings on ${name} that were admitted` }),
    h("p", {}, h("strong", {}, count(trainings)), ` of ${counted(terms.max_jobs, "training")} admitted`));
}

function terms(set, own) {
  const { terms } = set;
  const people = (keys) => h("span", { class: "keys" }, keys.map((key) => (key === own ? h("strong", {}, "you") : id(key))));
  const receivers = (output, keys) => (terms.outputs.includes(output) ? people(keys ?? terms.trainers) : "nobody");
  const rows = [
    ["trainers", people(terms.trainers)],
    ["columns", terms.columns ? terms.columns.join(", ") : "all features"],
    ["tasks", terms.tasks.join(", ")],
    ["outputs", terms.outputs.join(", ") || "none"],
    ["predictions_to", receivers("predictions", terms.predictions_to)],
    ["model_to", receivers("model", terms.model_to)],
    ["max_epochs", counted(terms.max_epochs, "epoch")],
    ["max_jobs", counted(terms.max_jobs, "training")],
    ["least_rows", counted(terms.least_rows, "row")],
    ["expires", terms.expires],
    ["changed", set.revision > 0 ? counted(set.revision, "time") : "never"],
  ];
  return table(`Terms of ${set.name}`, ["Rule", "What it allows"], rows.map(([rule, value]) => ({ key: rule, cells: [h("code", {}, rule), value] })));
}
