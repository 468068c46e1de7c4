import MartletScaling

/// What a new plugin in C consists of: one file on the header alone.
enum CPluginText {
  static let makefile = """
    # The headers are in include/; a plugin links against nothing.
    CC ?= cc
    CFLAGS ?= -O2 -g
    MARTLET ?= martlet
    PLUGINDIR ?= $(HOME)/.local/share/martlet/plugins
    WARNINGS = -std=c17 -Wall -Wextra -Werror

    .PHONY: all test install clean

    all: build/{{library}} build/{{manifest}}

    build/{{library}}: {{symbol}}.c
    \t@mkdir -p build
    \t$(CC) $(CFLAGS) $(WARNINGS) -fvisibility=hidden -shared -fPIC -I include $< -o $@

    build/{{manifest}}: {{manifest}}
    \t@mkdir -p build
    \tcp $< $@

    ## The unit tests, then every rule of the plugin interface on a simulated model.
    test: all
    \t$(CC) $(CFLAGS) $(WARNINGS) -I include test.c -o build/test
    \tbuild/test
    \t$(MARTLET) plugin check build

    install: all
    \tinstall -d -m 755 "$(PLUGINDIR)"
    \tinstall -m 755 build/{{library}} "$(PLUGINDIR)"
    \tinstall -m 644 {{manifest}} "$(PLUGINDIR)"

    clean:
    \trm -rf build

    """

  static func source(_ kind: ComponentKind) -> String { head + body(kind) + tail(kind) }

  private static let head = """
    /// {{what}}
    #include <martlet/plugin.h>

    #include <stdlib.h>
    #include <string.h>

    static const char id[] = "{{id}}";


    """

  private static func body(_ kind: ComponentKind) -> String {
    switch kind {
    case .strategy: strategy
    case .scorer: scorer
    case .extractor: extractor
    case .drafter: drafter
    case .sampler: sampler
    case .memory: memory
    }
  }

  /// How an instance comes to be: with one option of a type.
  private static func create(_ option: String, _ function: String, _ type: String) -> String {
    """
    typedef struct instance {
      const martlet_host *host;
      martlet_run run;
      \(type) \(option);
    } instance;

    static martlet_status create(const martlet_component *component, const martlet_host *host,
                                 martlet_run run, void **made) {
      (void)component;
      \(type) \(option) = 0;
      const martlet_status status = host->\(function)(run, "\(option)", &\(option));
      if (status != MARTLET_OK) return status;
      instance *self = malloc(sizeof *self);
      if (!self) return MARTLET_E_MEMORY;
      *self = (instance){.host = host, .run = run, .\(option) = \(option)};
      *made = self;
      return MARTLET_OK;
    }


    """
  }

  private static let strategy =
    """
    /// The index of the highest score, the first of equals.
    static uint32_t best_of(const double *scores, uint32_t count) {
      uint32_t best = 0;
      for (uint32_t i = 1; i < count; ++i)
        if (scores[i] > scores[best]) best = i;
      return best;
    }


    """ + create("n", "option_integer", "int64_t") + """
      /// Records every branch as a candidate and names the best one. It works after the run has ended too.
      static martlet_status choose(const instance *self, const martlet_branch *branches,
                                   const double *scores, uint32_t count) {
        const martlet_host *host = self->host;
        uint32_t answer = 0;
        const uint32_t best = best_of(scores, count);
        for (uint32_t i = 0; i < count; ++i) {
          uint32_t candidate = 0;
          martlet_status status = host->candidate(self->run, branches[i], &candidate);
          if (status == MARTLET_OK) status = host->candidate_score(self->run, candidate, scores[i]);
          if (status != MARTLET_OK) return status;
          if (i == best) answer = candidate;
        }
        return host->answer(self->run, answer);
      }

      static martlet_status generate(const instance *self, martlet_branch *branches, double *scores) {
        const martlet_host *host = self->host;
        const uint32_t count = (uint32_t)self->n;
        martlet_branch root = NULL;
        martlet_status status = host->root(self->run, &root);
        if (status != MARTLET_OK) return status;
        // They share every page of the prompt, and advance together: one forward pass for a token of each.
        status = host->fork(self->run, root, count, branches);
        if (status != MARTLET_OK) return status;
        const martlet_advance to_the_end = {.size = sizeof to_the_end};
        status = host->advance(self->run, branches, count, &to_the_end);
        // When the budget ends, whatever there is by then is judged.
        if (status != MARTLET_OK && status != MARTLET_E_BUDGET && status != MARTLET_E_CANCELLED)
          return status;
        status = host->score(self->run, branches, count, scores);
        if (status != MARTLET_OK) {
          static const char why[] = "no scorer could judge the answers";
          host->explain(self->run, why, sizeof why - 1);
          return status;
        }
        return choose(self, branches, scores, count);
      }

      static martlet_status run(void *made) {
        const instance *self = made;
        martlet_branch *branches = calloc((size_t)self->n, sizeof *branches);
        double *scores = calloc((size_t)self->n, sizeof *scores);
        const martlet_status status =
            branches && scores ? generate(self, branches, scores) : MARTLET_E_MEMORY;
        free(scores);
        free(branches);
        return status;
      }


      """

  private static let scorer =
    """
    /// Finite also where a token had no probability at all.
    static double score_of(const float *logprobs, size_t count, double penalty) {
      if (count == 0) return 0;
      double sum = 0;
      for (size_t i = 0; i < count; ++i) sum += logprobs[i] > -1000 ? logprobs[i] : -1000;
      return sum / (double)count - penalty * (double)count;
    }


    """ + create("penalty", "option_number", "double") + """
      /// Called from any thread, also concurrently: it only reads the instance.
      static martlet_status score(void *made, const martlet_text_view *view, double *result) {
        const instance *self = made;
        *result = score_of(view->logprobs, view->token_count, self->penalty);
        return MARTLET_OK;
      }


      """

  private static let extractor =
    """
    static int is_digit(char character) { return character >= '0' && character <= '9'; }

    /// The last whole number in a text, without leading zeros, so that equal numbers are equal texts: its
    /// place and length; 0 where there is none of at most `digits` digits.
    static size_t last_number(const char *text, size_t length, size_t digits, size_t *place) {
      while (length > 0 && !is_digit(text[length - 1])) --length;
      size_t start = length;
      while (start > 0 && is_digit(text[start - 1])) --start;
      if (length - start > digits) return 0;
      while (start + 1 < length && text[start] == '0') ++start;
      *place = start;
      return length - start;
    }


    """ + create("digits", "option_integer", "int64_t") + """
      /// Called from any thread, also concurrently: it only reads the instance.
      static martlet_status extract(void *made, const martlet_text_view *view, char *buffer,
                                    size_t capacity, size_t *needed) {
        const instance *self = made;
        size_t place = 0;
        *needed = last_number(view->text, view->text_length, (size_t)self->digits, &place);
        if (*needed == 0) return MARTLET_E_NOT_FOUND;
        if (*needed > capacity) return MARTLET_E_TOO_SMALL;
        memcpy(buffer, view->text + place, *needed);
        return MARTLET_OK;
      }


      """

  private static let drafter =
    """
    /// Where what followed the last `match` tokens begins, at the latest place that they stood at before;
    /// `count` for nowhere. Linear in the text.
    static size_t following(const int32_t *tokens, size_t count, size_t match) {
      if (count <= match) return count;
      const int32_t *tail = tokens + count - match;
      for (size_t start = count - match; start-- > 0;)
        if (!memcmp(tokens + start, tail, match * sizeof *tokens)) return start + match;
      return count;
    }


    """ + create("match", "option_integer", "int64_t") + """
      /// Called on the engine's own thread: while it works nobody decodes.
      static martlet_status propose(void *made, const martlet_draft_sequence *sequences, uint32_t count,
                                    uint32_t capacity, martlet_guess *guesses, uint32_t *counts) {
        const instance *self = made;
        for (uint32_t i = 0; i < count; ++i) {
          const martlet_draft_sequence *sequence = &sequences[i];
          size_t next = following(sequence->tokens, sequence->token_count, (size_t)self->match);
          uint32_t made_guesses = 0;
          while (next < sequence->token_count && made_guesses < capacity &&
                 made_guesses < sequence->depth) {
            // In one line: each follows the one before it.
            guesses[(size_t)i * capacity + made_guesses] = (martlet_guess){
                .token = sequence->tokens[next++], .parent = (int32_t)made_guesses - 1, .probability = 0.5f};
            ++made_guesses;
          }
          counts[i] = made_guesses;
        }
        return MARTLET_OK;
      }


      """

  private static let sampler =
    """
    /// How far back it looks.
    enum { WINDOW = 64 };

    /// Each of the last tokens once, however often it is there.
    static void lower(float *logits, size_t count, const int32_t *tokens, size_t token_count,
                      float penalty) {
      const size_t first = token_count > WINDOW ? token_count - WINDOW : 0;
      for (size_t i = first; i < token_count; ++i) {
        int is_new = tokens[i] >= 0 && (size_t)tokens[i] < count;
        for (size_t j = first; j < i && is_new; ++j) is_new = tokens[j] != tokens[i];
        if (is_new) logits[tokens[i]] -= penalty;
      }
    }


    """ + create("penalty", "option_number", "double") + """
      /// A function of its arguments: nothing is kept from one choice to the next.
      static martlet_status process(void *made, const martlet_sampling_choice *choice, float *logits,
                                    size_t count) {
        const instance *self = made;
        lower(logits, count, choice->tokens, choice->token_count, (float)self->penalty);
        return MARTLET_OK;
      }


      """

  private static let memory =
    """
    /// The most notes that the option `capacity` allows.
    enum { MOST = 4096 };

    typedef struct note {
      char *key, *text;
      size_t key_length, text_length;
    } note;

    /// How many bytes two texts have in common at their beginning.
    static size_t common(const char *a, size_t a_length, const char *b, size_t b_length) {
      size_t same = 0;
      while (same < a_length && same < b_length && a[same] == b[same]) ++same;
      return same;
    }

    /// Puts the best `top` of `count` notes first, by what they share with the query, equal ones as they
    /// came, and gives how many there are. `found` has room for `top`.
    static uint32_t nearest(const note *notes, size_t count, const char *query, size_t length,
                            uint32_t top, martlet_note *found) {
      uint32_t made = 0;
      for (size_t i = 0; i < count; ++i) {
        const double score = (double)common(notes[i].key, notes[i].key_length, query, length);
        if (score == 0) continue;
        uint32_t place = made;
        while (place > 0 && found[place - 1].score < score) --place;
        if (place >= top) continue;
        if (made < top) ++made;
        memmove(found + place + 1, found + place, (made - place - 1) * sizeof *found);
        found[place] = (martlet_note){.id = i, .score = score};
      }
      return made;
    }

    typedef struct instance {
      const martlet_host *host;
      martlet_run run;
      int64_t capacity;
      size_t count;
      note notes[MOST];
    } instance;

    static martlet_status create(const martlet_component *component, const martlet_host *host,
                                 martlet_run run, void **made) {
      (void)component;
      instance *self = calloc(1, sizeof *self);
      if (!self) return MARTLET_E_MEMORY;
      self->host = host;
      self->run = run;
      const martlet_status status = host->option_integer(run, "capacity", &self->capacity);
      if (status != MARTLET_OK) {
        free(self);
        return status;
      }
      *made = self;
      return MARTLET_OK;
    }

    static void drop(note *old) {
      free(old->key);
      free(old->text);
    }

    static void finish(void *made) {
      instance *self = made;
      for (size_t i = 0; i < self->count; ++i) drop(&self->notes[i]);
      free(self);
    }

    static martlet_status store(void *made, const char *key, size_t key_length, const char *text,
                                size_t text_length) {
      instance *self = made;
      note fresh = {malloc(key_length + 1), malloc(text_length + 1), key_length, text_length};
      if (!fresh.key || !fresh.text) {
        drop(&fresh);
        return MARTLET_E_MEMORY;
      }
      if (key_length) memcpy(fresh.key, key, key_length);
      if (text_length) memcpy(fresh.text, text, text_length);
      if (self->count == (size_t)self->capacity) {
        drop(&self->notes[0]);
        memmove(self->notes, self->notes + 1, --self->count * sizeof fresh);
      }
      self->notes[self->count++] = fresh;
      return MARTLET_OK;
    }

    static martlet_status recall(void *made, const char *query, size_t query_length, uint32_t top,
                                 martlet_note *notes, uint32_t *count) {
      const instance *self = made;
      *count = nearest(self->notes, self->count, query, query_length, top, notes);
      return MARTLET_OK;
    }

    /// Ids are places, which the next `store` may change.
    static martlet_status read(void *made, uint64_t id, uint32_t part, char *buffer, size_t capacity,
                               size_t *needed) {
      const instance *self = made;
      if (id >= self->count) return MARTLET_E_NOT_FOUND;
      const note *found = &self->notes[id];
      const int is_key = part == MARTLET_NOTE_KEY;
      *needed = is_key ? found->key_length : found->text_length;
      if (*needed > capacity) return MARTLET_E_TOO_SMALL;
      if (*needed) memcpy(buffer, is_key ? found->key : found->text, *needed);
      return MARTLET_OK;
    }


    """

  private static func tail(_ kind: ComponentKind) -> String {
    let function =
      switch kind {
      case .strategy: "run"
      case .scorer: "score"
      case .extractor: "extract"
      case .drafter: "propose"
      case .sampler: "process"
      case .memory: "store"
      }
    let (others, end) =
      kind == .memory ? (".recall = recall, .read = read, ", "finish") : ("", "free")
    return """
      static const martlet_{{kind}} functions = {
          .size = sizeof functions, .create = create, .\(function) = \(function),
          \(others).destroy = \(end)};

      static const martlet_component component = {
          .size = sizeof component, .kind = MARTLET_KIND_{{KIND}}, .id = id, .functions = &functions};

      static const martlet_component *const components[] = {&component};

      static const martlet_plugin plugin = {.size = sizeof plugin,
                                            .abi_major = MARTLET_PLUGIN_ABI_MAJOR,
                                            .abi_minor = MARTLET_PLUGIN_ABI_MINOR,
                                            .component_count = 1,
                                            .id = id,
                                            .version = "0.1.0",
                                            .components = components};

      MARTLET_API const martlet_plugin *martlet_plugin_entry(uint32_t abi_major, uint32_t abi_minor);

      const martlet_plugin *martlet_plugin_entry(uint32_t abi_major, uint32_t abi_minor) {
        // Not compared as a constant: that no number is below 0 some compilers take for a mistake.
        const uint32_t own_minor = MARTLET_PLUGIN_ABI_MINOR;
        const int serves = abi_major == MARTLET_PLUGIN_ABI_MAJOR && abi_minor >= own_minor;
        return serves ? &plugin : NULL;
      }

      """
  }

  static func test(_ kind: ComponentKind) -> String {
    let body =
      switch kind {
      case .strategy:
        """
          CHECK(best_of((double[]){1, 3, 2}, 3) == 1);
          CHECK(best_of((double[]){2, 5, 5}, 3) == 1);
        """
      case .scorer:
        """
          const double likely = score_of((float[]){-0.1f, -0.1f}, 2, 0.01);
          CHECK(likely > score_of((float[]){-2, -2}, 2, 0.01));
          CHECK(likely > score_of((float[]){-0.1f, -0.1f, -0.1f, -0.1f}, 4, 0.01));
          CHECK(score_of((float[]){-1e30f}, 1, 0) == -1000 && score_of(NULL, 0, 1) == 0);
        """
      case .extractor:
        """
          size_t place = 0;
          CHECK(last_number("3 and 4 make 007.", 17, 20, &place) == 1 && place == 15);
          CHECK(last_number("none", 4, 20, &place) == 0);
          CHECK(last_number("12345", 5, 3, &place) == 0);
          CHECK(last_number("x000", 4, 3, &place) == 1 && place == 3);
        """
      case .drafter:
        """
          CHECK(following((int32_t[]){1, 2, 3, 4, 1, 2}, 6, 2) == 2);
          CHECK(following((int32_t[]){1, 2, 3}, 3, 2) == 3);
          CHECK(following((int32_t[]){5}, 1, 2) == 1);
        """
      case .sampler:
        """
          float row[] = {1, 2, 3};
          lower(row, 3, (int32_t[]){2, 2, 0, 9}, 4, 0.5f);
          CHECK(row[0] == 0.5f && row[1] == 2 && row[2] == 2.5f);
        """
      case .memory:
        """
          note notes[] = {{.key = "b1", .key_length = 2}, {.key = "a", .key_length = 1},
                          {.key = "b12", .key_length = 3}, {.key = "b", .key_length = 1}};
          martlet_note found[3];
          CHECK(nearest(notes, 4, "b1", 2, 3, found) == 3);
          CHECK(found[0].id == 0 && found[1].id == 2 && found[2].id == 3 && found[2].score == 1);
          CHECK(nearest(notes, 4, "b1", 2, 1, found) == 1 && found[0].id == 0);
          CHECK(nearest(notes, 4, "x", 1, 3, found) == 0);
        """
      }
    return """
      /// Tries what decides without a host, and that the library says what it should of itself.
      #include "{{symbol}}.c"

      #include <stdio.h>

      #define CHECK(condition)                                                   \\
        do {                                                                     \\
          if (!(condition)) {                                                    \\
            fprintf(stderr, "%s:%d: not so: %s\\n", __FILE__, __LINE__, #condition); \\
            return 1;                                                            \\
          }                                                                      \\
        } while (0)

      int main(void) {
      \(body)
        CHECK(martlet_plugin_entry(MARTLET_PLUGIN_ABI_MAJOR + 1, 0) == NULL);
        const martlet_plugin *own = martlet_plugin_entry(MARTLET_PLUGIN_ABI_MAJOR, MARTLET_PLUGIN_ABI_MINOR);
        CHECK(own && own->component_count == 1 && !strcmp(own->components[0]->id, "{{id}}"));
        return 0;
      }

      """
  }
}
