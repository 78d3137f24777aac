// Requests to the server, the keys they need, and values in words.

const BASE = new URL(location.pathname.replace(/ui\/?$/, ""), location.origin);
const STORED = { user: "forecast.key", admin: "forecast.admin-key" };
const keys = { user: stored("user"), admin: stored("admin") };

class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// A key of this tab; a browser that forbids storage has the one typed last.
function stored(who) {
  try {
    return sessionStorage.getItem(STORED[who]) ?? "";
  } catch {
    return "";
  }
}

function store(who, key) {
  keys[who] = key;
  try {
    if (key) sessionStorage.setItem(STORED[who], key);
    else sessionStorage.removeItem(STORED[who]);
  } catch {
    // it lasts as long as the page
  }
}

// The answer as JSON. Whatever else comes is a Refusal in one line; of a newer question, an AbortError.
async function ask(path, { body, stop, method, admin = false, seconds = 60 } = {}) {
  const headers = { Accept: "application/json" };
  const key = (admin && keys.admin) || keys.user;
  if (key) headers["X-API-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const late = AbortSignal.timeout(seconds * 1000);
  const request = {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: stop ? AbortSignal.any([stop, late]) : late,
    cache: "no-store",
  };
  let response;
  let answer;
  try {
    response = await fetch(new URL(path, BASE), request);
    answer = await response.json();
  } catch (error) {
    if (stop?.aborted) throw error;
    if (late.aborted) throw new Refusal(0, `no answer within ${seconds} seconds`);
    if (!response) throw new Refusal(0, "the server cannot be reached");
    throw new Refusal(response.status, `the server answered ${response.status} and no JSON`);
  }
  if (response.ok) return answer;
  const detail = typeof answer?.detail === "string" ? answer.detail : `the server answered ${response.status}`;
  throw new Refusal(response.status, detail);
}

// A job of which only the newest run counts: what it asked before is dropped.
function newest(job) {
  let last = null;
  return async (...values) => {
    last?.abort();
    const own = (last = new AbortController());
    try {
      await job(own.signal, ...values);
    } catch (error) {
      if (own.signal.aborted) return;
      if (error instanceof Refusal && error.status === 401) return lock(error.message);
      throw error;
    }
  };
}
const byId = (name) => document.getElementById(name);

// As prices are quoted: cents of a dear one, more digits of a cheap one.
function priceText(value) {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (size < 1) return numberText(value);
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: size < 10 ? 4 : 2 };
  return value.toLocaleString("en-GB", digits);
}

// A value of what the model forecasts, in its unit; in a table, whose head names it, without the unit's name.
function valueText(value, named = true) {
  if (value === null || value === undefined) return "-";
  switch (about.unit) {
    case "price": return priceText(value);
    case "probability": return shareText(value);
    case "fraction": return shareText(value, 2);
    case "log return": return percentText(Math.expm1(value));
    case "percent a year": return `${value.toFixed(1)} %${named ? " a year" : ""}`;
    default: return named ? `${numberText(value)} ${about.unit}` : tickText(Number(value.toPrecision(4)));
  }
}

function percentText(share, digits = 2) {
  const text = (100 * share).toFixed(digits);
  return `${share >= 0 && Number(text) !== 0 ? "+" : ""}${text} %`;
}

// A share between 0 and 1, without a sign.
function shareText(share, digits = 1) {
  return share === null || share === undefined ? "-" : `${(100 * share).toFixed(digits)} %`;
}

function levelText(level) {
  return `${Number((100 * level).toPrecision(4))} %`;
}

function millisText(ms) {
  if (ms === null || ms === undefined) return "-";
  return ms >= 1000 ? `${(ms / 1000).toPrecision(3)} s` : `${Number(ms.toPrecision(3))} ms`;
}

// The two largest units of a time.
function agoText(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const parts = [];
  let left = Math.max(0, Math.round(seconds));
  for (const [size, name] of units) {
    if (left >= size && parts.length < 2) parts.push(`${Math.floor(left / size)} ${name}`);
    else if (parts.length) break;
    left %= size;
  }
  return parts.join(" ") || "0 s";
}

const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

function dayText(date) {
  return `${WEEKDAYS[new Date(Date.parse(date)).getUTCDay()]} ${timeText(date)}`;
}

// When a bar begins, as it is read: 2026-11-30, or 2026-11-30 14:30 UTC.
function timeText(date) {
  return date.replace("T", " ").replace("Z", " UTC");
}

function capital(sentence) {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

// A line that is there only while something is wrong.
function trouble(line, message) {
  line.textContent = message ? capital(message) : "";
  line.hidden = !message;
}

function notes(list, lines) {
  list.replaceChildren(...lines.map((text) => html("li", { textContent: capital(text) })));
}

// A table of plain texts, header first; the first column heads its rows. A wide one scrolls by itself.
function table(parent, label, rows, labels = 1) {
  const around = html("div", { className: "wide", tabIndex: 0 });
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", label);
  const made = html("table", {}, around);
  rows.forEach((cells, place) => {
    const part = place === 0 ? html("thead", {}, made) : (made.tBodies[0] ?? html("tbody", {}, made));
    const row = html("tr", {}, part);
    cells.forEach((text, column) => {
      const scope = place === 0 ? "col" : "row";
      if (place === 0 || column < labels) html("th", { textContent: text, scope }, row);
      else html("td", { textContent: text }, row);
    });
  });
  parent.replaceChildren(around);
}
// The login form, in place of all else as soon as an answer is 401.
function lock(message) {
  const tried = keys.user !== "";
  store("user", "");
  store("admin", "");
  stopWatching();
  byId("main").hidden = true;
  byId("forget").hidden = true;
  byId("verdict").textContent = "Locked";
  byId("verdict").className = "";
  byId("subject").textContent = "";
  byId("model").textContent = "";
  byId("version").textContent = "";
  byId("figures").replaceChildren();
  byId("login").hidden = false;
  byId("login-trouble").textContent = tried ? capital(message) : "";
  byId("key").value = "";
  byId("key").focus();
}

function unlock() {
  const key = typedKey("key", "login-trouble");
  if (!key) return;
  store("user", key);
  enter();
}

// What was typed into a key field; "" where it can be none, which is said.
function typedKey(field, trouble) {
  const key = byId(field).value.trim();
  const valid = /^[\x21-\x7e]+$/.test(key);
  byId(trouble).textContent = valid ? "" : "A key is made of letters, digits and signs, without blanks";
  return valid ? key : "";
}
