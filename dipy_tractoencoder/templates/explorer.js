/* The explorer's page: map, 3-D view, and walks. Needs plotly.js and decoder.js. */
"use strict";

(function () {
  const content = JSON.parse(document.getElementById("content").textContent);
  const arrays = {};
  for (const [name, entry] of Object.entries(content.arrays)) {
    arrays[name] = unpackArray(entry);
  }
  const decoder = unpackDecoder(content.decoder);
  const pcaDecoder = unpackDecoder(content.pca_decoder);
  const maps = content.maps.map((map) => ({ ...map, points: unpackArray(map.points) }));
  const nRows = arrays.bundle.data.length;
  const latentDim = arrays.latent.shape[1];
  const unit = content.unit ? ` ${content.unit}` : "";

  const COLOURS = [
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
    "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
  ];
  // Bundles beyond the colours get another shape, on the map and in the legend.
  const SHAPES = [
    ["circle", "\u25cf"], ["square", "\u25a0"],
    ["diamond", "\u25c6"], ["triangle-up", "\u25b2"],
  ];
  const colourOf = (code) => COLOURS[code % COLOURS.length];
  const shapeOf = (code) => SHAPES[Math.floor(code / COLOURS.length) % SHAPES.length];
  const AXES = [
    ["x", "x, to the right (mm)"], ["y", "y, to the front (mm)"], ["z", "z, up (mm)"],
  ];
  // Seen along the axes of RASMM, as in the package's pictures.
  const VIEWS = {
    right: { eye: { x: 2, y: 0, z: 0 }, up: { x: 0, y: 0, z: 1 } },
    behind: { eye: { x: 0, y: -2, z: 0 }, up: { x: 0, y: 0, z: 1 } },
    above: { eye: { x: 0, y: 0, z: 2 }, up: { x: 0, y: 1, z: 0 } },
  };
  // Chosen by name: newer plotly adds buttons that would send data to its makers.
  const PLOT_OPTIONS = { responsive: true, displaylogo: false };
  // Fingers scroll the page, so they do not zoom the map. The browser lets a tap be
  // followed by a mouse click, which plotly would take for the second of two.
  const FINGERS = window.innerWidth <= 860 || window.matchMedia("(pointer: coarse)").matches;
  const MAP_OPTIONS = { ...PLOT_OPTIONS, doubleClick: FINGERS ? false : "reset" };
  const MAP_BUTTONS = [["zoom2d", "pan2d", "resetScale2d", "toImage"]];
  const VIEW_BUTTONS = [["zoom3d", "pan3d", "resetCameraDefault3d", "toImage"]];
  // Unlike those of the bundles.
  const LINES = [
    ["streamline", { color: "#111111", width: 7 }],
    ["reconstruction", { color: "#d5008f", width: 6 }],
    ["pca", { color: "#00803a", width: 5, dash: "dash" }],
    ["walk", { color: "#0050d0", width: 8 }],
  ];

  const state = {
    row: 0,
    a: 0,
    b: nRows - 1,
    dimension: content.dimensions[0],
    hidden: new Set(),
    walk: null, // or {kind: "dimension" or "between", latent}
  };

  const byId = (id) => document.getElementById(id);
  const mapPlot = byId("map");
  const viewPlot = byId("view");

  // Data

  /* Names are shown as they are, though plotly understands some tags. */
  function plotlyText(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  const bundleName = (row) => content.names[arrays.bundle.data[row]];
  const fixed = (value, digits) => value.toFixed(digits);
  const inUnit = (value) => `${fixed(value, 2)}${unit}`;
  const rowOf = (array, row) =>
    Array.from(array.data.subarray(row * latentDim, (row + 1) * latentDim));
  const latentOf = (row) => rowOf(arrays.latent, row);

  function rowLabel(row) {
    const number = arrays.number.data[row];
    const file = content.files.length ? `, ${content.files[arrays.source.data[row]]}` : "";
    return `${bundleName(row)}, streamline ${number}${file}`;
  }

  /* Columns x, y, z of a streamline of the page, mm. */
  function streamline(row) {
    const nPoints = arrays.points.shape[1];
    const { origin, step } = content.quantised;
    return [0, 1, 2].map((axis) =>
      Array.from({ length: nPoints }, (_, p) =>
        origin[axis] + step[axis] * arrays.points.data[3 * (row * nPoints + p) + axis]));
  }

  function decode(latent) {
    return runDecoder(decoder, latent);
  }

  const columns = (points) => [0, 1, 2].map((axis) => points.map((point) => point[axis]));

  function curveLength(points) {
    let length = 0;
    for (let p = 1; p < points.length; p++) {
      length += Math.hypot(...points[p].map((value, axis) => value - points[p - 1][axis]));
    }
    return length;
  }

  const distance = (one, other) => Math.hypot(...one.map((value, k) => value - other[k]));

  function nearestShown(latent) {
    let nearest = 0;
    let least = Infinity;
    const all = arrays.latent.data;
    for (let row = 0; row < nRows; row++) {
      let sum = 0;
      for (let k = 0; k < latentDim; k++) {
        const step = all[row * latentDim + k] - latent[k];
        sum += step * step;
      }
      if (sum < least) [least, nearest] = [sum, row];
    }
    return { row: nearest, distance: Math.sqrt(least) };
  }

  // Map

  const currentMap = () => maps[Number(byId("map-name").value)];
  const mapPoint = (row) => Array.from(currentMap().points.data.subarray(2 * row, 2 * row + 2));

  /* Where a latent lies on the map; only the principal components can tell. */
  function placeOf(latent) {
    if (currentMap().share === undefined) return null;
    return [0, 1].map((axis) =>
      latent.reduce((sum, value, k) =>
        sum + (value - content.mean[k]) * content.directions[k][axis], 0));
  }

  function mapRows(rows) {
    return {
      type: "scatter",
      mode: "markers",
      x: rows.map((row) => mapPoint(row)[0]),
      y: rows.map((row) => mapPoint(row)[1]),
      customdata: rows,
      text: rows.map((row) =>
        `${plotlyText(bundleName(row))}, ${arrays.number.data[row]}<br>` +
        `${fixed(arrays.length.data[row], 1)} mm long<br>` +
        `error ${fixed(arrays.error.data[row], 2)} mm`),
      hovertemplate: "%{text}<extra></extra>",
    };
  }

  function mapTraces() {
    const colour = byId("colour").value;
    const rows = Array.from({ length: nRows }, (_, row) => row)
      .filter((row) => !state.hidden.has(arrays.bundle.data[row]));
    if (colour !== "bundle") {
      const values = rows.map((row) => arrays[colour].data[row]);
      const title = {
        length: "length (mm)", error: "error (mm)", pca_error: "PCA's error (mm)",
      }[colour];
      const bar = { title: { text: title, side: "right" }, thickness: 14 };
      // A few bad reconstructions would leave all others one colour.
      const sorted = [...values].sort((one, other) => one - other);
      const high = sorted[Math.floor(0.98 * (sorted.length - 1))];
      const marker = { size: 6, color: values, colorscale: "Viridis", colorbar: bar };
      return [{ ...mapRows(rows), marker: { ...marker, cmin: sorted[0], cmax: high } }];
    }
    return content.names.map((name, code) => ({
      ...mapRows(rows.filter((row) => arrays.bundle.data[row] === code)),
      name: plotlyText(name),
      marker: { size: 6, color: colourOf(code), symbol: shapeOf(code)[0] },
      showlegend: false,
    }));
  }

  function mapMarks() {
    const marks = [[mapPoint(state.a), "A", -26], [mapPoint(state.b), "B", -26]];
    marks.push([mapPoint(state.row), "chosen", 30]);
    const place = state.walk && placeOf(state.walk.latent);
    if (place) marks.push([place, "walk", -44]);
    return marks.map(([[x, y], text, ay]) => ({
      x, y, text, ax: 0, ay,
      arrowhead: 6, arrowsize: 1, arrowwidth: 1.5,
      font: { size: 13, color: text === "walk" ? "#0050d0" : "#111" },
      arrowcolor: text === "walk" ? "#0050d0" : "#111",
      bgcolor: "rgba(255, 255, 255, 0.8)",
    }));
  }

  function mapLayout() {
    const map = currentMap();
    const ranges = [0, 1].map((axis) => {
      const values = Array.from({ length: nRows }, (_, row) => mapPoint(row)[axis]);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const margin = 0.1 * (high - low) || 1;
      return [low - margin, high + margin];
    });
    const isPca = map.share !== undefined;
    const axis = { zeroline: false, showticklabels: isPca };
    const name = (text) => ({ text: isPca ? `${text}${unit && ` (${content.unit})`}` : "" });
    return {
      margin: { l: isPca ? 56 : 16, r: 16, t: 28, b: isPca ? 44 : 16 },
      hovermode: "closest",
      dragmode: FINGERS ? false : "zoom",
      uirevision: map.name,
      xaxis: { ...axis, range: ranges[0], title: name("1st principal component") },
      yaxis: {
        ...axis, range: ranges[1], title: name("2nd principal component"),
        scaleanchor: "x", // Distances look alike in both directions.
      },
      annotations: mapMarks(),
    };
  }

  function drawMap() {
    const map = currentMap();
    byId("map-about").textContent = map.share === undefined
      ? "t-SNE keeps neighbours together, but no distances."
      : `The two components hold ${fixed(100 * map.share, 0)} % of the latents' variance.`;
    return Plotly.react(mapPlot, mapTraces(), mapLayout(), {
      ...MAP_OPTIONS, modeBarButtons: MAP_BUTTONS,
    });
  }

  const markMap = () => Plotly.relayout(mapPlot, { annotations: mapMarks() });

  function drawLegend() {
    const items = content.names.map((name, code) => {
      const button = document.createElement("button");
      button.type = "button";
      const swatch = document.createElement("span");
      swatch.textContent = shapeOf(code)[1];
      swatch.style.color = colourOf(code);
      const shown = arrays.bundle.data.filter((other) => other === code).length;
      button.append(swatch, ` ${name} (${shown} of ${content.totals[code]})`);
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        const hide = !state.hidden.has(code);
        if (hide) state.hidden.add(code);
        else state.hidden.delete(code);
        button.setAttribute("aria-pressed", String(!hide));
        drawMap();
        Plotly.restyle(viewPlot, { visible: !hide }, [code]);
      });
      const item = document.createElement("li");
      item.append(button);
      return item;
    });
    byId("legend").replaceChildren(...items);
  }

  // 3-D view

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
        (far ? `, further than ${inUnit(content.nearest_99)}, within which 99 % of those ` +
          "shown have a neighbour: this curve may stand for nothing." : ".");
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

  /* Row of the nearest point shown on the map within some pixels, or none. */
  function rowNear(x, y, reach) {
    const { xaxis, yaxis } = mapPlot._fullLayout;
    const frame = mapPlot.getBoundingClientRect();
    const [left, top] = [frame.x + xaxis._offset, frame.y + yaxis._offset];
    if (x < left || x > left + xaxis._length || y < top || y > top + yaxis._length) return -1;
    let [nearest, least] = [-1, reach];
    for (let row = 0; row < nRows; row++) {
      if (state.hidden.has(arrays.bundle.data[row])) continue;
      const point = mapPoint(row);
      const apart = Math.hypot(left + xaxis.c2p(point[0]) - x, top + yaxis.c2p(point[1]) - y);
      if (apart < least) [nearest, least] = [row, apart];
    }
    return nearest;
  }

  /* Choose by mouse through plotly, and by finger ourselves: plotly takes a tap for a
     click on the point that was last under the mouse. */
  function prepareMap() {
    let pressed = null;
    mapPlot.addEventListener("pointerdown", (event) => {
      const onButton = event.target.closest(".modebar") !== null;
      pressed = { type: event.pointerType, x: event.clientX, y: event.clientY, onButton };
    }, true);
    mapPlot.addEventListener("pointerup", (event) => {
      if (!pressed || pressed.type !== "touch" || pressed.onButton) return;
      const moved = Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y);
      const row = moved < 10 ? rowNear(event.clientX, event.clientY, 24) : -1;
      if (row >= 0) choose(row);
    }, true);
    mapPlot.on("plotly_click", (event) => {
      if (!pressed || pressed.type !== "touch") choose(event.points[0].customdata);
    });
  }

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
      [k, `z[${k}], spread ${inUnit(content.std[k])}`]));
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
      "This browser has no WebGL, so the 3-D view stays empty; map and figures work.";
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
})();
