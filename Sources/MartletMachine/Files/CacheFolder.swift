import Foundation

/// Where this user's caches are kept.
public enum CacheFolder {
  /// `$XDG_CACHE_HOME/martlet`, else `~/.cache/martlet`; nil without a home. A relative
  /// XDG_CACHE_HOME is ignored, as its specification says.
  public static func standard(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> String? {
    if let base = environment["XDG_CACHE_HOME"], base.hasPrefix("/") { return base + "/martlet" }
    guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
    return home + "/.cache/martlet"
  }

  /// Makes the folder, owner-only, with the folders above it; one that exists stays as it is.
  /// - Throws: `MachineError` `.file`.
  public static func make(_ path: String) throws(MachineError) {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      return
    }
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw MachineError(.file, "cannot make the folder \(path): \(error.localizedDescription)")
    }
  }

  /// Why a cached file must not be believed: it belongs to another user, or others may write to it.
  /// nil when it may, or when there is none.
  public static func distrust(_ path: String) -> String? {
    var information = stat()
    guard lstat(path, &information) == 0 else { return nil }
    guard information.st_mode & S_IFMT == S_IFREG else { return "it is no regular file" }
    guard information.st_uid == geteuid() || information.st_uid == 0 else {
      return "it belongs to another user (\(information.st_uid))"
    }
    guard information.st_mode & 0o022 == 0 else { return "others may write to it" }
    return nil
  }
}
