import ArgumentParser
import Foundation
import JSON

/// `swarm-space bench reliability`: how long members take to meet, and to get over what goes wrong.
struct ReliabilityBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reliability",
        abstract: "How long members take to meet, and to get over what goes wrong.",
        discussion: """
            In each trial a supernode and two members, each a process of its own, meet, send each other a message every 20 ms, and \
            lose the direct path, all paths, the relay and each other. As root there are trials in network namespaces too: each member \
            behind a NAT, packets dropped by the kernel, one member moving to another network, its NAT rebooting.

            EXAMPLES
              swarm-space bench reliability
              swarm-space bench reliability --trials 30 --chart reliability.svg
              swarm-space bench reliability --only loopback --json
            """)

    enum Place: String, ExpressibleByArgument, CaseIterable {
        case loopback
        case lab
    }

    @Option(help: "How many trials there are in each place.")
    var trials = 30

    @Option(help: "Only here: loopback, or lab (namespaces; needs root). (default: both, lab where it can be made)")
    var only: Place?

    @Option(help: ArgumentHelp("Also draw the figures, as SVG.", valueName: "file"))
    var chart: String?

    @Flag(help: "Print nothing but the figures, as one JSON object a line.")
    var json = false

    func validate() throws {
        guard (1...10_000).contains(trials) else { throw ValidationError("--trials 1…10000") }
    }

    func run() async throws {
        // A member that has ended must not end us with it.
        signal(SIGPIPE, SIG_IGN)
        let output = ConsoleOutput()
        #if DEBUG
            output.note("swarm-space: this is a debug build; measure with 'swift build -c release'")
        #endif
        var all: [ReliabilityFigures] = []
        if only != .lab { all.append(try await measure(LoopbackPlace(), "loopback", output)) }
        if only != .loopback {
            do {
                let lab = try NetworkLab()
                defer { lab.close() }
                all.append(try await measure(lab, "namespaces, behind NATs", output))
            } catch let failure as CommandFailure where only == nil && getuid() != 0 {
                output.note("swarm-space: no trials in namespaces: \(failure.message)")
            }
        }
        if let chart {
            do {
                try ReliabilityChart(figures: all).svg.write(toFile: chart, atomically: true, encoding: .utf8)
            } catch { throw CommandFailure(.failed, "\(chart) cannot be written: \(error.localizedDescription)") }
        }
        guard all.allSatisfy(\.messages.isPerfect) else {
            throw CommandFailure(.failed, "messages were lost, or came twice, or out of order: see the table")
        }
    }

    private func measure(
        _ place: some ReliabilityPlace, _ name: String, _ output: ConsoleOutput
    ) async throws -> ReliabilityFigures {
        var figures = ReliabilityFigures(place: name)
        let screen = StepScreen(output: output, isSilent: json)
        for number in 1...trials {
            await screen.begin("\(name): \(progress(number - 1))")
            figures.add(try await ReliabilityTrial(place: place, name: name).run())
        }
        await screen.done("\(name): \(trials) trials")
        await screen.end()
        output.line(
            json ? String(decoding: figures.json.serialized(), as: UTF8.self) : figures.table(style: screen.style))
        return figures
    }

    private func progress(_ done: Int) -> String {
        let width = 30
        let full = done * width / trials
        return String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
            + " \(done) of \(trials)"
    }
}
