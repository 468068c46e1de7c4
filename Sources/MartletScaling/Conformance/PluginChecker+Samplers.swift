import MartletEngine

extension PluginChecker {
  /// Has a sampler change rows, which it must do alike in any order and in any instance.
  func changeRows(_ component: InstalledComponent, _ host: PluginHost) throws(CaseFailure) {
    let id = component.manifest.id
    let forwards = try changed(id, host, order: [0, 1, 2])
    for row in forwards {
      let isUnsound = row.contains { $0.isNaN || $0 == .infinity }
      if isUnsound || !row.contains(where: { $0.isFinite }) {
        throw CaseFailure(
          "sampler '\(id)' leaves NaN, +infinity or nothing finite of \(row.count) logits")
      }
    }
    if try forwards != changed(id, host, order: [2, 1, 0, 1]) {
      throw CaseFailure(
        "what sampler '\(id)' makes of a row depends on the rows before it, so a text would depend "
          + "on what else runs")
    }
  }

  /// Sample rows as a new instance leaves them when it is given them in this order.
  private func changed(
    _ id: String, _ host: PluginHost, order: [Int]
  ) throws(CaseFailure) -> [[Float]] {
    var rows: [[Float]] = []
    for count in [3, 5, 257] {
      rows.append((0..<count).map { index in Float((index * 37 + count) % 101) * 0.1 - 5 })
    }
    let samples = rows
    let sampler: PluginSampler
    do throws(ScalingError) {
      sampler = try PluginSampler(id, plugins: host)
    } catch {
      throw CaseFailure(error.message)
    }
    for index in order {
      let choice = LogitsChoice(
        tokens: (0..<Int32(index + 1)).map { $0 }, generatedTokens: index, noise: UInt64(7 + index))
      rows[index] = samples[index]
      do throws(EngineError) {
        try sampler.process(&rows[index], for: choice)
      } catch {
        throw CaseFailure(error.message)
      }
    }
    return rows
  }
}
