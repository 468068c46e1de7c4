import Foundation
import MartletLab
import Testing

@Suite struct StatisticsTests {
  private func near(_ a: Double, _ b: Double, _ tolerance: Double = 5e-5) -> Bool {
    abs(a - b) < tolerance
  }

  @Test func wilsonIntervalsAreThoseOfTheFormula() {
    // 8 of 10: (0.8 + 3.8415/20 ± 1.96 √(0.016 + 3.8415/400)) / 1.38415
    let share = Estimate.share(0.8, of: 10)
    #expect(near(share.low, 0.49016) && near(share.high, 0.94332))
    // None of 10: 0 to z²/(10 + z²).
    let none = Estimate.share(0, of: 10)
    #expect(none.low == 0 && near(none.high, 3.841459 / 13.841459))
    #expect(Estimate.share(1, of: 10).high == 1)
    let nothing = Estimate.share(ofGroups: [])
    #expect(nothing.low == 0 && nothing.high == 1)
  }

  @Test func runsOfOneProblemAreNotIndependent() {
    let single = Estimate.share(ofGroups: (0..<20).map { [$0 < 10 ? 1.0 : 0] })
    // Four runs that always agree say no more than one; with the sample's n/(n-1), hardly less.
    let copies = Estimate.share(
      ofGroups: (0..<20).map { [Double](repeating: $0 < 10 ? 1 : 0, count: 4) })
    #expect(near(copies.low, single.low, 0.01) && near(copies.high, single.high, 0.01))
    // Runs that vary within problems and not between them say as much as if each stood alone.
    let spread = Estimate.share(ofGroups: (0..<20).map { _ in [1.0, 0, 1, 0] })
    let alone = Estimate.share(0.5, of: 80)
    #expect(spread.low < alone.mean && spread.high - spread.low < single.high - single.low + 1e-9)
  }

  @Test func mcNemarIsExact() {
    // Nine against one: 2 (1 + 10) / 2^10.
    var pairs = Array(repeating: PairedTest.Pair(first: 1, second: 0, runs: 1), count: 9)
    pairs.append(PairedTest.Pair(first: 0, second: 1, runs: 1))
    pairs += Array(repeating: PairedTest.Pair(first: 1, second: 1, runs: 1), count: 30)
    let test = PairedTest(pairs: pairs)
    #expect(near(test.pValue, 22.0 / 1024, 1e-12))
    #expect(test.difference == 8.0 / 40)
    // Five against five is no difference at all.
    let even = PairedTest(
      pairs: (0..<10).map { PairedTest.Pair(first: $0 % 2, second: 1 - $0 % 2, runs: 1) })
    #expect(even.pValue == 1)
  }

  @Test func signsOfLargerDifferencesAreCountedExactly() {
    // Differences 3, 2 and 1 all one way: of eight signs only two reach 6 either way.
    let test = PairedTest(
      pairs: [3, 2, 1].map { PairedTest.Pair(first: $0, second: 0, runs: 3) })
    #expect(near(test.pValue, 0.25, 1e-12))
    // 3 + 2 - 1 = 4: signs with a sum of at least 4 either way are +++, ++-, and their opposites.
    let mixed = PairedTest(pairs: [
      .init(first: 3, second: 0, runs: 3), .init(first: 2, second: 0, runs: 3),
      .init(first: 0, second: 1, runs: 3),
    ])
    #expect(near(mixed.pValue, 0.5, 1e-12))
  }

  @Test func pairedIntervalsAreThoseOfTheFormula() {
    // b = 9, c = 1, n = 40: gains 10/42, losses 2/42; 8/42 ± 1.96 √((12/42 - (8/42)²)/42).
    var pairs = Array(repeating: PairedTest.Pair(first: 1, second: 0, runs: 1), count: 9)
    pairs.append(PairedTest.Pair(first: 0, second: 1, runs: 1))
    pairs += Array(repeating: PairedTest.Pair(first: 0, second: 0, runs: 1), count: 30)
    let interval = PairedTest(pairs: pairs).interval()
    #expect(near(interval.low, 0.03944, 1e-4) && near(interval.high, 0.34151, 1e-4))
    // Strategies that never differ may still differ a little.
    let same = PairedTest(
      pairs: Array(repeating: .init(first: 1, second: 1, runs: 1), count: 20)
    ).interval()
    #expect(same.mean == 0 && same.low < -0.05 && same.high > 0.05)
  }

  @Test func theBootstrapCoversTheMeanAndRepeats() {
    let pairs = (0..<50).map { PairedTest.Pair(first: $0 % 3, second: $0 % 2, runs: 2) }
    let test = PairedTest(pairs: pairs)
    let interval = test.bootstrap(resamples: 2000)
    #expect(interval == test.bootstrap(resamples: 2000))
    #expect(interval.low < test.difference && test.difference < interval.high)
    // The normal approximation: the standard error of the mean of 50 halved differences.
    let differences = pairs.map { Double($0.first - $0.second) / 2 }
    let mean = differences.reduce(0, +) / 50
    let error = (differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 50 / 50).squareRoot()
    #expect(near(interval.low, mean - 1.96 * error, 0.03))
    #expect(near(interval.high, mean + 1.96 * error, 0.03))
    // Two problems on which both are always right say little.
    let few = PairedTest(pairs: [
      .init(first: 3, second: 3, runs: 3), .init(first: 3, second: 3, runs: 3),
    ])
    #expect(few.interval().low < -0.2 && few.interval().high > 0.2)
  }

  @Test func holmMultipliesByWhatIsLeft() {
    #expect(holmAdjusted([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06])
    #expect(holmAdjusted([0.5, 0.9]) == [1, 1])
    #expect(holmAdjusted([]) == [])
  }

  @Test func passAtKIsUnbiased() {
    // 5 candidates, 2 right: 1 - C(3,2)/C(5,2) = 0.7.
    #expect(near(Coverage.passAt(2, of: 5, right: 2), 0.7, 1e-12))
    #expect(Coverage.passAt(1, of: 4, right: 0) == 0)
    #expect(near(Coverage.passAt(1, of: 4, right: 1), 0.25, 1e-12))
    #expect(Coverage.passAt(4, of: 4, right: 1) == 1)
    // Averaged over what is drawn it is 1 - (1-p)^k: three candidates, each right with 0.3.
    let mean = (0...3).reduce(0.0) { sum, right in
      let ways = [1.0, 3, 3, 1][right]
      return sum + ways * pow(0.3, Double(right)) * pow(0.7, Double(3 - right))
        * Coverage.passAt(2, of: 3, right: right)
    }
    #expect(near(mean, 1 - 0.49, 1e-12))
  }

  @Test func coverageStopsAtTheFewestCandidates() throws {
    let coverage = try #require(Coverage([[(6, 3)], [(9, 0)], [(6, 6)]]))
    #expect(coverage.points.map(\.k) == [1, 2, 4, 6])
    #expect(near(coverage.points[0].share.mean, 0.5, 1e-12))
    #expect(Coverage([[(1, 1)], [(8, 2)]]) == nil)
  }

  @Test func theCoverageLawIsFound() throws {
    let points = [1.0, 2, 4, 8, 16].map { ($0, exp(-0.8 * pow($0, -0.5))) }
    let law = try #require(CoverageLaw(fitting: points))
    #expect(near(law.a, -0.8, 1e-9) && near(law.b, -0.5, 1e-9) && near(law.fit, 1, 1e-9))
    #expect(near(law.coverage(64), exp(-0.1), 1e-9))
    #expect(CoverageLaw(fitting: [(1, 0), (2, 1)]) == nil)
  }

  @Test func calibrationAndAbstention() {
    let calibration = Calibration(
      [(0.95, true), (0.95, true), (0.55, true), (0.55, false), (0.15, false)], source: .votes)
    #expect(calibration.bins.map(\.runs) == [1, 2, 2])
    // (|0.15 - 0| + 2 |0.55 - 0.5| + 2 |0.95 - 1|) / 5
    #expect(near(calibration.error, 0.07, 1e-12))
    #expect(calibration.abstention.map(\.answered) == [0.4, 0.8, 1])
    #expect(calibration.abstention.map(\.right.mean) == [1, 0.75, 0.6])
  }

  @Test func aVerifiersMistakesCapIt() throws {
    func run(_ problem: String, _ candidates: [(score: Double, correct: Bool)]) -> RunRecord {
      var record = sampleRecord(problem: problem, strategy: "best-of-n")
      record.scorer = "judge"
      record.answerCandidate = 0
      record.candidates = candidates.map {
        RunRecord.Candidate(
          text: "", answer: nil, score: $0.score, logprob: 0, tokens: 1, finished: true, stop: "",
          correct: $0.correct)
      }
      return record
    }
    let records = [
      run("a", [(1, true), (1, false), (0, false), (0, false)]),
      run("b", [(0.9, true), (0.2, true)]),
      run("c", [(0.1, false)]),
    ]
    let quality = try #require(VerifierQuality(records: records))
    #expect(near(quality.falsePositives.mean, 0.25, 1e-12))
    #expect(near(quality.falseNegatives.mean, 1.0 / 3, 1e-12))
    #expect(quality.cap?.mean == 0.75)
    #expect(near(quality.unanswered, 1.0 / 3, 1e-12))
    // Log-probabilities accept nothing and reject nothing.
    #expect(VerifierQuality(records: [run("a", [(-3, true)])]) == nil)
  }

  @Test func anytimeTakesTheLastAnswerNamed() throws {
    func named(_ tokens: Int, _ correct: Bool) -> RunRecord.NamedAnswer {
      RunRecord.NamedAnswer(tokens: tokens, answer: "", correct: correct, committed: false)
    }
    let curve = try #require(
      Anytime([[[named(10, false), named(20, true)]], [[named(100, true)]]]))
    func right(_ tokens: Int) -> Double? { curve.points.last { $0.tokens <= tokens }?.right.mean }
    #expect(right(10) == 0)
    #expect(right(50) == 0.5)
    #expect(right(100) == 1)
    #expect(Anytime([[[]]]) == nil)
  }

  @Test func cpuTimeIsSharedAmongRunsInProgress() {
    let times = TimeList([0, 0, 2, 6, 7])
    let share = CPUShare { times.next() }
    let first = share.begin()  // at 0
    let second = share.begin()  // at 2: the first had 2 alone
    #expect(share.end(first) == 4)  // at 6: 2 of 4
    #expect(share.end(second) == 3)  // at 7: 2 of 4, then 1 alone
  }
}
