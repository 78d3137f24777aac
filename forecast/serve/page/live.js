// How the server does, asked again and again while somebody looks; and what happens when.

const PSI = [0.1, 0.25]; // population stability index: little, much

function tiles(parent, pairs) {
  const list = html("dl", { className: "tiles" });
  for (const [name, text, tone] of pairs) {
    const tile = html("div", {}, list);
    html("dt", { textContent: name }, tile);
    html("dd", { textContent: text, className: tone ?? "" }, tile);
  }
  parent.replaceChildren(list);
}

function countText(count) {
  return count.toLocaleString("en-GB", { maximumFractionDigits: 0 });
}

function serverTiles(figures) {
  const errors = Object.entries(figures.errors).map(([status, count]) => `${countText(count)} × ${status}`);
  const failed = Object.keys(figures.errors).some((status) => Number(status) >= 500);
  const recent = figures.last_minute;
  return [
    ["forecasts since the start", countText(figures.total_inferences)],
    ["in the last minute", countText(recent.inferences)],
    ["median, last minute", millisText(recent.p50_latency_ms)],
    ["99 %, last minute", millisText(recent.p99_latency_ms)],
    ["99 %, since the start", millisText(figures.p99_latency_ms)],
    ["waiting", countText(figures.queue)],
    ["refused or failed", errors.join(", ") || "none", failed ? "bad" : ""],
    ["model swaps", countText(figures.model?.swaps ?? 0)],
    ["age of the model", figures.model ? agoText(figures.model.age_seconds) : "-"],
  ];
}

function latencySpec(readings) {
  const now = readings[readings.length - 1].at;
  const line = (name, role, key) => ({ name, kind: "line", role, values: readings.map((one) => one[key]), dots: 1 });
  return {
    x: { kind: "number", values: readings.map(({ at }) => (at - now) / 60000), label: "minutes from now" },
    y: { label: "ms", zero: true },
    series: [line("median", "model", "p50"), line("95 %", "other", "p95"), line("99 %", "naive", "p99")],
  };
}

// Whether requests are like what the model learnt from, in a sentence.
function driftSentence(drift) {
  if (!drift) return "This run kept nothing of its training inputs, so requests cannot be held against them.";
  const share = `${shareText(drift.outside_share)} of the newest ${countText(drift.windows)} windows hold a value outside the training range`;
  if (drift.windows < 1) return "No window was given yet.";
  if (drift.psi_max === null) return `${share}; more windows are needed for a judgement.`;
  const words = { stable: "much like training", moderate: "somewhat unlike training", shifted: "unlike training" };
  return `Requests are ${words[drift.label]}: ${share}; largest stability index ${drift.psi_max.toFixed(2)} (above ${PSI[0]} is something, above ${PSI[1]} much).`;
}

function driftTable(parent, drift) {
  if (!drift?.features.length) return parent.replaceChildren();
  const rows = drift.features.map(({ feature, psi, outside_share: share }) => [feature, psi.toFixed(3), shareText(share)]);
  return table(parent, "Drift by input", [["input", "stability index", "outside the training range"], ...rows]);
}

// How well served forecasts did since their outcome is known.
function outcomeSentence(outcomes) {
  if (!outcomes) return "";
  const { model, level, awaited } = outcomes;
  const open = awaited ? ` Forecasts that still await theirs: ${countText(awaited)}.` : "";
  if (!model.outcomes) return `No outcome of a served forecast is known yet.${open}`;
  const skill = model.skill === null ? "skill unknown" : `${percentText(model.skill / 100)} skill against ${about.naive}`;
  const held = model.coverage === null ? "" : `, ${shareText(model.coverage)} inside the ${levelText(level)} interval`;
  return `Of what was served, ${countText(model.outcomes)} ${model.outcomes === 1 ? "outcome is" : "outcomes are"} known: ${skill}${held}.${open}`;
}
const EVERY = 3000; // ms between two questions
const POINTS = 200; // of the chart: ten minutes
const LEAST = -2; // minutes that it covers from the start
let readings = [];
let timer = null;
let watching = false;
let latency = null; // the chart

const look = newest(async (stop) => {
  try {
    await live(await ask("monitor", { stop, seconds: 10 }), stop);
    trouble(byId("live-trouble"), "");
  } catch (error) {
    trouble(byId("live-trouble"), refused(error).message);
  }
  if (watching) timer = setTimeout(look, EVERY);
});

async function live(figures, stop) {
  const { p50_latency_ms: p50, p95_latency_ms: p95, p99_latency_ms: p99 } = figures.last_minute;
  readings = [...readings, { at: Date.now(), p50, p95, p99 }].slice(-POINTS);
  tiles(byId("live-figures"), serverTiles(figures));
  const spec = latencySpec(readings);
  if (readings.length > 1 && readings.some((one) => one.p50 !== null)) {
    latency ??= plot(byId("live-chart"), "Time to a forecast, over the last minute", spec);
    renew(latency, spec, [Math.min(LEAST, spec.x.values[0]), 0]);
  }
  byId("drift-said").textContent = driftSentence(figures.drift);
  driftTable(byId("drift"), figures.drift);
  byId("outcomes").textContent = outcomeSentence(figures.outcomes);
  if (figures.model && figures.model.version !== about.model_version) {
    await loadModel(stop); // another model is served
    await showChampions();
    offer();
    explain();
    pick();
  }
}

// Nobody asks for a page that is not looked at.
function watch() {
  stopWatching();
  watching = document.visibilityState === "visible";
  if (watching) look();
}

function stopWatching() {
  watching = false;
  clearTimeout(timer);
}
const AGAIN = 5000; // ms until a server that has no model yet is asked again

const enter = newest(async (stop) => {
  try {
    await loadModel(stop);
  } catch (error) {
    if (refused(error).status === 401) throw error;
    byId("verdict").textContent = "No answer yet";
    trouble(byId("trouble"), error.message);
    setTimeout(enter, AGAIN);
    return;
  }
  trouble(byId("trouble"), "");
  byId("login").hidden = true;
  byId("forget").hidden = keys.user === "";
  byId("main").hidden = false;
  offer();
  explain();
  pick();
  watch();
  await showChampions();
});

function onSubmit(name, act) {
  byId(name).addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}

onSubmit("login", unlock);
onSubmit("ask", pick);
onSubmit("train", () => asAdmin(retrain));
onSubmit("admin-login", unlockAdmin);
onSubmit("compare", compare);
onSubmit("own", () => own(byId("bars").value, byId("own-ticker-field").hidden ? "" : spelled(byId("own-ticker").value)));
document.addEventListener("visibilitychange", () => {
  if (!byId("main").hidden) watch();
});
byId("file").addEventListener("change", () => upload(byId("file").files[0]));
byId("shown").addEventListener("click", takeShown);
byId("cancel").addEventListener("click", () => asAdmin(cancelJob));
byId("download").addEventListener("click", download);
confirmed(byId("rollback"), "Yes, back to the one before", rollBack);
byId("forget").addEventListener("click", () => {
  store("user", "");
  lock("");
});
enter();
