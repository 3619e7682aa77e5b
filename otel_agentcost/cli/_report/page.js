"use strict";
const charts = JSON.parse(document.getElementById("charts").textContent);
const colours = ["#3b76d6", "#e07b39", "#3fa55d", "#a05bc4", "#d64f5f", "#2aa5a5", "#b59a2b", "#888888"];
const text = "#777777"; // readable on a dark screen, and on the paper that is printed from there
const money = (value) => "$" + Number(value).toLocaleString("en", { maximumFractionDigits: 9 });
Chart.defaults.color = text;
Chart.defaults.font.family = "system-ui, sans-serif";
for (const [id, chart] of Object.entries(charts)) {
  const across = chart.kind === "bars";
  const values = across ? "x" : "y";
  const names = across ? "y" : "x";
  const stacked = chart.kind === "stacked";
  const label = (item) => {
    const raw = item.raw;
    return item.dataset.label + ": " + money(Array.isArray(raw) ? raw[1] - raw[0] : raw);
  };
  new Chart(document.getElementById(id), {
    type: "bar",
    data: {
      labels: chart.labels,
      datasets: chart.sets.map((set, at) => ({
        ...set,
        backgroundColor: chart.kind === "steps" ? chart.labels.map((_, step) => colours[step % 4 === 0 ? 0 : 1]) : colours[at % 8],
        maxBarThickness: 60,
      })),
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      indexAxis: across ? "y" : "x",
      scales: {
        [values]: { stacked, beginAtZero: true, ticks: { callback: money }, grid: { color: "#8883" } },
        [names]: { stacked, grid: { display: false } },
      },
      plugins: {
        legend: { display: chart.sets.length > 1, position: "bottom" },
        tooltip: { callbacks: { label } },
      },
    },
  });
}
const resize = (...size) => Object.values(Chart.instances).forEach((chart) => chart.resize(...size));
addEventListener("beforeprint", () => resize());
addEventListener("afterprint", () => resize());
