import Foundation
import Testing

/// `martlet run --sampler`.
@Suite struct SamplerCommandTests {
  @Test func aSamplerIsNamedAndItsOptionsAreChecked() throws {
    let run = ["run", "calc 17 *4 -23?", "--strategy", "sample", "--no-tuning", "--seed", "4"]
    let plain = try Tool.run(run + ["--sampling", "temperature=3", "--json"]).object()
    let output = try Tool.run(
      run + ["--sampling", "temperature=3", "--sampler", "p-less", "--json"])
    let kept = try output.object()
    #expect(kept["sampler"] as? String == "p-less" && plain["sampler"] == nil)
    // At this temperature the model alone wanders off.
    #expect(kept["text"] as? String != plain["text"] as? String)

    let refused: [([String], Int32, String)] = [
      (["--sampler", "nobody"], 64, "there is no sampler 'nobody'"),
      (["--sampler", "p-less", "--set", "sampler.temperature=0"], 64, "temperature"),
      (["--sampler", "p-less", "--set", "sampler.warmth=1"], 64, "warmth"),
      (["--set", "sampler.temperature=1"], 64, "sampler.temperature"),
    ]
    for (arguments, code, part) in refused {
      let output = try Tool.run(run + arguments)
      #expect(output.code == code && output.error.contains(part), "\(output.error)")
    }
  }
}
