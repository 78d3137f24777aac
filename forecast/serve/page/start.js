// What happens when: once the page stands, and whenever a form is sent.

const AGAIN = 5000; // ms until a server that has no model yet is asked again

const enter = newest(async (stop) => {
  try {
    await meet(stop);
  } catch (error) {
    if (refused(error).status === 401) throw error;
    byId("verdict").textContent = "No answer yet";
    trouble(byId("trouble"), error.message);
    setTimeout(enter, AGAIN);
    return;
  }
  trouble(byId("trouble"), "");
  byId("door").hidden = true;
  byId("forget").hidden = key === "";
  byId("main").hidden = false;
  offer();
  explain();
  pick();
  watch();
});

function onSubmit(name, act) {
  byId(name).addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}

onSubmit("door", unlock);
onSubmit("ask", pick);
onSubmit("own", () => own(byId("bars").value, byId("own-ticker-field").hidden ? "" : spelt(byId("own-ticker").value)));
document.addEventListener("visibilitychange", () => {
  if (!byId("main").hidden) watch();
});
byId("file").addEventListener("change", () => upload(byId("file").files[0]));
byId("shown").addEventListener("click", takeShown);
byId("forget").addEventListener("click", () => {
  keep("");
  lock("");
});
enter();
