// One line a job across the axes of what it was given, to the axis of what came of it.

class Parallel {
  constructor(figure) {
    this.spec = JSON.parse(figure.querySelector("script").textContent);
    this.ranges = new Map(); // axis -> [low, high] as heights, by dragging along it
    this.cursor = null; // place in the order of the objective
    const title = figure.querySelector("figcaption").textContent;
    this.count = html("p", { className: "tools" });
    const scroll = html("div", { className: "wide" }, figure);
    const keys = "left and right arrow keys go from job to job, best first; Escape shows all";
    Object.assign(this, stage(scroll, `${title}; ${keys}`));
    this.box.style.minWidth = `${this.spec.axes.length * 92}px`;
    figure.append(this.count, ...figure.querySelectorAll(".note"));
    this.height = 330;
    this.top = 40;
    this.listen();
    redrawn(this.box, () => this.draw());
  }

  heightOf(axis, value) {
    if (value === null || value === undefined) return null;
    const [low, high] = axis.ends;
    const share = low === high ? 0.5 : ((axis.log ? Math.log10(value) : value) - low) / (high - low);
    return this.height - 20 - share * (this.height - 20 - this.top);
  }

  draw() {
    const width = this.box.clientWidth;
    const { axes } = this.spec;
    this.drawing.replaceChildren();
    this.drawing.setAttribute("width", width);
    this.drawing.setAttribute("height", this.height);
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.place = (n) => (axes.length === 1 ? width / 2 : 46 + (n * (width - 92)) / (axes.length - 1));
    for (const axis of axes) {
      const known = axis.values.filter((value) => value !== null).map((value) => (axis.log ? Math.log10(value) : value));
      axis.ends = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
    }
    for (const job of [...this.spec.order].reverse()) this.job(job); // the best on top
    axes.forEach((axis, n) => this.axis(axis, n));
    this.near = svg("g", {}, this.drawing);
    this.read(false);
  }

  // Places of a job's line: gaps where it has no value.
  points(job) {
    return this.spec.axes.map((axis, n) => [this.place(n), this.heightOf(axis, axis.values[job])]);
  }

  line(job) {
    let open = false;
    return this.points(job).reduce((path, [x, y]) => {
      const next = y === null ? path : `${path}${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      open = y !== null;
      return next;
    }, "");
  }

  kept(job) {
    return [...this.ranges].every(([n, [low, high]]) => {
      const y = this.heightOf(this.spec.axes[n], this.spec.axes[n].values[job]);
      return y !== null && y >= low && y <= high;
    });
  }

  job(job) {
    const share = this.spec.order.length > 1 ? this.spec.order.indexOf(job) / (this.spec.order.length - 1) : 0;
    const shade = job === this.spec.best ? "best" : `tier${Math.min(3, Math.floor(share * 4))}`;
    return svg("path", { d: this.line(job), class: `job ${shade}${this.kept(job) ? "" : " out"}` }, this.drawing);
  }

  axis(axis, n) {
    const x = this.place(n);
    svg("line", { x1: x, x2: x, y1: this.top, y2: this.height - 20, class: "axis" }, this.drawing);
    const short = axis.short.length > 14 ? `${axis.short.slice(0, 13)}…` : axis.short;
    const title = svg("text", { x, y: this.top - 24, "text-anchor": "middle", class: "name" }, this.drawing, short);
    svg("title", {}, title, axis.name);
    for (const { at, text } of this.ticks(axis)) {
      const y = this.heightOf({ ...axis, log: false }, at);
      svg("line", { x1: x - 3, x2: x + 3, y1: y, y2: y, class: "axis" }, this.drawing);
      svg("text", { x: x + 6, y: y + 4 }, this.drawing, text.length > 12 ? `${text.slice(0, 11)}…` : text);
    }
    if (!this.ranges.has(n)) return;
    const [low, high] = this.ranges.get(n);
    svg("rect", { x: x - 7, width: 14, y: low, height: high - low, class: "range" }, this.drawing);
  }

  ticks(axis) {
    const [low, high] = axis.ends;
    const own = [...new Set(axis.values)].filter((value) => value !== null);
    if (axis.names) return axis.names.map((text, at) => ({ at, text }));
    if (own.length <= 6) return own.map((value) => ({ at: axis.log ? Math.log10(value) : value, text: numberText(value) }));
    return axis.log ? logTicks(low, high) : numberTicks(low, high, 5);
  }

  listen() {
    let drag = null;
    const at = (event) => {
      const edge = this.drawing.getBoundingClientRect();
      return { x: event.clientX - edge.left, y: event.clientY - edge.top };
    };
    this.box.addEventListener("pointerdown", (event) => {
      const { x, y } = at(event);
      const n = this.spec.axes.findIndex((_, place) => Math.abs(this.place(place) - x) < 14);
      if (event.button === 0 && n >= 0) drag = { n, y };
    });
    this.box.addEventListener("pointermove", (event) => {
      const { x, y } = at(event);
      if (!drag) {
        this.cursor = this.nearest(x, y);
        return this.read(false);
      }
      this.box.setPointerCapture(event.pointerId);
      this.ranges.set(drag.n, [Math.min(drag.y, y), Math.max(drag.y, y)]);
      return this.draw();
    });
    this.box.addEventListener("pointerup", (event) => {
      if (drag && Math.abs(at(event).y - drag.y) < 4) this.ranges.delete(drag.n);
      drag = null;
      this.draw();
    });
    this.box.addEventListener("pointercancel", () => (drag = null));
    this.box.addEventListener("pointerleave", () => this.leave());
    this.box.addEventListener("blur", () => this.leave());
    this.box.addEventListener("dblclick", () => this.all());
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  leave() {
    this.cursor = null;
    this.read(false);
  }

  all() {
    this.ranges.clear();
    this.cursor = null;
    this.draw();
  }

  key(event) {
    const last = this.spec.order.length - 1;
    const acts = {
      ArrowLeft: () => (this.cursor = Math.max(0, (this.cursor ?? 1) - 1)),
      ArrowRight: () => (this.cursor = Math.min(last, (this.cursor ?? -1) + 1)),
      Escape: () => this.all(),
    };
    if (!acts[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    acts[event.key]();
    this.read(true);
  }

  nearest(x, y) {
    let best = null;
    this.spec.order.forEach((job, rank) => {
      if (!this.kept(job)) return;
      const points = this.points(job);
      for (let n = 0; n + 1 < Math.max(points.length, 2); n += 1) {
        const [[x1, y1], [x2, y2]] = [points[n], points[n + 1] ?? points[n]];
        if (y1 === null || y2 === null || x < x1 - 1 || x > x2 + 1) continue;
        const far = Math.abs(y1 + (y2 - y1) * (x2 > x1 ? (x - x1) / (x2 - x1) : 0) - y);
        if (far < 15 && (!best || far < best.far)) best = { rank, far };
      }
    });
    return best && best.rank;
  }

  read(aloud) {
    const { axes, names, order } = this.spec;
    const left = order.filter((job) => this.kept(job)).length;
    this.count.textContent = `${left} of ${order.length} jobs${this.ranges.size ? " in the ranges chosen; double-click shows all" : "; drag along an axis to choose a range"}`;
    this.near.replaceChildren();
    if (this.cursor === null) {
      this.readout.hidden = true;
      return;
    }
    const job = order[this.cursor];
    svg("path", { d: this.line(job), class: "job chosen" }, this.near);
    const text = (axis) => (axis.values[job] !== null && axis.names ? axis.names[axis.values[job]] : numberText(axis.values[job]));
    const lines = axes.map((axis) => ({ name: axis.name, text: text(axis) }));
    const [x] = this.points(job)[Math.floor(axes.length / 2)];
    fillReadout(this.readout, names[job], lines, x, this.top, this.box.clientWidth);
    if (aloud) this.spoken.textContent = `${names[job]}. ${lines.map((line) => `${line.name} ${line.text}`).join(", ")}`;
  }
}
