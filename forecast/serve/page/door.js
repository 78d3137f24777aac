// The key, where the server wants one: asked for once, kept until the tab is closed.

// Shown in place of all else as soon as an answer is 401.
function lock(message) {
  const tried = key !== "";
  keep("");
  rest();
  byId("main").hidden = true;
  byId("forget").hidden = true;
  byId("verdict").textContent = "Locked";
  byId("verdict").className = "";
  byId("subject").textContent = "forecast";
  byId("version").textContent = "";
  byId("figures").replaceChildren();
  byId("door").hidden = false;
  byId("door-said").textContent = tried ? capital(message) : "";
  byId("key").value = "";
  byId("key").focus();
}

function unlock() {
  const typed = byId("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(typed)) {
    byId("door-said").textContent = "A key is made of letters, digits and signs, without blanks";
    return;
  }
  keep(typed);
  enter();
}
