// Text that was pasted or uploaded, as rows of cells: CSV, a table copied from a spreadsheet, numbers with blanks between.

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

function dayOf(cell) {
  const found = /^(\d{4}-\d\d-\d\d)(?:[T ].*)?$/.exec(cell);
  const day = found ? Date.parse(found[1]) : NaN;
  return Number.isNaN(day) ? null : day / DAY;
}
