/// The gated activations over the 16-lane vocabulary: one exponential and one division per element,
/// 8 bytes read and 4 written. From memory the bandwidth is the limit; in cache the division is
/// (16 float32 in 16 cycles or so).

LANES lanes silu_gate(lanes gate, lanes up) {
  lanes e = lanes_exp(lanes_subtract(lanes_set(-0.0f), gate));
  return lanes_multiply(lanes_divide(gate, lanes_add(lanes_set(1.0f), e)), up);
}

LANES lanes gelu_gate(lanes gate, lanes up) {
  lanes square = lanes_multiply(gate, gate);
  lanes inner = lanes_fma(square, lanes_set(MARTLET_GELU_CUBIC), lanes_set(1.0f));
  lanes e = lanes_exp(lanes_multiply(lanes_multiply(gate, lanes_set(MARTLET_GELU_LINEAR)), inner));
  return lanes_multiply(lanes_divide(gate, lanes_add(lanes_set(1.0f), e)), up);
}

#define LANES_GATE(operation, function)                                                      \
  void LANES_NAME(operation, LANES_ISA)(size_t count, const float *gate, const float *up,    \
                                        float *output) {                                     \
    const size_t whole = count / 16 * 16, rest = count - whole;                              \
    for (size_t i = 0; i < whole; i += 16)                                                   \
      lanes_store(output + i, function(lanes_load(gate + i), lanes_load(up + i)));           \
    if (rest)                                                                                \
      lanes_store_first(output + whole, rest,                                                \
                        function(lanes_load_first(gate + whole, rest),                       \
                                 lanes_load_first(up + whole, rest)));                       \
  }

LANES_GATE(silu_gate_f32, silu_gate)
LANES_GATE(gelu_gate_f32, gelu_gate)
#undef LANES_GATE
