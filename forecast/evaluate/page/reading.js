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
    const told = (single ? [series] : this.shown()).filter((one) => this.known(one, index));
    const x = this.across(this.x[index]);
    if (!single) svg("line", { x1: x, x2: x, y1: 0, y2: this.inner.height, class: "cross" }, this.pointer);
    for (const one of told) if (one.values && one.kind !== "bars") this.dot(index, one.values[index], this.pointer, 4.5);
    if (single) this.lines.get(series)?.classList.add("near");
    const lines = told.map((one) => ({ name: one.name, text: this.text(one, index), kind: `${one.kind} ${one.role}` }));
    const heading = this.heading(index);
    tell(this.readout, heading, lines, x + MARGIN.left, MARGIN.top, this.box.clientWidth);
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
