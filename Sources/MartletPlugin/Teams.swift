import CMartlet

/// In which order a member of a team sees what there is; the shared part comes first, its own text last.
public enum TeamLayout: UInt32, Sendable {
  /// The others' blocks in the order of members, then its own.
  case contiguous = 0
  /// Finished steps in the order in which they were ended, its own among them.
  case interleaved = 1
  /// Finished steps, then the others' unfinished ones.
  case combined = 2
}

extension RunContext {
  /// Whether branches of the run's model can read one another: the host has `martlet.team.1`, and the
  /// model attends to everything before a token.
  public func canMakeTeams() throws(PluginError) -> Bool {
    guard let teams = table.teams else { return false }
    var available: UInt32 = 0
    try table.check(teams.available(table.run, &available), "available")
    return available != 0
  }

  /// Makes a team of forks of `shared`: from now on each sees what the others write, as they write it.
  /// `team.h` says what holds for members.
  /// - Throws: `unsupported` where ``canMakeTeams()`` is false, `argument`, `state`, `context`.
  public func makeTeam(
    _ members: [Branch], sharing shared: Branch, layout: TeamLayout = .contiguous
  ) throws(PluginError) {
    let handles = members.map { Optional($0.handle) }
    try table.check(
      table.requireTeams().make(
        table.run, shared.handle, handles, UInt32(handles.count), layout.rawValue), "make")
  }
}

extension Branch {
  /// Ends its step: the text since its last one goes behind the finished steps of its team.
  /// - Throws: `state` while it advances, or outside a team.
  public func endStep() throws(PluginError) {
    try table.check(table.requireTeams().end_step(table.run, handle), "end_step")
  }

  /// Leaves its team and goes on as an ordinary branch.
  /// - Throws: `state` while it advances, or outside a team.
  public func leaveTeam() throws(PluginError) {
    try table.check(table.requireTeams().leave(table.run, handle), "leave")
  }

  /// The tokens as it sees them, its own last.
  /// - Throws: `state` outside a team.
  public func teamContext() throws(PluginError) -> [Int32] {
    let teams = try table.requireTeams()
    return try table.read("context", Int32(0)) { buffer, capacity, needed in
      teams.context(table.run, handle, buffer, capacity, needed)
    }
  }
}

extension HostTable {
  /// The host's functions for teams; nil where it has none, or fewer than these.
  fileprivate var teams: martlet_team_extension? {
    let found = host.pointee.extension?(MARTLET_TEAM_EXTENSION)?
      .assumingMemoryBound(to: martlet_team_extension.self)
    guard let found, found.pointee.size >= UInt32(MemoryLayout<martlet_team_extension>.size) else {
      return nil
    }
    return found.pointee
  }

  fileprivate func requireTeams() throws(PluginError) -> martlet_team_extension {
    guard let teams else {
      throw PluginError(.unsupported, "this host has no extension \(MARTLET_TEAM_EXTENSION)")
    }
    return teams
  }
}
