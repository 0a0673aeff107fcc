// y = x W', W in panels of sixteen outputs: float32, or int8 / int4 with a scale a group of inputs.
//
// Integer weights meet inputs rounded to sixteen bits, a scale a row: pmaddwd takes those at the same
// rate as bytes, and the rounding of the inputs costs nothing that can be measured.
#pragma once
#include <vector>

#include "pool.h"
#include "simd.h"

enum Kind : int32_t { F32, INT8, INT4 };

struct Linear {
  int32_t kind, outputs, inputs, group;  // inputs: padded to whole groups
  const uint8_t* weights;                // F32 [panel][input][16]; integers [panel][pair][16][2]
  const float* scales;                   // [panel][group][16]
  int panels() const { return (outputs + LANES - 1) / LANES; }
  int64_t panel_bytes() const {
    return (int64_t)inputs * LANES * (kind == F32 ? 4 : kind == INT8 ? 2 : 1) / (kind == F32 ? 1 : 2);
  }
  int64_t bytes() const { return panel_bytes() * panels(); }
  const uint8_t* panel(int i) const { return weights + i * panel_bytes(); }
  const float* panel_scales(int i) const { return scales + (int64_t)i * (inputs / group) * LANES; }
};

// Rows of inputs: `floats`, or `shorts` with a scale a row.
struct Rows {
  const float* floats;
  const int16_t* shorts;
  const float* scales;
  int64_t stride;
};

struct Int8 {
  static constexpr int bytes = 32;
  static INLINE i16x32 at(const uint8_t* p) { return widen8(p); }
};
struct Int4 {
  static constexpr int bytes = 16;
  static INLINE i16x32 at(const uint8_t* p) { return widen4(p); }
};
struct Wide {
  static constexpr int bytes = 64;
  static INLINE i16x32 at(const uint8_t* p) { return load_wide((const int16_t*)p); }
};

template <int R, class Source>
INLINE void integer_tile(const int16_t* x, int64_t stride, const uint8_t* panel, const float* scales,
                         int groups, int pairs, f32x16 (&sum)[R]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sum[r] = splat(0);
  for (int g = 0; g < groups; ++g) {
    i32x16 part[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) part[r] = no_sum();
    for (int p = 0; p < pairs; p += STEP<R>)
#pragma GCC unroll 16
      for (int u = 0; u < STEP<R>; ++u, x += 2, panel += Source::bytes) {
        i16x32 w = Source::at(panel);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) part[r] = dot(part[r], w, splat_pair(x + r * stride));
      }
    f32x16 scale = load(scales + g * LANES);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] = fma(to_float(part[r]), scale, sum[r]);
  }
}

template <int R>
INLINE void float_tile(const float* x, int64_t stride, const float* panel, int inputs, f32x16 (&sum)[R]) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sum[r] = splat(0);
  for (int i = 0; i < inputs; ++i) {
    f32x16 w = load(panel + i * LANES);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] = fma(splat(x[r * stride + i]), w, sum[r]);
  }
}

struct Output {
  float* at;
  int64_t stride;
  bool add;
};

INLINE void write(f32x16 value, float* out, int width, bool add) {
  if (width >= LANES) {
    store(out, add ? load(out) + value : value);
    return;
  }
  float lanes[LANES];
  store(lanes, value);
  for (int i = 0; i < width; ++i) out[i] = add ? out[i] + lanes[i] : lanes[i];
}

// R rows from `row` on times one panel, from its packed or its widened weights.
template <int R>
void tile(const Linear& w, const Rows& x, int row, int panel, const int16_t* wide, const Output& y) {
  f32x16 sum[R];
  if (w.kind == F32) {
    float_tile<R>(x.floats + row * x.stride, x.stride, (const float*)w.panel(panel), w.inputs, sum);
  } else {
    const int16_t* rows = x.shorts + row * x.stride;
    const float* scales = w.panel_scales(panel);
    int groups = w.inputs / w.group, pairs = w.group / 2;
    if (wide) integer_tile<R, Wide>(rows, x.stride, (const uint8_t*)wide, scales, groups, pairs, sum);
    else if (w.kind == INT8) integer_tile<R, Int8>(rows, x.stride, w.panel(panel), scales, groups, pairs, sum);
    else integer_tile<R, Int4>(rows, x.stride, w.panel(panel), scales, groups, pairs, sum);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] = sum[r] * splat(x.scales[row + r]);
  }
  int first = panel * LANES;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
    write(sum[r], y.at + (row + r) * y.stride + first, w.outputs - first, y.add);
}

template <int R = ROWS>
INLINE void tile_of(int rows, const Linear& w, const Rows& x, int row, int panel, const int16_t* wide, const Output& y) {
  if constexpr (R > 1) {
    if (rows < R) return tile_of<R - 1>(rows, w, x, row, panel, wide, y);
  }
  tile<R>(w, x, row, panel, wide, y);
}

inline void widen(const Linear& w, int panel, int16_t* out) {
  const uint8_t* p = w.panel(panel);
  for (int i = 0; i < w.inputs / 2; ++i)
    store_wide(out + 32 * i, w.kind == INT8 ? widen8(p + 32 * i) : widen4(p + 16 * i));
}

// Blocks of rows that stay in the second-level cache meet a few panels at a time.
inline void linear(Pool& pool, const Linear& w, const Rows& x, int rows, const Output& y) {
  constexpr int CACHE = 256 << 10;
  int bytes = w.inputs * (w.kind == F32 ? 4 : 2);
  int block = std::max(2, std::min(32, CACHE / bytes / ROWS)) * ROWS;
  bool few = rows <= 2 * ROWS || w.kind == F32;
  int64_t least = few && rows <= ROWS ? std::max<int64_t>(1, (32 << 10) / w.panel_bytes()) : 4;
  int chunk = (int)std::max<int64_t>(1, std::min<int64_t>(least, w.panels() / (2 * pool.threads())));
  int chunks = (w.panels() + chunk - 1) / chunk, blocks = (rows + block - 1) / block;
  pool.each(blocks * chunks, [&](int task) {
    thread_local std::vector<int16_t> scratch;
    int16_t* wide = nullptr;
    if (!few) {
      if ((int64_t)scratch.size() < w.inputs * LANES) scratch.resize(w.inputs * LANES);
      wide = scratch.data();
    }
    int from = task / chunks * block, to = std::min(rows, from + block);
    int panel = task % chunks * chunk, last = std::min(w.panels(), panel + chunk);
    for (; panel < last; ++panel) {
      if (wide) widen(w, panel, wide);
      for (int row = from; row < to; row += ROWS) tile_of(to - row, w, x, row, panel, wide, y);
    }
  });
}

// ------------------------------------------------------------------------------------- packing

// One group of one output's weights as integers of at most `most`, by the scale with the least error.
inline float quantized(const float* w, int count, int most, int8_t* out) {
  float peak = 0, zero = 0;
  for (int i = 0; i < count; ++i) peak = std::max(peak, std::fabs(w[i])), zero += w[i] * 0;
  if (peak == 0 || zero != 0) {
    std::memset(out, 0, count);
    return zero == 0 ? 0.0f : NAN;
  }
  float best = peak / most, error = INFINITY;
  // Eight bits gain nothing from a search; four do.
  for (float shrink = 1.0f; shrink > (most > 7 ? 0.99f : 0.7f); shrink -= 0.03f) {
    float scale = peak * shrink / most, wrong = 0;
    for (int i = 0; i < count; ++i) {
      float q = std::max(-(float)most, std::min((float)most, std::nearbyint(w[i] / scale)));
      wrong += (w[i] - q * scale) * (w[i] - q * scale);
    }
    if (wrong < error) error = wrong, best = scale;
  }
  for (int i = 0; i < count; ++i)
    out[i] = (int8_t)std::max(-(float)most, std::min((float)most, std::nearbyint(w[i] / best)));
  return best;
}

// Rows [outputs][columns] of float32 into panels from output `first` on; `w` describes the result.
inline void pack(Pool& pool, const Linear& w, const float* rows, int outputs, int columns, int first) {
  int last = first + outputs;
  pool.each((last + LANES - 1) / LANES - first / LANES, [&](int task) {
    int panel = first / LANES + task;
    uint8_t* at = (uint8_t*)w.panel(panel);
    std::vector<float> row(w.inputs, 0.0f);
    std::vector<int8_t> q(w.group);
    for (int lane = 0; lane < LANES; ++lane) {
      int output = panel * LANES + lane;
      if (output < first || output >= last) continue;
      std::memcpy(row.data(), rows + (int64_t)(output - first) * columns, columns * 4);
      if (w.kind == F32) {
        for (int i = 0; i < w.inputs; ++i) ((float*)at)[i * LANES + lane] = row[i];
        continue;
      }
      for (int g = 0; g < w.inputs / w.group; ++g) {
        int most = w.kind == INT8 ? 127 : 7;
        float scale = quantized(row.data() + g * w.group, w.group, most, q.data());
        ((float*)w.panel_scales(panel))[g * LANES + lane] = scale;
        for (int i = 0; i < w.group; ++i) {
          int input = g * w.group + i, value = lane * 2 + (input & 1);
          uint8_t* pair = at + (int64_t)(input / 2) * (w.kind == INT8 ? 32 : 16);
          if (w.kind == INT8) pair[value] = (uint8_t)q[i];
          else pair[value % 16] |= (uint8_t)((q[i] + 8) << (value / 16 * 4));
        }
      }
    }
  });
}

// Inputs to sixteen bits: one row, its scale returned. `stride` shorts are written.
inline float shortened(const float* x, int count, int16_t* out, int64_t stride) {
  f32x16 most = splat(0), zero = splat(0);  // a maximum loses what is no number, a sum does not
  int whole = count / LANES * LANES;
  for (int i = 0; i < whole; i += LANES) {
    f32x16 v = load(x + i);
    most = maximum(most, maximum(v, splat(0) - v));
    zero = fma(v, splat(0), zero);
  }
  float peak = largest(most), sum = total(zero);
  for (int i = whole; i < count; ++i) peak = std::max(peak, std::fabs(x[i])), sum += x[i] * 0;
  float scale = peak / 32767.0f, inverse = peak > 0 ? 32767.0f / peak : 0.0f;
  for (int i = 0; i < whole; i += LANES) store_short(out + i, load(x + i) * splat(inverse));
  for (int i = whole; i < stride; ++i) out[i] = i < count ? (int16_t)std::nearbyint(x[i] * inverse) : 0;
  return sum == 0 ? scale : NAN;
}
