import Foundation

/// The bytes of a file that the user named.
func readBytes(of path: String) throws(CommandError) -> [UInt8] {
  let file = open(path, O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { throw unreadable(path, errno) }
  defer { close(file) }
  return try readBytes(from: file, named: path)
}

/// The bytes of standard input, to its end.
func readStandardInput() throws(CommandError) -> [UInt8] {
  try readBytes(from: STDIN_FILENO, named: "standard input")
}

private func readBytes(from file: Int32, named name: String) throws(CommandError) -> [UInt8] {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = read(file, &chunk, chunk.count)
    if count > 0 {
      bytes += chunk[..<count]
    } else if count == 0 {
      return bytes
    } else if errno != EINTR {
      throw unreadable(name, errno)
    }
  }
}

private func unreadable(_ name: String, _ reason: Int32) -> CommandError {
  CommandError(.input, "\(name): cannot be read: \(String(cString: strerror(reason)))")
}
