/* Runs a model's decoder: the operations that decoder_export.py lists.

   A result is {data: Float64Array, shape: [...]}: what flows between operations is kept
   in double precision, so that the only rounding is that of the float32 weights. */
"use strict";

const ARRAY_TYPES = {
  float32: Float32Array,
  uint16: Uint16Array,
  int32: Int32Array,
};

/* Array of {type, shape, data}, whose data are little-endian bytes in base64. */
function unpackArray(entry) {
  const text = atob(entry.data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return { data: new ARRAY_TYPES[entry.type](bytes.buffer), shape: entry.shape };
}

/* Error function to double precision, by a series without cancellation. */
function erf(x) {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  let term = size;
  let sum = size;
  for (let n = 1; term > 1e-17 * sum; n++) {
    term *= (2 * size * size) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum;
}

const ACTIVATIONS = {
  linear: (x) => x,
  relu: (x) => Math.max(x, 0),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
};

function activated(result, name) {
  if (name !== "linear") result.data = result.data.map(ACTIVATIONS[name]);
  return result;
}

/* x (channels) @ kernel (channels, filters) + bias, added to out from a place on. */
function addProduct(out, place, x, start, kernel, offset, channels, filters) {
  for (let c = 0; c < channels; c++) {
    const value = x[start + c];
    if (value === 0) continue;
    const row = offset + c * filters;
    for (let f = 0; f < filters; f++) out[place + f] += value * kernel[row + f];
  }
}

function dense(operation, x) {
  const [channels, filters] = operation.kernel.shape;
  const data = Float64Array.from(operation.bias.data);
  addProduct(data, 0, x.data, 0, operation.kernel.data, 0, channels, filters);
  return activated({ data, shape: [filters] }, operation.activation);
}

function convolution(operation, x) {
  const [width, channels, filters] = operation.kernel.shape;
  const steps = x.shape[0] - width + 1;
  const data = new Float64Array(steps * filters);
  for (let s = 0; s < steps; s++) {
    data.set(operation.bias.data, s * filters);
    for (let tap = 0; tap < width; tap++) {
      addProduct(
        data, s * filters, x.data, (s + tap) * channels,
        operation.kernel.data, tap * channels * filters, channels, filters,
      );
    }
  }
  return activated({ data, shape: [steps, filters] }, operation.activation);
}

/* One step more at either end, copied from the steps of the given numbers. */
function padded(x, first, last) {
  const [steps, channels] = x.shape;
  const step = (s) => x.data.subarray(s * channels, (s + 1) * channels);
  const data = new Float64Array((steps + 2) * channels);
  data.set(step(first));
  data.set(x.data, channels);
  data.set(step(last), (steps + 1) * channels);
  return { data, shape: [steps + 2, channels] };
}

function doubleConvolution(operation, x) {
  const steps = x.shape[0];
  const both = convolution(operation, padded(x, 0, steps - 1));
  const width = both.shape[1];
  const half = width / 2;
  const data = new Float64Array(2 * steps * half);
  for (let s = 0; s < steps; s++) {
    const even = s * width;
    const odd = (s + 1) * width + half;
    data.set(both.data.subarray(even, even + half), 2 * s * half);
    data.set(both.data.subarray(odd, odd + half), (2 * s + 1) * half);
  }
  return { data, shape: [2 * steps, half] };
}

function doubleLinear(operation, x) {
  const [steps, channels] = x.shape;
  const ends = padded(x, 0, steps - 1).data;
  const data = new Float64Array(2 * steps * channels);
  for (let s = 0; s < steps; s++) {
    for (let c = 0; c < channels; c++) {
      const [before, own, after] = [0, 1, 2].map((k) => ends[(s + k) * channels + c]);
      data[2 * s * channels + c] = 0.75 * own + 0.25 * before;
      data[(2 * s + 1) * channels + c] = 0.75 * own + 0.25 * after;
    }
  }
  return { data, shape: [2 * steps, channels] };
}

const OPERATIONS = {
  dense,
  convolution,
  double_convolution: doubleConvolution,
  double_linear: doubleLinear,
  reflect: (operation, x) => padded(x, 1, x.shape[0] - 2),
  reshape: (operation, x) => ({ data: x.data, shape: operation.shape }),
  activate: (operation, x) =>
    activated({ data: x.data, shape: x.shape }, operation.activation),
  shift: (operation, x) => {
    // A shift is as long as the last axes, all of them or the last one.
    const shift = operation.shift.data;
    const data = x.data.map((value, i) => value + shift[i % shift.length]);
    return { data, shape: x.shape };
  },
  add: (operation, x, y) => ({
    data: x.data.map((value, i) => value + y.data[i]),
    shape: x.shape,
  }),
};

/* Points, as [[x, y, z], ...] in mm, of one latent (an array of numbers). */
function runDecoder(operations, latent) {
  const results = [{ data: Float64Array.from(latent), shape: [latent.length] }];
  for (const operation of operations) {
    const inputs = operation.inputs.map((number) => results[number]);
    results.push(OPERATIONS[operation.kind](operation, ...inputs));
  }
  const { data, shape } = results[results.length - 1];
  return Array.from({ length: shape[0] }, (_, p) => [...data.subarray(3 * p, 3 * p + 3)]);
}

/* Operations with their arrays unpacked. */
function unpackDecoder(operations) {
  return operations.map((operation) => {
    const unpacked = { ...operation };
    for (const name of ["kernel", "bias", "shift"]) {
      if (name in operation) unpacked[name] = unpackArray(operation[name]);
    }
    return unpacked;
  });
}
