/// oneDNN's matrix products, for comparison with `martlet bench gemm`; written for the 2.x C interface
/// that Debian 12 ships (libdnnl-dev). A program of its own: nothing of Martlet links oneDNN.
///
///   cc -O2 -o onednn onednn.c -ldnnl && ./onednn [OUTPUTSxDEPTH [ROWS,… [REPETITIONS]]]
///
/// float32, bf16 and u8·s8 (one scale for all, int32 out) take turns on one thread (OMP_NUM_THREADS sets
/// more) with weights in the layout that oneDNN prefers, packed before the clock starts; copies of them
/// alternate so that none is in cache, as with `--cache cold`. Prints one JSON object {schema, context,
/// rows}, rows as those of `martlet bench gemm`.
#define _GNU_SOURCE
#include "timing.h"

#include <oneapi/dnnl/dnnl.h>
#include <unistd.h>

#define CHECK(call)                                                            \
  do {                                                                         \
    dnnl_status_t status_ = (call);                                            \
    if (status_ != dnnl_success) {                                             \
      fprintf(stderr, "onednn: %s failed with %d\n", #call, (int)status_);     \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

typedef struct type {
  const char *name;
  dnnl_data_type_t source, weights, output;
  size_t source_bytes, weight_bytes;
} type;

static const type types[] = {
    {"f32", dnnl_f32, dnnl_f32, dnnl_f32, 4, 4},
    {"bf16", dnnl_bf16, dnnl_bf16, dnnl_f32, 2, 2},
    {"u8s8", dnnl_u8, dnnl_s8, dnnl_s32, 1, 1},
};
enum { type_count = sizeof types / sizeof types[0], most_rows = 32, most_copies = 64 };

typedef struct product {
  dnnl_primitive_t primitive;
  dnnl_exec_arg_t arguments[3];
  /// Weights to take in turn; `next` of `copies`.
  dnnl_memory_t weights[most_copies];
  int copies, next;
  dnnl_memory_desc_t layout;
  const char *implementation;
  int calls;
  double samples[most_samples];
} product;

static dnnl_engine_t engine;
static dnnl_stream_t stream;

/// Memory that oneDNN allocates, zero or small numbers.
static dnnl_memory_t memory(const dnnl_memory_desc_t *description) {
  dnnl_memory_t made;
  void *bytes;
  CHECK(dnnl_memory_create(&made, description, engine, DNNL_MEMORY_ALLOCATE));
  CHECK(dnnl_memory_get_data_handle(made, &bytes));
  memset(bytes, 1, dnnl_memory_desc_get_size(description));
  return made;
}

static double run(product *p, int calls) {
  double begin = now();
  for (int call = 0; call < calls; ++call) {
    p->arguments[1].memory = p->weights[p->next++ % p->copies];
    CHECK(dnnl_primitive_execute(p->primitive, stream, 3, p->arguments));
  }
  CHECK(dnnl_stream_wait(stream));
  return (now() - begin) / calls;
}

static size_t cache_bytes(void) {
  const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE), least = 32 << 20;
  return (size_t)(bytes > least ? bytes : least);
}

static void make(product *p, const product *like, const type *t, long rows, long outputs,
                 long depth) {
  const dnnl_dims_t source_dims = {rows, depth}, weight_dims = {depth, outputs},
                    output_dims = {rows, outputs};
  dnnl_memory_desc_t source, weights, output;
  CHECK(dnnl_memory_desc_init_by_tag(&source, 2, source_dims, t->source, dnnl_ab));
  CHECK(dnnl_memory_desc_init_by_tag(&weights, 2, weight_dims, t->weights, dnnl_format_tag_any));
  CHECK(dnnl_memory_desc_init_by_tag(&output, 2, output_dims, t->output, dnnl_ab));
  dnnl_matmul_desc_t description;
  CHECK(dnnl_matmul_desc_init(&description, &source, &weights, NULL, &output));
  dnnl_primitive_desc_t chosen;
  CHECK(dnnl_primitive_desc_create(&chosen, &description, NULL, engine, NULL));
  CHECK(dnnl_primitive_create(&p->primitive, chosen));
  CHECK(dnnl_primitive_desc_query(chosen, dnnl_query_impl_info_str, 0,
                                  (void *)&p->implementation));
  const dnnl_memory_desc_t *packed = dnnl_primitive_desc_query_md(chosen, dnnl_query_weights_md, 0);
  // Twice the last-level cache lies between two uses of a copy.
  const size_t copies = 1 + 2 * cache_bytes() / (1 + dnnl_memory_desc_get_size(packed));
  p->copies = copies < 2 ? 2 : copies > most_copies ? most_copies : (int)copies;
  // Row counts of one type share the weights, if they want the same layout.
  for (int i = 0; i < p->copies; ++i)
    p->weights[i] = like && dnnl_memory_desc_equal(&like->layout, packed) ? like->weights[i]
                                                                         : memory(packed);
  p->layout = *packed;
  p->arguments[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, memory(&source)};
  p->arguments[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, p->weights[0]};
  p->arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_DST, memory(&output)};
  run(p, 1);
  p->calls = 1 + (int)(3e6 / (1 + run(p, 1)));
}

static void print(const product *p, const type *t, long rows, long outputs, long depth,
                  int samples, int last) {
  printf("    {\"type\": \"%s\", \"rows\": %ld, \"outputs\": %ld, \"depth\": %ld, \"variant\": "
         "\"%s\", \"bytes\": %.0f, \"operations\": %.0f, ",
         t->name, rows, outputs, depth, p->implementation,
         (double)outputs * (double)depth * (double)t->weight_bytes +
             (double)rows * ((double)depth * (double)t->source_bytes + 4.0 * (double)outputs),
         2.0 * (double)rows * (double)outputs * (double)depth);
  print_samples(p->samples, samples);
  printf("}%s\n", last ? "" : ",");
}

int main(int count, char **arguments) {
  long outputs = 4096, depth = 14336, rows[most_rows];
  const int samples = count > 3 ? atoi(arguments[3]) : 10;
  if ((count > 1 && sscanf(arguments[1], "%ldx%ld", &outputs, &depth) != 2) || outputs < 1 ||
      depth < 1 || samples < 1 || samples > most_samples) {
    fprintf(stderr, "usage: onednn [OUTPUTSxDEPTH [ROWS,... [REPETITIONS up to 1000]]]\n");
    return 64;
  }
  const int row_count =
      parse_list("onednn", count > 2 ? arguments[2] : "1,4,8,16,64", rows, most_rows);
  if (!getenv("OMP_NUM_THREADS")) {
    // Read when the library starts, so start again.
    setenv("OMP_NUM_THREADS", "1", 1);
    execvp(arguments[0], arguments);
  }
  CHECK(dnnl_engine_create(&engine, dnnl_cpu, 0));
  CHECK(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
  product *products = calloc((size_t)(row_count * type_count), sizeof *products);
  if (!products) return 1;
  for (int i = 0; i < row_count * type_count; ++i)
    make(&products[i], i < type_count ? NULL : &products[i % type_count], &types[i % type_count],
         rows[i / type_count], outputs, depth);
  for (int sample = 0; sample < samples; ++sample)
    for (int i = 0; i < row_count * type_count; ++i)
      products[i].samples[sample] = run(&products[i], products[i].calls);

  const dnnl_version_t *version = dnnl_version();
  printf("{\"schema\": 1, \"context\": {\"bench\": \"gemm\", \"library\": \"oneDNN %d.%d.%d\", "
         "\"threads\": %s},\n  \"rows\": [\n",
         version->major, version->minor, version->patch, getenv("OMP_NUM_THREADS"));
  for (int i = 0; i < row_count * type_count; ++i)
    print(&products[i], &types[i % type_count], rows[i / type_count], outputs, depth, samples,
          i + 1 == row_count * type_count);
  printf("]}\n");
}
