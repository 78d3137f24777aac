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
