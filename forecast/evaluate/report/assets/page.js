// A table whose columns sort by a click on their heads.

function sortable(table) {
  const body = table.tBodies[0];
  const value = (row, column) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const number = Number(text.replaceAll(",", "").replace("−", "-"));
    return text === "" || text === "-" ? null : Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (!head.textContent) return;
    const key = html("button", { type: "button", textContent: head.textContent });
    head.replaceChildren(key);
    key.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      // what is unknown stays at the end, whichever way
      rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : compare(a, b) * (down ? -1 : 1)));
      body.append(...rows.map(([, row]) => row));
    });
  });
}

// Everything that is to come alive, once, wherever the page stands.

for (const [selector, make] of [
  ["figure.chart", (figure) => new Chart(figure)],
  ["figure.parallel", (figure) => new Parallel(figure)],
  ["table.sortable", (table) => sortable(table)],
]) {
  for (const found of document.querySelectorAll(selector)) {
    if (found.dataset.alive) continue;
    found.dataset.alive = "yes";
    make(found);
  }
}
