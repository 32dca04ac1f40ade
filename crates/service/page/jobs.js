// Jobs: the one that is looked at, with its progress and loss, and all of them.

import { h } from "./dom.js";
import { get } from "./server.js";
import { curve } from "./curve.js";
import { empty, facts, id, problem, sentence, state, table, when } from "./parts.js";
import { ago, count, counted, duration, figure, percent, timeOfDay } from "./words.js";

export const title = "Jobs";

// Lines of a job's log that are shown.
const LINES = 40;

const isOver = ({ state }) => ["done", "failed", "cancelled"].includes(state);

export async function load(wanted, before) {
  const jobs = await get("/v1/jobs");
  const job = jobs.find((one) => one.id === wanted) ?? jobs.find((one) => !isOver(one)) ?? jobs[0];
  const missing = wanted && job?.id !== wanted;
  if (!job) return { jobs, missing };
  const same = before?.job?.id === job.id ? before : null;
  // What is over does not change.
  if (same && isOver(same.job)) return { ...same, jobs, job, missing };
  const [losses, log] = await Promise.all([get(`/v1/jobs/${job.id}/loss`), readLog(job.id, same?.log)]);
  return { jobs, job, losses, log, missing };
}

// The log, with what came since it was read before.
async function readLog(job, before = { entries: [], next: 0 }) {
  let log = before;
  for (;;) {
    const page = await get(`/v1/jobs/${job}/log/${log.next}`);
    if (page.entries.length === 0) return log;
    log = { entries: [...log.entries, ...page.entries].slice(-LINES), next: page.next };
  }
}

export const pause = ({ jobs }) => (jobs.some((job) => !isOver(job)) ? 1500 : 6000);

// What changed since before, in a sentence for those who do not see it.
export function news(before, { jobs }) {
  const states = new Map(before.jobs.map((job) => [job.id, job.state]));
  const changed = jobs.filter((job) => states.get(job.id) !== job.state);
  return changed.map((job) => `Job ${job.name} is ${job.state}.`).join(" ");
}

export function view({ jobs, job, losses, log, missing }) {
  if (jobs.length === 0) {
    return [h("h1", {}, title), empty("There are no jobs that you may see. An analyst hands one in with ", h("code", {}, "shamisen submit"), ".")];
  }
  const rows = jobs.map((one) => ({
    key: one.id,
    current: one.id === job.id,
    cells: [
      h("a", { href: `#jobs/${one.id}`, "aria-current": one.id === job.id ? "true" : null }, one.name),
      state(one.state, one.state),
      one.analyst,
      summary(one),
      ago(one.accepted),
    ],
  }));
  return [
    h("h1", {}, title),
    missing && problem("there is no such job, or you may not see it", null),
    detail(job, losses, log),
    h("section", { class: "card", "aria-label": "All jobs" }, table("All jobs", ["Job", "State", "Analyst", "How far, or what came out", "Handed in"], rows)),
  ];
}

function detail(job, losses, log) {
  const { progress } = job;
  const points = losses.length > 0 ? losses : ofEpochs(job);
  const epochs = progress?.epochs ?? Math.ceil(Math.max(1, ...points.map((point) => point.epoch)));
  return h("section", { class: "card job", "data-key": job.id, "aria-labelledby": "job" },
    h("div", { class: "title" }, h("h2", { id: "job", tabindex: "-1" }, job.name), state(job.state, job.state)),
    job.reason && h("p", { class: "reason" }, sentence(job.reason)),
    job.rescaled !== undefined && bar(job, job.rescaled, 1, ["rows of all owners rescaled"]),
    progress && progressOf(job, progress),
    h("div", { class: "columns" },
      facts([
        ["Analyst", job.analyst],
        ["Handed in", when(job.accepted)],
        ["Begun", job.started && when(job.started)],
        [job.state === "done" ? "Done" : "Ended", job.ended && when(job.ended)],
        ["Took", job.started && job.ended && duration(job.ended - job.started)],
        ["Trainings", job.trainings > 1 && count(job.trainings)],
        ["Id", id(job.id)],
        ["Hash of its document", id(job.digest)],
      ]),
      points.length > 0 ? curve(points, epochs) : h("p", { class: "empty" }, noCurve(job))),
    job.results.length > 0 && results(job),
    log.entries.length > 0 && h("details", { class: "log" }, h("summary", {}, "What happened at this server"),
      h("ol", {}, log.entries.map(({ time, text }) => h("li", {}, h("time", {}, timeOfDay(time)), " ", h("span", {}, text))))));
}

function noCurve(job) {
  if (!isOver(job)) return "The loss is shown as soon as it comes out, if the job lets it out.";
  return "No loss came out of this job.";
}

// The points of a training of which the mean loss of each epoch is known, and nothing else.
const ofEpochs = ({ results }) => (results[0]?.loss ?? []).map((loss, at) => ({ epoch: at + 1, loss }));

function progressOf(job, progress) {
  const { training, epoch, epochs, batch, batches, loss } = progress;
  const done = training * epochs * batches + (epoch - 1) * batches + batch;
  const all = Math.max(1, job.trainings * epochs * batches);
  const words = [
    job.trainings > 1 && `training ${training + 1} of ${job.trainings}`,
    `epoch ${epoch} of ${epochs}`,
    `mini-batch ${count(batch)} of ${count(batches)}`,
    loss !== undefined && `loss ${figure(loss)}`,
  ];
  return bar(job, done, all, words.filter(Boolean));
}

function bar(job, done, all, words) {
  return h("div", { class: "progress" },
    h("progress", { max: all, value: done, "aria-label": `Progress of ${job.name}` }),
    h("p", {}, h("strong", {}, `${Math.floor((100 * done) / all)} %`), " ", words.join(" · ")));
}

function results(job) {
  const has = (name) => job.results.some((result) => result[name] !== undefined);
  const columns = [
    job.results.length > 1 && ["Training", (_, at) => count(at + 1)],
    has("accuracy") && ["Accuracy", ({ accuracy }) => percent(accuracy)],
    has("cross_entropy") && ["Cross-entropy", ({ cross_entropy: value }) => figure(value)],
    has("r2") && ["R²", ({ r2 }) => figure(r2)],
    has("mse") && ["Mean squared error", ({ mse }) => figure(mse)],
    job.results.some(({ loss = [] }) => loss.length > 0) && ["Last loss", ({ loss = [] }) => (loss.length > 0 ? figure(loss.at(-1)) : null)],
    ["Time", ({ seconds }) => duration(seconds)],
  ].filter(Boolean);
  const rows = job.results.map((result, at) => ({ key: at, cells: columns.map(([, cell]) => cell(result, at)) }));
  return table("What came out", columns.map(([name]) => name), rows);
}

// A job in a few words.
function summary(job) {
  const { progress, results } = job;
  if (progress) return `epoch ${progress.epoch} of ${progress.epochs}`;
  if (job.reason && !isOver(job)) return job.reason;
  const of = (name) => results.map((result) => result[name]).filter((value) => value !== undefined);
  if (of("accuracy").length > 0) return `accuracy ${percent(Math.max(...of("accuracy")))}`;
  if (of("r2").length > 0) return `R² ${figure(Math.max(...of("r2")))}`;
  return results.length > 0 && job.trainings > 1 ? counted(results.length, "training") : job.reason ?? "";
}
