// What every page must stand: no JavaScript, no eyes, no mouse, a phone, the dark, and no other host.

"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const SCHEMES = ["light", "dark"];
const WIDTHS = [360, 1280];

/** Notes every request of a context that goes to another host than the page's own. */
function watchHosts(context, origin) {
  const strangers = [];
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (/^(https?|wss?):$/.test(url.protocol) && url.origin !== origin) strangers.push(request.url());
  });
  return strangers;
}

/** Looks at pages in both colours and both widths: a picture of each, and what axe-core finds serious. */
async function look(browser, pages, pictures, cookies = []) {
  const findings = [];
  for (const colorScheme of SCHEMES) {
    for (const width of WIDTHS) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } });
      await context.addCookies(cookies);
      const strangers = watchHosts(context, new URL(pages[0].url).origin);
      for (const { name, url } of pages) {
        const page = await context.newPage();
        const errors = [];
        page.on("pageerror", (error) => errors.push(error.message));
        page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
        await page.goto(url, { waitUntil: "load" });
        await page.waitForTimeout(1500);
        const wider = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
        await page.screenshot({ path: path.join(pictures, `${name}-${width}-${colorScheme}.png`), fullPage: true });
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run());
        const where = `${name}, ${width} px, ${colorScheme}`;
        for (const { impact, id, nodes } of violations) {
          if (["serious", "critical"].includes(impact)) findings.push(`${where}: ${id}: ${nodes[0].html}`);
        }
        if (wider) findings.push(`${where}: wider than the screen`);
        findings.push(...errors.map((error) => `${where}: ${error}`));
        await page.close();
      }
      findings.push(...strangers.map((url) => `a request to another host: ${url}`));
      await context.close();
    }
  }
  assert.deepEqual(findings, []);
}

/** Holds a page's HTML against the standard. */
async function validate(name, html) {
  const { HtmlValidate } = require("html-validate");
  const report = await new HtmlValidate({ extends: ["html-validate:standard"] }).validateString(html, name);
  const findings = report.results.flatMap(({ messages }) => messages.map(({ line, ruleId, message }) => `${name}:${line}: ${ruleId}: ${message}`));
  assert.deepEqual(findings, []);
}

module.exports = { look, validate, watchHosts };
