// The LLaMA forward pass over cached sequences, for CPUs. Plain C interface, no dependencies.
#include <limits>
#include <memory>

#include "attention.h"
#include "linear.h"

struct Config {
  int32_t layers, hidden, ffn, heads, kv_heads, head_dim, vocab, context, wide_cache, wide_embedding;
  float eps, theta;
};

struct Layer {
  const float *attention_norm, *mlp_norm;
  Linear qkv, out, gate_up, down;
};

// `count` tokens that continue a sequence at `start`; `cache` holds its keys and values.
struct Run {
  void* cache;
  float* scales;
  int64_t capacity;
  int32_t start, count;
};

namespace {

constexpr int64_t SMALL = 16 << 20;  // bytes of weights: a pass over them may not be worth a second thread
constexpr float LOWEST = std::numeric_limits<float>::lowest();

template <class T>
T* grown(std::vector<T>& buffer, int64_t size) {
  if ((int64_t)buffer.size() < size) buffer.resize(size);
  return buffer.data();
}

struct Model {
  Model(const Config& config, const Layer* all, const Linear& head, const void* embedding, const float* norm, int threads)
      : config(config), layers(all, all + config.layers), head(head), embedding(embedding), norm(norm), pool(threads) {
    width = (config.head_dim + LANES - 1) / LANES * LANES;
    int64_t bytes = this->head.bytes();
    for (const Layer& l : layers) bytes += l.qkv.bytes() + l.out.bytes() + l.gate_up.bytes() + l.down.bytes();
    small = bytes <= SMALL && threads > 1;
    int half_dim = config.head_dim / 2;
    cosines.resize((int64_t)config.context * half_dim);
    sines.resize(cosines.size());
    for (int i = 0; i < half_dim; ++i) {
      float frequency = std::pow(config.theta, -(2.0f * i / config.head_dim));
      for (int p = 0; p < config.context; ++p) {
        float angle = p * frequency;
        cosines[(int64_t)p * half_dim + i] = std::cos(angle);
        sines[(int64_t)p * half_dim + i] = std::sin(angle);
      }
    }
  }

  Config config;
  std::vector<Layer> layers;
  Linear head;
  const void* embedding;  // float32 or bfloat16
  const float* norm;
  Pool pool;
  Choice choice;
  bool small;
  int width;
  std::vector<float> cosines, sines;
  std::vector<float> x, wide, mixed, scales;
  std::vector<int16_t> shorts;

  // Small jobs are not worth waking anybody.
  template <class F>
  void each_row(int rows, const F& f) {
    if (rows < 16) {
      for (int i = 0; i < rows; ++i) f(i);
      return;
    }
    int tasks = std::min(rows, 8 * pool.threads());
    pool.each(tasks, [&](int t) {
      for (int i = (int64_t)rows * t / tasks, end = (int64_t)rows * (t + 1) / tasks; i < end; ++i) f(i);
    });
  }

  Rows inputs(const Linear& w) {
    return {mixed.data(), shorts.data(), scales.data(), w.kind == F32 ? mixed_stride : w.inputs};
  }
  int64_t mixed_stride = 0;

  void put(const Linear& w, int row, int count) {
    if (w.kind != F32) scales[row] = shortened(mixed.data() + row * mixed_stride, count, shorts.data() + (int64_t)row * w.inputs, w.inputs);
  }

  void normalise(const float* from, const float* weight, const Linear& w, int row) {
    int d = config.hidden;
    f32x16 sum = splat(0);
    int whole = d / LANES * LANES;
    for (int i = 0; i < whole; i += LANES) sum = fma(load(from + i), load(from + i), sum);
    float square = total(sum);
    for (int i = whole; i < d; ++i) square += from[i] * from[i];
    float inverse = 1.0f / std::sqrt(square / d + config.eps);
    float* to = mixed.data() + row * mixed_stride;
    for (int i = 0; i < whole; i += LANES) store(to + i, load(from + i) * splat(inverse) * load(weight + i));
    for (int i = whole; i < d; ++i) to[i] = from[i] * inverse * weight[i];
    put(w, row, d);
  }

  void activate(float* gate_up, const Linear& w, int row) {
    int f = config.ffn;
    float *gate = gate_up, *up = gate_up + f, *to = mixed.data() + row * mixed_stride;
    int i = 0;
    for (; i + LANES <= f; i += LANES) {
      f32x16 g = load(gate + i), negative = splat(0) - maximum(g, splat(0) - g);
      f32x16 e = exponential(negative), one = splat(1.0f);
      // 1 / (1 + exp(-g)) without overflow on either side
      float s[LANES], t[LANES], v[LANES];
      store(s, one / (one + e)), store(t, e / (one + e)), store(v, g);
      for (int k = 0; k < LANES; ++k) s[k] = v[k] >= 0 ? s[k] : v[k] != v[k] ? v[k] : t[k];
      store(to + i, g * load(s) * load(up + i));
    }
    for (; i < f; ++i) to[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
    put(w, row, f);
  }

  void turn(float* x, int position) const {
    int h = config.head_dim / 2;
    const float *c = cosines.data() + (int64_t)position * h, *s = sines.data() + (int64_t)position * h;
    for (int i = 0; i < h; ++i) {
      float a = x[i], b = x[i + h];
      x[i] = a * c[i] - b * s[i];
      x[i + h] = b * c[i] + a * s[i];
    }
  }

  template <class T>
  Head<T> head_of(const Run& run, int layer, int kv) const {
    int64_t keys = (int64_t)layer * 2 * config.kv_heads + kv, values = keys + config.kv_heads;
    T* base = (T*)run.cache;
    return {base + keys * run.capacity * width, base + values * run.capacity * width,
            run.scales + keys * run.capacity, run.scales + values * run.capacity};
  }

  // Turn one row's queries and keys by its position; store keys and values.
  template <class T>
  void remember(float* qkv, const Run& run, int layer, int position) const {
    int c = config.head_dim;
    float scale = 1.0f / std::sqrt((float)c);
    for (int h = 0; h < config.heads; ++h) {
      turn(qkv + h * c, position);
      for (int i = 0; i < c; ++i) qkv[h * c + i] *= scale;
    }
    for (int h = 0; h < config.kv_heads; ++h) {
      float *key = qkv + (config.heads + h) * c, *value = key + config.kv_heads * c;
      turn(key, position);
      ::keep(head_of<T>(run, layer, h), position, width, key, value, c);
    }
  }

  // A query for the kernels; short ones as large as sums of 31 bits allow.
  float query(const float* from, float* to) const {
    for (int k = 0; k < width; ++k) to[k] = k < config.head_dim ? from[k] : 0;
    return 1.0f;
  }
  float query(const float* from, int16_t* to) const {
    float most = std::min(8191.0f, std::floor(2147483647.0f / (KEPT + 1) / width) - 1);
    return integers(from, config.head_dim, width, most, to, 1);
  }

  // Attention of tokens [from, to) of a run and one key/value head with its group of query heads.
  template <class T>
  void attend_some(const float* qkv, int64_t stride, const Run& run, int layer, int kv, int first, int from, int to) {
    int group = config.heads / config.kv_heads, c = config.head_dim, count = (to - from) * group;
    struct Space { std::vector<T> q; std::vector<float> scales, out, most, mass; std::vector<int> at; };
    thread_local Space space;
    T* q = grown(space.q, count * width);
    float *scales = grown(space.scales, count), *out = grown(space.out, count * width);
    int* at = grown(space.at, count);
    for (int i = 0; i < count; ++i) {
      scales[i] = query(qkv + (int64_t)(first + from + i / group) * stride + (kv * group + i % group) * c, q + i * width);
      at[i] = run.start + from + i / group;
    }
    attend<T>({count, width, q, scales, at, out, grown(space.most, count), grown(space.mass, count)}, head_of<T>(run, layer, kv));
    for (int i = 0; i < count; ++i)
      std::memcpy(mixed.data() + (int64_t)(first + from + i / group) * mixed_stride + (kv * group + i % group) * c, out + i * width, c * 4);
  }

  template <class T>
  void attention(const std::vector<Run>& runs, int layer, int64_t stride) {
    int group = config.heads / config.kv_heads, tall = std::max(1, 48 / group);
    struct Part { int run, first, from, to; };
    std::vector<Part> parts;
    int first = 0;
    for (int r = 0; r < (int)runs.size(); first += runs[r++].count)
      // the longest first: what comes last then ends soon
      for (int to = runs[r].count; to > 0; to -= tall) parts.push_back({r, first, std::max(0, to - tall), to});
    each_row(first, [&](int row) {
      int r = 0, before = 0;
      while (row - before >= runs[r].count) before += runs[r++].count;
      remember<T>(wide.data() + row * stride, runs[r], layer, runs[r].start + row - before);
    });
    pool.each(parts.size() * config.kv_heads, [&](int task) {
      const Part& part = parts[task / config.kv_heads];
      attend_some<T>(wide.data(), stride, runs[part.run], layer, task % config.kv_heads, part.first, part.from, part.to);
    });
  }

  void forward(const std::vector<Run>& runs, const int32_t* ids, const int32_t* wanted, int wanted_count, float* logits) {
    int rows = 0;
    for (const Run& run : runs) rows += run.count;
    auto pass = [&] { compute(runs, rows, ids, wanted, wanted_count, logits); };
    pool.alone = false;
    if (small && rows == 1) choice.make(pool, pass);
    else pass();
  }

  void compute(const std::vector<Run>& runs, int rows, const int32_t* ids, const int32_t* wanted, int wanted_count, float* logits) {
    int d = config.hidden;
    int64_t qkv_stride = (config.heads + 2 * config.kv_heads) * config.head_dim, ffn_stride = 2 * config.ffn;
    int most = std::max(rows, wanted_count);
    mixed_stride = std::max({d, config.heads * config.head_dim, config.ffn});
    int64_t longest = 0;
    for (const Layer& l : layers) longest = std::max<int64_t>({longest, l.qkv.inputs, l.out.inputs, l.down.inputs, head.inputs});
    grown(x, (int64_t)rows * d), grown(wide, rows * std::max(qkv_stride, ffn_stride));
    grown(mixed, most * mixed_stride), grown(shorts, most * longest), grown(scales, most);
    each_row(rows, [&](int i) {
      float* row = &x[(int64_t)i * d];
      if (config.wide_embedding) std::memcpy(row, (const float*)embedding + (int64_t)ids[i] * d, d * 4);
      else for (int k = 0; k < d; ++k) {
        uint32_t bits = (uint32_t)((const uint16_t*)embedding)[(int64_t)ids[i] * d + k] << 16;
        std::memcpy(row + k, &bits, 4);
      }
    });
    for (int l = 0; l < config.layers; ++l) {
      const Layer& layer = layers[l];
      each_row(rows, [&](int i) { normalise(&x[(int64_t)i * d], layer.attention_norm, layer.qkv, i); });
      linear(pool, layer.qkv, inputs(layer.qkv), rows, {wide.data(), qkv_stride, false});
      if (config.wide_cache) attention<float>(runs, l, qkv_stride);
      else attention<int16_t>(runs, l, qkv_stride);
      each_row(rows, [&](int i) { put(layer.out, i, config.heads * config.head_dim); });
      linear(pool, layer.out, inputs(layer.out), rows, {x.data(), d, true});
      each_row(rows, [&](int i) { normalise(&x[(int64_t)i * d], layer.mlp_norm, layer.gate_up, i); });
      linear(pool, layer.gate_up, inputs(layer.gate_up), rows, {wide.data(), ffn_stride, false});
      each_row(rows, [&](int i) { activate(&wide[i * ffn_stride], layer.down, i); });
      linear(pool, layer.down, inputs(layer.down), rows, {x.data(), d, true});
    }
    each_row(wanted_count, [&](int i) { normalise(&x[(int64_t)wanted[i] * d], norm, head, i); });
    linear(pool, head, inputs(head), wanted_count, {logits, config.vocab, false});
  }

  // The likeliest id, the first of those that tie; -1 where some logit is no number.
  int likeliest(const float* logits) const {
    int count = config.vocab, whole = count / LANES * LANES;
    f32x16 most = splat(LOWEST), zero = splat(0);
    for (int i = 0; i < whole; i += LANES) {
      f32x16 v = load(logits + i);
      most = maximum(most, v);
      zero = fma(v, splat(0), zero);
    }
    float peak = largest(most), sum = total(zero);
    for (int i = whole; i < count; ++i) peak = std::max(peak, logits[i]), sum += logits[i] * 0;
    if (sum != 0 || peak == LOWEST) return -1;
    int at = 0;
    while (logits[at] != peak) ++at;
    return at;
  }

  // Greedy steps of one run, the first over its `ids`; what follows is written to `out`, its count comes
  // back. None of `never` is drawn, one of `ends` is the last. Less than `most` also where a row holds no
  // numbers: that one is for the caller to judge. `first`: seconds until the first id.
  int stride(const Run& run, const int32_t* ids, const int32_t* never, int nevers, const int32_t* ends, int end_count, int most, float* logits, int32_t* out, double* first) {
    auto begun = std::chrono::steady_clock::now();
    std::vector<Run> runs{run};
    for (int i = 0; i < most; ++i) {
      int32_t wanted = runs[0].count - 1;
      forward(runs, i ? out + i - 1 : ids, &wanted, 1, logits);
      for (int k = 0; k < nevers; ++k) logits[never[k]] = LOWEST;
      if ((out[i] = likeliest(logits)) < 0) return i;
      if (!i) *first = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
      if (std::find(ends, ends + end_count, out[i]) != ends + end_count) return i + 1;
      runs[0].start += runs[0].count;
      runs[0].count = 1;
    }
    return most;
  }
};

}  // namespace

extern "C" {

const char* codegen25_isa() { return ISA; }

int64_t codegen25_panel_bytes(const Linear* w) { return w->bytes(); }

// Rows of float32 into `w` (zeroed before), from output `first` on.
void codegen25_pack(const Linear* w, const float* rows, int outputs, int columns, int first, int threads) {
  Pool pool(threads);
  pack(pool, *w, rows, outputs, columns, first);
}

// y = x W' for float32 rows [rows][columns]: what tests and the machine's floor need.
void codegen25_linear(const Linear* w, const float* x, int rows, int columns, float* y, int threads, int repeat) {
  Pool pool(threads);
  std::vector<int16_t> shorts((int64_t)rows * w->inputs);
  std::vector<float> scales(rows);
  if (w->kind != F32)
    for (int i = 0; i < rows; ++i) scales[i] = shortened(x + (int64_t)i * columns, columns, &shorts[(int64_t)i * w->inputs], w->inputs);
  for (int i = 0; i < repeat; ++i)
    linear(pool, *w, {x, shorts.data(), scales.data(), w->kind == F32 ? columns : w->inputs}, rows, {y, w->outputs, false});
}

void* codegen25_model(const Config* config, const Layer* layers, const Linear* head, const void* embedding, const float* norm, int threads) {
  return new Model(*config, layers, *head, embedding, norm, threads);
}

void codegen25_free(void* model) { delete (Model*)model; }

// Logits [wanted_count][vocab] after the rows `wanted` of all runs' tokens, `ids`.
// Returns 1 when there is no memory for the pass.
int codegen25_forward(void* model, const Run* runs, int count, const int32_t* ids, const int32_t* wanted, int wanted_count, float* logits) {
  try {
    ((Model*)model)->forward(std::vector<Run>(runs, runs + count), ids, wanted, wanted_count, logits);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// Greedy steps of one run (see Model::stride): how many ids were written, -1 without memory.
int codegen25_stride(void* model, const Run* run, const int32_t* ids, const int32_t* never, int nevers, const int32_t* ends, int end_count, int most, float* logits, int32_t* out, double* first) {
  try {
    return ((Model*)model)->stride(*run, ids, never, nevers, ends, end_count, most, logits, out, first);
  } catch (const std::bad_alloc&) {
    return -1;
  }
}
}
