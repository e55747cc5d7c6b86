// A person's computer for the length of a test: a home folder, a screen, a browser, and programs that end with it.

"use strict";

const { spawn, execFileSync } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");

const CHROMIUM = "/usr/bin/chromium";
const POLICY = "/etc/chromium/policies/managed/headwater-browser-test.json";
const PATIENCE = 60_000;

/** What Chromium needs to run as root in a container, and to talk to nobody of its own accord. */
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
  "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-default-apps", "--disable-search-engine-choice-screen", "--password-store=basic",
];

class World {
  constructor(headwater) {
    this.headwater = headwater;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "headwater-browser-"));
    this.home = this.path("home");
    this.children = [];
    this.env = { HOME: this.home, PATH: process.env.PATH, LANG: "C.UTF-8", XDG_RUNTIME_DIR: this.path("run") };
    fs.mkdirSync(this.home);
    fs.mkdirSync(this.env.XDG_RUNTIME_DIR, { mode: 0o700 });
  }

  path(...names) {
    return path.join(this.folder, ...names);
  }

  /** Writes a file and its folders, and says where it is. */
  write(name, content) {
    const file = this.path(name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
    return file;
  }

  /** Runs a program to its end and gives what it printed. */
  run(program, ...args) {
    return execFileSync(program, args, { env: this.env, cwd: this.folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  }

  /** Starts a program that ends with this world. */
  start(program, args, options = {}) {
    const child = spawn(program, args, { env: this.env, cwd: this.folder, stdio: ["ignore", "pipe", "ignore"], ...options });
    this.children.push(child);
    return child;
  }

  /** Starts a program and waits for a line that matches. */
  async startUntil(pattern, program, args, options = {}) {
    const child = this.start(program, args, options);
    const stream = child.stdio[options.stream ?? 1];
    return within(`${program} to say ${pattern}`, new Promise((found, lost) => {
      readline.createInterface({ input: stream }).on("line", (line) => {
        const match = line.match(pattern);
        if (match) found(match[1] ?? match[0]);
      });
      child.on("exit", (code) => lost(new Error(`${program} ended with ${code}`)));
    }));
  }

  /** A screen that nobody sees. */
  async openScreen() {
    const options = { stdio: ["ignore", "ignore", "ignore", "pipe"], stream: 3 };
    const display = await this.startUntil(/^(\d+)$/, "Xvfb", ["-displayfd", "3", "-screen", "0", "1400x1000x24", "-nolisten", "tcp"], options);
    this.env.DISPLAY = `:${display}`;
  }

  /**
   * The person's own browser, driven from outside: its downloads go the way they go for a person, since nobody asked to
   * be told of them.
   */
  async openBrowser(playwright) {
    const profile = this.path(`profile-${this.children.length}`);
    const child = this.start(CHROMIUM, [...FLAGS, "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"]);
    const port = await until("the browser to open", () => read(path.join(profile, "DevToolsActivePort"))?.split("\n")[0]);
    const browser = await playwright.chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true });
    return { browser, context: browser.contexts()[0], close: async () => { await browser.close(); await end(child); } };
  }

  /** What an administrator may preset, in place of the person's own confirmation. Needs root. */
  setPolicy(origin) {
    fs.mkdirSync(path.dirname(POLICY), { recursive: true });
    this.policy = true;
    fs.writeFileSync(POLICY, JSON.stringify({
      AutoOpenFileTypes: ["torrent"],
      AutoOpenAllowedForURLs: [origin],
      AutoLaunchProtocolsFromOrigins: [{ protocol: "magnet", allowed_origins: [origin] }],
    }));
  }

  /** Ends the process that `headwater open` left in the background, and forgets what it downloaded. */
  async forgetDownloads(file) {
    const state = path.join(this.home, ".local/state/headwater");
    const card = read(path.join(state, "open/card.json"));
    if (card) {
      const { pid } = JSON.parse(card);
      process.kill(pid, "SIGTERM");
      await until("the background process to end", () => !fs.existsSync(`/proc/${pid}`));
    }
    for (const folder of ["resume", "torrents"]) fs.rmSync(path.join(state, folder), { recursive: true, force: true });
    fs.rmSync(path.join(this.home, "Downloads", file), { force: true });
  }

  async close() {
    if (this.policy) fs.rmSync(POLICY, { force: true });
    await this.forgetDownloads("").catch(() => {});
    for (const child of this.children.reverse()) await end(child);
    fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Asks one child to end, and waits for it. */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await ended;
  clearTimeout(late);
}

/** Looks again and again until there is something to see. */
async function until(what, look) {
  const begun = Date.now();
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() - begun > PATIENCE) throw new Error(`waited in vain for ${what}`);
    await new Promise((again) => setTimeout(again, 100));
  }
}

function within(what, work) {
  let timer;
  const late = new Promise((_, lost) => { timer = setTimeout(() => lost(new Error(`waited in vain for ${what}`)), PATIENCE); });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** A file's text, if it is there. */
function read(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8") : undefined;
}

/** A file's SHA-256, if it is there. */
function sha256(file) {
  return fs.existsSync(file) ? crypto.createHash("sha256").update(fs.readFileSync(file)).digest("hex") : undefined;
}

module.exports = { World, CHROMIUM, FLAGS, until, sha256 };
