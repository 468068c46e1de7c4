/// Sudoku of four by four cells: one solution, checked by the rules and not by that solution.
enum SudokuSuite {
  static func problem(_ grade: Grade, from generator: inout SplitMix64) -> DrawnProblem {
    let blanks =
      switch grade {
      case .easy: 4
      case .standard: 8
      case .hard: 11
      }
    let solution = Sudoku.solved(from: &generator)
    var puzzle = solution
    var removed = 0
    // The last cells may all be needed: then the puzzle has fewer blanks than asked for.
    for cell in (0..<16).shuffled(using: &generator) where removed < blanks {
      let number = puzzle.cells[cell]
      puzzle.cells[cell] = 0
      if puzzle.solutions(limit: 2).count == 1 { removed += 1 } else { puzzle.cells[cell] = number }
    }
    return DrawnProblem(
      question: """
        Fill in this sudoku of 4 by 4 cells, where a dot is an empty cell. Each row, each column and \
        each of the four blocks of 2 by 2 cells holds 1, 2, 3 and 4 once.
        \(puzzle.rows.joined(separator: "\n"))
        End with the four rows, separated by slashes, such as 1234/3412/2143/4321.
        """,
      group: "sudoku, \(removed) blanks", expected: solution.rows.joined(separator: "/"),
      check: SudokuCheck(puzzle: puzzle))
  }
}

/// A grid; 0 is an empty cell.
package struct Sudoku: Sendable, Equatable {
  package var cells = [Int](repeating: 0, count: 16)

  package var rows: [String] {
    (0..<4).map { row in
      cells[row * 4..<row * 4 + 4].map { $0 == 0 ? "." : "\($0)" }.joined()
    }
  }

  /// Whether a number may stand in a cell beside the filled ones.
  func allows(_ number: Int, at cell: Int) -> Bool {
    let (row, column) = (cell / 4, cell % 4)
    return (0..<16).allSatisfy { other in
      let (r, c) = (other / 4, other % 4)
      let isNear = r == row || c == column || (r / 2 == row / 2 && c / 2 == column / 2)
      return other == cell || !isNear || cells[other] != number
    }
  }

  package var isSolved: Bool {
    cells.indices.allSatisfy { (1...4).contains(cells[$0]) && allows(cells[$0], at: $0) }
  }

  /// Up to `limit` solutions, numbers tried in the given order.
  package func solutions(limit: Int, order: [Int] = [1, 2, 3, 4]) -> [Sudoku] {
    guard let cell = cells.firstIndex(of: 0) else { return [self] }
    var found: [Sudoku] = []
    for number in order where found.count < limit && allows(number, at: cell) {
      var next = self
      next.cells[cell] = number
      found += next.solutions(limit: limit - found.count, order: order)
    }
    return found
  }

  /// A random full grid: one of the 288, though not all equally likely.
  static func solved(from generator: inout SplitMix64) -> Sudoku {
    var grid = Sudoku()
    let first = [1, 2, 3, 4].shuffled(using: &generator)
    for column in 0..<4 { grid.cells[column] = first[column] }
    let order = [1, 2, 3, 4].shuffled(using: &generator)
    return grid.solutions(limit: 12, order: order).randomElement(using: &generator)!
  }
}

/// Reads the last sixteen digits of a text as a grid.
package struct SudokuCheck: AnswerCheck {
  package let puzzle: Sudoku

  package func isRight(answer: String, text: String) throws(LabError) -> Bool {
    let digits = text.utf8.filter { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard digits.count >= 16 else { return false }
    let grid = Sudoku(cells: digits.suffix(16).map { Int($0 - UInt8(ascii: "0")) })
    return grid.isSolved
      && zip(puzzle.cells, grid.cells).allSatisfy { $0 == 0 || $0 == $1 }
  }
}
