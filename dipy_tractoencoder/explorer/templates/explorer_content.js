/* What the explorer shows: streamlines, latents, decoders, and what is chosen. Needs
   decoder.js. */
"use strict";

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
// Chosen by name: newer plotly adds buttons that would send data to its makers.
const PLOT_OPTIONS = { responsive: true, displaylogo: false };

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
