// A chat in a terminal: swift run chat INVITE NAME
import SwarmSpace

@main struct Chat {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else { return print("usage: chat INVITE NAME") }
        var configuration = SwarmConfiguration()
        configuration.name = arguments[2]
        let swarm = try await Swarm.join(Invite(arguments[1]), configuration: configuration)
        let typing = Task.detached {
            while let line = readLine() { try await swarm.broadcast(line) }
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
            case .left(let peer):
                print("* \(names[peer.description] ?? peer.short) is away")
            default: break
            }
        }
        try await typing.value
    }
}
