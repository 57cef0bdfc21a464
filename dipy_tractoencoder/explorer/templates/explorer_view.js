/* The explorer's 3-D view. Needs plotly.js and explorer_content.js. */
"use strict";

const AXES = [
  ["x", "x, to the right (mm)"], ["y", "y, to the front (mm)"], ["z", "z, up (mm)"],
];
// Seen along the axes of RASMM, as in the package's pictures.
const VIEWS = {
  right: { eye: { x: 2, y: 0, z: 0 }, up: { x: 0, y: 0, z: 1 } },
  behind: { eye: { x: 0, y: -2, z: 0 }, up: { x: 0, y: 0, z: 1 } },
  above: { eye: { x: 0, y: 0, z: 2 }, up: { x: 0, y: 1, z: 0 } },
};
const VIEW_BUTTONS = [["zoom3d", "pan3d", "resetCameraDefault3d", "toImage"]];
// Unlike those of the bundles.
const LINES = [
  ["streamline", { color: "#111111", width: 7 }],
  ["reconstruction", { color: "#d5008f", width: 6 }],
  ["pca", { color: "#00803a", width: 5, dash: "dash" }],
  ["walk", { color: "#0050d0", width: 8 }],
];

const lineName = (name) => (name === "pca" ? "PCA" : name);
const nBundles = content.names.length;
const TRACES = Object.fromEntries(LINES.map(([name], n) => [name, nBundles + n]));
const box = [0, 1, 2].map((axis) => {
  const { origin, step } = content.quantised;
  return [origin[axis], origin[axis] + 65535 * step[axis]];
});

/* Ranges of the axes and their equal scale. */
function sceneBox() {
  const largest = Math.max(...box.map(([low, high]) => high - low));
  // A flat set of streamlines still gets some depth.
  const ranges = box.map(([low, high]) => {
    const half = Math.max(0.53 * (high - low), 0.1 * largest);
    return [(low + high) / 2 - half, (low + high) / 2 + half];
  });
  const spans = ranges.map(([low, high]) => high - low);
  const part = spans.map((span) => span / Math.max(...spans));
  const ratio = part.map((value) => 1.25 * value);
  // On a short axis the labels would lie on a heap.
  const ticks = part.map((value) => Math.max(2, Math.round(6 * value)));
  return { ranges, ratio, ticks };
}

function drawView() {
  const traces = content.names.map((name, code) => {
    const parts = [[], [], []];
    for (const row of content.context.filter((r) => arrays.bundle.data[r] === code)) {
      streamline(row).forEach((values, axis) => parts[axis].push(...values, null));
    }
    return {
      x: parts[0], y: parts[1], z: parts[2], name: plotlyText(name),
      line: { width: 2, color: colourOf(code) }, opacity: 0.22, hoverinfo: "skip",
    };
  });
  for (const [name, line] of LINES) {
    traces.push({ x: [], y: [], z: [], name: lineName(name), line, hoverinfo: "name" });
  }
  for (const trace of traces) {
    Object.assign(trace, { type: "scatter3d", mode: "lines", connectgaps: false });
  }
  const { ranges, ratio, ticks } = sceneBox();
  // Flat ones, as of a phantom, are seen from where they are not.
  const flat = ratio.findIndex((value) => value < 0.3);
  const oblique = { ...VIEWS.behind, eye: { x: 1.3, y: -1.5, z: 0.8 } };
  const camera = flat < 0 ? oblique : VIEWS[["right", "behind", "above"][flat]];
  const scene = {
    aspectmode: "manual",
    aspectratio: { x: ratio[0], y: ratio[1], z: ratio[2] },
    camera: { ...camera, projection: { type: "orthographic" } },
  };
  AXES.forEach(([name], axis) => {
    scene[`${name}axis`] = {
      title: { text: AXES[axis][1], font: { size: 12 } }, range: ranges[axis],
      showticklabels: true, showspikes: false, nticks: ticks[axis], gridcolor: "#ddd", zeroline: false,
    };
  });
  return Plotly.newPlot(viewPlot, traces, {
    margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, uirevision: "view", scene,
  }, { ...PLOT_OPTIONS, modeBarButtons: VIEW_BUTTONS });
}

/* Leave out the labels of an axis that is looked along: they would lie on a heap. */
function labelAxes() {
  const { eye } = viewPlot._fullLayout.scene.camera;
  const reach = Math.hypot(eye.x, eye.y, eye.z);
  const change = {};
  for (const [name, title] of AXES) {
    const shown = Math.abs(eye[name]) < 0.98 * reach;
    if (viewPlot.layout.scene[`${name}axis`].showticklabels === shown) continue;
    change[`scene.${name}axis.showticklabels`] = shown;
    change[`scene.${name}axis.title.text`] = shown ? title : "";
  }
  if (Object.keys(change).length) Plotly.relayout(viewPlot, change);
}

/* Put a curve (x, y, z columns) in place of another, and make room for it. */
function showCurve(name, [x, y, z]) {
  let grown = false;
  [x, y, z].forEach((values, axis) => {
    for (const value of values) {
      if (value < box[axis][0]) [box[axis][0], grown] = [value, true];
      if (value > box[axis][1]) [box[axis][1], grown] = [value, true];
    }
  });
  if (grown) {
    const { ranges, ratio } = sceneBox();
    Plotly.relayout(viewPlot, {
      "scene.xaxis.range": ranges[0], "scene.yaxis.range": ranges[1],
      "scene.zaxis.range": ranges[2],
      "scene.aspectratio": { x: ratio[0], y: ratio[1], z: ratio[2] },
    });
  }
  return Plotly.restyle(viewPlot, { x: [x], y: [y], z: [z] }, [TRACES[name]]);
}
