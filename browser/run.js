// A person with a real browser: publishes, installs the handler, clicks, and has the file. Then the pages are looked at.
//
// `cargo xtask browser` runs this. HEADWATER_BINARY is the program, HEADWATER_PICTURES the folder for screenshots.

"use strict";

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const playwright = require("playwright-core");

const { World, CHROMIUM, FLAGS, until, sha256 } = require("./world");
const { look, validate, watchHosts } = require("./checks");

const FILE = "film.bin";
const SIZE = 24 << 20;
const TYPES = ["application/x-bittorrent", "x-scheme-handler/magnet"];

const DOWNLOAD = "a#download, a.download";
const DIRECT = "a.direct, a[download]";
const MAGNET = "a.magnet, a[href^='magnet:']";

const pictures = process.env.HEADWATER_PICTURES;
const failures = [];

/** One thing that must be so. A failure is told, and the rest goes on. */
async function story(name, tell) {
  const begun = Date.now();
  try {
    await tell();
    console.log(`ok      ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures.push(name);
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}

async function main() {
  const world = new World(process.env.HEADWATER_BINARY);
  try {
    await tellAll(world);
  } finally {
    await world.close();
  }
  console.log(failures.length === 0 ? "all passed" : `${failures.length} failed: ${failures.join("; ")}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

async function tellAll(world) {
  const content = crypto.randomBytes(SIZE);
  const expected = crypto.createHash("sha256").update(content).digest("hex");
  const file = world.write(`site/${FILE}`, content);
  // The torrent of a stranger may not name this machine; here it has to.
  world.write("home/.config/headwater/config.toml", '[network]\nallow_local = true\nlisten = "127.0.0.1:0"\n[open]\npage = "never"\n');
  const origin = ["publish", file, "--http", "127.0.0.1:0", "--state-dir", world.path("origin")];
  const site = await world.startUntil(/Publishing\S* at (\S+)/, world.headwater, origin);
  await world.openScreen();
  const person = { world, site, expected, got: path.join(world.home, "Downloads", FILE) };

  await story("without a handler the plain link gives the file", () => plainLink(person));
  await story("the handler is installed, used and removed", () => withHandler(person));
  await story("the publisher's pages are for everybody", () => publisherPages(person));
}

/** A click with nothing installed: the browser's own download. */
async function plainLink({ world, site, expected }) {
  const downloads = world.path("plain");
  const context = await playwright.chromium.launchPersistentContext(world.path("profile-plain"), {
    executablePath: CHROMIUM, headless: false, args: FLAGS, acceptDownloads: true, downloadsPath: downloads, env: world.env,
  });
  try {
    const page = await context.newPage();
    await page.goto(site);
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(DIRECT).first().click()]);
    assert.equal(download.suggestedFilename(), FILE);
    assert.equal(sha256(await download.path()), expected);
  } finally {
    await context.close();
  }
}

function defaults(world) {
  return TYPES.map((type) => world.run("xdg-mime", "query", "default", type));
}

async function withHandler(person) {
  const { world, site } = person;
  const before = defaults(world);
  world.run(world.headwater, "handler", "install");
  assert.deepEqual(defaults(world), ["headwater.desktop", "headwater.desktop"]);
  world.run("desktop-file-validate", path.join(world.home, ".local/share/applications/headwater.desktop"));
  world.setPolicy(new URL(site).origin);
  const { context, close } = await world.openBrowser(playwright);
  try {
    for (const [name, link] of [["Download", DOWNLOAD], ["the magnet link", MAGNET]]) {
      await story(`a click on ${name} ends in the complete file`, () => click(person, context, link));
    }
    await story("the page of downloads is for everybody", () => progressPage(person, context));
  } finally {
    await close();
    await world.forgetDownloads(FILE);
  }
  world.run(world.headwater, "handler", "remove");
  assert.deepEqual(defaults(world), before);
}

/** A person's click: the browser hands over to xdg-open, that to `headwater open`. */
async function click({ world, site, expected, got }, context, link) {
  await world.forgetDownloads(FILE);
  const page = await context.newPage();
  await page.goto(site);
  await page.locator(link).first().click();
  await until("the whole file", () => sha256(got) === expected);
  await page.close();
}

/** The page that `headwater open` shows of what the last click began. */
async function progressPage({ world }, context) {
  const { origin, href } = new URL(world.run(world.headwater, "open").replace("Progress: ", ""));
  const page = await context.newPage();
  const strangers = watchHosts(context, origin);
  await page.goto(href);
  assert.equal(page.url(), `${origin}/`);
  await page.locator("#downloads h2", { hasText: FILE }).waitFor();
  await page.locator("#downloads .state", { hasText: "Complete" }).waitFor();
  assert.deepEqual(strangers, []);
  const cookies = await context.cookies(origin);
  const html = await (await fetch(origin, { headers: { cookie: cookies.map(({ name, value }) => `${name}=${value}`).join("; ") } })).text();
  await validate("downloads.html", html);
  await inOtherBrowser(world, (browser) => look(browser, [{ name: "downloads", url: `${origin}/` }], pictures, cookies));
  await page.getByRole("button", { name: "Stop sharing" }).click();
  await page.getByRole("button", { name: "Remove from list" }).click();
  await page.getByText("Nothing is here yet.").waitFor();
  await page.close();
}

async function publisherPages({ world, site }) {
  await inOtherBrowser(world, async (browser) => {
    const pages = await crawl(browser, site);
    await story("the pages work without JavaScript", () => withoutScript(browser, site));
    for (const { name, html } of pages) await story(`${name} is valid HTML`, () => validate(`${name}.html`, html));
    await story("axe-core, both widths, light and dark, no other host", () => look(browser, pages, pictures));
  });
}

/** The first page and all pages of this site that it leads to. */
async function crawl(browser, site) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(site);
  const links = await page.locator("a[href]").evaluateAll((all) => all.map((a) => a.href.split("#")[0]));
  const pages = [];
  for (const url of new Set([site, ...links.filter((link) => link.startsWith(site))])) {
    const answer = await context.request.head(url);
    if (!(answer.headers()["content-type"] ?? "").startsWith("text/html")) continue;
    pages.push({ name: `page-${pages.length + 1}`, url, html: await (await context.request.get(url)).text() });
  }
  await context.close();
  return pages;
}

async function withoutScript(browser, site) {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 360, height: 800 } });
  const page = await context.newPage();
  await page.goto(site);
  for (const link of [DOWNLOAD, DIRECT, MAGNET]) assert.ok(await page.locator(link).first().isVisible(), link);
  const href = (link) => page.locator(link).first().evaluate((a) => a.href);
  const torrent = await context.request.get(await href(DOWNLOAD));
  assert.equal(torrent.headers()["content-type"], "application/x-bittorrent");
  assert.equal((await context.request.head(await href(DIRECT))).status(), 200);
  assert.match(await href(MAGNET), /^magnet:\?xt=urn:btih:/);
  await context.close();
}

/** A browser without a person: what is looked at here leaves no trace in the other. */
async function inOtherBrowser(world, work) {
  const browser = await playwright.chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS, env: world.env });
  try {
    return await work(browser);
  } finally {
    await browser.close();
  }
}

fs.mkdirSync(pictures, { recursive: true });
main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
