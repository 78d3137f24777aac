// Bars of one's own: text that was pasted or uploaded, as the rows that the model wants, and the forecast from them.
// CSV, a table copied from a spreadsheet, JSON, or numbers with blanks between.

const SEPARATORS = ["\t", ";", ","];

// Lines of a text as { line, cells }, counted from 1; empty ones are passed over.
function cellRows(text) {
  const lines = text.split(/\r\n|\r|\n/).map((content, n) => ({ line: n + 1, content: content.trim() }));
  const filled = lines.filter(({ content }) => content !== "");
  const separator = SEPARATORS.find((one) => filled[0].content.includes(one)) ?? null;
  return filled.map(({ line, content }) => ({ line, cells: cellsOf(content, separator, line) }));
}

function cellsOf(content, separator, line) {
  if (separator === null) return content.split(/\s+/);
  const cells = [];
  let cell = "";
  let quoted = false;
  for (let n = 0; n < content.length; n += 1) {
    const letter = content[n];
    if (letter === '"' && quoted && content[n + 1] === '"') {
      cell += '"';
      n += 1;
    } else if (letter === '"') quoted = !quoted;
    else if (letter === separator && !quoted) {
      cells.push(cell.trim());
      cell = "";
    } else cell += letter;
  }
  if (quoted) throw new Error(`line ${line}: a quotation mark is not closed`);
  return [...cells, cell.trim()].map((one) => (separator === "," ? one : one.replace(/^(-?\d+),(\d+)$/, "$1.$2")));
}

// A plain decimal number, NaN for anything else; no thousands separators, which one cannot tell from decimals.
function numberOf(cell) {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(cell) ? Number(cell) : NaN;
}

// When a bar is of, in days; null for what is no date. A zone is left aside: all bars have the same.
function dayOf(cell) {
  const found = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)?.*)?$/.exec(cell);
  const time = found ? Date.parse(`${found[1]}T${found[2] ?? "00:00"}Z`) : NaN;
  return Number.isNaN(time) ? null : time / DAY;
}

// { sequence, notes }; an Error says in one line what cannot be read, and where.
function sequenceOf(text) {
  const trimmed = text.trim();
  if (!trimmed) throw new Error("there is nothing yet: paste bars or choose a file");
  const read = /^[[{]/.test(trimmed) ? fromJson(trimmed) : fromRows(cellRows(text));
  return shortened(read);
}

function fromJson(text) {
  let read;
  try {
    read = JSON.parse(text);
  } catch (error) {
    throw new Error(`this is no JSON: ${error.message}`);
  }
  const sequence = Array.isArray(read) ? read : read.sequence;
  if (!Array.isArray(sequence)) throw new Error("the JSON has no list named sequence");
  return { sequence, notes: [] };
}

function fromRows(rows) {
  const [first] = rows;
  const headed = first.cells.some((cell) => Number.isNaN(numberOf(cell)) && dayOf(cell) === null);
  if (!headed) return bare(rows);
  const names = first.cells.map(plainName);
  const body = rows.slice(1);
  if (!body.length) throw new Error("there are column names and no bars below them");
  const dates = names.findIndex((name) => name === "date" || name === "");
  const days = dates < 0 ? null : body.map(({ cells }) => dayOf(cells[dates] ?? ""));
  const closes = names.indexOf("close");
  const missing = about.columns.filter((column) => !places(names, column).length);
  if (missing.length && closes >= 0 && about.closes_alone && missing.length === about.columns.length - 1) {
    return ordered(days, body.map((row) => [value(row, closes, "Close")]).flat(), []);
  }
  if (missing.length) throw new Error(`no column ${missing.join(", ")}; the columns are ${first.cells.join(", ")}`);
  const found = about.columns.map((column) => places(names, column)[0]);
  const sequence = body.map((row) => found.map((place, n) => value(row, place, about.columns[n])));
  return ordered(days, sequence, adjusted(names, body, sequence));
}

// Without names: a date or none, then exactly the model's columns, or closes.
function bare(rows) {
  const dated = rows.every(({ cells }) => dayOf(cells[0]) !== null && Number.isNaN(numberOf(cells[0])));
  const wanted = about.columns;
  const numbers = rows.map((row) => ({ ...row, cells: dated ? row.cells.slice(1) : row.cells }));
  const width = numbers[0].cells.length;
  if (rows.length === 1 && width > 1 && width !== wanted.length) {
    return { sequence: numbers[0].cells.map((_, n) => value(numbers[0], n, "Close")), notes: [] };
  }
  for (const { line, cells } of numbers) {
    if (cells.length !== width) throw new Error(`line ${line}: ${cells.length} values, the first line has ${width}`);
  }
  const days = dated ? rows.map(({ cells }) => dayOf(cells[0])) : null;
  if (width === 1) return ordered(days, numbers.map((row) => value(row, 0, "Close")), []);
  if (width !== wanted.length) {
    throw new Error(`${width} values a line; expected ${wanted.length} (${wanted.join(", ")}), or a line with the columns' names above them`);
  }
  return ordered(days, numbers.map((row) => wanted.map((name, n) => value(row, n, name))), []);
}

function plainName(name) {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}

// Of several tickers side by side a name may have the ticker before or after it.
function places(names, column) {
  const plain = plainName(column);
  const [field, ...ticker] = plain.split(" ").reverse();
  const turned = [field, ...ticker.reverse()].join(" ");
  return names.flatMap((name, place) => (name === plain || name === turned ? [place] : []));
}

function value({ line, cells }, place, name) {
  const number = numberOf(cells[place] ?? "");
  if (!Number.isFinite(number)) throw new Error(`line ${line}: ${name} is ${JSON.stringify(cells[place] ?? "")}, which is no number`);
  return number;
}

// As in training: prices times Adj Close / Close where there is one, so that splits and dividends are no moves.
function adjusted(names, rows, sequence) {
  const notes = [];
  about.columns.forEach((column, close) => {
    if (!column.endsWith("Close")) return;
    const [place] = places(names, `${column.slice(0, -5)}Adj Close`);
    if (place === undefined) return;
    const ticker = column.slice(0, -5);
    if (!about.adjust) {
      notes.push(`${ticker}Adj Close is left aside, as in training`);
      return;
    }
    rows.forEach((row, n) => {
      const factor = value(row, place, "Adj Close") / sequence[n][close];
      about.columns.forEach((other, at) => {
        if (other.startsWith(ticker) && !other.endsWith("Volume")) sequence[n][at] *= factor;
      });
    });
    notes.push(`${ticker}prices adjusted by Adj Close, as in training`);
  });
  return notes;
}

// Oldest first by its dates; newest first is turned round and said, anything else refused.
function ordered(days, sequence, notes) {
  if (!days || days.length < 2) return { sequence, notes };
  if (days.includes(null)) return { sequence, notes: [...notes, "the dates are not written YYYY-MM-DD: taken as oldest first"] };
  const pairs = days.slice(1).map((day, n) => day - days[n]);
  if (pairs.every((step) => step > 0)) return { sequence, notes };
  if (pairs.every((step) => step < 0)) return { sequence: sequence.reverse(), notes: [...notes, "the newest came first: turned round"] };
  throw new Error("the dates are neither ascending nor descending, or one stands twice");
}

function shortened({ sequence, notes }) {
  const { enough } = about;
  if (enough === null || sequence.length <= enough) return { sequence, notes };
  return { sequence: sequence.slice(-enough), notes: [...notes, `the last ${enough} of ${sequence.length} rows, which is all the model looks at`] };
}
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

function answered({ sequence, notes: own }, answer, millis) {
  const close = about.columns.findIndex((column) => column.endsWith("Close"));
  const closes = sequence.map((row) => (Array.isArray(row) ? row[close] : row));
  const forecast = answer.forecast ?? [answer.prediction];
  const [lower, upper] = [answer.lower, answer.upper].map((one) => (one === undefined || one === null ? null : [one].flat()));
  const last = closes[closes.length - 1];
  const held = lower ? `, ${answer.level ? `${levelText(answer.level)} ` : ""}interval ${valueText(lower[0])} to ${valueText(upper[0])}` : "";
  const move = isPrice() ? ` (${percentText(answer.prediction / last - 1)})` : "";
  byId("window-said").textContent = `Next ${about.target}: ${valueText(answer.prediction)}${move}${held}. Last close ${priceText(last)}.`;
  const took = `answered by model ${answer.model_version} in ${millisText(answer.latency_ms)}, ${millisText(millis)} with the way there and back`;
  notes(byId("window-notes"), [...own, ...(answer.warnings ?? []), took]);
  const steps = forecast.map((prediction, n) => ({ date: `+${n + 1}`, prediction, lower: lower?.[n], upper: upper?.[n] }));
  if (isPrice()) plot(byId("window-chart"), "Your bars, and what follows", windowSpec(closes, steps));
  if (steps.length > 1) sessions(byId("window-table"), isPrice() ? last : undefined, steps);
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
  const alone = !about.closes_alone ? "" : " Closes alone will do, and the answer says what that costs.";
  byId("window-help").textContent = `One row for each ${about.bar}, ${many}: ${named}; with or without dates, in any order if the first line names the columns.${alone}`;
  byId("own-ticker-field").hidden = scope === "multiple" || about.tickers.length === 1;
  byId("shown").hidden = !about.closes_alone;
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
