// The served model and its verdict; a ticker's past, what was forecast on its test days, and the sessions to come.

let about = null; // what the server says of the model

// Closes and forecasts are drawn and compared with each other only where closes are what is forecast.
function isPrice() {
  return about.target === "close";
}

async function loadModel(stop) {
  about = await ask("ui/model", { stop });
  byId("subject").textContent = about.subject;
  const head = byId("verdict");
  head.textContent = capital(about.verdict);
  head.className = about.tone;
  byId("version").textContent = `model ${about.model_version}`;
  byId("model").textContent = `${about.kind}, model ${about.model_version}, forecasts ${about.target} (${about.unit})`;
  document.title = `forecast: ${about.tickers.slice(0, 3).join(", ")}${isPrice() ? "" : `, ${about.target}`}`;
  showVerdict();
}

function showVerdict() {
  const place = byId("figures");
  const figures = html("div", {});
  table(figures, "Figures on validation and test", about.table, 2);
  const lines = [...about.champion, ...about.findings].map((text) => html("li", { textContent: capital(text) }));
  const findings = html("ul", { className: "findings" });
  findings.append(...lines);
  const warnings = about.warnings.map((text) => html("p", { className: "warning", textContent: `Warning: ${text}` }));
  const legend = html("details", { className: "legend" });
  html("summary", { textContent: "What the words mean" }, legend);
  const meanings = html("ul", {}, legend);
  meanings.append(...about.legend.map((text) => html("li", { textContent: text })));
  place.replaceChildren(...warnings, figures, findings, legend);
}
// A new chart in a place, instead of the one that stood there.
function plot(parent, title, spec) {
  const figure = html("figure", { className: "chart" });
  html("figcaption", { textContent: title }, figure);
  html("script", { type: "application/json", textContent: JSON.stringify(spec) }, figure);
  parent.replaceChildren(figure);
  return new Chart(figure);
}

// Other numbers for the same series: what is hidden, chosen or zoomed stays so.
function renew(chart, spec, whole = null) {
  const zoomed = chart.view.some((end, n) => end !== chart.whole[n]);
  chart.spec = spec;
  chart.x = spec.x.values;
  chart.whole = whole ?? chart.span();
  if (!zoomed) chart.view = chart.whole;
  chart.cursor = null;
  if (chart.box.clientWidth) chart.draw();
}

// Space to the right of the last day, and only the last days at first.
function lookAtEnd(chart, days) {
  const [low, high] = chart.whole;
  const from = Math.max(low, chart.x[Math.max(0, chart.x.length - Math.floor(days))]);
  const space = Math.max(1, (high - from) * 0.02);
  chart.whole = [low, high + space];
  chart.view = from > low ? [from, high + space] : chart.whole;
  if (chart.box.clientWidth) chart.draw();
}
const PAST = 500; // days that are asked for
const MOVED = 1e-4; // share by which a price is another one, not the same one rounded
const ADJUSTED = "prices were adjusted anew since training (a split or a dividend): what was forecast then is shown in today's prices";
let drawn = null; // { ticker, closes } of the chart, oldest first

const showForecast = newest(async (stop, ticker, horizon) => {
  const asking = byId("ask").querySelector("button");
  trouble(byId("future-trouble"), "");
  byId("future-said").textContent = `${ticker}: asking for the latest bars`;
  asking.disabled = true;
  try {
    const [past, ahead] = await Promise.all([testDays(ticker, stop), nextSessions(ticker, horizon, stop)]);
    if (stop.aborted) return;
    show(ticker, past, ahead);
  } finally {
    if (!stop.aborted) asking.disabled = false;
  }
});

// Test days of a ticker, none of one that the model was not trained on.
async function testDays(ticker, stop) {
  const known = about.scope === "panel" ? about.tickers : about.tickers.slice(0, 1);
  if (!known.includes(ticker)) return null;
  return ask(`ui/record?ticker=${encodeURIComponent(ticker)}&days=${PAST}`, { stop }).catch(refused);
}

async function nextSessions(ticker, horizon, stop) {
  const steps = about.horizon > 1 ? `&horizon=${horizon}` : "";
  return ask(`forecast/${encodeURIComponent(ticker)}?history=${PAST}${steps}`, { stop, seconds: 40 }).catch(refused);
}

function refused(error) {
  if (!(error instanceof Refusal) || error.status === 401) throw error;
  return error;
}

function show(ticker, past, ahead) {
  const wrong = [past, ahead].filter((one) => one instanceof Refusal);
  trouble(byId("future-trouble"), wrong.map(({ message }) => message).join("; "));
  const before = past instanceof Refusal ? null : past;
  const after = ahead instanceof Refusal ? null : ahead;
  byId("future-said").textContent = after ? sentence(after) : "";
  const { days, moved } = timeline(before, after);
  notes(byId("future-notes"), [...(after?.warnings ?? []), ...(moved ? [ADJUSTED] : [])]);
  const closes = isPrice() ? days.filter((day) => day.actual !== undefined).map((day) => day.actual) : (after?.history ?? []).map(({ close }) => close);
  drawn = { ticker, closes };
  byId("shown").disabled = closes.length < about.lookback;
  const place = byId("future-chart");
  if (!days.length) place.replaceChildren();
  else lookAtEnd(plot(place, `${ticker}: what came, what was forecast`, futureSpec(days, before, after)), place.clientWidth / 9);
  if (after) sessions(byId("future-table"), isPrice() ? after.last_close : after.naive, after.forecast);
  else byId("future-table").replaceChildren();
  byId("download").hidden = !days.length;
  drawn.days = days;
}

// All bars of the chart as a file: what came, what was forecast on test bars, and those to come; times as the routes
// write them.
function download() {
  const columns = { [about.target]: "actual", naive: "naive", model: "model", lower: "lower", upper: "upper", forecast: "next" };
  const more = { forecast_lower: "low", forecast_upper: "high" };
  const names = Object.entries({ ...columns, ...more });
  const lines = drawn.days.map((day) => [day.date, ...names.map(([, key]) => day[key] ?? ""), about.unit].join(","));
  const text = [["date", ...names.map(([name]) => name), "unit"].join(","), ...lines, ""].join("\n");
  const link = html("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `${drawn.ticker}.csv` });
  link.click();
  URL.revokeObjectURL(link.href);
}

function sentence({ ticker, last_close: close, last_date: last, naive, forecast }) {
  const { date, prediction, lower, upper } = forecast[0];
  const level = about.levels[0];
  const held = lower === undefined || lower === null ? "" : `, ${level ? `${levelText(level)} ` : ""}interval ${valueText(lower)} to ${valueText(upper)}`;
  const move = isPrice() ? percentText(prediction / close - 1) : `${about.naive}: ${valueText(naive)}`;
  const what = isPrice() ? "" : about.unit === "probability" ? "probability of a rise " : `${about.target} `;
  return `${ticker}: ${what}${valueText(prediction)} on ${dayText(date)} (${move})${held}. Last close ${priceText(close)} on ${timeText(last)}.`;
}

// Every day that is known or forecast, in order.
function timeline(past, ahead) {
  const days = new Map();
  const at = (date) => {
    const place = Date.parse(date) / DAY;
    if (!days.has(place)) days.set(place, { at: place, date });
    return days.get(place);
  };
  if (isPrice()) for (const { date, close } of ahead?.history ?? []) at(date).actual = close;
  let factor = 1;
  let moved = false;
  for (let n = (past?.dates.length ?? 0) - 1; n >= 0; n -= 1) {
    const day = at(past.dates[n]);
    if (isPrice() && day.actual !== undefined && past.actual[n]) factor = day.actual / past.actual[n];
    moved ||= Math.abs(factor - 1) > MOVED;
    const then = (value) => (value === null || value === undefined ? null : value * factor);
    day.actual ??= then(past.actual[n]) ?? undefined;
    const own = { model: past.forecast[n], naive: past.naive[n], lower: past.lower[n], upper: past.upper[n] };
    for (const [name, value] of Object.entries(own)) day[name] = then(value);
  }
  if (ahead && isPrice()) at(ahead.last_date).actual = ahead.last_close;
  for (const { date, prediction, lower, upper } of ahead?.forecast ?? []) {
    Object.assign(at(date), { naive: isPrice() ? ahead.last_close : ahead.naive, next: prediction, low: lower, high: upper });
  }
  return { days: [...days.values()].sort((one, other) => one.at - other.at), moved };
}

function futureSpec(days, past, ahead) {
  const column = (name) => days.map((day) => day[name] ?? null);
  const held = about.levels.length ? `${levelText(about.levels[0])} interval` : "interval";
  const series = [{ name: about.target, kind: "line", role: "actual", values: column("actual") }];
  if (past?.lower.length) {
    series.unshift({ name: `${held} on test bars`, kind: "band", role: "model", lower: column("lower"), upper: column("upper") });
  }
  series.push({ name: about.naive, kind: "line", role: "naive", values: column("naive") });
  if (past) series.push({ name: "model on test bars", kind: "line", role: "model", values: column("model") });
  if (ahead) {
    const next = { name: "forecast", kind: "dots", role: "model", values: column("next") };
    const bounded = days.some((day) => day.low !== undefined && day.low !== null);
    series.push(bounded ? { ...next, lower: column("low"), upper: column("high") } : next);
  }
  const marks = ahead ? [{ at: Date.parse(ahead.last_date) / DAY, text: "" }] : [];
  return { x: { kind: "date", values: days.map((day) => day.at) }, y: { label: about.unit }, series, marks };
}

// A row a step, beside the last close, or what needs no model where something else is forecast.
function sessions(place, naive, forecast) {
  const bounded = forecast.some(({ lower }) => lower !== undefined && lower !== null);
  const against = isPrice() ? ["against the last close"] : naive === undefined ? [] : [about.naive];
  const unit = ["percent a year", "shares"].includes(about.unit) ? `, ${about.unit}` : "";
  const named = [about.bar === "day" ? "session" : about.bar, `forecast${unit}`];
  const head = [...named, ...against, ...(bounded ? ["lower", "upper"] : [])];
  const text = (value) => valueText(value, false);
  const rows = forecast.map(({ date, prediction, lower, upper }) => {
    const beside = against.map(() => (isPrice() ? percentText(prediction / naive - 1) : text(naive)));
    return [timeText(date), text(prediction), ...beside, ...(bounded ? [text(lower), text(upper)] : [])];
  });
  table(place, "Forecasts, step by step", [head, ...rows]);
}

// As the model spells it, whichever way it was typed; an unknown one as it stands.
function spelled(typed) {
  const plain = typed.trim();
  return about.tickers.find((ticker) => ticker.toUpperCase() === plain.toUpperCase()) ?? plain;
}

function pick() {
  const ticker = spelled(byId("ticker").value);
  const wanted = Number(byId("horizon").value) || about.horizon;
  byId("ticker").value = ticker;
  if (ticker) showForecast(ticker, Math.min(Math.max(wanted, 1), about.horizon));
}

// What there is to pick from, whenever another model is served.
function offer() {
  const known = about.scope === "multiple" ? about.tickers.slice(0, 1) : about.tickers;
  byId("tickers").replaceChildren(...known.map((ticker) => html("option", { value: ticker })));
  const chosen = byId("ticker");
  chosen.readOnly = about.scope === "multiple";
  if (!chosen.value || chosen.readOnly) chosen.value = known[0];
  byId("horizon-field").hidden = about.horizon === 1;
  byId("horizon").max = about.horizon;
  byId("horizon").value = about.horizon;
  byId("future-title").textContent = `The next ${about.bar === "day" ? "session" : about.bar}s`;
}
