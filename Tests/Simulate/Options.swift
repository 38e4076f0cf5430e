import Foundation
import SwarmSimulator

/// What the command line asks for.
struct Options: Sendable {
    private var first: UInt64?
    private var count: UInt64?
    var seeds: Range<UInt64> { range(first: 1, count: 100) }
    /// Those of the networks in each row of the DHT's table.
    var networkSeeds: Range<UInt64> { range(first: 20, count: 1) }
    var size = SwarmScenario.Size.small
    var traces = false
    var tracesPackets = false
    var repeats = false
    var tells = false
    var wantsFigures = false
    var trials: UInt64 = 100
    /// Up to how many nodes of a DHT there are to be; `nil` for none.
    var nodes: Int?
    var jobs = max(1, ProcessInfo.processInfo.activeProcessorCount)

    struct UsageError: Error, CustomStringConvertible {
        let description: String
    }

    private func range(first: UInt64, count: UInt64) -> Range<UInt64> {
        let first = self.first ?? first
        return first..<first + (self.count ?? count)
    }

    mutating func parse(_ arguments: ArraySlice<String>) throws(UsageError) {
        var arguments = arguments
        func number(_ name: String) throws(UsageError) -> UInt64 {
            guard let value = arguments.popFirst().flatMap({ UInt64($0) }), value < 1 << 32 else {
                throw UsageError(description: "\(name) wants a number")
            }
            return value
        }
        while let argument = arguments.popFirst() {
            switch argument {
            case "--seeds": count = try number(argument)
            case "--first": first = try number(argument)
            case "--seed":
                first = try number(argument)
                count = 1
                tells = true
            case "--jobs": jobs = max(1, Int(try number(argument)))
            case "--figures": wantsFigures = true
            case "--trials": trials = max(1, try number(argument))
            case "--dht": nodes = Int(try number(argument))
            case "--large":
                size.members = SwarmScenario.Size.large.members
                size.faults = SwarmScenario.Size.large.faults
            case "--plain": size.isPlain = true
            case "--members":
                let count = Int(min(max(2, try number(argument)), 1_000))
                size.members = count...count
            case "--seconds":
                let length = Duration.seconds(Int64(max(1, try number(argument))))
                size.faults = length...length
            case "--trace": traces = true
            case "--packets": (traces, tracesPackets) = (true, true)
            case "--twice": repeats = true
            case "--tell": tells = true
            default: throw UsageError(description: "unknown option \(argument)")
            }
        }
    }
}

/// Hands out seeds, each once.
actor SeedQueue {
    private var seeds: Range<UInt64>.Iterator

    init(_ seeds: Range<UInt64>) { self.seeds = seeds.makeIterator() }

    func next() -> UInt64? { seeds.next() }
}

func exit(usage message: String) -> Never {
    FileHandle.standardError.write(
        Data(
            "simulate: \(message)\nsimulate [--seeds N [--first N] | --seed N] [--large] [--plain] [--members N] [--seconds N] [--tell] [--trace | --packets] [--twice] [--jobs N]\nsimulate --figures [--trials N]\nsimulate --dht NODES [--seeds N [--first N]] [--twice]\n"
                .utf8))
    exit(status: 64)
}

func exit(status: Int32) -> Never {
    fflush(nil)
    Foundation.exit(status)
}
