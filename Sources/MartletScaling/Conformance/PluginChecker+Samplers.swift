import Foundation
import MartletEngine

extension PluginChecker {
  /// Rows as models give them, and as only odd ones do.
  private static let samples: [[Float]] = {
    var rows: [[Float]] = []
    for count in [3, 5, 257, 4099] {
      rows.append((0..<count).map { index in Float((index * 37 + count) % 101) * 0.1 - 5 })
    }
    rows.append([Float](repeating: 0.5, count: 33))
    rows.append([7])
    rows.append((0..<16).map { $0 == 11 ? 1e30 : -1e30 })
    rows.append((0..<16).map { $0 % 5 == 0 ? .leastNonzeroMagnitude : -.leastNonzeroMagnitude })
    // What the model itself forbids stays forbidden.
    rows.append((0..<40).map { $0 % 4 == 3 ? Float($0) * 0.1 : -.infinity })
    return rows
  }()

  /// Uses a sampler once on each row.
  func changeRows(
    _ component: InstalledComponent, _ host: PluginHost, _ options: [String: String]
  ) throws(CaseFailure) {
    _ = try changed(
      component.manifest.id, host, order: Array(Self.samples.indices), options: options)
  }

  /// What every sampler must do, whatever it prefers.
  func rows(_ subject: CheckedPlugin) throws(CaseFailure) -> String {
    let host = try subject.host()
    var checked = 0
    for component in try subject.components(host) where component.manifest.kind == .sampler {
      let id = component.manifest.id
      let forwards = try sampled(id, host)
      for (sample, row) in zip(Self.samples, forwards) {
        let isUnsound = row.contains { $0.isNaN || $0 == .infinity }
        if isUnsound || !row.contains(where: { $0.isFinite }) {
          throw CaseFailure(
            "sampler '\(id)' leaves NaN, +infinity or nothing finite of \(row.count) logits")
        }
        if zip(sample, row).contains(where: { $0 == -.infinity && $1 != -.infinity }) {
          throw CaseFailure("sampler '\(id)' allows a token that was forbidden before it")
        }
      }
      let backwards = Array(Self.samples.indices.reversed())
      if try forwards != changed(id, host, order: backwards + [1, 0, 2]) {
        throw CaseFailure(
          "what sampler '\(id)' makes of a row depends on the rows before it, so a text would depend "
            + "on what else runs")
      }
      checked += 1
    }
    return checked == 1 ? "1 sampler" : "\(checked) samplers"
  }

  /// All rows as a new instance leaves them.
  func sampled(_ id: String, _ host: PluginHost) throws(CaseFailure) -> [[Float]] {
    try changed(id, host, order: Array(Self.samples.indices))
  }

  /// Rows as a new instance leaves them when it is given them in this order.
  private func changed(
    _ id: String, _ host: PluginHost, order: [Int], options: [String: String] = [:]
  ) throws(CaseFailure) -> [[Float]] {
    var rows = Self.samples
    let sampler: PluginSampler
    do throws(ScalingError) {
      let manifest = try host.component(.sampler, id).manifest
      sampler = try PluginSampler(
        id, options: self.options(for: manifest, options), plugins: host)
    } catch {
      throw CaseFailure(error.message)
    }
    for index in order {
      let choice = LogitsChoice(
        tokens: (0..<Int32(index + 1)).map { $0 }, generatedTokens: index, noise: UInt64(7 + index))
      rows[index] = Self.samples[index]
      do throws(EngineError) {
        try sampler.process(&rows[index], for: choice)
      } catch {
        throw CaseFailure(error.message)
      }
    }
    return rows
  }
}
