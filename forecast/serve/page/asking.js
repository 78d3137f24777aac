// What the server is asked, and what a refusal says.

const BASE = new URL(location.pathname.replace(/ui\/?$/, ""), location.origin);
const KEPT = "forecast.key";
let key = kept();

class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// The key of this tab; a browser that forbids storage has the one typed last.
function kept() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

function keep(given) {
  key = given;
  try {
    if (given) sessionStorage.setItem(KEPT, given);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // it lasts as long as the page
  }
}

// The answer as JSON. Whatever else comes is a Refusal in one line; of a newer question, an AbortError.
async function ask(path, { body, stop, seconds = 60 } = {}) {
  const headers = { Accept: "application/json" };
  if (key) headers["X-API-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const late = AbortSignal.timeout(seconds * 1000);
  const asked = {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: stop ? AbortSignal.any([stop, late]) : late,
    cache: "no-store",
  };
  let response;
  let answer;
  try {
    response = await fetch(new URL(path, BASE), asked);
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
  return async (...given) => {
    last?.abort();
    const mine = (last = new AbortController());
    try {
      await job(mine.signal, ...given);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof Refusal && error.status === 401) return lock(error.message);
      throw error;
    }
  };
}
