// What the page can do beyond plain HTML: copy buttons, the visitor's own system unfolded, and how the download stands.
// Nothing here is needed to download. It talks to the server that the page came from and to nobody else.
"use strict";

/** How often the server is asked how it stands, in milliseconds. */
const POLL = 5000;
/** How often a screen reader is told of changes at most. */
const SPEAK = 10000;

const MODES = {
  full: "The origin sends at full speed.",
  spread: "The origin sends each piece once; downloaders pass it on.",
  silent: "The origin rests; downloaders carry it all.",
  plain: "The origin seeds.",
};

function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toLocaleString("en", { maximumFractionDigits: digits })} ${units[unit]}`;
}

async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Pages that came over plain HTTP have no clipboard of the newer kind.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "spoken";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

function addCopyButtons() {
  for (const element of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${element.dataset.copyName}`);
    button.addEventListener("click", async () => {
      try {
        await copy(element.dataset.copy);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    (element.closest("pre") ?? element).after(button);
  }
}

function unfoldOwnSystem() {
  const agent = navigator.userAgent;
  const system = [["Android", "android"], ["Windows", "windows"], ["Mac OS", "mac"], ["Linux", "linux"]]
    .find(([mark]) => agent.includes(mark));
  const own = system && document.querySelector(`details[data-system="${system[1]}"]`);
  if (own) {
    own.open = true;
  }
}

/** The sentence about savings: "92 % of 41 GiB were delivered by downloaders; saved $3.20". */
function savings(saved, currency) {
  if (saved.delivered === 0) {
    return "Nothing was delivered yet.";
  }
  const percent = Math.floor((100 * saved.saved) / saved.delivered);
  const money = saved.saved_cents === undefined ? "" : `; saved ${currency}${(saved.saved_cents / 100).toFixed(2)}`;
  return `${percent} % of ${bytes(saved.delivered)} were delivered by downloaders${money}`;
}

function put(root, name, value) {
  const element = root.querySelector(`[data-show="${name}"]`);
  if (!element) {
    return;
  }
  if (element instanceof HTMLProgressElement) {
    element.value = value;
  } else if (element.textContent !== String(value)) {
    element.textContent = value;
  }
}

const spoken = { at: 0 };

function show(root, standing) {
  const { saved, origin } = standing;
  const count = (number) => number.toLocaleString("en");
  const sentence = savings(saved, document.documentElement.dataset.currency ?? "");
  put(root, "seeders", count(standing.seeders));
  put(root, "leechers", count(standing.leechers));
  put(root, "verified", count(saved.verified));
  put(root, "share", saved.delivered === 0 ? 0 : (100 * saved.saved) / saved.delivered);
  put(root, "saved", sentence);
  put(root, "mode", MODES[origin.mode] ?? "");
  put(root, "reason", origin.reason);
  root.hidden = false;
  const crowd = root.querySelector(".crowd");
  if (crowd) {
    crowd.hidden = false;
  }
  if (Date.now() - spoken.at >= SPEAK) {
    spoken.at = Date.now();
    put(root, "spoken", `${count(standing.seeders)} seeders, ${count(standing.leechers)} downloading. ${sentence}`);
  }
}

/** Asks the server again and again while the page is seen. */
function follow(address) {
  const roots = document.querySelectorAll("[data-hash]");
  let etag = "";
  let timer;
  const ask = async () => {
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      const answer = await fetch(address, { headers, cache: "no-store" });
      if (answer.status === 200) {
        etag = answer.headers.get("ETag") ?? "";
        const { releases } = await answer.json();
        for (const root of roots) {
          const standing = releases[root.dataset.hash];
          if (standing) {
            show(root, standing);
          }
        }
      }
    } catch {
      // The server may be gone for a moment; what was shown stays.
    }
    clearTimeout(timer);
    if (!document.hidden) {
      timer = setTimeout(ask, POLL);
    }
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) {
      ask();
    }
  });
  ask();
}

addCopyButtons();
unfoldOwnSystem();
if (document.documentElement.dataset.live) {
  follow(document.documentElement.dataset.live);
}
