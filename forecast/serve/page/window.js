// A window of one's own: pasted, from a file, or the closes that are shown above.

const LARGEST = 5e6; // bytes of a file; a longer history changes nothing
const LETTERS = 400_000; // of a file that are shown

const own = newest(async (stop, text, ticker) => {
  const asking = byId("own").querySelector("button");
  trouble(byId("window-trouble"), "");
  byId("window-said").textContent = "";
  notes(byId("window-notes"), []);
  byId("window-chart").replaceChildren();
  byId("window-table").replaceChildren();
  let read;
  try {
    read = sequenceOf(text);
  } catch (error) {
    trouble(byId("window-trouble"), error.message);
    return;
  }
  asking.disabled = true;
  const began = performance.now();
  try {
    const body = ticker ? { sequence: read.sequence, ticker } : { sequence: read.sequence };
    const answer = await ask("infer", { body, stop });
    answered(read, answer, performance.now() - began);
  } catch (error) {
    trouble(byId("window-trouble"), refused(error).message);
  } finally {
    if (!stop.aborted) asking.disabled = false;
  }
});

function answered({ sequence, notes: said }, answer, millis) {
  const close = about.columns.findIndex((column) => column.endsWith("Close"));
  const closes = sequence.map((row) => (Array.isArray(row) ? row[close] : row));
  const forecast = answer.forecast ?? [answer.prediction];
  const [lower, upper] = [answer.lower, answer.upper].map((one) => (one === undefined || one === null ? null : [one].flat()));
  const last = closes[closes.length - 1];
  const held = lower ? `, ${answer.level ? `${levelText(answer.level)} ` : ""}interval ${priceText(lower[0])} to ${priceText(upper[0])}` : "";
  byId("window-said").textContent = `Next close: ${priceText(answer.prediction)} (${percentText(answer.prediction / last - 1)})${held}. Last close ${priceText(last)}.`;
  const took = `answered by model ${answer.model_version} in ${millisText(answer.latency_ms)}, ${millisText(millis)} with the way there and back`;
  notes(byId("window-notes"), [...said, ...(answer.warnings ?? []), took]);
  const steps = forecast.map((prediction, n) => ({ date: `+${n + 1}`, prediction, lower: lower?.[n], upper: upper?.[n] }));
  plot(byId("window-chart"), "Your bars, and what follows", windowSpec(closes, steps));
  if (steps.length > 1) sessions(byId("window-table"), last, steps);
}

function windowSpec(closes, steps) {
  const x = [...closes.map((_, n) => n + 1 - closes.length), ...steps.map((_, n) => n + 1)];
  const after = (name) => [...closes.map(() => null), ...steps.map((step) => step[name] ?? null)];
  const before = [...closes, ...steps.map(() => null)];
  const next = { name: "forecast", kind: "dots", role: "model", values: after("prediction") };
  const series = [
    { name: "close", kind: "line", role: "actual", values: before },
    steps[0].lower === undefined ? next : { ...next, lower: after("lower"), upper: after("upper") },
  ];
  return { x: { kind: "number", values: x, whole: true, label: "bars from the last one" }, y: { label: "price" }, series };
}

// What a window must look like, whenever another model is served.
function explain() {
  const { columns, lookback, enough, scope } = about;
  const many = enough === null ? `at least ${lookback}; give all there are` : `${enough} of them`;
  const named = columns.length > 8 ? `${columns.slice(0, 8).join(", ")} and so on, ${columns.length} columns` : columns.join(", ");
  const alone = scope === "multiple" ? "" : " Closes alone will do, and the answer says what that costs.";
  byId("window-help").textContent = `Daily bars, ${many}: ${named}; with or without dates, in any order if the first line names the columns.${alone}`;
  byId("own-ticker-field").hidden = scope === "multiple" || about.tickers.length === 1;
  byId("shown").hidden = scope === "multiple";
}

async function upload(file) {
  if (!file) return;
  trouble(byId("window-trouble"), "");
  if (file.size > LARGEST) {
    trouble(byId("window-trouble"), `${file.name} has ${numberText(Math.ceil(file.size / 1e6))} MB: cut it to the last bars, the model looks at ${about.lookback}`);
    return;
  }
  const text = await file.text();
  const head = text.split("\n", 1)[0];
  const tail = text.slice(-LETTERS);
  byId("bars").value = text.length <= LETTERS ? text : `${head}\n${tail.slice(tail.indexOf("\n") + 1)}`;
}

function takeShown() {
  const closes = drawn?.closes.slice(-(about.enough ?? drawn.closes.length)) ?? [];
  byId("bars").value = closes.join("\n");
  byId("own-ticker").value = about.tickers.includes(drawn?.ticker) ? drawn.ticker : "";
  byId("bars").focus();
}
