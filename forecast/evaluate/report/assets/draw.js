// Elements made without markup, so that no text can become one.

const SVG = "http://www.w3.org/2000/svg";

function html(name, properties, parent) {
  const made = Object.assign(document.createElement(name), properties);
  if (parent) parent.append(made);
  return made;
}

function svg(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

// Where reading happens: a focusable box with the drawing, a box that follows the pointer, and the same for the ear.
function stage(figure, label) {
  const box = html("div", { className: "stage", tabIndex: 0 }, figure);
  box.setAttribute("role", "application");
  box.setAttribute("aria-label", label);
  const drawing = svg("svg", { "aria-hidden": "true" }, box);
  const readout = html("div", { className: "readout", hidden: true }, box);
  const spoken = html("p", { className: "spoken" }, figure);
  spoken.setAttribute("aria-live", "polite");
  return { box, drawing, readout, spoken };
}

// Fill the readout and keep it inside its box, on the wider side of the pointer.
function fillReadout(readout, heading, lines, x, y, width) {
  readout.replaceChildren(html("strong", { textContent: heading }));
  for (const { name, text, kind } of lines) {
    const line = html("div", {}, readout);
    if (kind !== undefined) html("i", { className: `swatch ${kind}` }, line);
    line.append(`${name}: ${text}`);
  }
  readout.hidden = false;
  const left = x > width / 2 ? x - readout.offsetWidth - 12 : x + 12;
  readout.style.left = `${Math.max(0, Math.min(left, width - readout.offsetWidth))}px`;
  readout.style.top = `${Math.max(0, y)}px`;
}

function button(parent, text, label, act) {
  const made = html("button", { type: "button", textContent: text, title: label, onclick: act }, parent);
  made.setAttribute("aria-label", label);
  return made;
}

// Draw again when the width changes, and once before printing.
function redrawn(box, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth && box.clientWidth !== width) {
      width = box.clientWidth;
      draw();
    }
  }).observe(box);
}

// Numbers and dates along an axis, and how a value is written.

const DAY = 864e5; // milliseconds

// A date, with the time of day where it is not midnight.
function dateText(day) {
  const text = new Date(Math.round(day * DAY)).toISOString();
  return Number.isInteger(day) ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ");
}

function numberText(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
  return value.toLocaleString("en-GB", { maximumSignificantDigits: 6 });
}

// A round number beside an axis, millions by themselves: there is little room.
function tickText(value) {
  return Math.abs(value) < 1e6 ? numberText(value) : `${numberText(value / 1e6)} M`;
}

// Round numbers between low and high, at most about `most` of them.
function numberTicks(low, high, most) {
  const rough = (high - low) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) {
    ticks.push({ at: n * step, text: tickText(Number((n * step).toPrecision(12))) });
  }
  return ticks;
}

// Powers of ten in the logarithms low and high; 2 and 5 between them where there are few.
function logTicks(low, high) {
  const factors = high - low > 2.5 ? [1] : high - low > 0.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    for (const factor of factors) {
      const at = power + Math.log10(factor);
      if (at >= low && at <= high) ticks.push({ at, text: tickText(factor * 10 ** power) });
    }
  }
  return ticks;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// First days of years or months, single days, or hours and minutes, between two days counted from 1970.
function dateTicks(low, high, most) {
  const ticks = bareDateTicks(low, high, most);
  const [first] = ticks;
  if (!first || ticks.some(({ text }) => /\d{4}/.test(text))) return ticks;
  const year = dateText(first.at).slice(0, 4); // one of them says which year it is
  first.text = /^\d\d-\d\d/.test(first.text) ? `${year}-${first.text}` : `${first.text} ${year}`;
  return ticks;
}

function bareDateTicks(low, high, most) {
  const rough = (high - low) / Math.max(most, 1);
  const ticks = [];
  if (rough < 0.5) {
    const minutes = [1, 5, 15, 30, 60, 180, 360, 720].find((step) => step / 1440 >= rough) ?? 720;
    for (let n = Math.ceil((low * 1440) / minutes); (n * minutes) / 1440 <= high; n += 1) {
      const at = (n * minutes) / 1440;
      ticks.push({ at, text: Number.isInteger(at) ? dateText(at).slice(5) : dateText(at).slice(11) });
    }
    return ticks;
  }
  if (rough <= 15) {
    const step = [1, 2, 7, 14].find((days) => days >= rough) ?? 14;
    for (let day = Math.ceil(low); day <= high; day += 1) {
      if (day % step === 0) ticks.push({ at: day, text: dateText(day).slice(5) });
    }
    return ticks;
  }
  const step = [1, 3, 6, 12, 24, 60, 120, 240, 600].find((months) => months * 30.4 >= rough) ?? 1200;
  const first = new Date(low * DAY);
  const start = first.getUTCFullYear() * 12 + first.getUTCMonth();
  for (let month = Math.ceil(start / step) * step; ; month += step) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1) / DAY;
    if (at > high) return ticks;
    const year = String(Math.floor(month / 12));
    const text = month % 12 === 0 ? year : `${MONTHS[month % 12]}${step >= 6 ? ` ${year}` : ""}`;
    if (at >= low) ticks.push({ at, text });
  }
}

// Every category that fits.
function categoryTicks(names, low, high, width) {
  const longest = Math.max(1, ...names.map((name) => name.length));
  const stride = Math.max(1, Math.ceil(((high - low) * (longest * 7 + 12)) / width));
  return names.map((text, at) => ({ at, text })).filter(({ at }) => at % stride === 0 && at >= low && at <= high);
}
