import Foundation

/// Whether a file or folder is under the control of those who may run code here anyway.
///
/// Trusted owners are root, the user of this process, the owner of its executable and the owner of the
/// library that this code is in, who could do anything here already. Nobody else
/// may write: group-writable passes only for a group that has the user as its one member (the
/// private group that many systems give each user).
struct FileTrust {
  private let owners: Set<uid_t>

  init(executable: String) {
    var owners: Set<uid_t> = [0, geteuid()]
    var status = stat()
    for file in [executable, Installation.image] where stat(file, &status) == 0 {
      owners.insert(status.st_uid)
    }
    self.owners = owners
  }

  /// Why a path is not trusted; nil when it is.
  func problem(_ path: String) -> String? {
    var status = stat()
    guard stat(path, &status) == 0 else { return "\(path) cannot be read" }
    if !owners.contains(status.st_uid) {
      return "\(path) belongs to user \(status.st_uid), who is neither you nor root"
    }
    if status.st_mode & S_IWOTH != 0 {
      return "\(path) is writable by everyone: chmod o-w it"
    }
    if status.st_mode & S_IWGRP != 0, !isPrivateGroup(status.st_gid, of: status.st_uid) {
      return "\(path) is writable by group \(status.st_gid): chmod g-w it"
    }
    return nil
  }

  private func isPrivateGroup(_ group: gid_t, of user: uid_t) -> Bool {
    // The result of these calls is valid until the next of the same name; names are copied at once.
    guard let entry = getpwuid(user)?.pointee, entry.pw_gid == group else { return false }
    let userName = String(cString: entry.pw_name)
    guard let groupEntry = getgrgid(group)?.pointee,
      String(cString: groupEntry.gr_name) == userName
    else { return false }
    var member = groupEntry.gr_mem
    while let name = member?.pointee {
      if String(cString: name) != userName { return false }
      member = member?.advanced(by: 1)
    }
    return true
  }
}

/// Whether this process has more rights than the person who started it, in which case the
/// environment must not choose what it loads.
public func isPrivileged() -> Bool {
  if geteuid() != getuid() || getegid() != getgid() { return true }
  // AT_SECURE also covers file capabilities. Swift does not import getauxval, so the same vector is
  // read from the file: pairs of machine words, type and value.
  let secureType: UInt = 23
  guard let vector = FileManager.default.contents(atPath: "/proc/self/auxv") else { return false }
  let words = vector.withUnsafeBytes { bytes in
    (0..<bytes.count / MemoryLayout<UInt>.size).map {
      bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<UInt>.size, as: UInt.self)
    }
  }
  return stride(from: 0, to: words.count - 1, by: 2).contains {
    words[$0] == secureType && words[$0 + 1] != 0
  }
}
