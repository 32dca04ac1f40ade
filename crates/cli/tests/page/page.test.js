// The page of a server in a browser: `node page.test.js DIR` writes pictures of all views to a directory.
//
// Needs Chromium (CHROMIUM names it) and the program (SHAMISEN names it; target/release/shamisen without).

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessSync, constants } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { chromium } from "playwright-core";

import { Cluster, LIMIT } from "./cluster.js";
import { faint, focused, misplaced, unnamed, usable } from "./checks.js";

const PICTURES = process.argv[2] && resolve(process.argv[2]);
const DATASETS = resolve(import.meta.dirname, "../../../../datasets");
const VIEWS = { jobs: "Jobs", datasets: "Data sets", servers: "Servers", audit: "Audit log" };
const SCREENS = [
  { name: "light", colorScheme: "light", width: 1280, height: 900 },
  { name: "dark", colorScheme: "dark", width: 1280, height: 900 },
  { name: "tablet", colorScheme: "light", width: 800, height: 1000 },
  { name: "phone", colorScheme: "light", width: 400, height: 800 },
  { name: "phone-dark", colorScheme: "dark", width: 400, height: 800 },
];

// A column whose name is markup, and a job that takes some seconds.
const ODD = "<b>height</b>";

let place;
let cluster;
let browser;

before(async () => {
  place = await mkdtemp(join(tmpdir(), "shamisen-page-"));
  if (PICTURES) await mkdir(PICTURES, { recursive: true });
  cluster = await Cluster.start(join(place, "three"));
  browser = await chromium.launchPersistentContext(await mkdtemp(join(place, "browser-")), {
    executablePath: process.env.CHROMIUM ?? found("chromium", "chromium-browser", "google-chrome"),
    headless: true,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  browser.setDefaultTimeout(LIMIT);
  const put = (file, name, target, terms) =>
    cluster.as("owner", "put", file, "--name", name, "--target", target, "--task", "classification", "--terms", terms);
  await put(join(DATASETS, "breast_cancer.csv"), "clinic", "diagnosis", cluster.path("terms.toml"));
  await cluster.run("generate", "--rows", "12000", "--columns", "24", "--output", join(place, "raw.csv"));
  const table = await readFile(join(place, "raw.csv"), "utf8");
  await writeFile(join(place, "large.csv"), table.replace("x0,", `${ODD},`));
  await put(join(place, "large.csv"), "registry", "y", await cluster.terms("narrow.toml", ["least_rows = 500\n"]));
  await submit("clinic", "readmission", "--hidden", "16", "--epochs", "8", "--learning-rate", "0.01", "--watch");
  await submit("clinic", "search", "--hidden", "8", "--epochs", "3", "--learning-rate", "0.01,0.003", "--outputs", "metrics", "--watch");
  await assert.rejects(submit("clinic", "too-long", "--hidden", "8", "--epochs", "99"), /max_epochs/);
  await submit("registry", "long", "--hidden", "64,32", "--epochs", "50", "--batch-size", "64");
});

after(async () => {
  await browser?.close();
  await cluster?.stop();
  await rm(place, { recursive: true, force: true });
});

const submit = (data, name, ...words) => cluster.as("analyst", "submit", "--data", data, "--name", name, ...words);

function found(...names) {
  for (const path of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of names) {
      try {
        accessSync(join(path, name), constants.X_OK);
        return join(path, name);
      } catch {
        // It is elsewhere.
      }
    }
  }
  throw new Error("there is no Chromium: install it, or let CHROMIUM name it");
}

// A tab with somebody's page. What it asks for, is told and complains of is kept.
async function open(who, server = 0) {
  const address = await cluster.page(who, server);
  const page = await browser.newPage();
  const seen = { requests: [], complaints: [], answers: [] };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("response", async (answer) => seen.answers.push(await answer.text().catch(() => "")));
  await page.goto(address);
  await page.locator("#who").filter({ hasText: who }).waitFor();
  return { page, seen, address };
}

async function go(page, view) {
  await page.evaluate((view) => (location.hash = view), view);
  await page.locator("h1").filter({ hasText: VIEWS[view.split("/")[0]] }).waitFor();
  await page.locator(".card").first().waitFor();
}

const screen = async (page, { colorScheme, width, height }) => {
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
};

const row = (page, job) => page.getByRole("table", { name: "All jobs" }).getByRole("row").filter({ hasText: job });

test("progress and loss of a job go on while it is looked at", async () => {
  const { page, seen } = await open("analyst", 1);
  await row(page, "long").filter({ hasText: "running" }).waitFor();
  await page.getByRole("heading", { name: "long" }).waitFor();
  const points = () => page.locator(".curve svg").getAttribute("data-points").then(Number);
  const progress = () => page.locator(".job progress").evaluate((bar) => bar.value);
  const [first, begun] = [await points(), await progress()];
  for (const least of [first, first + 25]) {
    await page.waitForFunction((least) => Number(document.querySelector(".curve svg").dataset.points) > least, least);
  }
  assert.ok((await progress()) > begun);
  assert.equal(await row(page, "long").getByText("running").count(), 1);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "running.png"), fullPage: true });
  await screen(page, SCREENS[3]);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "running-phone.png"), fullPage: true });
  assert.deepEqual(await page.evaluate(misplaced), []);
  await cluster.as("analyst", "cancel", "long");
  await row(page, "long").filter({ hasText: "cancelled" }).waitFor();
  // Whoever does not see the page hears of it.
  await page.locator("#news").filter({ hasText: "Job long is cancelled." }).waitFor({ state: "attached" });
  assert.deepEqual(seen.complaints, []);
  await page.close();
});

test("every view is as it should be, on every screen", async () => {
  const { page, seen, address } = await open("operator");
  for (const look of SCREENS) {
    await screen(page, look);
    for (const view of Object.keys(VIEWS)) {
      await go(page, view);
      if (view === "jobs") await page.getByRole("link", { name: "readmission" }).click();
      if (view === "servers") await page.getByText("Audit log noted here").nth(1).waitFor();
      for (const summary of await page.locator("summary").all()) {
        if (!(await summary.evaluate((element) => element.parentElement.open))) await summary.click();
      }
      if (PICTURES) await page.screenshot({ path: join(PICTURES, `${view}-${look.name}.png`), fullPage: true });
      const where = `${view}, ${look.name}`;
      assert.deepEqual(await page.evaluate(misplaced), [], where);
      assert.deepEqual(await page.evaluate(faint), [], where);
      assert.deepEqual(await page.evaluate(unnamed), [], where);
    }
  }
  const origin = new URL(address).origin;
  assert.deepEqual(seen.requests.filter((url) => !url.startsWith(`${origin}/`)), []);
  assert.deepEqual(seen.complaints, []);
  await page.close();
});

test("everything can be reached and used without a mouse", async () => {
  const { page } = await open("operator");
  for (const view of Object.keys(VIEWS)) {
    await go(page, view);
    await page.evaluate(() => document.activeElement.blur());
    const wanted = await page.evaluate(usable);
    const reached = [];
    for (;;) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(focused);
      if (!at || reached.length > wanted.length) break;
      assert.ok(at.isSeen, `the focus is not seen at ${at.text} of ${view}`);
      reached.push(at.text);
    }
    assert.deepEqual(reached, wanted, view);
  }
  const tabTo = async (text) => {
    for (let at = 0; at < 100; at += 1) {
      if ((await page.evaluate(focused))?.text === text) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`the focus does not come to ${text}`);
  };
  await tabTo("Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await tabTo("Jobs");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Jobs", level: 1 }).waitFor();
  await tabTo("readmission");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "job" && document.activeElement.textContent === "readmission");
  await tabTo("The loss in figures");
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "Training loss" }).waitFor();
  // What is open and has the focus stays so when the page is read again.
  await page.waitForResponse((answer) => answer.url().endsWith("/v1/jobs"));
  await page.waitForResponse((answer) => answer.url().endsWith("/v1/jobs"));
  assert.equal((await page.evaluate(focused)).text, "The loss in figures");
  assert.ok(await page.getByRole("table", { name: "Training loss" }).isVisible());
  await page.close();
});

test("people see what their role may see, and no values", async () => {
  const owner = await open("owner");
  await owner.page.getByText("There are no jobs that you may see").waitFor();
  await go(owner.page, "datasets");
  assert.equal(await owner.page.getByRole("heading", { level: 2 }).count(), 2);
  await owner.page.getByText("24 features").click();
  // Names are text, whatever they look like.
  await owner.page.getByText(ODD).waitFor();
  assert.equal(await owner.page.locator("main b").count(), 0);
  await go(owner.page, "audit");
  await owner.page.getByText("not yours to read").first().waitFor();

  const operator = await open("operator");
  await row(operator.page, "readmission").filter({ hasText: "done" }).waitFor();
  for (const view of Object.keys(VIEWS)) await go(operator.page, view);
  await operator.page.getByText("the rule `max_epochs` forbids it", { exact: false }).first().waitFor();
  assert.equal(await operator.page.getByText("not yours to read").count(), 0);
  const [, first, second] = (await readFile(join(DATASETS, "breast_cancer.csv"), "utf8")).split("\n");
  // Losses are shown with four decimals, and come with many more: no loss can be one of these by chance.
  const values = [first, second].flatMap((line) => line.split(",")).filter((cell) => /^\d+\.\d{5,6}$/.test(cell));
  assert.ok(values.length > 8);
  for (const { page, seen } of [owner, operator]) {
    const numbers = new Set((seen.answers.join("\n") + (await page.content())).match(/\d+\.\d+/g));
    assert.ok(numbers.size > 0);
    assert.deepEqual(values.filter((value) => numbers.has(value)), []);
    assert.deepEqual(seen.complaints, []);
    await page.close();
  }
});

test("an address is good for once, and what it opens for its page alone", async () => {
  const { page, address } = await open("operator");
  await page.reload();
  await page.getByRole("table", { name: "All jobs" }).waitFor();
  const second = await browser.newPage();
  await second.goto(address);
  await second.getByText("it is good for once").waitFor();
  await second.close();
  const { origin } = new URL(address);
  const session = await page.evaluate(() => sessionStorage.getItem("shamisen-session"));
  const call = async (path, options = {}) => (await fetch(origin + path, options)).status;
  const authorization = `Bearer ${session}`;
  assert.equal(await call("/v1/jobs", { headers: { authorization } }), 200);
  assert.equal(await call("/v1/jobs"), 401);
  assert.equal(await call("/v1/jobs", { headers: { authorization: `${authorization}0` } }), 401);
  assert.equal(await call("/v1/jobs", { headers: { authorization }, method: "POST" }), 405);
  assert.equal(await call("/v1/models", { headers: { authorization } }), 404);
  assert.equal(await call("/v1/jobs", { headers: { authorization, "sec-fetch-site": "cross-site" } }), 403);
  assert.equal(await call("/session", { method: "POST", body: address.split("=")[1] }), 403);
  // Another name that leads here, as a page of somebody else could have one.
  assert.equal((await fetch(origin.replace("127.0.0.1", "localhost") + "/v1/jobs", { headers: { authorization } })).status, 403);
  await page.close();
});
