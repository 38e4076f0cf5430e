// swift-tools-version: 6.2
import PackageDescription

/// Every target of ours is built the same way: Swift 6 language mode, memory safety checked, warnings are errors.
let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "swarm-space",
    dependencies: [],
    targets: [
        // Floor 0: shared types, identity, formats.
        .target(name: "SwarmBase", swiftSettings: house),
        .testTarget(name: "SwarmBaseTests", dependencies: ["SwarmBase"], swiftSettings: house),
    ]
)
