import CMartlet
import Foundation
import Logging

// Host functions about the run itself: extensions, errors, options, budget, randomness, trace.

let hostExtension: @convention(c) (UnsafePointer<CChar>?) -> UnsafeRawPointer? = { id in
  switch id.map({ String(cString: $0) }) {
  case MARTLET_TEAM_EXTENSION: UnsafeRawPointer(teamExtension)
  default: nil
  }
}

let hostLastError:
  @convention(c) (UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>?) -> martlet_status =
    { buffer, capacity, needed in
      do throws(HostFailure) {
        try deliver(LastError.text, buffer, capacity, needed)
        return MARTLET_OK
      } catch {
        // The message asked for stays as it is.
        return error.status
      }
    }

let hostLog: @convention(c) (martlet_run?, Int32, UnsafePointer<CChar>?, Int) -> Void = {
  run, level, start, count in
  _ = componentCall(run) { scope throws(HostFailure) in
    let message = try text(start, count, "text")
    let level: Logger.Level =
      switch level {
      case ...0: .debug
      case 1: .info
      case 2: .warning
      default: .error
      }
    scope.logger.log(level: level, "\(scope.id): \(message)")
  }
}

let hostExplain: @convention(c) (martlet_run?, UnsafePointer<CChar>?, Int) -> martlet_status = {
  run, start, count in
  componentCall(run) { scope throws(HostFailure) in scope.explain(try text(start, count, "text")) }
}

let hostOptionText:
  @convention(c) (
    martlet_run?, UnsafePointer<CChar>?, UnsafeMutablePointer<CChar>?, Int,
    UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, name, buffer, capacity, needed in
    componentCall(run) { scope throws(HostFailure) in
      let (_, value) = try option(scope, name)
      try deliver(value, buffer, capacity, needed)
    }
  }

let hostOptionInteger:
  @convention(c) (martlet_run?, UnsafePointer<CChar>?, UnsafeMutablePointer<Int64>?)
    -> martlet_status = { run, name, value in
      componentCall(run) { scope throws(HostFailure) in
        let value = try place(value, "value")
        let (declaration, text) = try option(scope, name)
        switch declaration.type {
        case .integer: value.pointee = Int64(text) ?? 0  // Checked when the run was set up.
        case .flag: value.pointee = text == "true" ? 1 : 0
        case .number, .text, .choice: throw wrongType(declaration, "an integer")
        }
      }
    }

let hostOptionNumber:
  @convention(c) (martlet_run?, UnsafePointer<CChar>?, UnsafeMutablePointer<Double>?)
    -> martlet_status = { run, name, value in
      componentCall(run) { scope throws(HostFailure) in
        let value = try place(value, "value")
        let (declaration, text) = try option(scope, name)
        switch declaration.type {
        case .integer, .number: value.pointee = Double(text) ?? 0  // Checked as above.
        case .text, .flag, .choice: throw wrongType(declaration, "a number")
        }
      }
    }

let hostBudgetLeft:
  @convention(c) (martlet_run?, martlet_resource, UnsafeMutablePointer<Double>?)
    -> martlet_status = { run, resource, left in
      componentCall(run) { scope throws(HostFailure) in
        let left = try place(left, "left")
        switch resource {
        case MARTLET_RESOURCE_TOKENS:
          left.pointee = scope.run?.ledger.remainingTokens.map(Double.init) ?? .infinity
        case MARTLET_RESOURCE_SECONDS:
          left.pointee = scope.run?.ledger.remainingSeconds ?? .infinity
          if left.pointee.isFinite { scope.run?.trace?.recording.noteClock() }
        case MARTLET_RESOURCE_KV_BYTES:
          left.pointee = scope.run?.kvBytesLeft ?? .infinity
        case MARTLET_RESOURCE_TOTAL_TOKENS:
          left.pointee = scope.run?.ledger.remainingTotalTokens.map(Double.init) ?? .infinity
        case MARTLET_RESOURCE_FLOPS:
          left.pointee = scope.run?.ledger.remainingFLOPs ?? .infinity
        default:
          throw HostFailure(MARTLET_E_ARGUMENT, "there is no resource \(resource.rawValue)")
        }
      }
    }

let hostRandom:
  @convention(c) (martlet_run?, martlet_branch?, UInt64, UnsafeMutablePointer<UInt64>?)
    -> martlet_status = { run, branch, index, value in
      componentCall(run) { scope throws(HostFailure) in
        let value = try place(value, "value")
        guard let run = scope.run else {
          throw HostFailure(MARTLET_E_STATE, "there is no run whose seed could be used")
        }
        if branch != nil, scope.kind != .strategy, !run.isScorers {
          throw HostFailure(MARTLET_E_STATE, "branches belong to strategies")
        }
        let branch = try branch.map { handle throws(HostFailure) in try run.branch(handle) }
        value.pointee = run.engineRun.random(branch: branch, index: index)
      }
    }

let hostTrace:
  @convention(c) (martlet_run?, UnsafePointer<CChar>?, UnsafePointer<CChar>?, Int)
    -> martlet_status = { run, name, json, count in
      componentCall(run) { scope throws(HostFailure) in
        let name = try text(name, "name")
        var details: [String: JSONValue] = [:]
        let source = try text(json, count, "json")
        if !source.isEmpty {
          let value = try? JSONDecoder().decode(JSONValue.self, from: Data(source.utf8))
          guard case .object(let fields)? = value else {
            throw HostFailure(MARTLET_E_ARGUMENT, "'json' of '\(name)' is not one JSON object")
          }
          details = fields
        }
        scope.run?.trace?.note(name, by: scope.id, details)
      }
    }

/// An option's declaration and value.
private func option(
  _ scope: ComponentScope, _ name: UnsafePointer<CChar>?
) throws(HostFailure) -> (OptionDeclaration, String) {
  let name = try text(name, "name")
  guard let declaration = scope.options.declaration(name), let value = scope.options.text(name)
  else {
    throw HostFailure(
      MARTLET_E_NOT_FOUND, "the manifest of '\(scope.id)' declares no option '\(name)'")
  }
  return (declaration, value)
}

private func wrongType(_ option: OptionDeclaration, _ wanted: String) -> HostFailure {
  HostFailure(
    MARTLET_E_ARGUMENT, "option '\(option.name)' has type \(option.type), which is not \(wanted)")
}
