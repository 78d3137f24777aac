// What /monitor says, as tiles, tables and a chart.

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

function serverTiles(told) {
  const errors = Object.entries(told.errors).map(([status, count]) => `${countText(count)} × ${status}`);
  const failed = Object.keys(told.errors).some((status) => Number(status) >= 500);
  const recent = told.last_minute;
  return [
    ["forecasts since the start", countText(told.total_inferences)],
    ["in the last minute", countText(recent.inferences)],
    ["median, last minute", millisText(recent.p50_latency_ms)],
    ["99 %, last minute", millisText(recent.p99_latency_ms)],
    ["99 %, since the start", millisText(told.p99_latency_ms)],
    ["waiting", countText(told.queue)],
    ["refused or failed", errors.join(", ") || "none", failed ? "bad" : ""],
    ["model swaps", countText(told.model?.swaps ?? 0)],
    ["age of the model", told.model ? agoText(told.model.age_seconds) : "-"],
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
  const skill = model.skill === null ? "skill unknown" : `${percentText(model.skill / 100)} skill against tomorrow = today`;
  const held = model.coverage === null ? "" : `, ${shareText(model.coverage)} inside the ${levelText(level)} interval`;
  return `Of what was served, ${countText(model.outcomes)} ${model.outcomes === 1 ? "outcome is" : "outcomes are"} known: ${skill}${held}.${open}`;
}
