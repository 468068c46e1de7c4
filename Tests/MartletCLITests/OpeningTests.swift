import Foundation
import Testing

/// What opening a model costs, as a user's process sees it.
@Suite(.serialized) struct OpeningTests {
  /// The most memory a process has in RAM while it opens a model and runs it, mapped files included,
  /// stays under 1.15 times the file: packing without a cache, packing into one, and mapping it.
  @Test func peakMemoryStaysNearOneCopyOfTheWeights() throws {
    let folder = try TemporaryFolder()
    let model = folder.url.appendingPathComponent("random.gguf")
    let size = try RandomModel().write(to: model)
    #expect(size > 200_000_000)
    // What the same command takes for a model of next to nothing with the same vocabulary: code,
    // libraries, tokenizer, logits.
    let small = folder.url.appendingPathComponent("small.gguf")
    let smallSize = try RandomModel(layers: 1, width: 64, feedForward: 256, heads: 2, kvHeads: 1)
      .write(to: small)
    let allowance = try peak(small, "off", expecting: "off") - smallSize

    let cache = folder.url.appendingPathComponent("cache").path
    for (place, state) in [("off", "off"), (cache, "miss"), (cache, "hit")] {
      let peak = try peak(model, place, expecting: state)
      #expect(
        Double(peak) < 1.15 * Double(size) + Double(allowance),
        "\(state): \(peak) bytes for a file of \(size), allowance \(allowance)")
    }
  }

  @Test func theCacheIsListedAndCleared() throws {
    let folder = try TemporaryFolder()
    let model = folder.url.appendingPathComponent("random.gguf")
    _ = try RandomModel(layers: 1, vocabulary: 1024).write(to: model)
    let cache = folder.url.appendingPathComponent("cache").path
    _ = try peak(model, cache, expecting: "miss")
    let list = try Tool.run(["cache", "list", "--pack-cache", cache, "--json"])
    let items = try #require(
      JSONSerialization.jsonObject(with: Data(list.out.utf8)) as? [[String: Any]])
    #expect(items.count == 1)
    #expect(items.first?["model"] as? String == "random")
    #expect(try Tool.run(["cache", "list", "--pack-cache", cache]).out.contains("random"))
    let clear = try Tool.run(["cache", "clear", "--pack-cache", cache])
    #expect(clear.code == 0)
    let left = try FileManager.default.contentsOfDirectory(atPath: cache)
    #expect(left == [])
    #expect(try Tool.run(["cache", "clear", "--pack-cache", "off"]).code == 64)
  }

  @Test func whereTheCacheCannotBeWrittenTheAnswerComesAllTheSame() throws {
    let folder = try TemporaryFolder()
    let model = folder.url.appendingPathComponent("random.gguf")
    _ = try RandomModel(layers: 1, vocabulary: 1024).write(to: model)
    let home = try Tool.run(
      ["model", "cost", "--model", model.path, "--json"],
      environment: ["XDG_CACHE_HOME": "/proc/none"])
    #expect(home.code == 0)
    // The default place fails quietly, a named one with a warning.
    #expect(!home.error.contains("not kept"))
    let opening = try #require(try home.object()["opening"] as? [String: Any])
    #expect(opening["cache"] as? String == "unavailable")
    let named = try Tool.run(
      ["model", "cost", "--model", model.path, "--pack-cache", "/proc/none", "--json"])
    #expect(named.code == 0)
    #expect(named.error.contains("/proc/none"))
  }

  @Test func theCostOfWidthIsPrinted() throws {
    let folder = try TemporaryFolder()
    let environment = ["XDG_CACHE_HOME": folder.url.path]
    let first = try Tool.run(["model", "cost", "--json"], environment: environment)
    let object = try first.object()
    let rows = try #require(object["rows"] as? [[String: Any]])
    #expect(rows.map { $0["width"] as? Int } == [1, 2, 4, 8, 16, 32])
    #expect(rows.first?["width_cost"] as? Double == 1)
    #expect(try #require(object["knee_width"] as? Int) >= 1)
    let tuning = try #require(object["tuning"] as? [String: Any])
    #expect(tuning["threads"] as? Int != nil)
    let given = try Tool.run(
      ["model", "cost", "--json", "--threads", "1", "--prefill-chunk", "32"],
      environment: environment)
    let chosen = try #require(try given.object()["tuning"] as? [String: Any])
    #expect(chosen["threads"] as? Int == 1)
    #expect(chosen["threads_origin"] as? String == "given")
    #expect(chosen["prefill_chunk"] as? Int == 32)
    #expect(try Tool.run(["model", "cost", "--prefill-chunk", "0"]).code == 64)
  }

  /// Peak bytes of `martlet model cost`, which opens the model and runs steps on it.
  private func peak(_ model: URL, _ cache: String, expecting state: String) throws -> Int {
    let output = try Tool.run([
      "model", "cost", "--model", model.path, "--pack-cache", cache, "--threads", "2",
      "--prefill-chunk", "256", "--json",
    ])
    #expect(output.code == 0, "\(output.error)")
    let object = try output.object()
    let opening = try #require(object["opening"] as? [String: Any])
    #expect(opening["cache"] as? String == state)
    return try #require(object["peak_resident_bytes"] as? Int)
  }
}
