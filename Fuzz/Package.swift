// swift-tools-version: 6.2
import PackageDescription

// The rooms that read what strangers send, built once more for libFuzzer: with coverage and the address sanitizer. `Sources` has
// links to the rooms themselves. A package of its own, so that nobody pays for it who only wants to build the program.

let sanitizers = "-sanitize=fuzzer,address"

/// As in the main package, and instrumented. Traps on overflow, bounds and preconditions stay on in an optimised build.
let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .unsafeFlags([sanitizers]),
]
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")

let package = Package(
    name: "swarm-space-fuzz",
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
    ],
    targets: [
        .target(name: "CChecksum", cSettings: [.unsafeFlags(["-fsanitize=fuzzer-no-link,address"])]),
        .target(name: "CVirtualClock"),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl"),
        .target(
            name: "SwarmBase", dependencies: [.product(name: "HeapModule", package: "swift-collections")],
            swiftSettings: house),
        .target(name: "JSON", dependencies: ["SwarmBase"], swiftSettings: house),
        .target(name: "Magnet", dependencies: ["SwarmBase"], swiftSettings: house),
        .target(name: "Bencode", swiftSettings: house),
        .target(name: "SEA", dependencies: ["SwarmBase", "JSON", crypto, cryptoExtras], swiftSettings: house),
        .target(name: "ICE", dependencies: ["SwarmBase", crypto], swiftSettings: house),
        .target(name: "DTLS", dependencies: ["SwarmBase", "COpenSSL"], swiftSettings: house),
        .target(name: "SCTP", dependencies: ["SwarmBase", "CChecksum", crypto], swiftSettings: house),
        .target(name: "Gun", dependencies: ["SwarmBase", "JSON", "SEA"], swiftSettings: house),
        .target(name: "Tracker", dependencies: ["SwarmBase", "JSON", "Bencode", "Magnet"], swiftSettings: house),
        .target(name: "DHT", dependencies: ["SwarmBase", "Bencode", "CChecksum", crypto], swiftSettings: house),
        .target(name: "WebRTC", dependencies: ["SwarmBase", "ICE", "DTLS", "SCTP"], swiftSettings: house),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "CChecksum", "CVirtualClock", "SwarmBase", "JSON", "Bencode", "Magnet", "SEA", "ICE", "DTLS", "SCTP",
                "Gun", "DHT",
                "Tracker", "WebRTC", crypto,
            ],
            swiftSettings: house),
        .target(name: "CLibFuzzer"),
        .executableTarget(
            name: "fuzz", dependencies: ["FuzzTargets", "CLibFuzzer"], swiftSettings: house,
            linkerSettings: [.unsafeFlags([sanitizers, "-use-ld=lld"])]),
    ]
)
