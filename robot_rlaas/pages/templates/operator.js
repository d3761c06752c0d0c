"use strict";
const SILENT_MS = 1000;  // without news: the page's own connection is lost
const CONFIRM_MS = 700;  // for a stop to be confirmed
const AGAIN_MS = 3000;  // for a socket that says nothing to be replaced
const SHOWN_APART_DEG = 0.5;
const $ = id => document.getElementById(id);
const dash = "–";
let socket = null, opened = 0, heard = -Infinity, state = null, stopAsked = null, stopUnsent = false;

function connect() {
  const way = (location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/live";
  const mine = socket = new WebSocket(way);
  opened = performance.now();
  mine.onopen = () => { if (stopUnsent) { stopUnsent = false; mine.send("stop"); } };
  mine.onmessage = event => {
    if (mine !== socket) return;
    const news = JSON.parse(event.data);
    if (!news.title) return;
    heard = performance.now(); state = news; show();
  };
  mine.onclose = () => { if (mine === socket && !(state && state.ended)) setTimeout(connect, 500); };
}

function ask(wish) {
  const open = socket && socket.readyState === WebSocket.OPEN;
  if (open) socket.send(wish);
  if (wish !== "stop" || (state && state.ended)) return;
  stopUnsent = !open;
  stopAsked = performance.now();
  show();
}

function write(id, text) { const at = $(id); if (at.textContent !== text) at.textContent = text; }

function element(kind, text, name) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function lost() { return performance.now() - heard > SILENT_MS && !(state && state.ended); }

function show() {
  const gone = lost();
  const tone = gone ? "lost" : state.tone;
  document.body.dataset.tone = tone;
  document.body.dataset.ended = Boolean(state && state.ended);
  if (gone) {
    write("title", state ? "This page has lost its connection" : "Connecting");
    write("text", state ? "Nothing below is current. If the arm moves, use its own emergency stop." : "Waiting for the deployment.");
  } else {
    write("title", state.title); write("text", state.text); panel();
  }
  for (const wish of ["reset", "pause", "start"]) $(wish).disabled = gone || !state.can[wish];
  $("stop").disabled = Boolean(state && state.ended);
  document.title = (gone ? "No connection" : state.title);
  notice(gone);
}

function notice(gone) {
  if (!gone && state.latched) { stopAsked = null; stopUnsent = false; }
  const waits = stopAsked !== null, late = waits && performance.now() - stopAsked > CONFIRM_MS;
  const unconfirmed = "STOP is not confirmed. Use the arm's own emergency stop." + (stopUnsent ? " It is sent again as soon as there is a connection." : "");
  write("notice", late ? unconfirmed : gone || !state ? "" : state.notice);
  $("stop").firstElementChild.textContent = !gone && state.latched ? "STOPPED" : waits ? "STOPPING" : "STOP";
}

function panel() {
  const count = $("count");
  count.replaceChildren(`${state.made} of ${state.total} done`, element("small", `${state.succeeded} succeeded`));
  write("stage", state.stage);
  write("force", state.peak_force_N == null ? dash : state.peak_force_N.toFixed(0));
  write("interventions", state.interventions == null ? dash : String(state.interventions));
  $("domain").hidden = !state.left;
  const stop = state.last_stop;
  if (stop) {
    const time = element("time", new Date(stop.last_s * 1000).toLocaleTimeString([], {hour12: false}));
    $("last").replaceChildren(time, `${stop.by}: ${stop.line}`);
  }
  $("figures").replaceChildren(...state.figures.map(figure));
  $("joints").replaceChildren(...state.joints.map(joint));
}

function figure(told) {
  const row = element("li", "", told.tone);
  row.append(element("span", told.name, "name"), element("span", told.value || dash, "value"),
             element("span", told.words, "words"));
  return row;
}

function joint(told) {
  const row = document.createElement("tr");
  const apart = told.wanted != null && told.through != null && Math.abs(told.wanted - told.through) > SHOWN_APART_DEG;
  row.append(element("td", told.name.replace(/_joint$/, "").replaceAll("_", " ")));
  for (const key of ["at", "wanted", "through"])
    row.append(element("td", told[key] == null ? dash : told[key].toFixed(2), apart && key !== "at" ? "apart" : ""));
  return row;
}

function pressed(event) {
  if (event.code !== "Space" && event.key !== " ") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (event.type === "keydown" && !event.repeat) ask("stop");
}

function listen(window) { for (const kind of ["keydown", "keyup"]) window.addEventListener(kind, pressed, true); }

listen(window);
// Whoever turns the view has the focus there.
$("scene").addEventListener("load", () => listen($("scene").contentWindow));
$("stop").addEventListener("pointerdown", event => { event.preventDefault(); ask("stop"); });
$("stop").addEventListener("click", event => { if (event.detail === 0) ask("stop"); });
for (const wish of ["reset", "pause", "start"]) $(wish).addEventListener("click", () => ask(wish));
let looked = performance.now();
setInterval(() => {
  const stalled = performance.now() - looked > SILENT_MS / 2;  // this page did not run: what waits for it comes first
  looked = performance.now();
  if (stalled) return;
  if (state || stopAsked !== null) show();
  const quiet = performance.now() - Math.max(heard, opened);
  if (lost() && quiet > AGAIN_MS) { socket.close(); connect(); }
}, 200);
history.replaceState(null, "", "/");
connect();
