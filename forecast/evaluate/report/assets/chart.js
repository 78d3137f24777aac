// Lines, dots, bars and bands over one axis: hover and arrow keys read values, a drag selects a range.

const MARGIN = { left: 58, right: 12, top: 22, bottom: 26 };
const LABEL = 14; // a line for the unit of x
const FEW = 40; // points that are dots as well as a line

class Chart {
  constructor(figure) {
    this.spec = JSON.parse(figure.querySelector("script").textContent);
    this.x = this.spec.x.values;
    this.whole = this.span();
    this.view = this.whole;
    this.hidden = new Set();
    this.cursor = null; // { index, series }
    this.bottom = MARGIN.bottom + (this.spec.x.label ? LABEL : 0);
    this.height = 280 + this.bottom;
    const title = figure.querySelector("figcaption").textContent;
    const keys = "arrow keys read values, plus and minus zoom, Shift and arrow keys move, Escape shows all";
    if (this.spec.legend !== false) this.keys(html("div", { className: "keys" }, figure));
    Object.assign(this, stage(figure, `${title}; ${keys}`));
    this.tools(html("div", { className: "tools" }, figure));
    figure.append(...figure.querySelectorAll(".note"));
    this.listen();
    redrawn(this.box, () => this.draw());
  }

  span() {
    if (this.spec.x.kind === "category") return [-0.5, this.spec.x.names.length - 0.5];
    const low = this.x[0];
    const high = this.x[this.x.length - 1];
    const space = low === high ? Math.abs(low) * 0.05 || 1 : this.spec.x.kind === "date" ? 0 : (high - low) * 0.03;
    return [low - space, high + space];
  }

  shown() {
    return this.spec.series.filter((_, place) => !this.hidden.has(place));
  }

  keys(parent) {
    this.spec.series.forEach((series, place) => {
      const key = button(parent, "", `${series.name}: show or hide`, () => {
        if (!this.hidden.delete(place)) this.hidden.add(place);
        key.setAttribute("aria-pressed", String(!this.hidden.has(place)));
        this.draw();
      });
      key.setAttribute("aria-pressed", "true");
      html("i", { className: `swatch ${series.kind} ${series.role}` }, key);
      key.append(series.name);
    });
    for (const level of this.spec.levels ?? []) {
      const key = html("span", {}, parent);
      html("i", { className: `swatch line ${level.role}` }, key);
      key.append(level.name);
    }
  }

  tools(parent) {
    button(parent, "+", "Zoom in", () => this.zoom(0.5));
    button(parent, "−", "Zoom out", () => this.zoom(2));
    button(parent, "←", "Move to the left", () => this.pan(-0.25));
    button(parent, "→", "Move to the right", () => this.pan(0.25));
    button(parent, "all", "Show all", () => this.look(...this.whole));
    html("span", { textContent: "drag to zoom in" }, parent);
  }

  look(low, high) {
    const least = (this.whole[1] - this.whole[0]) * 0.005;
    if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
    const width = Math.min(high - low, this.whole[1] - this.whole[0]);
    low = Math.min(Math.max(low, this.whole[0]), this.whole[1] - width);
    this.view = [low, low + width];
    this.draw();
  }

  zoom(factor) {
    const half = ((this.view[1] - this.view[0]) * factor) / 2;
    const middle = this.cursor ? this.x[this.cursor.index] : (this.view[0] + this.view[1]) / 2;
    this.look(middle - half, middle + half);
  }

  pan(share) {
    const step = (this.view[1] - this.view[0]) * share;
    this.look(this.view[0] + step, this.view[1] + step);
  }

  // Heights are logarithms where the axis is.
  up(value) {
    if (value === null || value === undefined) return null;
    return this.spec.y.log ? (value > 0 ? Math.log10(value) : null) : value;
  }

  heights() {
    const found = (this.spec.levels ?? []).map((level) => this.up(level.at)).filter((value) => value !== null);
    if (this.spec.y.zero) found.push(0);
    for (const series of this.shown()) {
      for (const column of [series.values, series.lower, series.upper]) {
        column?.forEach((value, n) => {
          const inside = this.x[n] >= this.view[0] && this.x[n] <= this.view[1];
          if (inside && this.up(value) !== null) found.push(this.up(value));
        });
      }
    }
    let low = found.reduce((a, b) => Math.min(a, b), Infinity);
    let high = found.reduce((a, b) => Math.max(a, b), -Infinity);
    if (low > high) [low, high] = [0, 1];
    const space = low === high ? Math.abs(low) * 0.05 || 1 : (high - low) * 0.05;
    return [low - space, high + space];
  }

  draw() {
    const width = this.box.clientWidth;
    this.inner = { width: width - MARGIN.left - MARGIN.right, height: this.height - MARGIN.top - this.bottom };
    const [low, high] = this.heights();
    this.across = (x) => ((x - this.view[0]) / (this.view[1] - this.view[0])) * this.inner.width;
    this.down = (y) => this.inner.height - ((this.up(y) - low) / (high - low)) * this.inner.height;
    this.drawing.replaceChildren();
    this.drawing.setAttribute("width", width);
    this.drawing.setAttribute("height", this.height);
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${this.height}`); // shrinks on paper
    this.axes(low, high);
    const place = { x: MARGIN.left, y: MARGIN.top, width: this.inner.width, height: this.inner.height };
    this.area = svg("svg", place, this.drawing); // clips what lies outside
    for (const mark of this.spec.marks ?? []) this.mark(mark);
    for (const level of this.spec.levels ?? []) this.level(level);
    if (this.spec.diagonal) this.diagonal(low, high);
    this.lines = new Map(this.shown().map((series) => [series, this.series(series)]));
    this.pointer = svg("g", { class: "pointer" }, this.area);
    this.read(false);
  }

  axes(low, high) {
    const [left, right] = this.view;
    const most = this.inner.width / 80;
    const kinds = { date: dateTicks, number: numberTicks };
    const x = this.spec.x.kind === "category"
      ? categoryTicks(this.spec.x.names, left, right, this.inner.width)
      : kinds[this.spec.x.kind](left, right, most).filter(({ at }) => !this.spec.x.whole || Number.isInteger(at));
    const y = this.spec.y.log ? logTicks(low, high) : numberTicks(low, high, this.inner.height / 45);
    const group = svg("g", { class: "axes", transform: `translate(${MARGIN.left},${MARGIN.top})` }, this.drawing);
    for (const { at, text } of y) {
      const height = this.inner.height - ((at - low) / (high - low)) * this.inner.height;
      svg("line", { x1: 0, x2: this.inner.width, y1: height, y2: height }, group);
      svg("text", { x: -6, y: height + 4, "text-anchor": "end" }, group, text);
    }
    for (const { at, text } of x) {
      const place = this.across(at);
      svg("line", { x1: place, x2: place, y1: this.inner.height, y2: this.inner.height + 4 }, group);
      const half = text.length * 3.5;
      const anchor = place + half > this.inner.width + MARGIN.right ? "end" : "middle";
      svg("text", { x: place, y: this.inner.height + 17, "text-anchor": anchor }, group, text);
    }
    svg("text", { x: -MARGIN.left + 2, y: -9, class: "unit" }, group, this.spec.y.label);
    const unit = { x: this.inner.width, y: this.inner.height + 33, "text-anchor": "end", class: "unit" };
    svg("text", unit, group, this.spec.x.label ?? "");
  }

  mark({ at, text }) {
    const x = this.across(at);
    svg("line", { x1: x, x2: x, y1: 0, y2: this.inner.height, class: "mark" }, this.area);
    const late = x > this.inner.width - 7 * text.length; // written to the left, where it is not cut off
    svg("text", { x: x + (late ? -3 : 3), y: 10, class: "unit", "text-anchor": late ? "end" : "start" }, this.area, text);
  }

  level({ at, role }) {
    const y = this.down(at);
    svg("line", { x1: 0, x2: this.inner.width, y1: y, y2: y, class: `line ${role}` }, this.area);
  }

  diagonal(low, high) {
    const [left, right] = [Math.max(low, this.view[0]), Math.min(high, this.view[1])];
    const ends = { x1: this.across(left), x2: this.across(right), y1: this.down(left), y2: this.down(right) };
    svg("line", { ...ends, class: "line naive" }, this.area);
  }

  // Places of the points in view, with a neighbour on either side for lines that leave it.
  places() {
    const first = this.x.findIndex((x) => x >= this.view[0]);
    const last = this.x.findLastIndex((x) => x <= this.view[1]);
    const places = [];
    for (let n = Math.max(0, first - 1); first >= 0 && n <= Math.min(this.x.length - 1, last + 1); n += 1) places.push(n);
    return places;
  }

  series(series) {
    const style = `${series.kind} ${series.role}`;
    const places = this.places();
    if (series.kind === "band") return this.band(series, places, style);
    const points = places.filter((n) => this.up(series.values[n]) !== null);
    const group = svg("g", { class: style }, this.area);
    if (series.kind === "bars") this.bars(series, points, group);
    if (series.kind === "line") svg("path", { d: this.path(series.values, places), class: style }, group);
    if (series.kind === "dots" || points.length <= (series.dots ?? FEW)) {
      if (series.kind !== "bars") for (const n of points) this.dot(n, series.values[n], group, series.kind === "dots" ? 3.5 : 2.5);
    }
    if (series.lower && series.kind !== "band") this.whiskers(series, points, group);
    return group;
  }

  path(values, places) {
    let path = "";
    let open = false;
    for (const n of places) {
      const known = this.up(values[n]) !== null;
      if (known) path += `${open ? "L" : "M"}${this.across(this.x[n]).toFixed(1)} ${this.down(values[n]).toFixed(1)}`;
      open = known;
    }
    return path;
  }

  band(series, places, style) {
    const known = places.filter((n) => this.up(series.lower[n]) !== null && this.up(series.upper[n]) !== null);
    const edge = (column, n) => `${this.across(this.x[n]).toFixed(1)} ${this.down(column[n]).toFixed(1)}`;
    const there = known.map((n) => edge(series.upper, n));
    const back = known.map((n) => edge(series.lower, n)).reverse();
    return svg("path", { d: known.length ? `M${there.join("L")}L${back.join("L")}Z` : "", class: style }, this.area);
  }

  bars(series, points, group) {
    const slot = this.x.length > 1 ? this.across(this.x[1]) - this.across(this.x[0]) : this.inner.width / 3;
    const width = Math.max(1, slot * 0.8);
    const base = this.down(0);
    for (const n of points) {
      const top = this.down(series.values[n]);
      const box = { x: this.across(this.x[n]) - width / 2, width, y: Math.min(top, base), height: Math.abs(top - base) };
      svg("rect", { ...box, class: `bars ${series.role}` }, group);
    }
  }

  whiskers(series, points, group) {
    for (const n of points) {
      if (series.lower[n] === null || series.upper[n] === null) continue;
      const x = this.across(this.x[n]);
      const ends = { x1: x, x2: x, y1: this.down(series.lower[n]), y2: this.down(series.upper[n]) };
      svg("line", { ...ends, class: `whisker ${series.role}` }, group);
    }
  }

  dot(n, value, parent, size) {
    svg("circle", { cx: this.across(this.x[n]).toFixed(1), cy: this.down(value).toFixed(1), r: size }, parent);
  }
}

// Pointer and keys over a chart: values under the cursor, a range by dragging.

Object.assign(Chart.prototype, {
  listen() {
    let start = null;
    let box = null;
    const at = (event) => {
      const edge = this.drawing.getBoundingClientRect();
      return { x: event.clientX - edge.left - MARGIN.left, y: event.clientY - edge.top - MARGIN.top };
    };
    const value = (x) => this.view[0] + (Math.min(Math.max(x, 0), this.inner.width) / this.inner.width) * (this.view[1] - this.view[0]);
    const drop = () => {
      box?.remove();
      start = box = null;
    };
    this.box.addEventListener("pointerdown", (event) => {
      if (event.button === 0) start = at(event).x;
    });
    this.box.addEventListener("pointermove", (event) => {
      const point = at(event);
      this.cursor = this.nearest(point);
      this.read(false);
      if (start === null) return;
      if (!box) {
        this.box.setPointerCapture(event.pointerId);
        box = svg("rect", { y: 0, height: this.inner.height, class: "range" }, this.area);
      }
      box.setAttribute("x", Math.min(start, point.x));
      box.setAttribute("width", Math.abs(point.x - start));
    });
    this.box.addEventListener("pointerup", (event) => {
      const end = at(event).x;
      const [from, dragged] = [start, box !== null && Math.abs(end - start) > 8];
      drop();
      if (dragged) this.look(...[value(from), value(end)].sort((a, b) => a - b));
    });
    this.box.addEventListener("pointercancel", drop);
    this.box.addEventListener("pointerleave", () => {
      if (!box) this.leave();
    });
    this.box.addEventListener("blur", () => this.leave());
    this.box.addEventListener("dblclick", () => this.look(...this.whole));
    this.box.addEventListener("keydown", (event) => this.key(event));
  },

  leave() {
    this.cursor = null;
    this.read(false);
  },

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const acts = {
      ArrowLeft: () => (event.shiftKey ? this.pan(-0.25) : this.step(-1)),
      ArrowRight: () => (event.shiftKey ? this.pan(0.25) : this.step(1)),
      ArrowUp: () => this.other(-1),
      ArrowDown: () => this.other(1),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      Escape: () => {
        this.leave();
        this.look(...this.whole);
      },
    };
    const scrolls = this.spec.hover !== "nearest" && ["ArrowUp", "ArrowDown"].includes(event.key);
    if (!acts[event.key] || scrolls) return; // the page's own key
    event.preventDefault();
    acts[event.key]();
  },

  known(series, n) {
    return this.up(series.values?.[n] ?? series.upper?.[n]) !== null;
  },

  // The next place that has a value and is in view.
  step(by) {
    const series = this.cursor?.series ?? this.shown().find((one) => one.values) ?? null;
    const last = this.x.length - 1;
    let n = this.cursor ? this.cursor.index + by : by > 0 ? 0 : last;
    while (n >= 0 && n <= last && (this.x[n] < this.view[0] || (series && !this.known(series, n)))) n += by;
    if (n < 0 || n > last) return;
    this.cursor = { index: n, series };
    const width = this.view[1] - this.view[0];
    if (this.x[n] > this.view[1] || this.x[n] < this.view[0]) this.look(this.x[n] - width / 2, this.x[n] + width / 2);
    this.read(true);
  },

  other(by) {
    const shown = this.shown().filter((series) => series.values);
    if (!shown.length) return;
    const place = shown.indexOf(this.cursor?.series) + by;
    const series = shown[(place + shown.length) % shown.length];
    const index = this.cursor?.index ?? 0;
    const known = this.known(series, index) ? index : this.x.findIndex((_, n) => this.known(series, n));
    if (known < 0) return;
    this.cursor = { index: known, series };
    this.read(true);
  },

  nearest(point) {
    if (this.spec.hover === "nearest") return this.nearestDot(point);
    let best = null;
    for (const n of this.places()) {
      const far = Math.abs(this.across(this.x[n]) - point.x);
      if (this.x[n] >= this.view[0] && this.x[n] <= this.view[1] && (!best || far < best.far)) best = { index: n, far };
    }
    return best && { index: best.index, series: null };
  },

  nearestDot(point) {
    let best = null;
    const places = this.places();
    for (const series of this.shown()) {
      if (!series.values) continue;
      for (const n of places) {
        if (!this.known(series, n)) continue;
        const far = Math.hypot(this.across(this.x[n]) - point.x, this.down(series.values[n]) - point.y);
        if (!best || far < best.far) best = { index: n, series, far };
      }
    }
    return best && best.far < 60 ? best : null;
  },

  // Show what stands at the cursor; aloud when it was moved by keys.
  read(aloud) {
    this.pointer.replaceChildren();
    for (const group of this.lines.values()) group.classList.remove("near");
    if (!this.cursor) {
      this.readout.hidden = true;
      return;
    }
    const { index, series } = this.cursor;
    const single = this.spec.hover === "nearest" && series;
    const named = (single ? [series] : this.shown()).filter((one) => this.known(one, index));
    const x = this.across(this.x[index]);
    if (!single) svg("line", { x1: x, x2: x, y1: 0, y2: this.inner.height, class: "cross" }, this.pointer);
    for (const one of named) if (one.values && one.kind !== "bars") this.dot(index, one.values[index], this.pointer, 4.5);
    if (single) this.lines.get(series)?.classList.add("near");
    const lines = named.map((one) => ({ name: one.name, text: this.text(one, index), kind: `${one.kind} ${one.role}` }));
    const heading = this.heading(index);
    fillReadout(this.readout, heading, lines, x + MARGIN.left, MARGIN.top, this.box.clientWidth);
    if (aloud) this.spoken.textContent = `${heading}. ${lines.map(({ name, text }) => `${name} ${text}`).join(", ")}`;
  },

  heading(index) {
    const { kind, names, label } = this.spec.x;
    if (kind === "category") return names[index];
    const text = kind === "date" ? dateText(this.x[index]) : `${label ?? ""} ${numberText(this.x[index])}`.trim();
    return this.spec.notes ? `${this.spec.notes[index]}; ${text}` : text;
  },

  text(series, index) {
    const bounds = series.lower ? `${numberText(series.lower[index])} to ${numberText(series.upper[index])}` : "";
    if (!series.values) return bounds;
    return numberText(series.values[index]) + (bounds ? ` (${bounds})` : "");
  },
});
