import CIsolation
import Foundation

/// What this process holds of the system: threads, descriptors, children, files, shared memory, memory.
struct ProcessCensus {
  /// Names of threads that are Martlet's.
  var threads: [String]
  /// All threads; the pools of Swift's and the system's runtime among them.
  var threadCount: Int
  /// What descriptors lead to, by number.
  var files: [String]
  /// Children, ended ones that nobody waited for included.
  var children: [String]
  /// Processes of isolated plugins by the library's own count.
  var isolated: Int
  /// Shared memory that is mapped, of this process or in /dev/shm.
  var sharedMemory: [String]
  /// Everything below the folder that stands for the system's temporary one.
  var temporary: [String]

  /// - Parameter folder: the temporary folder.
  init(temporary folder: String) {
    let manager = FileManager.default
    func names(_ path: String) -> [String] {
      ((try? manager.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }
    func text(_ path: String) -> String {
      (try? String(contentsOfFile: path, encoding: .utf8))?
        .trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
    }
    let tasks = names("/proc/self/task").map { text("/proc/self/task/\($0)/comm") }
    threadCount = tasks.count
    threads = tasks.filter { $0.hasPrefix("martlet") }.sorted()
    files = names("/proc/self/fd").compactMap { number in
      // The listing itself takes one, which is gone by now.
      (try? manager.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(number)")).map {
        // Numbers of sockets and pipes say nothing.
        $0.replacing(#/\[\d+\]/#, with: "")
      }
    }
    .filter { $0 != "/proc/self/fd" && !$0.hasPrefix("/proc/\(getpid())") }.sorted()
    let own = "\(getpid())"
    children = names("/proc").filter { $0.first?.isNumber == true }.compactMap { process in
      let fields = text("/proc/\(process)/stat").split(separator: ")").last?.split(separator: " ")
      guard let fields, fields.count > 1, fields[1] == own else { return nil }
      return "\(process) \(text("/proc/\(process)/comm")) \(fields[0])"
    }
    isolated = Int(martlet_isolated_processes())
    let mapped = text("/proc/self/maps").split(separator: "\n").compactMap { line in
      line.contains("memfd:") || line.contains("/dev/shm/")
        ? line.split(separator: " ").dropFirst(5).joined(separator: " ") : nil
    }
    sharedMemory = mapped.sorted() + names("/dev/shm").filter { $0.contains("martlet") }
    // What a prefix store keeps is meant to stay.
    temporary = (manager.enumerator(atPath: folder)?.allObjects as? [String] ?? [])
      .filter { !$0.hasSuffix(".martlet-prefix") }.sorted()
  }

  /// What is more than there was before, in words; empty when nothing is.
  func excess(over before: ProcessCensus) -> [String] {
    func more(_ what: String, _ now: [String], _ then: [String]) -> String? {
      var left = now
      for name in then { if let index = left.firstIndex(of: name) { left.remove(at: index) } }
      return left.isEmpty ? nil : "\(what): \(left.joined(separator: ", "))"
    }
    return [
      more("threads", threads, before.threads),
      // The runtimes' pools have workers to spare, at most one more for each processor.
      threadCount > before.threadCount + ProcessInfo.processInfo.activeProcessorCount
        ? "\(threadCount) threads, \(before.threadCount) before" : nil,
      more("open files", files, before.files),
      more("child processes", children, before.children),
      isolated > before.isolated
        ? "\(isolated) processes of plugins, \(before.isolated) before" : nil,
      more("shared memory", sharedMemory, before.sharedMemory),
      more("temporary files", temporary, before.temporary),
    ].compactMap(\.self)
  }

  /// Bytes that are allocated and not freed, by the allocator's own books. What engines map for keys and values
  /// is not among them: it stays, up to the limits that the stages give.
  static func allocatedBytes() -> Int {
    guard let info else { return 0 }
    var (buffer, size): (UnsafeMutablePointer<CChar>?, Int) = (nil, 0)
    guard let stream = open_memstream(&buffer, &size) else { return 0 }
    _ = info(0, stream)
    fclose(stream)
    defer { free(buffer) }
    // The last of each is that of all arenas together.
    let text = buffer.map { String(cString: $0) } ?? ""
    func last(_ kind: String) -> Int {
      guard let place = text.range(of: kind, options: .backwards),
        let number = text[place.upperBound...].range(of: "size=\"")
      else { return 0 }
      return Int(text[number.upperBound...].prefix(while: \.isNumber)) ?? 0
    }
    return last("<system type=\"current\"") - last("<total type=\"fast\"")
      - last("<total type=\"rest\"") + last("<total type=\"mmap\"")
  }

  // malloc.h is in no module that Swift imports.
  private static let info = dlsym(nil, "malloc_info").map {
    unsafeBitCast($0, to: (@convention(c) (Int32, UnsafeMutablePointer<FILE>) -> Int32).self)
  }
}
