import MartletMachine

extension ThreadTeam {
  /// Runs `body` over the rows, on the team where there is enough to do: a barrier costs about as
  /// much as a few thousand elements of such work. `work` is elements per row.
  func forEachRow(
    _ rows: Int, work: Int, _ body: @Sendable (_ range: Range<Int>) -> Void
  ) {
    let worthwhile = 8_192
    guard rows > 0 else { return }
    guard rows > 1, rows * work >= 2 * worthwhile else { return body(0..<rows) }
    let grain = max(1, max(rows / (width * 4), worthwhile / max(1, work)))
    forEachChunk(count: rows, grain: grain, body)
  }
}
