import CMartlet
import MartletEngine

// The extension of teams: see martlet/extensions/team.h.

/// The table, as every plugin of this process sees it. Never freed.
nonisolated(unsafe) let teamExtension: UnsafePointer<martlet_team_extension> = {
  // nonisolated(unsafe): written here once, read-only afterwards.
  let table = UnsafeMutablePointer<martlet_team_extension>.allocate(capacity: 1)
  table.initialize(
    to: martlet_team_extension(
      size: UInt32(MemoryLayout<martlet_team_extension>.size), reserved: 0,
      available: teamAvailable, make: teamMake, end_step: teamEndStep, leave: teamLeave,
      context: teamContext))
  return UnsafePointer(table)
}()

private let teamAvailable:
  @convention(c) (martlet_run?, UnsafeMutablePointer<UInt32>?) -> martlet_status = {
    run, available in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      try place(available, "available").pointee = run.engineRun.canMakeTeams ? 1 : 0
    }
  }

private let teamMake:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafePointer<martlet_branch?>?, UInt32, UInt32
  ) -> martlet_status = { run, shared, members, count, layout in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      let shared = try run.held(shared)
      let (owner, members) = try run.group(members, count)
      guard shared.run === owner else {
        throw HostFailure(MARTLET_E_ARGUMENT, "members and what they share are of two models")
      }
      guard owner.canMakeTeams else {
        throw HostFailure(
          MARTLET_E_UNSUPPORTED,
          "branches of \(owner.engine.backend.name) cannot read one another here: that takes exact "
            + "attention to everything before a token, and a run without guidance")
      }
      let layouts: [UInt32: Team.Layout] = [
        MARTLET_TEAM_CONTIGUOUS.rawValue: .contiguous,
        MARTLET_TEAM_INTERLEAVED.rawValue: .interleaved,
        MARTLET_TEAM_COMBINED.rawValue: .combined,
      ]
      guard let layout = layouts[layout] else {
        throw HostFailure(MARTLET_E_ARGUMENT, "there is no layout \(layout) of teams")
      }
      _ = try engineCall { () throws(EngineError) in
        try owner.makeTeam(members, sharing: shared.branch, layout: layout)
      }
    }
  }

private let teamEndStep: @convention(c) (martlet_run?, martlet_branch?) -> martlet_status = {
  run, member in
  branchCall(run, onRunThread: true) { run throws(HostFailure) in
    let (team, member) = try run.teamMember(member)
    try engineCall { () throws(EngineError) in try team.endStep(member) }
  }
}

private let teamLeave: @convention(c) (martlet_run?, martlet_branch?) -> martlet_status = {
  run, member in
  branchCall(run, onRunThread: true) { run throws(HostFailure) in
    let (team, member) = try run.teamMember(member)
    try engineCall { () throws(EngineError) in try team.leave(member) }
  }
}

private let teamContext:
  @convention(c) (
    martlet_run?, martlet_branch?, UnsafeMutablePointer<Int32>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, member, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      let (team, member) = try run.teamMember(member)
      let tokens = try engineCall { () throws(EngineError) in try team.context(of: member) }
      try deliver(tokens, buffer, capacity, needed)
    }
  }

extension PluginRun {
  fileprivate func teamMember(
    _ handle: martlet_branch?
  ) throws(HostFailure) -> (Team, Branch) {
    let branch = try branch(handle)
    guard let team = branch.team else {
      throw HostFailure(MARTLET_E_STATE, "branch \(branch.path) is in no team")
    }
    return (team, branch)
  }
}
