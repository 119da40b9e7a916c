// The dashboard: polls the status, follows the events. Whatever comes from
// outside is set as text, never as HTML.
"use strict";

const every = 1000; // ms between two looks
const patience = 5000; // ms for an answer
const sureFor = 4000; // ms in which a second click counts
const mostEvents = 50;
const mostFlights = 20;

const at = (id) => document.getElementById(id);
const text = (id, value, kind) => {
  at(id).textContent = value;
  if (kind !== undefined) at(id).className = kind;
};
const count = (n, one, many) => n + " " + (n === 1 ? one : many || one + "s");
const clock = (when) => new Date(when).toLocaleTimeString();
const span = (ms) => ms < 1000 ? Math.max(0, Math.round(ms)) + " ms" : ms < 120000 ? (ms / 1000).toFixed(1) + " s" : ms < 7200000 ? Math.round(ms / 60000) + " min" : Math.round(ms / 3600000) + " h";
const headers = () => at("token").value ? { Authorization: "Bearer " + at("token").value } : {};

async function ask(path, options) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(patience), ...options });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    const failed = new Error(problem.detail || response.statusText || "status " + response.status);
    failed.status = response.status;
    throw failed;
  }
  return response.json();
}

function rows(id, list, none) {
  at(id).replaceChildren(...list.map(({ cells, kind }) => {
    const tr = document.createElement("tr");
    tr.className = kind || "";
    cells.forEach((cell, i) => {
      const td = tr.insertCell();
      td.textContent = cell;
      td.className = at(id).parentNode.tHead.rows[0].cells[i].className;
    });
    return tr;
  }));
  if (list.length === 0 && none) {
    const td = at(id).insertRow().insertCell();
    td.colSpan = at(id).parentNode.tHead.rows[0].cells.length;
    td.textContent = none;
    td.className = "quiet";
  }
}

function show(status) {
  const me = status.instance, settings = status.settings;
  const places = new Map((status.promotionOrder || []).map((p) => [p.id, p.position]));
  const place = (i) => places.get(i.id) || i.position || "–";
  document.title = me.name + ": " + me.role;
  text("name", me.name);
  text("cluster", status.cluster);
  text("design", "design " + settings.design + ", " + (settings.timeoutMs ? "ping " + span(settings.delayMs) + ", timeout " + span(settings.timeoutMs) : "heartbeat " + span(settings.delayMs) + " × " + settings.retries) +
    (settings.quorum ? ", quorum " + settings.quorum : "") + (settings.authenticated ? ", signed" : ""));
  text("role", me.role, "role " + (me.role === "master" ? "master" : "slave"));
  text("state", me.state, "big " + (me.state === "fault" ? "bad" : ["master", "slave"].includes(me.state) ? "" : "busy"));
  text("since", me.role + " since " + new Date(me.since).toLocaleString());
  text("epoch", settings.design === "3.3" ? "–" : me.epoch);
  text("position", me.role === "master" ? "" : "position " + place(me));
  text("master", status.master ? status.master.name || status.master.id.slice(0, 8) : "none known", "big " + (status.master ? "" : "bad"));
  text("contact", !status.master ? "" : me.role === "master" ? "this instance" : "heard " + span(status.master.lastContactMs) + " ago");
  const cache = status.cache;
  text("entries", cache ? count(cache.entries, "entry", "entries") : "none");
  text("copies", !cache ? "" : cache.copy ? cache.copy.connected ? cache.copy.behind ? cache.copy.behind + " records behind" : "follows the master" : "does not follow the master" :
    cache.inSync.length ? "in step: " + cache.inSync.join(", ") : "no slave in step");
  text("flying", cache ? cache.inFlight : "–");
  const work = status.workload;
  text("workload", work ? "work " + work.state + (work.restarts ? ", " + count(work.restarts, "restart") : "") : "");
  const packets = status.packets;
  text("heard", packets ? packets.received : "–");
  const drops = packets ? Object.entries(packets.dropped).filter(([cause, n]) => n && cause !== "own" && cause !== "duplicate") : [];
  text("dropped", drops.length ? "dropped: " + drops.map(([cause, n]) => n + " " + cause).join(", ") : "received; none dropped");
  text("version", "interlok-ha " + (me.version || ""));

  at("alarms").hidden = !(status.alarms || []).length;
  at("alarms").replaceChildren(...(status.alarms || []).map((alarm) => {
    const li = document.createElement("li");
    li.textContent = alarm;
    return li;
  }));
  const line = (i, state, contact, seq, address, self) => ({
    cells: [i.name, i.role, state || "", place(i), i.epoch || "–", contact, seq || "–", address || ""],
    kind: (self ? "self " : "") + (i.role === "master" ? "reigns" : ""),
  });
  const peers = [...status.peers].sort((a, b) => (a.role === "master" ? -1 : 0) - (b.role === "master" ? -1 : 0) || (place(a) === "–") - (place(b) === "–") || place(a) - place(b) || a.name.localeCompare(b.name));
  rows("instances", [line(me, me.state, "this one", cache && cache.seq, status.master && me.role === "master" ? status.master.address : "", true),
    ...peers.map((p) => line(p, p.state, span(p.lastContactMs), p.cacheSeq, p.address))]);
  choices(status);
}

// choices keeps what is chosen while the list is made anew.
function choices(status) {
  const names = [...new Set([...status.peers.filter((p) => p.candidate !== false).map((p) => p.name), status.instance.name])].sort();
  const list = at("to");
  if (names.join("\n") === list.dataset.names) return;
  list.dataset.names = names.join("\n");
  const chosen = list.value;
  list.replaceChildren(list.options[0], ...names.map((name) => new Option(name, name)));
  list.value = names.includes(chosen) ? chosen : "";
}

let reached = Date.now();
async function look() {
  try {
    show(await ask("v1/status"));
    reached = Date.now();
    document.body.classList.remove("stale");
    at("lost").hidden = true;
  } catch (failed) {
    document.body.classList.add("stale");
    text("role", "unknown", "role unknown");
    text("lost", "No answer since " + clock(reached) + ": " + failed.message);
    at("lost").hidden = false;
  }
}

async function lookAtFlights() {
  try {
    const page = await ask("v1/in-flight?limit=" + mostFlights, { headers: headers() });
    rows("flights", page.entries.map((e) => ({
      cells: [e.key, e.workflow || "", e.state + (e.attempts > 1 ? ", attempt " + e.attempts : ""),
        (e.open || []).map((s) => s.step).join(", ") || e.step || "",
        (e.doubt || []).join(", "), (e.published || []).join(", "), span(e.ageMs)],
    })), "nothing");
    text("flights-note", page.next ? "These are the first " + mostFlights + "." : "");
  } catch (failed) {
    rows("flights", []);
    text("flights-note", [401, 403].includes(failed.status) ? "The list needs the token." : failed.message);
  }
}

async function follow() {
  try {
    const response = await fetch("v1/events", { headers: headers(), cache: "no-store" });
    if (!response.ok) throw new Error([401, 403].includes(response.status) ? "They need the token." : "status " + response.status);
    text("events-note", "Since " + clock(Date.now()) + ", when this page began to listen.");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      lines.filter((l) => l).forEach((l) => tell(JSON.parse(l)));
    }
  } catch (failed) {
    text("events-note", failed.message);
  }
  setTimeout(follow, 2 * every);
}

function tell(event) {
  if (event.type !== "state") {
    const li = document.createElement("li"), time = document.createElement("time");
    time.textContent = clock(event.time);
    li.append(time, [event.type, event.type === "master" ? event.master || "none" : event.peer, event.detail, event.epoch ? "epoch " + event.epoch : ""].filter((w) => w).join(" · "));
    at("events").prepend(li);
    while (at("events").children.length > mostEvents) at("events").lastChild.remove();
  }
  look();
}

// order asks for a second click, then gives the order.
function order(id, path, body, what) {
  const button = at(id), label = button.textContent;
  let timer = 0;
  const calm = () => {
    clearTimeout(timer);
    timer = 0;
    button.textContent = label;
    button.classList.remove("sure");
  };
  button.addEventListener("click", async () => {
    if (!timer) {
      button.textContent = "Really " + label.toLowerCase() + "?";
      button.classList.add("sure");
      timer = setTimeout(calm, sureFor);
      return;
    }
    calm();
    text("answer", label + " …", "");
    try {
      await ask(path, {
        method: "POST", headers: { ...headers(), "Content-Type": "application/json" }, body: JSON.stringify(body()),
        signal: AbortSignal.timeout(60000), // a hand-over lets the work end in its own time
      });
      text("answer", what(), "");
    } catch (failed) {
      text("answer", label + ": " + failed.message, "bad");
    }
    look();
  });
}

order("switchover", "v1/switchover", () => at("to").value ? { to: at("to").value } : {}, () => "Handed over.");
order("drain", "v1/drain", () => ({}), () => "Drained: it stays out until Resume.");
order("resume", "v1/resume", () => ({}), () => "Resumed.");
at("orders").addEventListener("submit", (event) => event.preventDefault());
at("token").addEventListener("input", () => {
  for (const id of ["switchover", "drain", "resume"]) at(id).disabled = !at("token").value;
});

// round looks again and again, but not at a page that nobody sees.
async function round(look, pause) {
  if (!document.hidden) await look();
  setTimeout(round, pause, look, pause);
}
round(look, every);
round(lookAtFlights, 3 * every);
follow();
