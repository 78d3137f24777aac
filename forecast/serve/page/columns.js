// Rows of cells as what the model wants: its columns in its order, oldest first, no more rows than it looks at.

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
  if (missing.length && closes >= 0 && about.scope !== "multiple" && missing.length === about.columns.length - 1) {
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
  const said = [];
  about.columns.forEach((column, close) => {
    if (!column.endsWith("Close")) return;
    const [place] = places(names, `${column.slice(0, -5)}Adj Close`);
    if (place === undefined) return;
    const ticker = column.slice(0, -5);
    if (!about.adjust) {
      said.push(`${ticker}Adj Close is left aside, as in training`);
      return;
    }
    rows.forEach((row, n) => {
      const factor = value(row, place, "Adj Close") / sequence[n][close];
      about.columns.forEach((other, at) => {
        if (other.startsWith(ticker) && !other.endsWith("Volume")) sequence[n][at] *= factor;
      });
    });
    said.push(`${ticker}prices adjusted by Adj Close, as in training`);
  });
  return said;
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
