import CMartlet
import Foundation
import Martlet
import Synchronization

/// A model that a caller opened, and the runs in progress on it.
final class OpenEngine: Sendable {
  let session: Session
  private let running = Mutex<Running>(Running())

  private struct Running {
    var isClosed = false
    var jobs: [ObjectIdentifier: Job] = [:]
  }

  init(_ configuration: Session.Configuration, progress: (@Sendable (Double) -> Void)?) throws {
    try ISA.validate()
    try configuration.numericClass.validate()
    session = try Session(configuration, progress: progress)
  }

  /// Checks a request and begins to run it.
  func start(_ options: RequestOptions, stream: Stream?) throws -> Job {
    let request = try checked(options)
    let job = Job(stream)
    // Under the lock, so that an engine that is being closed begins nothing.
    try running.withLock { running in
      guard !running.isClosed else {
        throw Failure(MARTLET_E_HANDLE, "the engine is being closed")
      }
      running.jobs[ObjectIdentifier(job)] = job
    }
    job.begin { [self] in
      defer { running.withLock { $0.jobs[ObjectIdentifier(job)] = nil } }
      return try await result(of: request, of: job)
    }
    return job
  }

  /// The request, once all that can be checked before it runs is found to be right.
  private func checked(_ options: RequestOptions) throws -> RunRequest {
    var request = options.request
    if options.isChat { try session.renderAsChat(&request) }
    try session.scaling.validate(request)
    return request
  }

  private func result(of request: RunRequest, of job: Job) async throws -> String {
    var request = request
    request.drafting = try session.opened(request.drafting)
    request.guidance = try request.guidance.map(session.opened)
    guard job.isStreamed else { return try await session.scaling.run(request).json() }
    return try await session.scaling.run(
      request, onText: { job.add(.text($0)) },
      onAnswer: { candidate, isCommitted, tokens in
        job.add(.answer(candidate, isCommitted: isCommitted, generatedTokens: tokens))
      }
    ).json()
  }

  /// Cancels what runs, and waits until nothing does.
  func close() {
    let rest = running.withLock { running in
      running.isClosed = true
      return Array(running.jobs.values)
    }
    for job in rest { job.cancel() }
    for job in rest { job.waitForEnd() }
  }
}
