import ArgumentParser
import JSON

/// `swarm-space demo`: the main job, to watch.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Watch a swarm form, lose its paths and recover.",
        discussion: """
            A supernode and three members run in this process, and talk over real sockets on this machine: they find \
            each other, connect, lose the direct path, go on over the relay, lose the relay too, and get everything \
            back, while each sends numbered messages to each other all the time. It ends with a table of what was \
            measured, takes about 15 seconds and leaves nothing behind. The exit status is 1 when any message was \
            lost, duplicated or reordered.
            """)

    @Flag(help: "Print nothing but the figures, as one JSON object.")
    var json = false

    func run() async throws {
        let output = ConsoleOutput()
        let screen = StepScreen(output: output, isSilent: json)
        let scenario = DemoScenario(screen: screen)
        let figures: DemoFigures
        do {
            figures = try await scenario.run()
        } catch let failure as DemoScenario.Failure {
            await screen.end()
            await output.written()
            throw CommandFailure(.failed, "the demo did not get through: \(failure.message)")
        }
        await screen.end()
        output.line(json ? figures.json.serialized() : Array(figures.table(style: screen.style).utf8))
        await output.written()
        if !figures.messages.isPerfect { throw ExitCode(1) }
    }
}
