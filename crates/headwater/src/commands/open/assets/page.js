// Shows the downloads of this computer, once a second, and sends what the buttons ask for.

const EVERY = 1000;
const SOME_FAILURES = 3;

const list = document.getElementById("downloads");
const news = document.getElementById("news");
const template = document.getElementById("download");
const cards = new Map();
let failures = 0;
let usual = "";

const STATES = {
  finding: "Looking it up",
  metadata: "Asking for the file list",
  checking: "Checking what is there",
  downloading: "Downloading",
  seeding: "Complete, sharing",
  complete: "Complete",
  stopped: "Stopped",
  failed: "Failed",
};
const ENDED = ["complete", "stopped", "failed"];
const WHOLE = ["seeding", "complete"];

function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}

function time(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

function facts(view) {
  if (!view.total) return view.peers ? `${view.peers} connected` : "";
  const words = [];
  if (WHOLE.includes(view.state)) {
    words.push(size(view.total), `${size(view.uploaded)} given to others`);
  } else {
    words.push(`${size(view.done)} of ${size(view.total)}`);
  }
  if (view.down) words.push(`↓ ${size(view.down)}/s`);
  if (view.up) words.push(`↑ ${size(view.up)}/s`);
  if (!ENDED.includes(view.state)) words.push(view.peers === 1 ? "1 peer" : `${view.peers} peers`);
  if (view.state === "downloading" && view.eta !== null) words.push(`${time(view.eta)} left`);
  return words.join(" · ");
}

function put(card, name, text) {
  const place = card.querySelector(`[data-show="${name}"]`);
  if (place.textContent !== text) place.textContent = text;
}

function draw(card, view) {
  const ended = ENDED.includes(view.state);
  const whole = WHOLE.includes(view.state);
  card.dataset.state = view.state;
  put(card, "name", view.name);
  put(card, "state", STATES[view.state]);
  put(card, "facts", facts(view));
  put(card, "folder", `in ${view.folder}`);
  const bar = card.querySelector("progress");
  bar.setAttribute("aria-label", `Progress of ${view.name}`);
  bar.hidden = view.state === "failed";
  if (whole) bar.value = 1;
  else if (view.total) bar.value = view.done / view.total;
  else if (ended) bar.value = 0;
  else bar.removeAttribute("value");
  card.querySelector(".error").hidden = !view.error;
  if (view.error) {
    put(card, "error", [view.error.error, ...view.error.causes].join(": "));
    put(card, "hint", view.error.hint || "");
  }
  const shown = { stop: !ended, again: ended && view.state !== "complete", show: true, move: !whole, remove: ended };
  for (const [verb, wanted] of Object.entries(shown)) {
    const button = card.querySelector(`[data-verb="${verb}"]`);
    button.hidden = !wanted;
  }
  card.querySelector('[data-verb="stop"]').textContent = whole ? "Stop sharing" : "Stop";
}

function card(view) {
  const made = template.content.firstElementChild.cloneNode(true);
  const form = made.querySelector("form");
  made.querySelector(".buttons").addEventListener("click", (event) => {
    const verb = event.target.dataset.verb;
    if (verb === "move") {
      form.hidden = !form.hidden;
      event.target.setAttribute("aria-expanded", String(!form.hidden));
      if (!form.hidden) {
        form.folder.value = form.folder.value || usual;
        form.folder.focus();
      }
    } else if (verb) {
      send(`/api/downloads/${view.id}/${verb}`, {}, news);
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector(".said");
    if (await send(`/api/downloads/${view.id}/folder`, { folder: form.folder.value }, said)) {
      said.textContent = "";
      form.hidden = true;
      made.querySelector('[data-verb="move"]').setAttribute("aria-expanded", "false");
    }
  });
  return made;
}

function show(state) {
  usual = state.folder;
  const field = document.getElementById("folder");
  if (document.activeElement !== field && !field.dataset.touched) field.value = usual;
  const seen = new Set();
  state.downloads.forEach((view, place) => {
    seen.add(view.id);
    if (!cards.has(view.id)) cards.set(view.id, card(view));
    const made = cards.get(view.id);
    if (list.children[place] !== made) list.insertBefore(made, list.children[place] || null);
    draw(made, view);
  });
  for (const [id, made] of cards) {
    if (!seen.has(id)) {
      made.remove();
      cards.delete(id);
    }
  }
  const busy = state.downloads.filter((view) => !ENDED.includes(view.state) && !WHOLE.includes(view.state)).length;
  const words = state.downloads.length === 0 ? "Nothing is here yet. Click a download or a magnet link in your browser."
    : busy === 0 ? "Nothing is on its way." : busy === 1 ? "1 download on its way." : `${busy} downloads on their way.`;
  if (news.textContent !== words) news.textContent = words;
}

async function send(path, body, said) {
  try {
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
    const value = await answer.json();
    if (answer.ok) {
      show(value);
      return true;
    }
    said.textContent = [value.error, ...value.causes, value.hint].filter(Boolean).join(". ");
  } catch {
    said.textContent = "Headwater does not answer.";
  }
  return false;
}

async function look() {
  try {
    const answer = await fetch("/api/downloads");
    if (!answer.ok) throw new Error(answer.status);
    failures = 0;
    show(await answer.json());
  } catch {
    failures += 1;
    if (failures === SOME_FAILURES) {
      news.textContent = "Headwater has finished and closed itself. Your files are in the folders below. A click on the next download starts it again.";
      list.querySelectorAll("button").forEach((button) => { button.disabled = true; });
      return;
    }
  }
  setTimeout(look, EVERY);
}

document.getElementById("folder").addEventListener("input", (event) => { event.target.dataset.touched = "yes"; });
document.getElementById("folder-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = event.target.querySelector(".said");
  if (await send("/api/folder", { folder: event.target.folder.value }, said)) {
    delete event.target.folder.dataset.touched;
    said.textContent = `The next downloads go to ${usual}.`;
  }
});
look();
