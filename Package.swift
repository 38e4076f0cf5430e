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

let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")

let package = Package(
    name: "swarm-space",
    products: [
        .executable(name: "swarm-space", targets: ["swarm-space"]),
        .library(name: "SwarmSpace", targets: ["SwarmSpace"]),
        .library(name: "DataChannels", targets: ["DataChannels"]),
        .library(name: "WebRTC", targets: ["WebRTC"]),
        .library(name: "Gun", targets: ["Gun"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    ],
    targets: [
        // Floor 0: shared types, formats, identity.
        .target(name: "CChecksum"),
        .target(name: "CDatagram"),
        .target(name: "CWebFiles", linkerSettings: [.linkedLibrary("z")]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .target(
            name: "SwarmBase", dependencies: [.product(name: "HeapModule", package: "swift-collections")],
            swiftSettings: house),
        .target(name: "JSON", dependencies: ["SwarmBase"], swiftSettings: house),
        .target(name: "Bencode", swiftSettings: house),
        .target(name: "Magnet", dependencies: ["SwarmBase"], swiftSettings: house),
        .target(name: "SEA", dependencies: ["SwarmBase", "JSON", crypto, cryptoExtras], swiftSettings: house),

        // Floor 1: one protocol each.
        .target(name: "ICE", dependencies: ["SwarmBase", crypto], swiftSettings: house),
        .target(name: "DTLS", dependencies: ["SwarmBase", "COpenSSL"], swiftSettings: house),
        .target(name: "SCTP", dependencies: ["SwarmBase", "CChecksum", crypto], swiftSettings: house),
        .target(name: "Gun", dependencies: ["SwarmBase", "JSON", "SEA"], swiftSettings: house),
        .target(name: "DHT", dependencies: ["SwarmBase", "Bencode", "CChecksum", crypto], swiftSettings: house),
        .target(
            name: "Tracker", dependencies: ["SwarmBase", "JSON", "Bencode", "Magnet"], swiftSettings: house),

        // Floor 2: a peer connection.
        .target(name: "WebRTC", dependencies: ["SwarmBase", "ICE", "DTLS", "SCTP"], swiftSettings: house),

        // Floor 3: a member of a swarm, without IO; and the IO, without a swarm.
        .target(
            name: "SwarmEngine",
            dependencies: [
                "SwarmBase", "JSON", "Bencode", "Magnet", "SEA", "ICE", "DTLS", "SCTP", "WebRTC", "Gun", "DHT",
                "Tracker",
                crypto, cryptoExtras, .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: house),
        .target(
            name: "SwarmTransport",
            dependencies: [
                "SwarmBase", "CDatagram", nioCore, nioPosix, nioHTTP1, nioWebSocket, nioSSL, logging,
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: house),

        // Floor 4: the public APIs, of a swarm and of data channels alone.
        .target(
            name: "SwarmSpace",
            dependencies: [
                "SwarmBase", "JSON", "Magnet", "SEA", "Gun", "ICE", "DTLS", "Tracker", "SwarmEngine", "SwarmTransport",
                nioCore, nioPosix, logging,
            ],
            swiftSettings: house),

        .target(
            name: "DataChannels",
            dependencies: [
                "SwarmBase", "ICE", "DTLS", "SCTP", "WebRTC", "SwarmTransport", nioCore, nioPosix, logging,
            ],
            swiftSettings: house),

        // Floor 5: programs.
        .target(
            name: "Supernode",
            dependencies: [
                "CWebFiles", "SwarmBase", "JSON", "Gun", "DHT", "Tracker", "ICE", "SwarmTransport", nioCore, nioPosix,
                nioHTTP1, nioWebSocket, nioSSL, logging,
            ],
            swiftSettings: house),
        .executableTarget(
            name: "swarm-space",
            dependencies: [
                "SwarmBase", "JSON", "Magnet", "SEA", "ICE", "DTLS", "SCTP", "WebRTC", "SwarmEngine", "SwarmTransport",
                "Gun", "SwarmSpace", "DataChannels", "Supernode", nioCore, nioPosix, logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: house),

        // Beside the house: a network that tests and benchmarks have in their hands.
        .target(
            name: "SwarmSimulator",
            dependencies: [
                "SwarmBase", "JSON", "Magnet", "SEA", "ICE", "DTLS", "SCTP", "WebRTC", "Gun", "DHT", "Tracker",
                "SwarmEngine",
            ],
            swiftSettings: house),

        // Tests, room by room. CVirtualClock puts OpenSSL's clock into a test's hands; FuzzTargets is what Fuzz/ gives random input.
        .target(name: "CVirtualClock", path: "Tests/CVirtualClock"),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "CChecksum", "CVirtualClock", "SwarmBase", "JSON", "Bencode", "Magnet", "SEA", "ICE", "DTLS", "SCTP",
                "Gun", "DHT", "Tracker", "WebRTC", crypto,
            ],
            path: "Fuzz/Sources/FuzzTargets", swiftSettings: house),
        .testTarget(name: "FuzzTests", dependencies: ["FuzzTargets"], swiftSettings: house),
        .executableTarget(
            name: "simulate", dependencies: ["SwarmBase", "SwarmSimulator", "CVirtualClock"], path: "Tests/Simulate",
            swiftSettings: house),
        .testTarget(name: "SwarmBaseTests", dependencies: ["SwarmBase"], swiftSettings: house),
        .testTarget(name: "JSONTests", dependencies: ["SwarmBase", "JSON"], swiftSettings: house),
        .testTarget(
            name: "BencodeTests", dependencies: ["SwarmBase", "Bencode"], resources: [.copy("Resources")],
            swiftSettings: house),
        .testTarget(
            name: "MagnetTests", dependencies: ["SwarmBase", "Magnet"], resources: [.copy("Resources")],
            swiftSettings: house),
        .testTarget(
            name: "SEATests", dependencies: ["SwarmBase", "JSON", "SEA", crypto, cryptoExtras],
            resources: [.copy("Resources")], swiftSettings: house),
        .testTarget(
            name: "ICETests", dependencies: ["SwarmBase", "ICE", crypto], resources: [.copy("Resources")],
            swiftSettings: house),
        .testTarget(name: "DTLSTests", dependencies: ["SwarmBase", "DTLS", "CVirtualClock"], swiftSettings: house),
        .testTarget(
            name: "SCTPTests", dependencies: ["SwarmBase", "CChecksum", "SCTP", crypto], swiftSettings: house),
        .testTarget(
            name: "GunTests", dependencies: ["SwarmBase", "JSON", "SEA", "Gun"], resources: [.copy("Resources")],
            swiftSettings: house),
        .testTarget(
            name: "TrackerTests", dependencies: ["SwarmBase", "JSON", "Magnet", "Tracker"],
            resources: [.copy("Resources")], swiftSettings: house),
        .testTarget(
            name: "DHTTests", dependencies: ["SwarmBase", "Bencode", "DHT", "SwarmSimulator", crypto],
            resources: [.copy("Resources")], swiftSettings: house),
        .testTarget(
            name: "WebRTCTests", dependencies: ["SwarmBase", "ICE", "DTLS", "SCTP", "WebRTC", "CVirtualClock"],
            swiftSettings: house),
        .testTarget(
            name: "SwarmEngineTests",
            dependencies: [
                "SwarmBase", "JSON", "Magnet", "SEA", "DTLS", "Gun", "DHT", "Tracker", "SwarmEngine", "CVirtualClock",
                crypto,
            ],
            resources: [.copy("Resources")], swiftSettings: house),
        .testTarget(
            name: "SwarmTransportTests",
            dependencies: [
                "SwarmBase", "SwarmTransport", nioCore, nioPosix, nioHTTP1, nioWebSocket, nioSSL, logging,
                .product(name: "GRDB", package: "GRDB.swift"), .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            resources: [.copy("Resources")], swiftSettings: house),
        .testTarget(
            name: "SwarmSpaceTests",
            dependencies: [
                "SwarmBase", "JSON", "Magnet", "SEA", "Gun", "SwarmEngine", "SwarmTransport", "SwarmSpace",
                nioCore, nioPosix,
            ],
            swiftSettings: house),
        .testTarget(
            name: "DataChannelsTests",
            dependencies: [
                "SwarmBase", "ICE", "DTLS", "SCTP", "WebRTC", "SwarmTransport", "DataChannels", nioCore, nioPosix,
            ],
            swiftSettings: house),
        .testTarget(
            name: "SwarmSimulatorTests",
            dependencies: [
                "SwarmBase", "ICE", "DTLS", "SCTP", "WebRTC", "SwarmEngine", "SwarmSimulator", "CVirtualClock",
            ],
            swiftSettings: house),
        .testTarget(
            name: "SupernodeTests",
            dependencies: [
                "SwarmBase", "JSON", "Gun", "Tracker", "ICE", "SwarmTransport", "Supernode", nioCore, nioPosix,
                nioHTTP1, nioWebSocket, nioSSL, logging,
            ],
            swiftSettings: house),
    ]
)
