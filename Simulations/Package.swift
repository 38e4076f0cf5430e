// swift-tools-version: 6.2
import PackageDescription

// The simulations, built with optimisation: for as many seeds as nobody has the patience for in a debug build. `Sources` and `Tests` have
// links to the rooms and their tests. A package of its own, so that nothing but these is built for it: see scripts/simulate.

let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .unsafeFlags(["-enable-testing"]),
]
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")

let package = Package(
    name: "swarm-space-simulations",
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
    ],
    targets: [
        .target(name: "CChecksum"),
        .target(name: "CVirtualClock"),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl"),
        .target(
            name: "SwarmBase", dependencies: [.product(name: "HeapModule", package: "swift-collections")],
            swiftSettings: house),
        .target(name: "JSON", dependencies: ["SwarmBase"], swiftSettings: house),
        .target(name: "Bencode", swiftSettings: house),
        .target(name: "Magnet", dependencies: ["SwarmBase"], swiftSettings: house),
        .target(name: "SEA", dependencies: ["SwarmBase", "JSON", crypto, cryptoExtras], swiftSettings: house),
        .target(name: "ICE", dependencies: ["SwarmBase", crypto], swiftSettings: house),
        .target(name: "DTLS", dependencies: ["SwarmBase", "COpenSSL"], swiftSettings: house),
        .target(name: "SCTP", dependencies: ["SwarmBase", "CChecksum", crypto], swiftSettings: house),
        .target(name: "WebRTC", dependencies: ["SwarmBase", "ICE", "DTLS", "SCTP"], swiftSettings: house),
        .target(name: "Gun", dependencies: ["SwarmBase", "JSON", "SEA"], swiftSettings: house),
        .target(name: "DHT", dependencies: ["SwarmBase", "Bencode", "CChecksum", crypto], swiftSettings: house),
        .target(name: "Tracker", dependencies: ["SwarmBase", "JSON", "Bencode", "Magnet"], swiftSettings: house),
        .target(
            name: "SwarmEngine",
            dependencies: [
                "SwarmBase", "JSON", "Bencode", "Magnet", "SEA", "ICE", "DTLS", "SCTP", "WebRTC", "Gun", "DHT",
                "Tracker",
                crypto, cryptoExtras, .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: house),
        .target(
            name: "SwarmSimulator",
            dependencies: [
                "SwarmBase", "JSON", "Magnet", "SEA", "ICE", "DTLS", "SCTP", "WebRTC", "Gun", "DHT", "Tracker",
                "SwarmEngine",
            ],
            swiftSettings: house),
        .testTarget(
            name: "GunTests", dependencies: ["SwarmBase", "JSON", "SEA", "Gun"], resources: [.copy("Resources")],
            swiftSettings: house),
        .testTarget(
            name: "SCTPTests", dependencies: ["SwarmBase", "CChecksum", "SCTP", crypto], swiftSettings: house),
        .testTarget(
            name: "SwarmSimulatorTests",
            dependencies: [
                "SwarmBase", "ICE", "DTLS", "SCTP", "WebRTC", "SwarmEngine", "SwarmSimulator", "CVirtualClock",
            ],
            swiftSettings: house),
    ]
)
