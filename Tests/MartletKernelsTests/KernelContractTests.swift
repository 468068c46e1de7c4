import CMartlet
import Testing

/// The public C doors answer bad arguments with a status and touch nothing.
@Suite struct KernelContractTests {
  private func layout(
    _ type: martlet_kv_type = MARTLET_KV_F16, heads: UInt32 = 2, dimensions: UInt32 = 64
  ) -> martlet_kv_layout {
    martlet_kv_layout(
      size: UInt32(MemoryLayout<martlet_kv_layout>.size), type: type, kv_heads: heads,
      head_dimensions: dimensions, value_offset: 0)
  }

  @Test func nullAndOverlappingStridesAreRefused() {
    var values: [Float] = .init(repeating: 1, count: 8)
    #expect(martlet_rms_norm_f32(1, 4, nil, 4, values, 1e-5, &values, 4) == MARTLET_E_ARGUMENT)
    #expect(martlet_add_f32(4, nil, &values) == MARTLET_E_ARGUMENT)
    #expect(martlet_silu_gate_f32(4, values, nil, &values) == MARTLET_E_ARGUMENT)
    #expect(martlet_softmax_f32(2, 4, 1, values, 3, &values, 4) == MARTLET_E_ARGUMENT)
    #expect(martlet_rope_f32(MARTLET_ROPE_HALVES, 1, 1, 4, 3, values, &values, 4) != MARTLET_OK)
    #expect(martlet_rope_f32(MARTLET_ROPE_HALVES, 1, 1, 4, 6, values, &values, 4) != MARTLET_OK)
    #expect(martlet_dequantize(MARTLET_WEIGHT_Q4_K, 32, values, &values) == MARTLET_E_ARGUMENT)
    #expect(values == .init(repeating: 1, count: 8))
    // Nothing to do is fine, whatever the pointers.
    #expect(martlet_rms_norm_f32(0, 4, nil, 4, nil, 1e-5, nil, 4) == MARTLET_OK)
    #expect(martlet_add_f32(0, nil, nil) == MARTLET_OK)
  }

  @Test func badGatedProductsAreRefused() {
    let operand = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 64)
    defer { operand.deallocate() }
    operand.initializeMemory(as: UInt8.self, repeating: 0, count: 1 << 16)
    let prepared = UnsafeMutableRawPointer.allocate(byteCount: 1 << 12, alignment: 64)
    defer { prepared.deallocate() }
    prepared.initializeMemory(as: UInt8.self, repeating: 0xa5, count: 1 << 12)
    var good = martlet_gated_arguments()
    good.size = UInt32(MemoryLayout<martlet_gated_arguments>.size)
    (good.rows, good.columns, good.depth) = (1, 96, 32)
    good.gate = martlet_gated_operands(
      weight_type: MARTLET_WEIGHT_Q4_0, numeric_class: MARTLET_NUMERIC_PORTABLE,
      activations: operand, weights: operand)
    good.up = good.gate
    good.prepared_type = MARTLET_ACTIVATION_Q8
    good.prepared = prepared
    good.column_end = 96
    let changes: [(inout martlet_gated_arguments) -> Void] = [
      { $0.size -= 1 }, { $0.activation = martlet_gate_activation(rawValue: 2) },
      { $0.column_begin = 16 }, { $0.column_end = 48 }, { $0.column_end = 128 },
      { $0.depth = 33 }, { $0.columns = 80 }, { $0.gate.weights = nil },
      { $0.up.activations = nil }, { $0.prepared = nil }, { $0.prepared = prepared + 4 },
      { $0.prepared_type = martlet_activation_type(rawValue: 9) },
    ]
    for (index, change) in changes.enumerated() {
      var bad = good
      change(&bad)
      #expect(martlet_gated_products(&bad) == MARTLET_E_ARGUMENT, "change \(index)")
    }
    let bytes = UnsafeRawBufferPointer(start: prepared, count: 1 << 12)
    #expect(bytes.allSatisfy { $0 == 0xa5 }, "a refused call wrote something")
    #expect(martlet_gated_products(&good) == MARTLET_OK)
    #expect(!bytes.allSatisfy { $0 == 0xa5 })
  }

  @Test func drawsOutsideTheirRangesAreRefused() {
    let logits: [Float] = [1, 2, -.infinity]
    var scratch: [Float] = [0]
    var shape = martlet_logits_shape()
    func draw(_ temperature: Float, _ uniform: Double) -> martlet_status {
      martlet_logits_draw_f32(3, logits, temperature, uniform, &scratch, &shape)
    }
    #expect(draw(1, 0.5) == MARTLET_E_ARGUMENT)
    shape.size = UInt32(MemoryLayout<martlet_logits_shape>.size)
    for temperature in [-1, .infinity, .nan] as [Float] {
      #expect(draw(temperature, 0.5) == MARTLET_E_ARGUMENT)
    }
    for uniform in [-0.1, 1, .nan] { #expect(draw(1, uniform) == MARTLET_E_ARGUMENT) }
    #expect(martlet_logits_draw_f32(3, nil, 1, 0, &scratch, &shape) == MARTLET_E_ARGUMENT)
    #expect(martlet_logits_draw_f32(3, logits, 1, 0, nil, &shape) == MARTLET_E_ARGUMENT)
    #expect(shape.clean == 0 && shape.most_likely == 0)
    #expect(martlet_logits_draw_f32(3, logits, 0, 0, nil, &shape) == MARTLET_OK)
    #expect(shape.clean == 1 && shape.most_likely == 1 && shape.drawn == 1)
    #expect(draw(.leastNonzeroMagnitude, 0) == MARTLET_OK && shape.drawn == 1)
    #expect(draw(.greatestFiniteMagnitude, 0.49) == MARTLET_OK && shape.drawn == 0)
    #expect(martlet_logits_draw_f32(0, nil, 1, 0, nil, &shape) == MARTLET_OK && shape.clean == 0)
    var weights: [Float] = [9, 9, 9]
    #expect(martlet_logits_weigh_f32(3, logits, 2, 0, &weights) == MARTLET_E_ARGUMENT)
    #expect(martlet_logits_weigh_f32(3, logits, .nan, 1, &weights) == MARTLET_E_ARGUMENT)
    #expect(weights == [9, 9, 9])
  }

  @Test func pageSizesFollowTheLayout() {
    for (type, bytes) in [(MARTLET_KV_F32, 4), (MARTLET_KV_F16, 2), (MARTLET_KV_BF16, 2)] {
      var good = layout(type)
      #expect(martlet_kv_page_bytes(&good) == 2 * 2 * 64 * 32 * bytes)
    }
    // Codes, and a float16 scale per head and position: one of 64 bytes, or two of 32 nibbles.
    var quantised = layout(MARTLET_KV_I8)
    #expect(martlet_kv_page_bytes(&quantised) == 2 * 2 * 32 * (64 + 2))
    quantised = layout(MARTLET_KV_I4)
    #expect(martlet_kv_page_bytes(&quantised) == 2 * 2 * 32 * (32 + 2 * 2))
    for bad in [layout(heads: 0), layout(dimensions: 0), layout(dimensions: 257)] {
      var bad = bad
      #expect(martlet_kv_page_bytes(&bad) == 0)
    }
    var unsized = layout()
    unsized.size = 0
    #expect(martlet_kv_page_bytes(&unsized) == 0)
  }

  @Test func partsMakeAPageUp() {
    let parts = [
      MARTLET_KV_KEYS, MARTLET_KV_VALUES, MARTLET_KV_KEY_SCALES, MARTLET_KV_VALUE_SCALES,
    ]
    for type in [MARTLET_KV_F32, MARTLET_KV_BF16, MARTLET_KV_I8, MARTLET_KV_I4] {
      var whole = layout(type, heads: 3, dimensions: 40)
      let sizes = parts.map { martlet_kv_part_bytes(&whole, $0) }
      #expect(sizes.reduce(0, +) == martlet_kv_page_bytes(&whole))
      #expect(sizes.allSatisfy { $0 % 64 == 0 })
      // Values elsewhere are as large, and lie behind keys and their scales.
      var apart = whole
      for offset in [sizes[0] + sizes[2], 1 << 20] {
        apart.value_offset = offset
        #expect(martlet_kv_page_bytes(&apart) == martlet_kv_page_bytes(&whole))
        #expect(parts.map { martlet_kv_part_bytes(&apart, $0) } == sizes)
      }
      for bad in [64, sizes[0] + sizes[2] + 32] {
        apart.value_offset = bad
        #expect(martlet_kv_page_bytes(&apart) == 0 && martlet_kv_part_bytes(&apart, parts[0]) == 0)
      }
      // A caller that does not know the member yet.
      apart.size = 16
      #expect(martlet_kv_page_bytes(&apart) == martlet_kv_page_bytes(&whole))
    }
  }

  @Test func attentionArgumentsAreChecked() {
    typealias Change = (inout martlet_attention_arguments, inout martlet_attention_row) -> Void
    var kv = layout()
    let page = [UInt8](repeating: 0, count: martlet_kv_page_bytes(&kv))
    let query = [Float](repeating: 1, count: 256)
    var output = [Float](repeating: 9, count: 256)
    func status(_ change: Change) -> martlet_status {
      page.withUnsafeBytes { page in
        query.withUnsafeBufferPointer { query in
          output.withUnsafeMutableBufferPointer { output in
            withUnsafePointer(to: kv) { kv in
              withUnsafePointer(to: page.baseAddress) { pages in
                var row = martlet_attention_row()
                row.pages = pages
                row.end = 32
                row.query = query.baseAddress
                row.output = output.baseAddress
                var arguments = martlet_attention_arguments()
                arguments.size = UInt32(MemoryLayout<martlet_attention_arguments>.size)
                arguments.layout = kv
                arguments.query_heads = 4
                arguments.row_count = 1
                arguments.kv_head_end = 2
                change(&arguments, &row)
                return withUnsafePointer(to: row) { row in
                  if arguments.row_count == 1 { arguments.rows = row }
                  return martlet_attention_f32(&arguments)
                }
              }
            }
          }
        }
      }
    }
    let mistakes: [Change] = [
      { arguments, _ in arguments.size = 8 },
      { arguments, _ in arguments.layout = nil },
      { arguments, _ in arguments.query_heads = 3 },
      { arguments, _ in arguments.query_heads = 0 },
      { arguments, _ in arguments.kv_head_end = 3 },
      { arguments, _ in arguments.row_count = 2 },
      { _, row in row.end = row.first },
      { _, row in row.pages = nil },
      { _, row in row.output = nil },
      { _, row in row.path_count = 1 },
      { _, row in row.path_count = 33 },
    ]
    for (index, mistake) in mistakes.enumerated() {
      #expect(status(mistake) == MARTLET_E_ARGUMENT, "mistake \(index)")
    }
    #expect(status { arguments, _ in arguments.row_count = 0 } == MARTLET_OK)
    #expect(output == .init(repeating: 9, count: 256))
    #expect(status { _, _ in } == MARTLET_OK)
    #expect(output == .init(repeating: 0, count: 256))
  }

  @Test func ropeConfigurationsAreChecked() {
    var configuration = martlet_rope_configuration()
    var table: [Float] = .init(repeating: 9, count: 4)
    #expect(martlet_rope_table(&configuration, 1, [0], &table) == MARTLET_E_ARGUMENT)
    configuration.size = UInt32(MemoryLayout<martlet_rope_configuration>.size)
    configuration.rotary_dimensions = 4
    configuration.base = 10000
    #expect(martlet_rope_table(&configuration, 1, [0], &table) == MARTLET_OK)
    #expect(table == [1, 0, 1, 0])
    configuration.scaling = MARTLET_ROPE_SCALING_LLAMA3
    #expect(martlet_rope_table(&configuration, 1, [0], &table) == MARTLET_E_ARGUMENT)
    configuration.scaling = MARTLET_ROPE_SCALING_NONE
    configuration.rotary_dimensions = 3
    #expect(martlet_rope_table(&configuration, 1, [0], &table) == MARTLET_E_ARGUMENT)
  }

  @Test func everyOperationHasOneServingVariantPerClassAndAReason() {
    var serving: [String: Int] = [:]
    var available: Set<String> = []
    var seen: Set<String> = []
    for index in 0..<martlet_variant_count() {
      var variant = martlet_variant()
      variant.size = UInt32(MemoryLayout<martlet_variant>.size)
      #expect(martlet_variant_at(index, &variant) == MARTLET_OK)
      let name = String(cString: variant.name)
      #expect(seen.insert(name).inserted, "\(name) is listed twice")
      #expect(name == String(cString: variant.operation) + "_" + String(cString: variant.isa))
      #expect(variant.reason != nil && variant.reason.pointee != 0)
      #expect(variant.serving == 0 || variant.available == 1)
      let slot = "\(String(cString: variant.operation)) \(variant.numeric_class)"
      serving[slot, default: 0] += Int(variant.serving)
      if variant.available == 1 { available.insert(slot) }
      // A class that needs what this CPU lacks has nothing to serve it; the portable class always.
      #expect(
        variant.numeric_class != Int32(MARTLET_NUMERIC_PORTABLE.rawValue)
          || available.contains(slot))
    }
    for (slot, count) in serving {
      #expect(count == (available.contains(slot) ? 1 : 0), "\(slot): \(count) variants serve")
    }
    var variant = martlet_variant()
    variant.size = UInt32(MemoryLayout<martlet_variant>.size)
    #expect(martlet_variant_at(martlet_variant_count(), &variant) == MARTLET_E_ARGUMENT)
  }

  @Test func featuresInUseAreAmongThoseDetected() {
    let detected = martlet_isa_detected()
    #expect(martlet_isa_features() & ~detected == 0)
    for bit in 0..<32 where detected >> bit & 1 == 1 {
      #expect(martlet_isa_feature_name(1 << UInt32(bit)) != nil)
    }
    #expect(martlet_isa_feature_name(1 << 31) == nil)
  }
}
