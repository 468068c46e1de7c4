import Foundation

/// A duration for people: `0.042 s`, `1.73 s`, `12.8 s`.
func seconds(_ value: Double) -> String {
  let decimals = value < 1 ? 3 : value < 10 ? 2 : 1
  return String(format: "%.\(decimals)f s", value)
}
