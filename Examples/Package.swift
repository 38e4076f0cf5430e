// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that building swarm-space does not build these.
let package = Package(
    name: "swarm-space-examples",
    dependencies: [.package(name: "swarm-space", path: "..")],
    targets: [
        .executableTarget(name: "chat", dependencies: [.product(name: "SwarmSpace", package: "swarm-space")]),
        .executableTarget(name: "board", dependencies: [.product(name: "SwarmSpace", package: "swarm-space")]),
    ]
)
