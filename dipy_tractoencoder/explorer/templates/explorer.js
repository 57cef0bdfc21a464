/* The explorer's page: choosing, walks, and controls. Needs the other scripts. */
"use strict";

// Choosing

function choose(row) {
  state.row = row;
  if (state.walk && state.walk.kind === "dimension") clearWalk();
  const source = arrays.source.data[row];
  byId("figure-bundle").textContent = bundleName(row);
  byId("figure-file").textContent = content.files.length ? content.files[source] : "none";
  byId("figure-number").textContent = arrays.number.data[row];
  byId("figure-length").textContent = `${fixed(arrays.length.data[row], 1)} mm`;
  byId("figure-error").textContent = `${fixed(arrays.error.data[row], 2)} mm`;
  byId("figure-pca").textContent = `${fixed(arrays.pca_error.data[row], 2)} mm`;
  byId("bundle").value = String(arrays.bundle.data[row]);
  showCurve("streamline", streamline(row));
  showCurve("reconstruction", columns(decode(latentOf(row))));
  showCurve("pca", columns(runDecoder(pcaDecoder, rowOf(arrays.pca_latent, row))));
  setDimension(state.dimension);
  markMap();
}

// Walks

let waiting = false;

/* Decode and draw at most once per frame, however fast the slider moves. */
function walkTo(kind, latent) {
  state.walk = { kind, latent };
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (!state.walk) return;
    const points = decode(state.walk.latent);
    showCurve("walk", columns(points));
    markMap();
    const nearest = nearestShown(state.walk.latent);
    const far = nearest.distance > content.nearest_99;
    const { kind: walked } = state.walk;
    const where = walked === "between"
      ? "between A and B" : `with another z[${state.dimension}]`;
    byId("walk-about").textContent =
      `Decoded curve ${where}: ${fixed(curveLength(points), 1)} mm long. Nearest latent shown: ` +
      `${inUnit(nearest.distance)} away (${bundleName(nearest.row)})` +
      (far ? `, more than ${inUnit(content.nearest_99)}, the 99th percentile of the ` +
        "distances between neighbours shown: this curve may be meaningless." : ".");
  });
}

function clearWalk() {
  state.walk = null;
  showCurve("walk", [[], [], []]);
  byId("walk-about").textContent = "";
}

/* The slider's text and the walk to its value. */
function describeDimension(value) {
  const own = latentOf(state.row)[state.dimension];
  byId("dimension-value").textContent =
    `z[${state.dimension}] = ${inUnit(value)}; the streamline's own: ${inUnit(own)}. `;
}

function setDimension(dimension) {
  state.dimension = dimension;
  const own = latentOf(state.row)[dimension];
  const reach = 3 * content.std[dimension] || 1;
  // A streamline beyond three standard deviations keeps its own value.
  const low = Math.min(content.mean[dimension] - reach, own);
  const high = Math.max(content.mean[dimension] + reach, own);
  const slider = byId("dimension-slider");
  [slider.min, slider.max, slider.value] = [low, high, own].map(String);
  byId("dimension-low").textContent = fixed(low, 1);
  byId("dimension-high").textContent = fixed(high, 1);
  describeDimension(own);
}

function walkDimension() {
  const value = Number(byId("dimension-slider").value);
  const latent = latentOf(state.row);
  latent[state.dimension] = value;
  describeDimension(value);
  walkTo("dimension", latent);
}

function describeEnds() {
  byId("about-a").textContent = rowLabel(state.a);
  byId("about-b").textContent = rowLabel(state.b);
  const apart = distance(latentOf(state.a), latentOf(state.b));
  const part = Number(byId("between-slider").value);
  byId("between-value").textContent =
    `${fixed(100 * part, 0)} % of the way; the latents are ${inUnit(apart)} apart.`;
}

function walkBetween() {
  const part = Number(byId("between-slider").value);
  const [a, b] = [latentOf(state.a), latentOf(state.b)];
  describeEnds();
  walkTo("between", a.map((value, k) => (1 - part) * value + part * b[k]));
}

function setEnd(end) {
  state[end] = state.row;
  if (state.walk && state.walk.kind === "between") walkBetween();
  else describeEnds();
  markMap();
}

// Controls

function addOptions(select, options) {
  for (const [value, text] of options) {
    const option = document.createElement("option");
    [option.value, option.textContent] = [String(value), text];
    select.append(option);
  }
}

function prepareControls() {
  addOptions(byId("map-name"), maps.map((map, number) => [number, map.name]));
  byId("map-choice").hidden = maps.length < 2;
  addOptions(byId("bundle"), content.names.map((name, code) => [code, name]));
  addOptions(byId("dimension"), content.dimensions.map((k) =>
    [k, `z[${k}], standard deviation ${inUnit(content.std[k])}`]));
  byId("colour").addEventListener("change", drawMap);
  byId("map-name").addEventListener("change", drawMap);
  const step = (by) => () => choose((state.row + by + nRows) % nRows);
  byId("previous").addEventListener("click", step(-1));
  byId("next").addEventListener("click", step(1));
  byId("bundle").addEventListener("change", () =>
    choose(arrays.bundle.data.indexOf(Number(byId("bundle").value))));
  byId("dimension").addEventListener("change", () => {
    if (state.walk && state.walk.kind === "dimension") clearWalk();
    setDimension(Number(byId("dimension").value));
    markMap();
  });
  byId("dimension-slider").addEventListener("input", walkDimension);
  byId("dimension-reset").addEventListener("click", () => {
    setDimension(state.dimension);
    walkDimension();
  });
  byId("set-a").addEventListener("click", () => setEnd("a"));
  byId("set-b").addEventListener("click", () => setEnd("b"));
  byId("between-slider").addEventListener("input", walkBetween);
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => {
      const camera = { ...VIEWS[button.dataset.view], projection: { type: "orthographic" } };
      Plotly.relayout(viewPlot, { "scene.camera": camera });
    });
  }
}

function warnWithoutWebgl() {
  const canvas = document.createElement("canvas");
  if (canvas.getContext("webgl2") || canvas.getContext("webgl")) return;
  byId("warning").hidden = false;
  byId("warning").textContent =
    "This browser has no WebGL, so the 3-D view is empty; map and values work.";
}

async function start() {
  prepareControls();
  warnWithoutWebgl();
  drawLegend();
  await Promise.all([drawView(), drawMap()]);
  labelAxes();
  prepareMap();
  viewPlot.on("plotly_relayout", (event) => {
    if ("scene.camera" in event) labelAxes();
  });
  choose(0);
  describeEnds();
  document.body.dataset.ready = "yes"; // For tests: all is drawn.
}

// For the console, and for tests.
window.explorer = { state, choose, decode, latentOf, streamline, mapPoint, traces: TRACES };
start();
