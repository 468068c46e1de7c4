import CMartlet

// The C functions behind every component of a plugin. One set serves all components of a kind,
// because `create` is told which descriptor it was called for. Instances are retained objects behind
// `void *`; a Swift error becomes a status, with its text told to the host first.

/// The function table of a component kind, made once and never freed.
func componentFunctions(
  _ kind: martlet_component_kind, _ scoresBranches: Bool
) -> UnsafeRawPointer? {
  switch kind {
  case MARTLET_KIND_SCORER where scoresBranches: branchScorerFunctions.pointer
  case MARTLET_KIND_STRATEGY: strategyFunctions.pointer
  case MARTLET_KIND_SCORER: scorerFunctions.pointer
  case MARTLET_KIND_EXTRACTOR: extractorFunctions.pointer
  case MARTLET_KIND_DRAFTER: drafterFunctions.pointer
  case MARTLET_KIND_SAMPLER: samplerFunctions.pointer
  case MARTLET_KIND_MEMORY: memoryFunctions.pointer
  default: nil
  }
}

/// A C struct at an address that never moves and is never freed.
private final class Immortal<Table>: @unchecked Sendable {
  // Sendable: written once before it is shared.
  let pointer: UnsafeRawPointer

  init(_ table: Table) {
    let memory = UnsafeMutablePointer<Table>.allocate(capacity: 1)
    memory.initialize(to: table)
    pointer = UnsafeRawPointer(memory)
  }
}

private let strategyFunctions = Immortal(
  martlet_strategy(
    size: UInt32(MemoryLayout<martlet_strategy>.size), reserved: 0, create: create,
    run: { instance in
      guard let strategy: StrategyInstance = borrow(instance) else { return MARTLET_E_ARGUMENT }
      return reporting(strategy.table) { try strategy.body() }
    },
    destroy: { release($0, as: StrategyInstance.self) }))

private let scorerFunctions = Immortal(
  martlet_scorer(
    size: UInt32(MemoryLayout<martlet_scorer>.size), reserved: 0, create: create,
    score: { instance, view, score in
      guard let scorer: ScorerInstance = borrow(instance), let view, let score else {
        return MARTLET_E_ARGUMENT
      }
      return reporting(scorer.table) { score.pointee = try scorer.body(GeneratedText(view)) }
    },
    destroy: { release($0, as: ScorerInstance.self) }, score_branches: nil))

private let branchScorerFunctions = Immortal(
  martlet_scorer(
    size: UInt32(MemoryLayout<martlet_scorer>.size), reserved: 0, create: create,
    // It reads branches; of a text alone it knows nothing.
    score: { _, _, _ in MARTLET_E_UNSUPPORTED },
    destroy: { release($0, as: BranchScorerInstance.self) },
    score_branches: { instance, branches, count, scores in
      guard let scorer: BranchScorerInstance = borrow(instance), let branches, let scores else {
        return MARTLET_E_ARGUMENT
      }
      return reporting(scorer.table) {
        let handles = UnsafeBufferPointer(start: branches, count: Int(count))
        let given = try scorer.body(try scorer.table.branches(Array(handles), "score_branches"))
        guard given.count == handles.count else {
          throw PluginError(
            .plugin, "the scorer gave \(given.count) scores for \(handles.count) branches")
        }
        for (index, score) in given.enumerated() { scores[index] = score }
      }
    }))

private let extractorFunctions = Immortal(
  martlet_extractor(
    size: UInt32(MemoryLayout<martlet_extractor>.size), reserved: 0, create: create,
    extract: { instance, view, buffer, capacity, needed in
      guard let extractor: ExtractorInstance = borrow(instance), let view, let needed else {
        return MARTLET_E_ARGUMENT
      }
      var status = MARTLET_OK
      let reported = reporting(extractor.table) {
        guard let answer = try extractor.body(GeneratedText(view)) else {
          needed.pointee = 0
          status = MARTLET_E_NOT_FOUND
          return
        }
        status = answer.withCharacters { characters, count in
          needed.pointee = count
          if count > capacity { return MARTLET_E_TOO_SMALL }
          if let buffer, let characters { buffer.update(from: characters, count: count) }
          return MARTLET_OK
        }
      }
      return reported == MARTLET_OK ? status : reported
    },
    destroy: { release($0, as: ExtractorInstance.self) }))

private let drafterFunctions = Immortal(
  martlet_drafter(
    size: UInt32(MemoryLayout<martlet_drafter>.size), reserved: 0, create: create,
    propose: { instance, sequences, count, capacity, guesses, counts in
      guard let drafter: DrafterInstance = borrow(instance), let sequences, let guesses, let counts
      else { return MARTLET_E_ARGUMENT }
      return reporting(drafter.table) {
        for index in 0..<Int(count) {
          let given = try drafter.body(DraftSequence(sequences[index]), Int(capacity))
            .prefix(Int(capacity))
          for (place, guess) in given.enumerated() {
            guesses[index * Int(capacity) + place] = martlet_guess(
              token: guess.token, parent: Int32(clamping: guess.parent),
              probability: guess.probability, reserved: 0)
          }
          counts[index] = UInt32(given.count)
        }
      }
    },
    destroy: { release($0, as: DrafterInstance.self) }))

private let samplerFunctions = Immortal(
  martlet_sampler(
    size: UInt32(MemoryLayout<martlet_sampler>.size), reserved: 0, create: create,
    process: { instance, choice, logits, count in
      guard let sampler: SamplerInstance = borrow(instance), let choice, let logits else {
        return MARTLET_E_ARGUMENT
      }
      return reporting(sampler.table) {
        let row = UnsafeMutableBufferPointer(start: logits, count: count)
        var span = row.mutableSpan
        try sampler.body(&span, SamplingChoice(choice.pointee))
      }
    },
    destroy: { release($0, as: SamplerInstance.self) }))

private let memoryFunctions = Immortal(
  martlet_memory(
    size: UInt32(MemoryLayout<martlet_memory>.size), reserved: 0, create: create,
    store: { instance, key, keyLength, start, count in
      guard let memory: MemoryInstance = borrow(instance) else { return MARTLET_E_ARGUMENT }
      return reporting(memory.table) {
        memory.found = []
        try memory.store(copied(start, count), copied(key, keyLength))
      }
    },
    destroy: { release($0, as: MemoryInstance.self) },
    recall: { instance, query, length, top, notes, count in
      guard let memory: MemoryInstance = borrow(instance), let notes, let count else {
        return MARTLET_E_ARGUMENT
      }
      return reporting(memory.table) {
        memory.found = []
        memory.found = Array(try memory.recall(copied(query, length), Int(top)).prefix(Int(top)))
        for (index, note) in memory.found.enumerated() {
          notes[index] = martlet_note(id: UInt64(index), score: note.score)
        }
        count.pointee = UInt32(memory.found.count)
      }
    },
    read: { instance, id, part, buffer, capacity, needed in
      guard let memory: MemoryInstance = borrow(instance), let needed else {
        return MARTLET_E_ARGUMENT
      }
      guard id < memory.found.count else { return MARTLET_E_NOT_FOUND }
      let note = memory.found[Int(id)]
      return (part == MARTLET_NOTE_KEY.rawValue ? note.key : note.text).withCharacters {
        characters, count in
        needed.pointee = count
        if count > capacity { return MARTLET_E_TOO_SMALL }
        if let buffer, let characters { buffer.update(from: characters, count: count) }
        return MARTLET_OK
      }
    }))

/// Copies a text of the host's; null is empty.
private func copied(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
  String(
    decoding: UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count), as: UTF8.self)
}

extension SamplingChoice {
  /// Copies what the host shows for the length of one call.
  fileprivate init(_ view: martlet_sampling_choice) {
    self.init(
      tokens: Array(UnsafeBufferPointer(start: view.tokens, count: view.token_count)),
      generatedTokens: Int(view.generated_tokens), noise: view.noise)
  }
}

extension DraftSequence {
  /// Copies what the host shows for the length of one call.
  fileprivate init(_ view: martlet_draft_sequence) {
    self.init(
      id: view.id, tokens: Array(UnsafeBufferPointer(start: view.tokens, count: view.token_count)),
      depth: Int(view.depth))
  }
}

private let create:
  @convention(c) (
    UnsafePointer<martlet_component>?, UnsafePointer<martlet_host>?, martlet_run?,
    UnsafeMutablePointer<UnsafeMutableRawPointer?>?
  ) -> martlet_status = { descriptor, host, run, instance in
    guard let descriptor, let host, let run, let instance else { return MARTLET_E_ARGUMENT }
    // A shorter table belongs to a host older than this kit.
    guard host.pointee.size >= UInt32(MemoryLayout<martlet_host>.size) else {
      return MARTLET_E_UNSUPPORTED
    }
    let table = HostTable(host: host, run: run)
    return reporting(table) {
      let object = try DescribedComponent.component(of: descriptor).make(table)
      instance.pointee = Unmanaged.passRetained(object).toOpaque()
    }
  }

/// Runs a component's code and turns what it throws into a status and a message.
private func reporting(_ table: HostTable, _ body: () throws -> Void) -> martlet_status {
  do {
    try body()
    return MARTLET_OK
  } catch let error as PluginError {
    table.explain(error.message)
    return error.status
  } catch {
    table.explain("\(error)")
    return MARTLET_E_PLUGIN
  }
}

/// The object behind an instance pointer that `create` made.
private func borrow<Instance: AnyObject>(_ instance: UnsafeMutableRawPointer?) -> Instance? {
  instance.map { Unmanaged<Instance>.fromOpaque($0).takeUnretainedValue() }
}

/// Gives up the reference that `create` took.
private func release<Instance: AnyObject>(
  _ instance: UnsafeMutableRawPointer?, as type: Instance.Type
) {
  instance.map { Unmanaged<Instance>.fromOpaque($0).release() }
}

extension GeneratedText {
  /// Copies what the host shows for the length of one call.
  fileprivate init(_ view: UnsafePointer<martlet_text_view>) {
    let view = view.pointee
    self.init(
      prompt: copied(view.prompt, view.prompt_length), text: copied(view.text, view.text_length),
      logprobs: view.logprobs.map { Array(UnsafeBufferPointer(start: $0, count: view.token_count)) }
        ?? [],
      tokenCount: view.token_count, isFinished: view.finished != 0)
  }
}
