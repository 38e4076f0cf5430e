// A chat in a terminal: swift run chat INVITE NAME
import Dispatch
import SwarmSpace

@main struct Chat {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else { return print("usage: chat INVITE NAME") }
        var configuration = SwarmConfiguration()
        configuration.name = arguments[2]
        let swarm = try await Swarm.join(Invite(arguments[1]), configuration: configuration)
        // Reading a terminal holds a thread up: one of its own, as Swift's tasks have few.
        let lines = AsyncStream<String> { typed in
            DispatchQueue(label: "typing").async {
                while let line = readLine() { typed.yield(line) }
                typed.finish()
            }
        }
        let typing = Task {
            for await line in lines {
                if try await swarm.broadcast(line).isEmpty { print("* nobody is here yet to be told") }
            }
            await swarm.leave()
        }
        var names: [String: String] = [:]
        for await event in swarm.events {
            switch event {
            case .peer(let peer, let name, let path):
                names[peer.description] = name
                print("* \(name) is here, by \(path.rawValue)")
            case .message(let peer, .text(let text), let path, _):
                print("\(names[peer.description] ?? peer.short) (\(path.rawValue)): \(text)")
            case .away(let peer), .left(let peer):
                print("* \(names[peer.description] ?? peer.short) is away")
            default: break
            }
        }
        try await typing.value
    }
}
