// Values and refusals in words.

const byId = (name) => document.getElementById(name);

// As prices are quoted: cents of a dear one, more digits of a cheap one.
function priceText(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (size < 1) return numberText(value);
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: size < 10 ? 4 : 2 };
  return value.toLocaleString("en-GB", digits);
}

function percentText(share, digits = 2) {
  const text = (100 * share).toFixed(digits);
  return `${share >= 0 && Number(text) !== 0 ? "+" : ""}${text} %`;
}

// A share between 0 and 1, without a sign.
function shareText(share, digits = 1) {
  return share === null || share === undefined ? "-" : `${(100 * share).toFixed(digits)} %`;
}

function levelText(level) {
  return `${Number((100 * level).toPrecision(4))} %`;
}

function millisText(ms) {
  if (ms === null || ms === undefined) return "-";
  return ms >= 1000 ? `${(ms / 1000).toPrecision(3)} s` : `${Number(ms.toPrecision(3))} ms`;
}

// The two largest units of a time.
function agoText(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const parts = [];
  let left = Math.max(0, Math.round(seconds));
  for (const [size, name] of units) {
    if (left >= size && parts.length < 2) parts.push(`${Math.floor(left / size)} ${name}`);
    else if (parts.length) break;
    left %= size;
  }
  return parts.join(" ") || "0 s";
}

const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

function dayText(date) {
  return `${WEEKDAYS[new Date(Date.parse(date)).getUTCDay()]} ${date}`;
}

function capital(sentence) {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

// A line that is there only while something is wrong.
function trouble(line, message) {
  line.textContent = message ? capital(message) : "";
  line.hidden = !message;
}

function notes(list, lines) {
  list.replaceChildren(...lines.map((text) => html("li", { textContent: capital(text) })));
}

// A table of plain texts, header first; the first column heads its rows. A wide one scrolls by itself.
function table(parent, label, rows, labels = 1) {
  const around = html("div", { className: "wide", tabIndex: 0 });
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", label);
  const made = html("table", {}, around);
  rows.forEach((cells, place) => {
    const part = place === 0 ? html("thead", {}, made) : (made.tBodies[0] ?? html("tbody", {}, made));
    const row = html("tr", {}, part);
    cells.forEach((text, column) => {
      const scope = place === 0 ? "col" : "row";
      if (place === 0 || column < labels) html("th", { textContent: text, scope }, row);
      else html("td", { textContent: text }, row);
    });
  });
  parent.replaceChildren(around);
}
