// swift-tools-version: 6.2
import PackageDescription

// The author kit for plugins: what a plugin's package depends on.
let package = Package(
  name: "plugin-kit",
  products: [.library(name: "MartletPlugin", targets: ["MartletPlugin"])],
  targets: [
    .target(name: "CMartlet", path: "include", publicHeadersPath: "."),
    .target(name: "MartletPlugin", dependencies: ["CMartlet"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
