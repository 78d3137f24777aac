// GET /docs: the OpenAPI document, asked for with the key of this tab, in Swagger UI.

const BASE = new URL(".", location.href);
const STORED = "forecast.key"; // the page at /ui keeps the key under the same name
const byId = (name) => document.getElementById(name);

function stored() {
  try {
    return sessionStorage.getItem(STORED) ?? "";
  } catch {
    return ""; // a browser that forbids storage asks each time
  }
}

function keep(key) {
  try {
    if (key) sessionStorage.setItem(STORED, key);
    else sessionStorage.removeItem(STORED);
  } catch {
    // it lasts as long as the page
  }
}

async function open(key) {
  byId("trouble").textContent = "";
  let response;
  try {
    response = await fetch(new URL("openapi.json", BASE), { headers: key ? { "X-API-Key": key } : {}, cache: "no-store" });
  } catch {
    byId("trouble").textContent = "The server cannot be reached";
    return;
  }
  const answer = await response.json();
  if (response.ok) {
    keep(key);
    byId("login").hidden = true;
    show(answer, key);
    return;
  }
  const wanted = response.status === 401;
  byId("login").hidden = !wanted;
  if (!wanted || key) byId("trouble").textContent = answer.detail;
  if (wanted) {
    keep("");
    byId("key").value = "";
    byId("key").focus();
  }
}

function show(document, key) {
  const ui = SwaggerUIBundle({
    spec: { ...document, servers: [{ url: BASE.href.replace(/\/$/, "") }] },
    domNode: byId("routes"),
    tryItOutEnabled: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    docExpansion: "list",
    filter: true,
    validatorUrl: null, // it would send the document to another server
    onComplete: () => {
      if (key) ui.preauthorizeApiKey("key", key);
    },
  });
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  if (/^[\x21-\x7e]+$/.test(key)) open(key);
  else byId("trouble").textContent = "A key is made of letters, digits and signs, without blanks";
});
open(stored());
