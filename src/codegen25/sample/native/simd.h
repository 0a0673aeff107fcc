// Sixteen lanes on AVX-512, AVX2 or whatever the compiler makes of plain arrays. All three do the
// same operations in the same order, so a sum is the same to the last bit on each of them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

constexpr int LANES = 16;

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define ISA "AVX-512"
constexpr int ROWS = 12;  // rows of a tile: accumulators that fit the registers
struct f32x16 { __m512 v; };
struct i32x16 { __m512i v; };
struct i16x32 { __m512i v; };
INLINE f32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
INLINE void store(float* p, f32x16 x) { _mm512_storeu_ps(p, x.v); }
INLINE f32x16 splat(float x) { return {_mm512_set1_ps(x)}; }
INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
INLINE f32x16 operator+(f32x16 a, f32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
INLINE f32x16 operator-(f32x16 a, f32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
INLINE f32x16 operator*(f32x16 a, f32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
INLINE f32x16 operator/(f32x16 a, f32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
INLINE f32x16 maximum(f32x16 a, f32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
INLINE f32x16 rounded(f32x16 a) { return {_mm512_roundscale_ps(a.v, 8)}; }
INLINE i32x16 to_int(f32x16 a) { return {_mm512_cvtps_epi32(a.v)}; }
INLINE f32x16 to_float(i32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
INLINE f32x16 power_of_two(f32x16 n) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(to_int(n).v, _mm512_set1_epi32(127)), 23))};
}
INLINE i32x16 no_sum() { return {_mm512_setzero_si512()}; }
INLINE i16x32 load_wide(const int16_t* p) { return {_mm512_loadu_si512(p)}; }
INLINE void store_wide(int16_t* p, i16x32 x) { _mm512_storeu_si512(p, x.v); }
INLINE i16x32 widen8(const uint8_t* p) { return {_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p))}; }
INLINE i16x32 widen4(const uint8_t* p) {
  __m128i x = _mm_loadu_si128((const __m128i*)p), low = _mm_set1_epi8(15);
  __m256i both = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(x, 4), low), _mm_and_si128(x, low));
  return {_mm512_sub_epi16(_mm512_cvtepu8_epi16(both), _mm512_set1_epi16(8))};
}
INLINE i16x32 splat_pair(const int16_t* p) {
  int32_t pair;
  std::memcpy(&pair, p, 4);
  return {_mm512_set1_epi32(pair)};
}
INLINE i32x16 dot(i32x16 sum, i16x32 a, i16x32 b) {
#ifdef __AVX512VNNI__
  return {_mm512_dpwssd_epi32(sum.v, a.v, b.v)};
#else
  return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(a.v, b.v))};
#endif
}
INLINE void store_short(int16_t* p, f32x16 x) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtsepi32_epi16(to_int(x).v));
}

#elif defined(__AVX2__) && defined(__FMA__)
#define ISA "AVX2"
#define OWN_SUMS
constexpr int ROWS = 6;
struct f32x16 { __m256 a, b; };
struct i32x16 { __m256i a, b; };
struct i16x32 { __m256i a, b; };
INLINE f32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
INLINE void store(float* p, f32x16 x) { _mm256_storeu_ps(p, x.a); _mm256_storeu_ps(p + 8, x.b); }
INLINE f32x16 splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) { return {_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b)}; }
INLINE f32x16 operator+(f32x16 a, f32x16 b) { return {_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b)}; }
INLINE f32x16 operator-(f32x16 a, f32x16 b) { return {_mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b)}; }
INLINE f32x16 operator*(f32x16 a, f32x16 b) { return {_mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b)}; }
INLINE f32x16 operator/(f32x16 a, f32x16 b) { return {_mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b)}; }
INLINE f32x16 maximum(f32x16 a, f32x16 b) { return {_mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b)}; }
INLINE f32x16 rounded(f32x16 x) { return {_mm256_round_ps(x.a, 8), _mm256_round_ps(x.b, 8)}; }
INLINE i32x16 to_int(f32x16 x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
INLINE f32x16 to_float(i32x16 x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
INLINE f32x16 power_of_two(f32x16 n) {
  i32x16 i = to_int(n);
  __m256i bias = _mm256_set1_epi32(127);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(i.a, bias), 23)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(i.b, bias), 23))};
}
INLINE i32x16 no_sum() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
INLINE i16x32 load_wide(const int16_t* p) {
  return {_mm256_loadu_si256((const __m256i*)p), _mm256_loadu_si256((const __m256i*)(p + 16))};
}
INLINE void store_wide(int16_t* p, i16x32 x) {
  _mm256_storeu_si256((__m256i*)p, x.a);
  _mm256_storeu_si256((__m256i*)(p + 16), x.b);
}
INLINE i16x32 widen8(const uint8_t* p) {
  return {_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)p)), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(p + 16)))};
}
INLINE i16x32 widen4(const uint8_t* p) {
  __m128i x = _mm_loadu_si128((const __m128i*)p), low = _mm_set1_epi8(15);
  __m256i eight = _mm256_set1_epi16(8);
  return {_mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_and_si128(x, low)), eight),
          _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(x, 4), low)), eight)};
}
INLINE i16x32 splat_pair(const int16_t* p) {
  int32_t pair;
  std::memcpy(&pair, p, 4);
  __m256i x = _mm256_set1_epi32(pair);
  return {x, x};
}
// Written out: left alone, GCC starts all products of a tile before it adds one, and spills the sums.
INLINE void dot_half(__m256i& sum, __m256i x, __m256i y) {
  __m256i product;
  asm("vpmaddwd %[y], %[x], %[p]\n\tvpaddd %[p], %[s], %[s]" : [s] "+x"(sum), [p] "=&x"(product) : [x] "x"(x), [y] "x"(y));
}
INLINE i32x16 dot(i32x16 sum, i16x32 x, i16x32 y) {
  dot_half(sum.a, x.a, y.a);
  dot_half(sum.b, x.b, y.b);
  return sum;
}
// The same with x in memory, for sums of one row, which load it once.
INLINE void dot_half(__m256i& sum, const int16_t* x, __m256i y) {
  __m256i product;
  asm("vpmaddwd %[x], %[y], %[p]\n\tvpaddd %[p], %[s], %[s]" : [s] "+x"(sum), [p] "=&x"(product) : [x] "m"(*(const __m256i_u*)x), [y] "x"(y));
}
INLINE i32x16 dot(i32x16 sum, const int16_t* x, i16x32 y) {
  dot_half(sum.a, x, y.a);
  dot_half(sum.b, x + 16, y.b);
  return sum;
}
INLINE float total(f32x16 x) {
  __m256 eight = _mm256_add_ps(x.a, x.b);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
INLINE float largest(f32x16 x) {
  __m256 eight = _mm256_max_ps(x.a, x.b);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
INLINE void store_short(int16_t* p, f32x16 x) {
  i32x16 i = to_int(x);
  __m256i packed = _mm256_packs_epi32(i.a, i.b);
  _mm256_storeu_si256((__m256i*)p, _mm256_permute4x64_epi64(packed, 0xD8));
}

#else
#define ISA "portable"
constexpr int ROWS = 4;
struct f32x16 { float v[16]; };
struct i32x16 { int32_t v[16]; };
struct i16x32 { int16_t v[32]; };
#define EACH for (int i = 0; i < 16; ++i)
INLINE f32x16 load(const float* p) { f32x16 r; EACH r.v[i] = p[i]; return r; }
INLINE void store(float* p, f32x16 x) { EACH p[i] = x.v[i]; }
INLINE f32x16 splat(float x) { f32x16 r; EACH r.v[i] = x; return r; }
INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) { EACH c.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]); return c; }
INLINE f32x16 operator+(f32x16 a, f32x16 b) { EACH a.v[i] += b.v[i]; return a; }
INLINE f32x16 operator-(f32x16 a, f32x16 b) { EACH a.v[i] -= b.v[i]; return a; }
INLINE f32x16 operator*(f32x16 a, f32x16 b) { EACH a.v[i] *= b.v[i]; return a; }
INLINE f32x16 operator/(f32x16 a, f32x16 b) { EACH a.v[i] /= b.v[i]; return a; }
INLINE f32x16 maximum(f32x16 a, f32x16 b) { EACH a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return a; }
INLINE f32x16 rounded(f32x16 a) { EACH a.v[i] = __builtin_rintf(a.v[i]); return a; }
INLINE i32x16 to_int(f32x16 a) { i32x16 r; EACH r.v[i] = (int32_t)__builtin_rintf(a.v[i]); return r; }
INLINE f32x16 to_float(i32x16 a) { f32x16 r; EACH r.v[i] = (float)a.v[i]; return r; }
INLINE f32x16 power_of_two(f32x16 n) {
  i32x16 k = to_int(n);
  EACH k.v[i] = (k.v[i] + 127) << 23;
  f32x16 r;
  std::memcpy(r.v, k.v, sizeof r.v);
  return r;
}
INLINE i32x16 no_sum() { return i32x16{}; }
INLINE i16x32 load_wide(const int16_t* p) { i16x32 r; std::memcpy(r.v, p, 64); return r; }
INLINE void store_wide(int16_t* p, i16x32 x) { std::memcpy(p, x.v, 64); }
INLINE i16x32 widen8(const uint8_t* p) { i16x32 r; for (int i = 0; i < 32; ++i) r.v[i] = (int8_t)p[i]; return r; }
INLINE i16x32 widen4(const uint8_t* p) {
  i16x32 r;
  EACH { r.v[i] = (p[i] & 15) - 8; r.v[16 + i] = (p[i] >> 4) - 8; }
  return r;
}
INLINE i16x32 splat_pair(const int16_t* p) { i16x32 r; EACH { r.v[2 * i] = p[0]; r.v[2 * i + 1] = p[1]; } return r; }
INLINE i32x16 dot(i32x16 sum, i16x32 a, i16x32 b) {
  EACH sum.v[i] += (int32_t)a.v[2 * i] * b.v[2 * i] + (int32_t)a.v[2 * i + 1] * b.v[2 * i + 1];
  return sum;
}
INLINE void store_short(int16_t* p, f32x16 x) { EACH p[i] = (int16_t)__builtin_rintf(x.v[i]); }
#undef EACH
#endif

// Pairs of inputs that one pass through a loop takes: with a single row the loop itself counts.
template <int R>
constexpr int STEP = R == 1 ? 4 : 1;

#ifndef OWN_SUMS
// The same pairwise order everywhere.
INLINE float total(f32x16 x) {
  float v[16];
  store(v, x);
  for (int width = 8; width; width /= 2)
    for (int i = 0; i < width; ++i) v[i] += v[i + width];
  return v[0];
}
INLINE float largest(f32x16 x) {
  float v[16];
  store(v, x);
  float most = v[0];
  for (int i = 1; i < 16; ++i) most = std::max(most, v[i]);
  return most;
}
INLINE i32x16 dot(i32x16 sum, const int16_t* x, i16x32 y) { return dot(sum, load_wide(x), y); }
#endif

// exp(x) for x <= 0, within 2 ulp (Cephes' expf); zero below -87.
INLINE f32x16 exponential(f32x16 x) {
  x = maximum(x, splat(-104.0f));
  f32x16 n = maximum(rounded(x * splat(1.44269504f)), splat(-127.0f));
  f32x16 r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  f32x16 p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r + splat(1.0f));
  return p * power_of_two(n);
}
