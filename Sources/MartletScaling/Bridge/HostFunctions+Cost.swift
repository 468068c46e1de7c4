import CMartlet
import MartletEngine

// Host functions about what width costs. What they answer differs between machines, so the answer
// goes into the trace: a decision made by it can be followed later.

let hostWidthCost:
  @convention(c) (martlet_run?, UInt32, UnsafeMutablePointer<Double>?) -> martlet_status = {
    run, width, cost in
    strategyCall(run, onRunThread: false) { run throws(HostFailure) in
      let cost = try place(cost, "cost")
      guard width > 0 else {
        throw HostFailure(
          MARTLET_E_ARGUMENT, "a step of 0 branches costs nothing; ask for 1 or more")
      }
      let value = run.engineRun.engine.widthCost(Int(width))
      run.trace?.note(
        "width_cost", by: "martlet", ["width": .integer(Int64(width)), "cost": .number(value)])
      cost.pointee = value
    }
  }

let hostKneeWidth: @convention(c) (martlet_run?, UnsafeMutablePointer<UInt32>?) -> martlet_status =
  { run, width in
    strategyCall(run, onRunThread: false) { run throws(HostFailure) in
      let width = try place(width, "width")
      let value = run.engineRun.engine.kneeWidth
      run.trace?.note("knee_width", by: "martlet", ["width": .integer(Int64(value))])
      width.pointee = UInt32(clamping: value)
    }
  }
