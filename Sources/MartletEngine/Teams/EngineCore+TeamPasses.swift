import MartletModel

/// What passes do for teams. With the lock held, on the driver thread.
extension EngineCore {
  /// The most tokens of appended text of one member in a pass: each has a query for every block.
  private static let mostAppended = 64

  /// The work of a run's teams: stretches go to `found`, with what is left of the tokens that members have
  /// in common; the members of a team that take a round come back together.
  ///
  /// Nothing while nobody waits for the run: then whoever drives it may still change what members see.
  func teamWork(of run: RunState, _ found: inout [Pass.Work]) -> [[Pass.Work]] {
    guard run.isAwaited else { return [] }
    var teams: [TeamState] = []
    for team in run.flights.compactMap({ $0.isRunning ? $0.team : nil })
    where !teams.contains(where: { $0 === team }) {
      teams.append(team)
    }
    return teams.compactMap { work(of: $0, &found) }.filter { !$0.isEmpty }
  }

  private func work(of team: TeamState, _ found: inout [Pass.Work]) -> [Pass.Work]? {
    var wanting: Set<ObjectIdentifier> = []
    var hasBases = false
    for member in team.members {
      let state = member.state
      let wants = state.isRunning && forcedStep(state) == nil
      guard
        let next = pool.nextWork(state.lane, needsLogits: wants, pageTokens: backend.pageTokens)
      else { continue }
      if wants { wanting.insert(ObjectIdentifier(state)) }
      // What comes from the prefix store is in no pass until it is there.
      if isBeingRestored(next.lane) {
        hasBases = true
        continue
      }
      guard next.lane !== state.lane else { continue }
      hasBases = true
      if next.lane.workTick == tick {
        let index = next.lane.workIndex
        found[index].wantsLogits = found[index].wantsLogits || next.needsLogits
      } else {
        next.lane.workTick = tick
        next.lane.workIndex = found.count
        found.append(Pass.Work(lane: next.lane, wantsLogits: next.needsLogits))
      }
    }
    guard !wanting.isEmpty, !hasBases else { return nil }
    let ends = team.members.map { team.visibleCount($0.state) }
    let states = team.members.map(\.state)
    let appended = states.indices.filter { ends[$0] - states[$0].lane.processed > 1 }
    if !appended.isEmpty {
      team.read = team.read ?? states.map(\.lane.processed)
      for index in appended {
        let lane = states[index].lane
        var work = Pass.Work(lane: lane, wantsLogits: false)
        work.team = team
        work.limit = min(ends[index] - 1, lane.processed + Self.mostAppended)
        found.append(work)
      }
      return nil
    }
    team.read = nil
    if team.run.log != nil { team.markRound() }
    return states.indices.compactMap { index in
      guard ends[index] > states[index].lane.processed else { return nil }
      var work = Pass.Work(
        lane: states[index].lane, wantsLogits: wanting.contains(ObjectIdentifier(states[index])))
      work.team = team
      return work
    }
  }

  /// Chooses who goes into a pass with room for so many rows where teams are among them: who was served
  /// longest ago first, a team as a whole or not at all.
  func seat(_ rounds: inout [[Pass.Work]], beside decodes: inout [Pass.Work], in room: Int) {
    let all = rounds + decodes.map { [$0] }
    guard all.reduce(0, { $0 + $1.count }) > room else { return }
    let order = all.indices.sorted {
      (all[$0].map(\.lane.lastServed).min()!, $0) < (all[$1].map(\.lane.lastServed).min()!, $1)
    }
    var left = room
    let chosen = order.filter { index in
      guard all[index].count <= left else { return false }
      left -= all[index].count
      return true
    }
    rounds = chosen.filter { $0 < rounds.count }.map { all[$0] }
    decodes = chosen.filter { $0 >= all.count - decodes.count }.map { all[$0][0] }
  }

  /// Says of the tokens of teams in a pass what they see.
  func showTeams(in pass: inout Pass) {
    var done: [TeamState] = []
    for team in pass.work.compactMap(\.team) where !done.contains(where: { $0 === team }) {
      done.append(team)
      show(team, in: &pass)
    }
  }

  private func show(_ team: TeamState, in pass: inout Pass) {
    let works = pass.work.filter { $0.team === team }
    var (ends, sequences): ([Int], [Int?]) = ([], [])
    for (index, member) in team.members.enumerated() {
      let lane = member.state.lane
      let work = works.first { $0.lane === lane }
      ends.append(team.read?[index] ?? work?.range.upperBound ?? lane.processed)
      sequences.append(work.map { pass.batch.tokens[$0.firstToken].sequence })
    }
    for work in works where work.range.upperBound > team.sharedTokens {
      work.lane.irreplaceable = max(work.lane.irreplaceable, work.range.upperBound)
      guard let member = team.members.firstIndex(where: { $0.state.lane === work.lane }) else {
        continue
      }
      for position in work.range where position >= team.sharedTokens {
        let stretches = team.stretches(of: member, at: position, ends: ends)
        for (other, _) in stretches where sequences[other] == nil {
          let lane = team.members[other].state.lane
          sequences[other] = pass.batch.add(
            sequence: lane.pages, promptTokens: lane.promptCount)
        }
        let token = work.firstToken + position - work.range.lowerBound
        pass.batch.tokens[token].view = ViewSegment.view(
          stretches.map { (sequences[$0.member]!, $0.positions) })
      }
    }
  }
}
