/// llama.cpp's decode attention, for comparison with `martlet bench attention`: one token over f16 keys
/// and values laid out as its cache has them. A program of its own; setup.sh builds it with ggml's
/// static libraries.
///
///   llama_attention [POSITIONS [GROUP,… [THREADS [REPETITIONS]]]]
///
/// Eight KV heads of 128. `flash` is ggml_flash_attn_ext, the default on CPUs; `plain` is products,
/// softmax and products, over transposed values (`-fa off`). Both, and all groups, take turns. Prints one
/// JSON object {schema, context, rows}.
#include "timing.h"

#include <ggml-cpu.h>
#include <ggml.h>
#include <math.h>

enum { kv_heads = 8, dimensions = 128, most_groups = 16, kernels = 2 };
static const char *const names[kernels] = {"flash", "plain"};

typedef struct step {
  struct ggml_cgraph *graph;
  struct ggml_cplan plan;
  int calls;
  double samples[most_samples];
} step;

static void fill_f16(struct ggml_tensor *tensor, unsigned seed) {
  ggml_fp16_t *values = tensor->data;
  ggml_fp16_t pattern[4099];
  for (int i = 0; i < 4099; ++i) {
    seed = seed * 1664525u + 1013904223u;
    pattern[i] = ggml_fp32_to_fp16((float)(int)seed / 2147483648.0f);
  }
  for (int64_t i = 0; i < ggml_nelements(tensor); ++i) values[i] = pattern[i % 4099];
}

static struct ggml_tensor *attention(struct ggml_context *context, int flash, long group,
                                     struct ggml_tensor *keys, struct ggml_tensor *values,
                                     struct ggml_tensor *transposed, struct ggml_tensor *mask) {
  struct ggml_tensor *query =
      ggml_new_tensor_3d(context, GGML_TYPE_F32, dimensions, 1, kv_heads * group);
  for (int64_t i = 0; i < ggml_nelements(query); ++i)
    ((float *)query->data)[i] = sinf((float)i);
  const float scale = 1.0f / sqrtf(dimensions);
  // A cache row holds all heads of a position.
  struct ggml_tensor *by_head = ggml_permute(context, keys, 0, 2, 1, 3);
  if (flash)
    return ggml_flash_attn_ext(context, query, by_head, ggml_permute(context, values, 0, 2, 1, 3),
                               mask, scale, 0, 0);
  struct ggml_tensor *scores = ggml_mul_mat(context, by_head, query);
  return ggml_mul_mat(context, transposed, ggml_soft_max_ext(context, scores, mask, scale, 0));
}

static double run(step *s, int calls) {
  double begin = now();
  for (int call = 0; call < calls; ++call)
    if (ggml_graph_compute(s->graph, &s->plan) != GGML_STATUS_SUCCESS) {
      fprintf(stderr, "llama_attention: ggml_graph_compute failed\n");
      exit(1);
    }
  return (now() - begin) / calls;
}

int main(int count, char **arguments) {
  const long positions = count > 1 ? atol(arguments[1]) : 32768;
  const int threads = count > 3 ? atoi(arguments[3]) : 1;
  const int samples = count > 4 ? atoi(arguments[4]) : 10;
  long groups[most_groups];
  const int group_count =
      parse_list("llama_attention", count > 2 ? arguments[2] : "1,4,8", groups, most_groups);
  if (positions < 1 || positions > 1 << 22 || threads < 1 || samples < 1 ||
      samples > most_samples || !group_count) {
    fprintf(stderr, "usage: llama_attention [POSITIONS [GROUP,... [THREADS [REPETITIONS]]]]\n");
    return 64;
  }
  const size_t cache = (size_t)positions * kv_heads * dimensions * 2;
  struct ggml_context *context = ggml_init((struct ggml_init_params){
      .mem_size = 3 * cache + ((size_t)256 << 20) + (size_t)positions * 4096});
  if (!context) return 1;
  ggml_cpu_init();
  struct ggml_tensor *keys =
      ggml_new_tensor_3d(context, GGML_TYPE_F16, dimensions, kv_heads, positions);
  struct ggml_tensor *values =
      ggml_new_tensor_3d(context, GGML_TYPE_F16, dimensions, kv_heads, positions);
  struct ggml_tensor *transposed =
      ggml_new_tensor_3d(context, GGML_TYPE_F16, positions, dimensions, kv_heads);
  struct ggml_tensor *mask = ggml_new_tensor_2d(context, GGML_TYPE_F16, positions, 1);
  fill_f16(keys, 1);
  fill_f16(values, 2);
  fill_f16(transposed, 3);
  memset(mask->data, 0, ggml_nbytes(mask));

  struct ggml_threadpool_params pool_settings = ggml_threadpool_params_default(threads);
  struct ggml_threadpool *pool = ggml_threadpool_new(&pool_settings);
  step *steps = calloc((size_t)(group_count * kernels), sizeof *steps);
  if (!steps || !pool) return 1;
  for (int i = 0; i < group_count * kernels; ++i) {
    step *s = &steps[i];
    s->graph = ggml_new_graph(context);
    ggml_build_forward_expand(s->graph, attention(context, i % kernels == 0, groups[i / kernels],
                                                  keys, values, transposed, mask));
    s->plan = ggml_graph_plan(s->graph, threads, pool);
    if (s->plan.work_size && !(s->plan.work_data = malloc(s->plan.work_size))) return 1;
    run(s, 1);
    s->calls = 1 + (int)(3e6 / (1 + run(s, 1)));
  }
  for (int sample = 0; sample < samples; ++sample)
    for (int i = 0; i < group_count * kernels; ++i)
      steps[i].samples[sample] = run(&steps[i], steps[i].calls);

  printf("{\"schema\": 1, \"context\": {\"bench\": \"attention\", \"library\": \"llama.cpp\", "
         "\"threads\": %d},\n  \"rows\": [\n", threads);
  for (int i = 0; i < group_count * kernels; ++i) {
    printf("    {\"kv_heads\": %d, \"group\": %ld, \"head_dimensions\": %d, \"positions\": %ld, "
           "\"kv_type\": \"f16\", \"branches\": 1, \"variant\": \"%s\", ",
           kv_heads, groups[i / kernels], dimensions, positions, names[i % kernels]);
    print_samples(steps[i].samples, samples);
    printf("}%s\n", i + 1 == group_count * kernels ? "" : ",");
  }
  printf("]}\n");
  ggml_threadpool_free(pool);
}
