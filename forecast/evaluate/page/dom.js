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

// Fill the readout and keep it inside its box, on the side of the pointer that has room.
function tell(readout, heading, lines, x, y, width) {
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
