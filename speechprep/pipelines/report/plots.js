// Draws the plots in the colours of the reader's theme.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function themed(value) {
    if (typeof value === "string") return (dark.matches && data.theme[value]) || value;
    if (Array.isArray(value)) return value.some((inner) => typeof inner !== "number") ? value.map(themed) : value;
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, themed(inner)]));
  }

  // In the order of the page and each in a task of its own, so that the page answers meanwhile.
  function draw(places) {
    if (!places.length) return;
    const { data: traces, layout } = themed(data.figures[places[0].id.replace("plot-", "")]);
    Plotly.react(places[0], traces, layout, { responsive: true, displayModeBar: false });
    setTimeout(draw, 0, places.slice(1));
  }

  const all = () => draw([...document.querySelectorAll(".plot")]);
  all();
  dark.addEventListener("change", all);
})();
