// The model that is served: the verdict on it, at the head of the page and in figures below.

let about = null; // what the server says of the model

async function meet(stop) {
  about = await ask("ui/model", { stop });
  byId("subject").textContent = about.subject;
  const head = byId("verdict");
  head.textContent = capital(about.verdict);
  head.className = about.tone;
  byId("version").textContent = `model ${about.model_version}`;
  document.title = `forecast: ${about.tickers.slice(0, 3).join(", ")}`;
  judged();
}

function judged() {
  const place = byId("figures");
  const figures = html("div", {});
  table(figures, "Figures on validation and test", about.table, 2);
  const lines = [...about.champion, ...about.findings].map((text) => html("li", { textContent: capital(text) }));
  const told = html("ul", { className: "findings" });
  told.append(...lines);
  const warned = about.warnings.map((text) => html("p", { className: "warning", textContent: `Warning: ${text}` }));
  const legend = html("details", { className: "legend" });
  html("summary", { textContent: "What the words mean" }, legend);
  const meanings = html("ul", {}, legend);
  meanings.append(...about.legend.map((text) => html("li", { textContent: text })));
  place.replaceChildren(...warned, figures, told, legend);
}
