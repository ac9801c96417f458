// What the console adds where scripts run; every page works without it.
(() => {
  "use strict";

  // Where the menu is a strip that scrolls, the present page's word is in sight.
  const strip = document.querySelector(".menu");
  const current = strip?.querySelector("[aria-current]");
  if (current && strip.scrollWidth > strip.clientWidth) {
    strip.scrollLeft = current.offsetLeft - strip.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
  }

  // A filter takes effect when it is chosen, not only by the button.
  for (const form of document.querySelectorAll("form.filters")) {
    for (const field of form.querySelectorAll("select, input[type=checkbox]")) {
      field.addEventListener("change", () => form.requestSubmit());
    }
  }
  // Empty fields do not belong in an address that people keep.
  for (const form of document.querySelectorAll("form[method=get]")) {
    form.addEventListener("submit", () => {
      for (const field of form.querySelectorAll("input[name], select[name]")) {
        if (field.value === "") field.disabled = true;
      }
    });
    addEventListener("pageshow", () => {
      for (const field of form.querySelectorAll(":disabled")) field.disabled = false;
    });
  }

  // "/" goes to the search field.
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  });

  // New alerts: a bar says how many, and the reader decides when to see them. Nothing else on the page moves.
  document.addEventListener("alerts", (event) => {
    const bar = document.getElementById("live");
    const news = JSON.parse(event.detail.data);
    const count = document.getElementById("open-alerts");
    if (count) count.textContent = news.open;
    if (!bar) return;
    bar.replaceChildren();
    if (news.new === 0) return;
    const box = document.createElement("div");
    box.className = "live-bar";
    const text = document.createElement("span");
    text.textContent = news.text;
    const link = document.createElement("a");
    link.href = news.href || location.href;
    link.textContent = news.show;
    box.append(text, link);
    bar.append(box);
  });

  // Charts: <div class="chart" data-source="…">, an answer of {times: [seconds], series: [{label, unit, values}]}.
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = async (box) => {
    const answer = await fetch(box.dataset.source, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const data = await answer.json();
    if (data.times.length < 2) return;
    const colours = [style("--accent"), style("--lv-high"), style("--st-protected")];
    const axis = { stroke: style("--soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line") } };
    const number = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 3 });
    const two = (n) => String(n).padStart(2, "0");
    const local = (seconds) => new Date((seconds + 7 * 3600) * 1000); // UTC+7, read back as UTC
    const clock = (seconds) => {
      const at = local(seconds);
      return `${two(at.getUTCDate())}/${two(at.getUTCMonth() + 1)} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
    };
    const options = {
      height: 200,
      series: [
        { label: box.dataset.time, value: (_, seconds) => (seconds === null ? "—" : clock(seconds)) },
        ...data.series.map((series, index) => ({
          label: `${series.label} (${series.unit})`,
          stroke: colours[index % colours.length],
          width: 1.5,
          points: { show: data.times.length < 60 },
          value: (_, value) => (value === null ? "—" : number.format(value)),
        })),
      ],
      axes: [
        { ...axis, values: (_, ticks) => ticks.map(clock), space: 110 },
        { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => number.format(tick)) },
      ],
    };
    // Room is taken only where there is something to draw; until then the sentence before it stands alone.
    box.hidden = false;
    box.previousElementSibling?.remove();
    options.width = box.clientWidth;
    const chart = new uPlot(options, [data.times, ...data.series.map((series) => series.values)], box);
    new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height: 200 })).observe(box);
  };
  for (const box of document.querySelectorAll(".chart[data-source]")) draw(box).catch(() => {});
})();
