import CKernelsCheck
import Foundation
import Testing

/// One statistical test, copied out of the C callback.
private struct LawTest: Sendable {
  var name: String
  var probability: Double
}

private func lawTests(mistake: UInt32, seed: UInt64, draws: UInt32) -> [LawTest]? {
  var tests: [LawTest] = []
  // The callback runs on this thread, during the call, while `tests` is borrowed by nobody else.
  let status = withUnsafeMutablePointer(to: &tests) { tests in
    martlet_law_verify(
      mistake, seed, draws,
      { context, name, probability in
        guard let context, let name else { return }
        context.assumingMemoryBound(to: [LawTest].self).pointee.append(
          LawTest(name: String(cString: name), probability: probability))
      }, tests)
  }
  return status == MARTLET_OK ? tests : nil
}

/// Verification keeps the target's distribution, by G-tests with fixed seeds at a false-alarm rate of
/// 1e-6 each; and the tests notice when it does not.
@Suite struct VerifyLawTests {
  @Test(arguments: [1, 2] as [UInt64])
  func tokensAndTextsFollowTheTarget(seed: UInt64) throws {
    let tests = try #require(lawTests(mistake: 0, seed: seed, draws: 60_000))
    #expect(tests.count > 250)
    for test in tests {
      #expect(
        test.probability >= MARTLET_LAW_ALARM, "\(test.name): \(test.probability), seed \(seed)")
    }
    // Right but for chance: probabilities are spread evenly, so few are small.
    let continuous = tests.filter { $0.probability < 1 }
    let small = continuous.count { $0.probability < 0.01 }
    #expect(small < continuous.count / 25, "\(small) of \(continuous.count) are below 0.01")
  }

  @Test(arguments: 1..<martlet_law_verify_mistakes())
  func seededMistakesAreNoticed(mistake: UInt32) throws {
    let name = String(cString: martlet_law_verify_mistake_name(mistake))
    let tests = try #require(lawTests(mistake: mistake, seed: 1, draws: 8_000), "\(name)")
    #expect(tests.contains { $0.probability < MARTLET_LAW_ALARM }, "\(name) goes unnoticed")
  }
}

/// The statistics themselves.
@Suite struct LawTests {
  /// Values from SciPy: chi2.sf(x, k).
  @Test(arguments: [
    (3.841458820694124, 1.0, 0.05), (18.30703805327515, 10.0, 0.05), (0.5, 1.0, 0.4795001221869535),
    (100.0, 50.0, 3.454931382984871e-05), (10.0, 100.0, 1.0), (45.0, 2.0, 1.6918979226151304e-10),
  ])
  func tailsAreKnownOnes(x: Double, freedom: Double, tail: Double) {
    #expect(abs(martlet_law_chi_square_tail(x, freedom) / tail - 1) < 1e-8)
  }

  @Test func countsOfAnotherLawAreNoticed() {
    #expect(martlet_law_fits([250, 250, 500], [1, 1, 2], 3) == 1)
    #expect(martlet_law_fits([250, 250, 500], [1, 1, 1], 3) < 1e-20)
    #expect(martlet_law_fits([500, 500, 1], [1, 1, 0], 3) == 0)
    // Cells too small to judge alone are judged together.
    let many = [Double](repeating: 1e-3, count: 100)
    let counts = [UInt64](repeating: 3, count: 100)
    #expect(martlet_law_fits([900] + counts, [0.9] + many, 101) < 1e-20)
    #expect(martlet_law_fits([900] + counts.map { _ in 1 }, [0.9] + many, 101) > 0.9)
    #expect(martlet_law_agrees([100, 200, 300], [200, 400, 600], 3) > 0.999)
    #expect(martlet_law_agrees([100, 200, 300], [300, 200, 100], 3) < 1e-20)
  }
}
