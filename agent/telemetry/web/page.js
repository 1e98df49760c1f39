
"use strict";
const EVERY = 1000, PATIENCE = 3000, OLD = 5;
const at = (id) => document.getElementById(id);
let last = null, answered = 0, trouble = "";

// Every text goes in as text: what somebody put into etcd is never markup.
function make(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (name) made.className = name;
  return made;
}
function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 10) return s.toFixed(1) + " s";
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + Math.floor(s % 60) + " s";
  if (s < 172800) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " days";
}
function when(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? "?" : date.toISOString().replace("T", " ").slice(0, 19) + " UTC";
}
function list(value) { return Array.isArray(value) ? value : []; }
function put(id, ...children) { at(id).replaceChildren(...children); }

function banner(title, text, bad) {
  const made = make("div", null, bad ? "banner bad" : "banner");
  made.setAttribute("role", bad ? "alert" : "note");
  made.append(make("b", title), make("span", text));
  return made;
}
function banners(data) {
  const found = [];
  if (data.override) {
    const about = [data.override.reason, data.override.by && "by " + data.override.by].filter(Boolean).join(", ");
    const who = data.override.leader ? "Only " + data.override.leader + " may lead" : "Nobody may produce";
    const end = list(data.leased).includes("override") ? "ends by itself" : "until the key override goes";
    found.push(banner("Override: " + who, about ? about + "; " + end : end, !data.override.leader));
  }
  if (data.would) {
    const what = {lead: "take the lead", pause: "pause nodeos", stand_by: "stand by"}[data.would.what];
    found.push(banner("This agent only observes", "For " + span(data.would.for_s) + " it would " + what + ": " + data.would.why));
  }
  if (data.maintenance !== null && data.maintenance !== undefined)
    found.push(banner("Maintenance", (data.maintenance || "no reason given") + (list(data.leased).includes("maintenance") ? "; ends by itself" : "")));
  if (!data.etcd_up) found.push(banner("etcd does not answer this agent", "What is shown of the group may be old.", true));
  else if (data.view_age_s > OLD) found.push(banner("The group was last seen " + span(data.view_age_s) + " ago", "", true));
  if (data.step_age_s > OLD) found.push(banner("This agent stands still", "Its last step was " + span(data.step_age_s) + " ago.", true));
  for (const each of list(data.problems)) found.push(banner("A value in etcd cannot be read", each, true));
  put("banners", ...found);
}
function lead(data) {
  const beat = data.heartbeat, held = beat && !beat.released && data.held;
  at("lead").classList.toggle("led", Boolean(held));
  at("who").textContent = held ? beat.node + " leads" : beat ? "Nobody leads" : "Nobody has ever led";
  const since = data.leader_since ? (data.wall_ms - new Date(data.leader_since).getTime()) / 1000 : null;
  const parts = [];
  if (held && since !== null) parts.push("for " + span(since) + ", since " + when(data.leader_since));
  if (beat) parts.push((held ? "epoch " : "last: " + beat.node + ", epoch ") + beat.epoch);
  if (beat && !held && beat.reason) parts.push(beat.reason);
  at("since").textContent = parts.join(" · ");
  const whole = held ? beat.validity_ms / 1000 : 0, left = held ? Math.max(0, data.lead_left_s) : 0;
  at("bar").hidden = !held;
  at("fill").style.width = (whole ? Math.min(100, 100 * left / whole) : 0) + "%";
  at("fill").classList.toggle("low", left <= data.margin_s);
  at("stop").style.left = (whole ? 100 * data.margin_s / whole : 0) + "%";
  at("bar").setAttribute("aria-valuemax", whole);
  at("bar").setAttribute("aria-valuenow", left.toFixed(1));
  at("left").textContent = held
    ? "validity left " + left.toFixed(1) + " s of " + whole + " s; it stops at " + data.margin_s.toFixed(1) + " s" +
      (data.leads ? "" : " (as seen from here)") + confirmed(data.peers || {})
    : "";
}
function confirmed(peers) {
  const named = list(peers.named), away = peers.etcd_away_s;
  const by = peers.confirmed_by === "peers" ? "; confirmed by its peers" : peers.confirmed_by ? "; confirmed by etcd" : "";
  return by + (named.length ? "; witnesses: " + named.join(", ") : "") + (by && away ? "; etcd away for " + span(away) : "");
}
function card(member, data, ahead) {
  const leads = data.held && data.heartbeat && data.heartbeat.node === member.node;
  const made = make("article", null, leads ? "card leads" : "card"), head = make("h3", member.node);
  const role = leads ? "leads" : member.role === "leading" ? "was leading" : member.role;
  head.append(make("span", role, leads ? "tag good" : "tag"));
  head.append(member.healthy ? make("span", "healthy", "tag good") : make("span", "unhealthy", "tag bad"));
  if (member.drained) head.append(make("span", "drained", "tag note"));
  const facts = make("dl"), lag = ahead - member.head;
  const rows = {
    head: member.head ? member.head + (lag > 0 ? " (" + lag + " behind)" : "") : "",
    "head age": member.head ? span(member.head_age_ms / 1000) : "",
    irreversible: member.head ? member.lib : "",
    priority: member.priority,
    agent: member.version,
    nodeos: member.nodeos,
  };
  for (const [name, value] of Object.entries(rows)) facts.append(make("dt", name), make("dd", value === "" ? "-" : value));
  made.append(head, facts);
  const reasons = list(member.reasons);
  if (reasons.length) {
    const shown = make("ul", null, "reasons");
    shown.append(...reasons.map((each) => make("li", each)));
    made.append(shown);
  }
  if (member.plan) made.append(make("p", member.plan, "more"));
  return made;
}
function members(data) {
  const found = list(data.members).slice().sort((a, b) => (a.node < b.node ? -1 : 1));
  const ahead = Math.max(0, ...found.map((each) => each.head));
  put("members", ...(found.length ? found.map((each) => card(each, data, ahead)) : [make("p", "no agent is there", "none")]));
}
function change(each) {
  const made = make("li"), time = make("time", each.when ? when(each.when) : "?");
  if (each.kind === "word") {
    made.append(time, make("span", (each.by || "somebody") + ": " + (each.did || "?")));
    if (each.reason) made.append(make("span", each.reason, "cost"));
    return made;
  }
  const from = each.from ? each.from + " → " : "";
  made.append(time, make("span", from + (each.node || "?") + (each.epoch ? " (epoch " + each.epoch + ")" : "")));
  const cost = make("span", each.reason || "", "cost");
  const outage = Math.max(each.leaderless_ms || 0, each.outage_ms || 0);
  if (outage >= 100) cost.append(" · " + (outage === each.outage_ms ? "no own block for " : "nobody led for ") + span(outage / 1000));
  if (typeof each.slots_missed === "number") {
    cost.append(" · ");
    cost.append(make("span", each.slots_missed + (each.slots_missed === 1 ? " slot missed" : " slots missed"), each.slots_missed ? "lost" : ""));
  }
  made.append(cost);
  return made;
}
function history(data) {
  const found = list(data.history).slice().reverse();
  put("history", ...(found.length ? found.map(change) : [make("li", "nothing yet", "none")]));
  const counted = found.filter((each) => typeof each.slots_missed === "number");
  const sum = counted.reduce((total, each) => total + each.slots_missed, 0);
  at("missed").textContent = counted.length
    ? sum + (sum === 1 ? " slot" : " slots") + " missed in the last " + counted.length + (counted.length === 1 ? " change" : " changes")
    : "";
}
function alerts(data) {
  const found = list(data.alerts);
  at("s-alerts").hidden = !found.length;
  put("alerts", ...found.map((each) => {
    const made = make("li");
    made.append(make("span", each.severity, each.severity === "critical" ? "tag bad" : "tag note"), " ", make("span", each.summary));
    return made;
  }));
}
function show(data) {
  document.title = (data.held && data.heartbeat ? data.heartbeat.node + " leads" : "nobody leads") + " · " + data.group;
  at("group").textContent = data.group + " · " + data.producer;
  at("me").textContent = data.node;
  at("version").textContent = "nodeos-failover " + data.version;
  banners(data); lead(data); members(data); history(data); alerts(data);
}
function age() {
  const seconds = (performance.now() - answered) / 1000, old = !last || seconds > OLD;
  at("fresh").textContent = last
    ? (old ? "the data is " + span(seconds) + " old: " + (trouble || "no answer") : "just now")
    : trouble || "loading";
  at("fresh").classList.toggle("old", old && Boolean(last || trouble));
  document.body.classList.toggle("stale", old && Boolean(last));
}
async function refresh() {
  try {
    const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    last = await answer.json();
    answered = performance.now();
    trouble = "";
    show(last);
  } catch (error) {
    trouble = error.name === "TimeoutError" ? "the agent does not answer in time" : error.name === "TypeError" ? "the agent does not answer" : error.message;
  }
  age();
  setTimeout(refresh, EVERY);
}
setInterval(age, 1000);
refresh();
