import CMartlet
import MartletEngine

// Host functions about prompts, tokens and other models.

let hostPrompt:
  @convention(c) (
    martlet_run?, UnsafeMutablePointer<CChar>?, Int, UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      try deliver(run.prompt, buffer, capacity, needed)
    }
  }

let hostOpen:
  @convention(c) (
    martlet_run?, UnsafePointer<CChar>?, Int, UInt32, UnsafeMutablePointer<martlet_branch?>?
  ) -> martlet_status = { run, start, count, form, branch in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      let branch = try place(branch, "branch")
      try run.checkRunning()
      let number = try run.open(try text(start, count, "text"), asChat: try isChat(form))
      branch.pointee = Handle.pointer(number)
    }
  }

let hostModel:
  @convention(c) (martlet_run?, UnsafePointer<CChar>?, UnsafeMutablePointer<martlet_model?>?)
    -> martlet_status = { run, name, model in
      branchCall(run, onRunThread: true) { run throws(HostFailure) in
        let model = try place(model, "model")
        model.pointee = Handle.pointer(try run.openModel(try text(name, "name")))
      }
    }

let hostOpenOn:
  @convention(c) (
    martlet_run?, martlet_model?, UnsafePointer<CChar>?, Int, UInt32,
    UnsafeMutablePointer<martlet_branch?>?
  ) -> martlet_status = { run, model, start, count, form, branch in
    branchCall(run, onRunThread: true) { run throws(HostFailure) in
      let branch = try place(branch, "branch")
      guard let model else { throw HostFailure(MARTLET_E_HANDLE, "the model is null") }
      try run.checkRunning()
      let number = try run.open(
        try text(start, count, "text"), asChat: try isChat(form), on: model)
      branch.pointee = Handle.pointer(number)
    }
  }

let hostTokenize:
  @convention(c) (
    martlet_run?, UnsafePointer<CChar>?, Int, UnsafeMutablePointer<Int32>?, Int,
    UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, start, count, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      let tokens = run.engineRun.encode(try text(start, count, "text"))
      try deliver(tokens, buffer, capacity, needed)
    }
  }

let hostDetokenize:
  @convention(c) (
    martlet_run?, UnsafePointer<Int32>?, Int, UnsafeMutablePointer<CChar>?, Int,
    UnsafeMutablePointer<Int>?
  ) -> martlet_status = { run, tokens, count, buffer, capacity, needed in
    branchCall(run, onRunThread: false) { run throws(HostFailure) in
      let tokens = try array(tokens, count, "tokens")
      let codec = run.engineRun.engine.tokenizer
      let size = run.engineRun.engine.backend.vocabularySize
      guard let bad = tokens.first(where: { $0 < 0 || Int($0) >= size }) else {
        return try deliver(codec.text(of: tokens), buffer, capacity, needed)
      }
      throw HostFailure(
        MARTLET_E_ARGUMENT, "token \(bad) is outside the vocabulary of \(size)")
    }
  }

private func isChat(_ form: UInt32) throws(HostFailure) -> Bool {
  switch form {
  case MARTLET_PROMPT_PLAIN.rawValue: return false
  case MARTLET_PROMPT_CHAT.rawValue: return true
  default: throw HostFailure(MARTLET_E_ARGUMENT, "there is no prompt form \(form)")
  }
}
