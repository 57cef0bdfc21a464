/* The explorer's map of the latents. Needs plotly.js and explorer_content.js. */
"use strict";

// Fingers scroll the page, so they do not zoom the map. The browser lets a tap be
// followed by a mouse click, which plotly would take for the second of two.
const FINGERS = window.innerWidth <= 860 || window.matchMedia("(pointer: coarse)").matches;
const MAP_OPTIONS = { ...PLOT_OPTIONS, doubleClick: FINGERS ? false : "reset" };
const MAP_BUTTONS = [["zoom2d", "pan2d", "resetScale2d", "toImage"]];

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
    ? "t-SNE preserves neighbourhoods, but not distances."
    : `The two components explain ${fixed(100 * map.share, 0)} % of the variance of the latents.`;
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
