// How the server does, asked again and again while somebody looks.

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

async function live(told, stop) {
  const { p50_latency_ms: p50, p95_latency_ms: p95, p99_latency_ms: p99 } = told.last_minute;
  readings = [...readings, { at: Date.now(), p50, p95, p99 }].slice(-POINTS);
  tiles(byId("live-figures"), serverTiles(told));
  const spec = latencySpec(readings);
  if (readings.length > 1 && readings.some((one) => one.p50 !== null)) {
    latency ??= plot(byId("live-chart"), "Time to a forecast, over the last minute", spec);
    renew(latency, spec, [Math.min(LEAST, spec.x.values[0]), 0]);
  }
  byId("drift-said").textContent = driftSentence(told.drift);
  driftTable(byId("drift"), told.drift);
  byId("outcomes").textContent = outcomeSentence(told.outcomes);
  if (told.model && told.model.version !== about.model_version) {
    await meet(stop); // another model is served
    offer();
    explain();
    pick();
  }
}

// Nobody asks for a page that is not looked at.
function watch() {
  rest();
  watching = document.visibilityState === "visible";
  if (watching) look();
}

function rest() {
  watching = false;
  clearTimeout(timer);
}
