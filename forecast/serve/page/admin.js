// What an operator does: retrain, watch the job, end it, roll back. Each asks for the admin key where one is wanted.

const JOB_EVERY = 1000; // ms between two looks at a job
let job = null; // the name of the one that is watched
let wanted = null; // what to do once the admin key was typed

// Do something that may need the admin key; a refusal for want of it asks for the key and does it then.
async function asAdmin(act) {
  trouble(byId("admin-trouble"), "");
  try {
    await act();
  } catch (error) {
    if (needsKey(error)) return askAdminKey(act, error.message);
    if (!(error instanceof Refusal)) throw error;
    trouble(byId("admin-trouble"), error.message);
  }
}

function needsKey(error) {
  return error instanceof Refusal && error.status === 401;
}

function askAdminKey(act, message) {
  const tried = keys.admin !== "";
  store("admin", "");
  wanted = act;
  byId("admin-login").hidden = false;
  byId("admin-login-trouble").textContent = tried ? capital(message) : "";
  byId("admin-key").value = "";
  byId("admin-key").focus();
}

function unlockAdmin() {
  const key = typedKey("admin-key", "admin-login-trouble");
  if (!key) return;
  store("admin", key);
  byId("admin-login").hidden = true;
  asAdmin(wanted);
}

async function retrain() {
  const period = byId("period").value.trim();
  const body = period ? { period } : {};
  try {
    job = (await ask("train/update?wait=false", { body, admin: true })).job;
  } catch (error) {
    const [, other] = /\/train\/([\w-]+)/.exec(error.message) ?? [];
    if (!other) throw error;
    job = other; // it is at work already: of another tab, or of this one before it was loaded again
  }
  await watchJob();
}

async function watchJob() {
  byId("retrain").disabled = true;
  byId("cancel").hidden = false;
  try {
    for (;;) {
      const state = await ask(`train/${job}`, { admin: true });
      await showLog(); // first: who reads how the job ended finds all that it printed
      byId("job").textContent = jobText(state);
      showProgress(state);
      if (state.state !== "running") break;
      await new Promise((done) => setTimeout(done, JOB_EVERY));
    }
  } finally {
    byId("retrain").disabled = false;
    byId("cancel").hidden = true;
    byId("job-progress").hidden = true;
  }
  await showChampions();
}

// How far it is, where that is known; a bar without a value says that something goes on.
function showProgress({ state, phase, progress }) {
  const bar = byId("job-progress");
  const { epoch, max_epochs: most } = progress;
  bar.hidden = state !== "running";
  if (phase === "training" && epoch && most) bar.value = epoch / most;
  else bar.removeAttribute("value");
}

async function showLog() {
  const { lines } = await ask(`train/${job}/log`, { admin: true });
  const place = byId("job-log");
  const atEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 4;
  byId("job-details").hidden = !lines.length;
  place.textContent = lines.join("\n");
  if (atEnd) place.scrollTop = place.scrollHeight;
}

function jobText({ state, phase, seconds, progress, message }) {
  if (state !== "running") return `${capital(state)} after ${agoText(seconds)}: ${message}`;
  const { epoch, fold, max_epochs: most } = progress;
  const done = epoch ?? fold;
  const part = done === undefined ? "" : `, ${epoch ? "epoch" : "fold"} ${done}${most ? ` of ${most}` : ""}`;
  return `${capital(phase)}${part}, for ${agoText(seconds)}`;
}

async function cancelJob() {
  const state = await ask(`train/${job}`, { method: "DELETE", admin: true });
  byId("job").textContent = jobText(state);
}

async function rollBack() {
  const answer = await ask("champion/rollback", { method: "POST", admin: true });
  byId("job").textContent = capital(answer.message);
  await showChampions();
}

// Nothing is undone by one click: the button asks again.
function confirmed(button, question, act) {
  const text = button.textContent;
  let asked = false;
  button.addEventListener("blur", () => {
    asked = false;
    button.textContent = text;
  });
  button.addEventListener("click", () => {
    if (asked) asAdmin(act);
    asked = !asked;
    button.textContent = asked ? question : text;
  });
}

let kept = []; // champions, newest first

// Figures of two of them, side by side.
function compare() {
  const [first, second] = ["compare-first", "compare-second"].map((name) => kept.find((one) => one.name === byId(name).value));
  const names = Object.keys({ ...first.figures, ...second.figures });
  const rows = names.map((name) => {
    const [one, other] = [first.figures[name], second.figures[name]];
    const known = Number.isFinite(one) && Number.isFinite(other);
    return [name, figureText(one), figureText(other), known ? figureText(other - one) : "-"];
  });
  const facts = ["model", "target", "tickers", "promoted", "label"].map((name) => [name, first[name] ?? "-", second[name] ?? "-", ""]);
  const head = ["", first.name, second.name, "second less first"];
  table(byId("comparison"), "Two champions compared", [head, ...facts, ...rows]);
}

function figureText(value) {
  return Number.isFinite(value) ? Number(value.toPrecision(5)).toString() : "-";
}

function offerComparison() {
  byId("compare").hidden = kept.length < 2;
  byId("comparison").replaceChildren();
  ["compare-first", "compare-second"].forEach((name, place) => {
    byId(name).replaceChildren(...kept.map((one) => html("option", { value: one.name, textContent: one.name })));
    if (kept.length > 1) byId(name).value = kept[1 - place].name;
  });
}

async function showChampions() {
  const { champions, note } = await ask("ui/champions");
  kept = champions;
  offerComparison();
  byId("rollback").disabled = champions.filter((one) => one.in_line).length < 2;
  const rows = champions.map((one) => [
    one.name, one.current ? "current" : one.in_line ? "kept" : "rolled back", one.promoted ?? "-", one.figure, one.label,
  ]);
  if (!rows.length) return byId("champions").replaceChildren(html("p", { textContent: capital(note ?? "") }));
  return table(byId("champions"), "Champions", [["champion", "state", "since", "chosen by", "verdict"], ...rows]);
}
