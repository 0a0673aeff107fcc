// Causal attention over cached keys and values, a block of positions after another with a running
// softmax (arXiv 2205.14135). Blocks begin at multiples of 64 positions, whatever is asked at once: a
// query's sums are those of every other chunking.
//
// Short: keys and values as twelve-bit integers with a scale a position, multiplied by pmaddwd as
// weights are, twice as fast as float32 and in the memory of float16. Float: as they are.
#pragma once
#include <vector>

#include "simd.h"

constexpr int BLOCK = 64;
constexpr float KEPT = 2047.0f;    // the largest integer of a key or value
constexpr float WEIGHT = 8191.0f;  // and of a softmax weight: 64 products fit in 31 bits

// Keys and values of one layer and head of one sequence; channels are padded to a multiple of 16.
// Sixteen positions of keys lie together, and two of values:
//   float  keys [position / 16][channel][16]            values [position][channel]
//   short  keys [position / 16][channel / 2][16][2]     values [position / 2][channel][2]
template <class T>
struct Head {
  T *keys, *values;
  float *key_scales, *value_scales;
};

INLINE float integers(const float* x, int count, int width, float most, int16_t* out, int step) {
  float peak = 0, zero = 0;
  for (int i = 0; i < count; ++i) peak = std::max(peak, std::fabs(x[i])), zero += x[i] * 0;
  float inverse = peak > 0 ? most / peak : 0.0f;
  for (int i = 0; i < width; ++i) out[i * step] = i < count ? (int16_t)std::nearbyint(x[i] * inverse) : 0;
  return zero == 0 ? peak / most : NAN;
}

INLINE void keep(const Head<int16_t>& head, int64_t position, int width, const float* key, const float* value, int count) {
  thread_local std::vector<int16_t> k;
  k.resize(width);
  head.key_scales[position] = integers(key, count, width, KEPT, k.data(), 1);
  int16_t* to = head.keys + position / LANES * LANES * width + position % LANES * 2;
  for (int c = 0; c < width; c += 2) std::memcpy(to + c * LANES, &k[c], 4);
  head.value_scales[position] = integers(value, count, width, KEPT, head.values + position / 2 * 2 * width + position % 2, 2);
}

INLINE void keep(const Head<float>& head, int64_t position, int width, const float* key, const float* value, int count) {
  float* k = head.keys + position / LANES * LANES * width + position % LANES;
  for (int c = 0; c < width; ++c) {
    k[c * LANES] = c < count ? key[c] : 0;
    head.values[position * width + c] = c < count ? value[c] : 0;
  }
}

// Some queries of one head, their positions rising with the row; `most` and `mass`: the softmax so far.
template <class T>
struct Queries {
  int count, width;
  const T* q;
  const float* scales;
  const int* at;
  float *out, *most, *mass;
};

template <int R>
INLINE void scores(const Queries<float>& all, int row, const Head<float>& head, int start, int count, float* s) {
  const float* q = all.q + row * all.width;
  for (int first = 0; first < count; first += LANES) {
    const float* panel = head.keys + (int64_t)(start + first) * all.width;
    f32x16 sum[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] = splat(0);
    for (int c = 0; c < all.width; ++c) {
      f32x16 k = load(panel + c * LANES);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) sum[r] = fma(splat(q[r * all.width + c]), k, sum[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) store(s + r * BLOCK + first, sum[r]);
  }
}

// Sixteen products of pairs for each of R rows.
template <int R>
INLINE void dots(i32x16 (&sum)[R], const int16_t* x, const int16_t* y, int stride) {
  if constexpr (R == 1) {
    sum[0] = dot(sum[0], x, splat_pair(y));
  } else {
    i16x32 both = load_wide(x);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] = dot(sum[r], both, splat_pair(y + r * stride));
  }
}

template <int R>
INLINE void scores(const Queries<int16_t>& all, int row, const Head<int16_t>& head, int start, int count, float* s) {
  const int16_t* q = all.q + row * all.width;
  for (int first = 0; first < count; first += LANES) {
    const int16_t* panel = head.keys + (int64_t)(start + first) * all.width;
    i32x16 sum[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] = no_sum();
    for (int c = 0; c < all.width; c += 2 * STEP<R>)
#pragma GCC unroll 16
      for (int u = c; u < c + 2 * STEP<R>; u += 2)
        dots<R>(sum, panel + u * LANES, q + u, all.width);
    f32x16 scale = load(head.key_scales + start + first);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) store(s + r * BLOCK + first, to_float(sum[r]) * scale * splat(all.scales[row + r]));
  }
}

template <int R>
INLINE void weighted(const Queries<float>& all, int row, const Head<float>& head, int start, int count, const float* p, const float* stays) {
  float* out = all.out + row * all.width;
  const float* values = head.values + (int64_t)start * all.width;
  for (int c = 0; c < all.width; c += LANES) {
    f32x16 sum[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] = load(out + r * all.width + c) * splat(stays[r]);
    for (int j = 0; j < count; ++j) {
      f32x16 v = load(values + j * all.width + c);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) sum[r] = fma(splat(p[r * BLOCK + j]), v, sum[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) store(out + r * all.width + c, sum[r]);
  }
}

template <int R>
INLINE void weighted(const Queries<int16_t>& all, int row, const Head<int16_t>& head, int start, int count, const float* p, const float* stays) {
  alignas(64) int16_t shares[R * BLOCK];
  float scales[R];
  alignas(64) float kept[BLOCK] = {};  // what an earlier owner left behind `count` may be no number
  std::memcpy(kept, head.value_scales + start, count * sizeof(float));
  f32x16 a = load(kept), b = load(kept + 16), c_ = load(kept + 32), d = load(kept + 48);
  for (int r = 0; r < R; ++r) {
    const float* from = p + r * BLOCK;
    f32x16 w = load(from) * a, x = load(from + 16) * b, y = load(from + 32) * c_, z = load(from + 48) * d;
    float peak = largest(maximum(maximum(w, x), maximum(y, z)));
    scales[r] = peak / WEIGHT;
    f32x16 inverse = splat(peak > 0 ? WEIGHT / peak : 0.0f);
    int16_t* to = shares + r * BLOCK;
    store_short(to, w * inverse), store_short(to + 16, x * inverse);
    store_short(to + 32, y * inverse), store_short(to + 48, z * inverse);
  }
  float* out = all.out + row * all.width;
  const int16_t* values = head.values + (int64_t)start * all.width;
  for (int c = 0; c < all.width; c += LANES) {
    i32x16 sum[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] = no_sum();
    // Behind `count` shares are zero.
    for (int j = 0; j < count; j += 2 * STEP<R>)
#pragma GCC unroll 16
      for (int u = j; u < j + 2 * STEP<R>; u += 2)
        dots<R>(sum, values + u * all.width + c * 2, shares + u, BLOCK);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      float* o = out + r * all.width + c;
      store(o, fma(to_float(sum[r]), splat(scales[r]), load(o) * splat(stays[r])));
    }
  }
}

// R queries meet the `count` positions from `start` on.
template <int R, class T>
void meet(const Queries<T>& all, int row, const Head<T>& head, int start, int count) {
  if (all.at[row + R - 1] < start) return;
  alignas(64) float p[R * BLOCK];
  float stays[R];
  scores<R>(all, row, head, start, count, p);
  for (int r = 0; r < R; ++r) {
    float* s = p + r * BLOCK;
    int seen = std::max(0, std::min(count, all.at[row + r] - start + 1));
    for (int j = seen; j < BLOCK; ++j) s[j] = -INFINITY;
    f32x16 a = load(s), b = load(s + 16), c = load(s + 32), d = load(s + 48);
    float before = all.most[row + r];
    float peak = std::max(before, largest(maximum(maximum(a, b), maximum(c, d))));
    f32x16 shift = splat(peak);
    a = exponential(a - shift), b = exponential(b - shift), c = exponential(c - shift), d = exponential(d - shift);
    store(s, a), store(s + 16, b), store(s + 32, c), store(s + 48, d);
    for (int j = seen; j < BLOCK; ++j) s[j] = 0;
    stays[r] = before == -INFINITY ? 0.0f : std::exp(before - peak);
    all.mass[row + r] = all.mass[row + r] * stays[r] + total((load(s) + load(s + 16)) + (load(s + 32) + load(s + 48)));
    all.most[row + r] = peak;
  }
  weighted<R>(all, row, head, start, count, p, stays);
}

template <class T, int R = ROWS>
INLINE void meet_of(int rows, const Queries<T>& all, int row, const Head<T>& head, int start, int count) {
  if constexpr (R > 1) {
    if (rows < R) return meet_of<T, R - 1>(rows, all, row, head, start, count);
  }
  meet<R>(all, row, head, start, count);
}

// All queries over positions 0 … their own.
template <class T>
void attend(const Queries<T>& all, const Head<T>& head) {
  std::fill(all.out, all.out + all.count * all.width, 0.0f);
  std::fill(all.most, all.most + all.count, -INFINITY);
  std::fill(all.mass, all.mass + all.count, 0.0f);
  int length = all.at[all.count - 1] + 1;
  for (int start = 0; start < length; start += BLOCK)
    for (int row = 0; row < all.count; row += ROWS)
      meet_of<T>(all.count - row, all, row, head, start, std::min(BLOCK, length - start));
  for (int row = 0; row < all.count; ++row) {
    float* out = all.out + row * all.width;
    f32x16 whole = splat(all.mass[row]);
    for (int c = 0; c < all.width; c += LANES) store(out + c, load(out + c) / whole);
  }
}
