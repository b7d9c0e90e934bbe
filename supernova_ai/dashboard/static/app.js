"use strict";
// The pages work without this file. It asks for their parts again and again, and draws the charts.

const root = document.documentElement;
const button = (name) => document.getElementById(name);

// --- Live parts

let tag = "";
let paused = false;

async function poll() {
  if (document.hidden || paused) return;
  try {
    const headers = tag ? { "If-None-Match": tag } : {};
    const response = await fetch(`${location.pathname}/parts${location.search}`, { headers });
    if (response.status === 401) location.reload(); // it shows how to sign in
    if (response.ok) {
      tag = response.headers.get("ETag");
      put(await response.text());
    }
    button("offline").hidden = response.status < 500;
  } catch {
    button("offline").hidden = false;
  }
}

function put(html) {
  for (const fresh of new DOMParser().parseFromString(html, "text/html").body.children) {
    const shown = document.getElementById(fresh.id);
    if (shown && shown.dataset.tag !== fresh.dataset.tag) replace(shown, fresh);
  }
}

function replace(shown, fresh) {
  if (shown.contains(document.activeElement) && document.activeElement.form) return; // somebody chooses
  keepCharts(shown, fresh);
  const [before, after] = [shown, fresh].map((part) => [...part.querySelectorAll(".scroll")]);
  const places = before.map((region) => [region.scrollLeft, region.scrollTop, region === document.activeElement]);
  shown.replaceWith(fresh);
  places.slice(0, after.length).forEach(([left, top, focused], at) => {
    after[at].scrollTo(left, top);
    if (focused) after[at].focus({ preventScroll: true });
  });
  fresh.querySelectorAll(".chart").forEach(draw);
}

async function live(everyMs) {
  await poll();
  setTimeout(live, everyMs, everyMs);
}

if (button("live")) {
  const everyMs = 1000 * document.querySelector("main").dataset.every;
  button("live").onclick = () => {
    paused = !paused;
    button("live").setAttribute("aria-pressed", String(!paused));
    button("live").textContent = paused ? "Paused" : "Live";
    poll();
  };
  document.addEventListener("visibilitychange", poll);
  setTimeout(live, everyMs, everyMs);
}
document.querySelectorAll("form[method=get] select").forEach((select) => {
  select.onchange = () => select.form.requestSubmit();
});

// --- Controls: the answer may take seconds

document.querySelectorAll(".control form").forEach((form) => {
  form.onsubmit = ({ submitter }) => {
    if (!submitter) return;
    submitter.textContent = "Working …";
    setTimeout(() => (submitter.disabled = true)); // once its name is sent
  };
});

// On a phone, the links of the pages scroll.
document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// --- Colours

button("theme").onclick = () => {
  const dark = getComputedStyle(root).colorScheme === "dark";
  const systemDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const isDark = root.dataset.theme ? dark : systemDark;
  localStorage.setItem("theme", (root.dataset.theme = isDark ? "light" : "dark"));
  redraw();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());

const probe = document.body.appendChild(document.createElement("i"));
probe.hidden = true;

function colour(name) {
  probe.className = name;
  return getComputedStyle(probe).color;
}

const faded = (rgb, share) => rgb.replace(/^rgb\((.*)\)$/, `rgb($1, ${share})`);

// --- Charts

const zone = root.dataset.zone;
const inZone = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
const hour = inZone({ hour: "2-digit", minute: "2-digit" });
const day = inZone({ day: "numeric", month: "short" });
const moment = inZone({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const at = (format, seconds) => format.format(new Date(seconds * 1000));

// Midnight is written as its day.
function tick(seconds, step) {
  const time = at(hour, seconds);
  return step < 86400 && time !== "00:00" ? time : at(day, seconds);
}

const WHOLE = [1, 2, 5].flatMap((digit) => [...Array(12).keys()].map((zeros) => digit * 10 ** zeros)).sort((a, b) => a - b);

const WRITE = {
  usd: (value) => `$${value.toLocaleString("en", { maximumSignificantDigits: 3 })}`,
  ms: (value) => (Math.round(value) < 1000 ? `${Math.round(value)} ms` : `${+(value / 1000).toPrecision(3)} s`),
  count: (value) => value.toLocaleString("en", { maximumFractionDigits: 1 }),
  price: (value) => value.toLocaleString("en", { maximumSignificantDigits: 6 }),
};

const fromZero = (_, low, high) => [Math.min(0, low), (high || 1) * 1.08];
const RANGE = { price: (_, low, high) => [low - (high - low) * 0.06, high + (high - low) * 0.06] };

function series(one, bars) {
  const stroke = colour(one.colour);
  const shape = {
    line: { stroke, width: 2 },
    dashed: { stroke, width: 1.5, dash: [5, 4] },
    band: { stroke: faded(stroke, 0.35), width: 1 },
    "band-end": { stroke: faded(stroke, 0.35), width: 1 },
    bars: { stroke, fill: stroke, width: 0, paths: bars },
    stack: { stroke, fill: stroke, width: 0, paths: bars },
  };
  return { label: one.label, points: { show: false }, spanGaps: true, ...shape[one.kind] };
}

function options(chart, box) {
  const write = (value) => (value == null ? "" : WRITE[chart.unit](value));
  const [ink, line] = [colour("dim"), colour("line")];
  const axis = { stroke: ink, font: "12px Inter, system-ui, sans-serif", ticks: { show: false } };
  const bars = uPlot.paths.bars({ size: [0.7, 24], radius: 0.15 });
  const pad = chart.series.some((one) => ["bars", "stack"].includes(one.kind)) ? (chart.times[1] - chart.times[0]) / 2 : 0;
  const bands = chart.series.flatMap((one, at) =>
    one.kind === "band" ? [{ series: [at + 1, at + 2], fill: faded(colour(one.colour), 0.14) }] : [],
  );
  return {
    width: box.clientWidth,
    height: Number(box.dataset.height),
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    legend: { live: true },
    padding: [12, 22, 0, 0],
    bands,
    scales: { x: { range: (_, first, last) => [first - pad, last + pad] }, y: { range: RANGE[chart.unit] ?? fromZero } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 70,
        values: (_, splits, __, ___, step) => splits.map((split) => tick(split, step)),
      },
      {
        ...axis,
        grid: { stroke: line, width: 1 },
        ...(chart.unit === "count" && { incrs: WHOLE }),
        size: 62,
        space: 34,
        values: (_, splits) => splits.map(write),
      },
    ],
    series: [
      { label: "Time", value: (_, value) => (value == null ? "" : at(moment, value)) },
      ...chart.series.map((one) => ({
        ...series(one, bars),
        value: (_, __, number, at) => write(box.values[number - 1][at]),
      })),
    ],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
  };
}

// Of a stack, each series is drawn over the ones before it, so it begins with the sum of all.
const columns = (chart) => [
  chart.times,
  ...chart.series.map((one, at) => {
    if (one.kind !== "stack") return one.values;
    return one.values.map((_, time) => chart.series.slice(at).reduce((sum, other) => sum + other.values[time], 0));
  }),
];
const shape = (chart) => chart.series.map((one) => one.label + one.kind).join();

function draw(box) {
  const chart = JSON.parse(box.dataset.chart);
  box.values = chart.series.map((one) => one.values);
  if (box.plot && box.shape === shape(chart)) return box.plot.setData(columns(chart));
  box.plot?.destroy();
  if (!box.clientWidth) return;
  box.shape = shape(chart);
  box.plot = new uPlot(options(chart, box), columns(chart), box);
  sizes.observe(box);
}

// A chart that has new values only stays, with what the pointer shows.
function keepCharts(shown, fresh) {
  const charts = [...shown.querySelectorAll(".chart")];
  fresh.querySelectorAll(".chart").forEach((box, at) => {
    if (!charts[at]?.plot) return;
    charts[at].dataset.chart = box.dataset.chart;
    charts[at].setAttribute("aria-label", box.getAttribute("aria-label"));
    box.replaceWith(charts[at]);
  });
}

function redraw() {
  document.querySelectorAll(".chart").forEach((box) => {
    box.shape = "";
    draw(box);
  });
}

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    target.plot?.setSize({ width: target.clientWidth, height: Number(target.dataset.height) });
  }
});
document.querySelectorAll(".chart").forEach(draw);
