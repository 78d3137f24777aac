// Charts whose numbers change.

// A new chart in a place, instead of the one that stood there.
function plot(parent, title, spec) {
  const figure = html("figure", { className: "chart" });
  html("figcaption", { textContent: title }, figure);
  html("script", { type: "application/json", textContent: JSON.stringify(spec) }, figure);
  parent.replaceChildren(figure);
  return new Chart(figure);
}

// Other numbers for the same series: what is hidden, chosen or zoomed stays so.
function renew(chart, spec, whole = null) {
  const zoomed = chart.view.some((end, n) => end !== chart.whole[n]);
  chart.spec = spec;
  chart.x = spec.x.values;
  chart.whole = whole ?? chart.span();
  if (!zoomed) chart.view = chart.whole;
  chart.cursor = null;
  if (chart.box.clientWidth) chart.draw();
}

// Room to the right of the last day, and only the last days at first.
function lookAtEnd(chart, days) {
  const [low, high] = chart.whole;
  const from = Math.max(low, chart.x[Math.max(0, chart.x.length - Math.floor(days))]);
  const room = Math.max(1, (high - from) * 0.02);
  chart.whole = [low, high + room];
  chart.view = from > low ? [from, high + room] : chart.whole;
  if (chart.box.clientWidth) chart.draw();
}
