/// Fitting a codebook to pages of keys and to queries: plain C in float64, the same for every ISA, but
/// for the sample's codes, which come from the kernel that codes pages and has one result on all.
///
/// Two second moments, a Cholesky factor, one symmetric eigenproblem (Householder reduction and
/// implicit QL, after EISPACK's tred2 and tql2), the dealing out of nibbles by dynamic programming,
/// and k-means per nibble over the sample.
#include <martlet/retrieve.h>

#include "dispatch/families.h"
#include "dispatch/retrieve_layout.h"

#include <math.h>
#include <string.h>

enum {
  fit_pages = 128,                        ///< Pages in the sample.
  fit_keys = fit_pages * kv_positions,
  fit_queries = 1024,
  fit_rounds = 8,                         ///< Of k-means.
  fit_most = kv_most_dimensions,
};

/// Added to the queries' second moment, as a part of its mean: what no query of the sample looks at
/// another may.
static const double fit_floor = 0.02;

typedef struct fit_work {
  double *moment;    ///< [D][D]: of queries, then its Cholesky factor L.
  double *spread;    ///< [D][D]: covariance of keys, then of Lᵀ·k, then eigenvectors.
  double *other;     ///< [D][D]
  double *values;    ///< [D]: eigenvalues.
  double *off;       ///< [D]
  double *best;      ///< [D + 1][nibbles + 1]: least distortion.
  uint8_t *step;     ///< [D + 1][nibbles + 1]: how it was reached.
  float *keys;       ///< [fit_keys][D]
  float *mapped;     ///< [coordinates][fit_keys]
  uint8_t *codes;    ///< [fit_pages][nibbles / 2][32]: of the sample.
  size_t bytes;
} fit_work;

static fit_work lay_out(size_t d, size_t nibbles, void *memory) {
  fit_work w;
  char *at = memory;
  size_t offset = 0;
#define TAKE(field, type, n)                                    \
  w.field = memory ? (type *)(void *)(at + offset) : (type *)0; \
  offset += kv_round_up((n) * sizeof *w.field, 64)
  TAKE(moment, double, d * d);
  TAKE(spread, double, d * d);
  TAKE(other, double, d * d);
  TAKE(values, double, d);
  TAKE(off, double, d);
  TAKE(best, double, (d + 1) * (nibbles + 1));
  TAKE(step, uint8_t, (d + 1) * (nibbles + 1));
  TAKE(keys, float, fit_keys * d);
  TAKE(mapped, float, fit_keys * d);
  TAKE(codes, uint8_t, fit_keys * nibbles / 2);
#undef TAKE
  w.bytes = offset;
  return w;
}

// ---- samples ------------------------------------------------------------------------------------

/// Reads pages spread over all of them; the number of keys, or 0 if one is not to be used.
static size_t read_keys(const martlet_retrieve_fit_arguments *a, float *keys) {
  const kv_shape shape = kv_shape_of(a->layout);
  const size_t pages = a->page_count < fit_pages ? a->page_count : (size_t)fit_pages;
  const size_t dimensions = shape.dimensions;
  for (size_t i = 0; i < pages; ++i) {
    const size_t number = i * a->page_count / pages;
    const void *page = a->pages[number];
    if (!page) return 0;
    const int turned = a->turned && a->turned[number];
    const kv_head head = kv_head_of(&shape, (const char *)page + a->page_offset, a->kv_head);
    for (size_t d = 0; d < dimensions; ++d)
      for (size_t p = 0; p < kv_positions; ++p) {
        const float x = retrieve_key_at(a->layout->type, &shape, &head, turned, d, p);
        if (!(fabsf(x) <= 1e15f)) return 0;
        keys[(i * kv_positions + p) * dimensions + d] = x;
      }
  }
  return pages * kv_positions;
}

/// sum += x·xᵀ, the lower triangle.
static void add_square(size_t n, const float *x, const double *less, double *sum) {
  double centred[fit_most];
  for (size_t i = 0; i < n; ++i) centred[i] = (double)x[i] - (less ? less[i] : 0);
  for (size_t i = 0; i < n; ++i) {
    const double factor = centred[i];
    double *row = sum + i * n;
    for (size_t j = 0; j <= i; ++j) row[j] += factor * centred[j];
  }
}

static void finish_square(size_t n, double count, double *sum) {
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) sum[j * n + i] = sum[i * n + j] /= count;
}

/// Every other key is enough for a covariance.
static void key_covariance(size_t n, size_t count, const float *keys, double *sum) {
  double mean[fit_most] = {0};
  size_t used = 0;
  for (size_t k = 0; k < count; k += 2, ++used)
    for (size_t i = 0; i < n; ++i) mean[i] += (double)keys[k * n + i];
  for (size_t i = 0; i < n; ++i) mean[i] /= (double)used;
  memset(sum, 0, n * n * sizeof *sum);
  for (size_t k = 0; k < count; k += 2) add_square(n, keys + k * n, mean, sum);
  finish_square(n, (double)used, sum);
}

/// The second moment of the queries, at least a little in every direction; 0 if one is not finite.
static int query_moment(const martlet_retrieve_fit_arguments *a, size_t n, double *sum) {
  memset(sum, 0, n * n * sizeof *sum);
  const size_t used = a->query_count < fit_queries ? a->query_count : (size_t)fit_queries;
  for (size_t i = 0; i < used; ++i) {
    const float *query = a->queries + i * a->query_count / used * a->query_stride;
    for (size_t d = 0; d < n; ++d)
      if (!(fabsf(query[d]) <= 1e15f)) return 0;
    add_square(n, query, NULL, sum);
  }
  if (used) finish_square(n, (double)used, sum);
  double trace = 0;
  for (size_t i = 0; i < n; ++i) trace += sum[i * n + i];
  const double floor = trace > 0 ? fit_floor * trace / (double)n : 1;
  for (size_t i = 0; i < n; ++i) sum[i * n + i] += floor;
  return 1;
}

// ---- matrices -----------------------------------------------------------------------------------

/// a, positive definite, becomes its Cholesky factor; above the diagonal zero.
static void cholesky(size_t n, double *a) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
    }
    for (size_t j = i + 1; j < n; ++j) a[i * n + j] = 0;
  }
}

/// c = a·b.
static void multiply(size_t n, const double *a, const double *b, double *c) {
  memset(c, 0, n * n * sizeof *c);
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < n; ++k) {
      const double factor = a[i * n + k];
      for (size_t j = 0; j < n; ++j) c[i * n + j] += factor * b[k * n + j];
    }
}

/// c = aᵀ·b.
static void multiply_transposed(size_t n, const double *a, const double *b, double *c) {
  memset(c, 0, n * n * sizeof *c);
  for (size_t k = 0; k < n; ++k)
    for (size_t i = 0; i < n; ++i) {
      const double factor = a[k * n + i];
      for (size_t j = 0; j < n; ++j) c[i * n + j] += factor * b[k * n + j];
    }
}

/// Solves lᵀ·x = b in place for all columns of b.
static void solve_transposed(size_t n, const double *l, double *b) {
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) {
      const double factor = l[k * n + i];
      for (size_t j = 0; j < n; ++j) b[i * n + j] -= factor * b[k * n + j];
    }
    for (size_t j = 0; j < n; ++j) b[i * n + j] /= l[i * n + i];
  }
}

/// Symmetric a becomes its Householder vectors' product Q with Qᵀ·a·Q tridiagonal: diagonal d, below
/// it e[1 ..< n].
static void tridiagonalise(size_t n, double *a, double *d, double *e) {
  for (size_t i = n - 1; i > 0; --i) {
    double *row = a + i * n, scale = 0, h = 0;
    for (size_t k = 0; k < i; ++k) scale += fabs(row[k]);
    if (i == 1 || scale == 0) {
      e[i] = row[i - 1];
      d[i] = 0;
      continue;
    }
    for (size_t k = 0; k < i; ++k) {
      row[k] /= scale;
      h += row[k] * row[k];
    }
    double f = row[i - 1];
    const double g = f >= 0 ? -sqrt(h) : sqrt(h);
    e[i] = scale * g;
    h -= f * g;
    row[i - 1] = f - g;
    f = 0;
    for (size_t j = 0; j < i; ++j) {
      a[j * n + i] = row[j] / h;
      double sum = 0;
      for (size_t k = 0; k <= j; ++k) sum += a[j * n + k] * row[k];
      for (size_t k = j + 1; k < i; ++k) sum += a[k * n + j] * row[k];
      e[j] = sum / h;
      f += e[j] * row[j];
    }
    const double half = f / (h + h);
    for (size_t j = 0; j < i; ++j) {
      f = row[j];
      e[j] -= half * f;
      for (size_t k = 0; k <= j; ++k) a[j * n + k] -= f * e[k] + e[j] * row[k];
    }
    d[i] = h;
  }
  d[0] = e[0] = 0;
  for (size_t i = 0; i < n; ++i) {
    if (d[i] != 0) {
      double *row = a + i * n;
      double sums[fit_most] = {0};
      for (size_t k = 0; k < i; ++k)
        for (size_t j = 0; j < i; ++j) sums[j] += row[k] * a[k * n + j];
      for (size_t k = 0; k < i; ++k) {
        const double factor = a[k * n + i];
        for (size_t j = 0; j < i; ++j) a[k * n + j] -= sums[j] * factor;
      }
    }
    d[i] = a[i * n + i];
    a[i * n + i] = 1;
    for (size_t j = 0; j < i; ++j) a[j * n + i] = a[i * n + j] = 0;
  }
}

/// Diagonalises what tridiagonalise left: d becomes the eigenvalues; the rows of z, the transposed
/// product, the eigenvectors.
static void diagonalise(size_t n, double *d, double *e, double *z) {
  for (size_t i = 1; i < n; ++i) e[i - 1] = e[i];
  e[n - 1] = 0;
  for (size_t l = 0; l < n; ++l)
    for (int round = 0; round < 60; ++round) {
      size_t m = l;
      for (; m + 1 < n; ++m)
        if (fabs(e[m]) <= 0x1p-52 * (fabs(d[m]) + fabs(d[m + 1]))) break;
      if (m == l) break;
      double g = (d[l + 1] - d[l]) / (2 * e[l]);
      double r = sqrt(g * g + 1);
      g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
      double s = 1, c = 1, p = 0;
      size_t i = m;
      while (i-- > l) {
        double f = s * e[i];
        const double b = c * e[i];
        r = sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r == 0) {
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        double *low = z + i * n, *high = z + (i + 1) * n;
        for (size_t k = 0; k < n; ++k) {
          f = high[k];
          high[k] = s * low[k] + c * f;
          low[k] = c * low[k] - s * f;
        }
      }
      if (r == 0 && i + 1 > l) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
}

static void transpose(size_t n, double *a) {
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < i; ++j) {
      const double x = a[i * n + j];
      a[i * n + j] = a[j * n + i];
      a[j * n + i] = x;
    }
}

/// Sorts eigenvalues and their rows of z, the largest first.
static void sort_values(size_t n, double *d, double *z) {
  for (size_t i = 0; i + 1 < n; ++i) {
    size_t largest = i;
    for (size_t j = i + 1; j < n; ++j) largest = d[j] > d[largest] ? j : largest;
    if (largest == i) continue;
    const double value = d[i];
    d[i] = d[largest];
    d[largest] = value;
    for (size_t k = 0; k < n; ++k) {
      const double x = z[i * n + k];
      z[i * n + k] = z[largest * n + k];
      z[largest * n + k] = x;
    }
  }
}

// ---- nibbles ------------------------------------------------------------------------------------

/// Coordinates that one nibble may code, and what part of their variance it leaves (of normally
/// distributed ones, about).
static const size_t unit_counts[4] = {1, 2, 4, 8};
static const double unit_losses[4] = {0.0095, 0.11, 0.35, 0.62};

/// Variance that a nibble leaves of its coordinates: a part of their geometric mean.
static double unit_loss(size_t unit, const double *variances) {
  double means[8], sum = 0;
  const size_t count = unit_counts[unit];
  for (size_t i = 0; i < count; ++i) {
    means[i] = variances[i] > 0 ? variances[i] : 0;
    sum += means[i];
  }
  for (size_t left = count; left > 1; left /= 2)
    for (size_t i = 0; i < left / 2; ++i) means[i] = sqrt(means[2 * i] * means[2 * i + 1]);
  const double loss = unit_losses[unit] * means[0] * (double)count;
  return loss < sum ? loss : sum;
}

/// Deals nibbles out to coordinates of falling variance so that least is lost.
static void deal(const fit_work *w, size_t n, retrieve_book *book) {
  const size_t columns = book->nibbles + 1;
  for (size_t i = 0; i < (n + 1) * columns; ++i) w->best[i] = INFINITY;
  w->best[0] = 0;
  for (size_t i = 0; i < n; ++i)
    for (int unit = -1; unit < 4; ++unit) {
      const size_t count = unit < 0 ? 1 : unit_counts[unit];
      if (i + count > n) continue;
      const double loss = unit < 0 ? w->values[i] : unit_loss((size_t)unit, w->values + i);
      const size_t cost = unit >= 0;
      for (size_t m = 0; m + cost < columns; ++m) {
        const double total = w->best[i * columns + m] + loss;
        const size_t to = (i + count) * columns + m + cost;
        if (total >= w->best[to]) continue;
        w->best[to] = total;
        w->step[to] = (uint8_t)(unit + 1);
      }
    }
  size_t least = 0;
  for (size_t m = 1; m < columns; ++m)
    if (w->best[n * columns + m] < w->best[n * columns + least]) least = m;
  memset(book->count, 0, book->nibbles * sizeof *book->count);
  memset(book->first, 0, book->nibbles * sizeof *book->first);
  for (size_t i = n, m = least; i > 0;) {
    const uint8_t step = w->step[i * columns + m];
    if (step == 0) {
      --i;
      continue;
    }
    i -= unit_counts[step - 1];
    --m;
    book->first[m] = (uint16_t)i;
    book->count[m] = (uint16_t)unit_counts[step - 1];
  }
}

/// Moves the columns of both maps so that coordinates without a nibble are gone.
static void write_maps(size_t n, const double *key_map, const double *query_map,
                       retrieve_book *book) {
  size_t kept = 0;
  for (size_t m = 0; m < book->nibbles; ++m) kept += book->count[m];
  book->kept = kept;
  book->padded = kv_round_up(kept, 16);
  for (size_t d = 0; d < n; ++d) {
    float *keys = book->key_map + d * book->padded, *queries = book->query_map + d * book->padded;
    size_t j = 0;
    for (size_t m = 0; m < book->nibbles; ++m)
      for (size_t i = 0; i < book->count[m]; ++i, ++j) {
        keys[j] = (float)key_map[d * n + book->first[m] + i];
        queries[j] = (float)query_map[d * n + book->first[m] + i];
      }
  }
  size_t next = 0;
  for (size_t m = 0; m < book->nibbles; ++m) {
    book->first[m] = (uint16_t)(book->count[m] ? next : 0);
    next += book->count[m];
  }
}

// ---- centroids ----------------------------------------------------------------------------------

/// Coordinates of all keys of the sample, coordinate by coordinate.
static void map_keys(const fit_work *w, size_t n, size_t count, const retrieve_book *book) {
  float x[fit_most];
  for (size_t k = 0; k < count; ++k) {
    for (size_t j = 0; j < book->kept; ++j) x[j] = 0;
    for (size_t d = 0; d < n; ++d) {
      const float factor = w->keys[k * n + d], *map = book->key_map + d * book->padded;
      for (size_t j = 0; j < book->kept; ++j) x[j] += factor * map[j];
    }
    for (size_t j = 0; j < book->kept; ++j) w->mapped[j * fit_keys + k] = x[j];
  }
}

static void set_halves(const retrieve_book *book, size_t m) {
  for (size_t c = 0; c < retrieve_centroids; ++c) {
    float square = 0;
    for (size_t j = book->first[m]; j < (size_t)book->first[m] + book->count[m]; ++j) {
      const float x = book->centroids[j * retrieve_centroids + c];
      square += x * x;
    }
    book->halves[m * retrieve_centroids + c] = -0.5f * square;
  }
}

/// The sample's nearest centroids of all nibbles, as the index will code them: [page][codes].
static void assign(const martlet_retrieve_fit_arguments *a, const fit_work *w, size_t pages,
                   const void *codebook) {
  const size_t bytes = martlet_retrieve_codes_bytes(a->shape);
  for (size_t i = 0; i < pages; ++i) {
    const size_t number = i * a->page_count / pages;
    MARTLET_CHOSEN(retrieve_encode, MARTLET_NUMERIC_PORTABLE)
    (codebook, a->layout, (const char *)a->pages[number] + a->page_offset,
     a->turned && a->turned[number], a->kv_head, kv_positions, w->codes + i * bytes, NULL);
  }
}

/// Centroids at first: of one coordinate spread evenly over its range within three deviations; of
/// several the keys that lie evenly in the sample.
static void first_centroids(const fit_work *w, size_t count, const retrieve_book *book, size_t m) {
  const size_t first = book->first[m];
  if (book->count[m] > 1) {
    for (size_t i = 0; i < book->count[m]; ++i)
      for (size_t c = 0; c < retrieve_centroids; ++c)
        book->centroids[(first + i) * retrieve_centroids + c] =
            w->mapped[(first + i) * fit_keys + (2 * c + 1) * count / (2 * retrieve_centroids)];
    return;
  }
  double mean = 0, square = 0;
  for (size_t k = 0; k < count; ++k) mean += (double)w->mapped[first * fit_keys + k];
  mean /= (double)count;
  for (size_t k = 0; k < count; ++k) {
    const double x = (double)w->mapped[first * fit_keys + k] - mean;
    square += x * x;
  }
  const double deviation = sqrt(square / (double)count);
  for (size_t c = 0; c < retrieve_centroids; ++c)
    book->centroids[first * retrieve_centroids + c] =
        (float)(mean + deviation * 2.75 * (((double)c + 0.5) / 8 - 1));
}

/// Moves the centroids of nibble m to the middle of their keys.
static void move_centroids(const fit_work *w, size_t pages, const retrieve_book *book, size_t m) {
  // Two sums of each code, for even and odd keys: an addition need not wait for the one before.
  double sums[8][2][retrieve_centroids] = {0};
  uint32_t members[2][retrieve_centroids] = {0};
  const size_t first = book->first[m], count = book->count[m], shift = m % 2 * 4;
  for (size_t page = 0; page < pages; ++page) {
    const uint8_t *codes = w->codes + (page * (book->nibbles / 2) + m / 2) * kv_positions;
    uint8_t own[kv_positions];
    for (size_t p = 0; p < kv_positions; ++p) {
      own[p] = codes[p] >> shift & 15;
      ++members[p % 2][own[p]];
    }
    for (size_t i = 0; i < count; ++i) {
      const float *x = w->mapped + (first + i) * fit_keys + page * kv_positions;
      for (size_t p = 0; p < kv_positions; ++p) sums[i][p % 2][own[p]] += (double)x[p];
    }
  }
  for (size_t c = 0; c < retrieve_centroids; ++c) {
    const uint32_t all = members[0][c] + members[1][c];
    for (size_t i = 0; all && i < count; ++i)
      book->centroids[(first + i) * retrieve_centroids + c] =
          (float)((sums[i][0][c] + sums[i][1][c]) / all);
  }
}

static void fit_centroids(const martlet_retrieve_fit_arguments *a, const fit_work *w, size_t count,
                          const void *codebook, const retrieve_book *book) {
  for (size_t m = 0; m < book->nibbles; ++m)
    if (book->count[m]) {
      first_centroids(w, count, book, m);
      set_halves(book, m);
    }
  for (int round = 0; round < fit_rounds; ++round) {
    assign(a, w, count / kv_positions, codebook);
    for (size_t m = 0; m < book->nibbles; ++m)
      if (book->count[m]) {
        move_centroids(w, count / kv_positions, book, m);
        set_halves(book, m);
      }
  }
}

/// Steps of bounds: a tenth more than the sample reaches.
static void set_steps(const fit_work *w, size_t n, size_t count, const retrieve_book *book) {
  for (size_t d = 0; d < n; ++d) {
    float largest = 0;
    for (size_t k = 0; k < count; ++k) {
      const float magnitude = fabsf(w->keys[k * n + d]);
      largest = magnitude > largest ? magnitude : largest;
    }
    const float step = largest > 1e-20f ? largest * (1.1f / 127.0f) : 1;
    book->steps[d] = step;
    book->inverses[d] = 1.0f / step;
  }
}

// ---- the door -----------------------------------------------------------------------------------

size_t martlet_retrieve_fit_scratch(const martlet_retrieve_shape *shape) {
  if (martlet_retrieve_codebook_bytes(shape) == 0) return 0;
  return lay_out(shape->head_dimensions, shape->nibbles, NULL).bytes;
}

static int valid(const martlet_retrieve_fit_arguments *a) {
  if (!a || a->size < sizeof *a || martlet_retrieve_codebook_bytes(a->shape) == 0) return 0;
  if (martlet_kv_page_bytes(a->layout) == 0 || a->kv_head >= a->layout->kv_heads) return 0;
  if (a->layout->head_dimensions != a->shape->head_dimensions) return 0;
  if (!a->pages || a->page_count == 0) return 0;
  return a->query_count == 0 ||
         (a->queries && (a->query_count == 1 || a->query_stride >= a->shape->head_dimensions));
}

martlet_status martlet_retrieve_fit(const martlet_retrieve_fit_arguments *a, void *scratch,
                                    void *codebook) {
  if (!valid(a) || !scratch || !codebook || (uintptr_t)scratch % 64 || (uintptr_t)codebook % 64)
    return MARTLET_E_ARGUMENT;
  const size_t n = a->shape->head_dimensions, nibbles = a->shape->nibbles;
  const fit_work w = lay_out(n, nibbles, scratch);
  const size_t count = read_keys(a, w.keys);
  if (count == 0 || !query_moment(a, n, w.moment)) return MARTLET_E_ARGUMENT;
  key_covariance(n, count, w.keys, w.spread);
  cholesky(n, w.moment);
  multiply(n, w.spread, w.moment, w.other);
  multiply_transposed(n, w.moment, w.other, w.spread);
  tridiagonalise(n, w.spread, w.values, w.off);
  transpose(n, w.spread);
  diagonalise(n, w.values, w.off, w.spread);
  sort_values(n, w.values, w.spread);
  transpose(n, w.spread);  // U, a column for each coordinate.
  multiply(n, w.moment, w.spread, w.other);
  solve_transposed(n, w.moment, w.spread);

  memset(codebook, 0, martlet_retrieve_codebook_bytes(a->shape));
  retrieve_book book = retrieve_book_parts(codebook, n, nibbles);
  deal(&w, n, &book);
  write_maps(n, w.other, w.spread, &book);
  const retrieve_header header = {.magic = retrieve_magic,
                                  .dimensions = (uint32_t)n,
                                  .nibbles = (uint32_t)nibbles,
                                  .kept = (uint32_t)book.kept,
                                  .padded = (uint32_t)book.padded};
  memcpy(codebook, &header, sizeof header);
  map_keys(&w, n, count, &book);
  fit_centroids(a, &w, count, codebook, &book);
  set_steps(&w, n, count, &book);
  return MARTLET_OK;
}
