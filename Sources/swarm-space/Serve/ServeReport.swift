import JSON
import Supernode

/// What `serve` says once it serves.
struct ServeReport {
    var endpoints: SupernodeEndpoints
    /// What was given as `--host`.
    var host: String?
    /// What was given as `--data`.
    var data: String?

    /// The ready line of the contract.
    var json: [UInt8] {
        let event: JSONValue = [
            "event": "ready", "http": .string(endpoints.http), "gun": .string(endpoints.gun),
            "tracker": .string(endpoints.tracker), "udp": .string(endpoints.udp),
        ]
        return event.serialized()
    }

    /// For people: where it is, and how to join through it.
    var text: String {
        """
        swarm-space serves on \(host ?? "every address"), port \(endpoints.port)

          page       \(endpoints.http)
          tracker    \(endpoints.tracker)
          GUN relay  \(endpoints.gun)
          STUN       \(endpoints.udp)
          data       \(data ?? "in memory, gone when this ends (--data DIRECTORY keeps it)")

        Join a swarm through it, here or on any machine that reaches these addresses:
          swarm-space join meadow --tracker \(endpoints.tracker) --relay \(endpoints.gun)
        Or print one link that holds all of that:
          swarm-space invite meadow --tracker \(endpoints.tracker) --relay \(endpoints.gun)

        Ctrl-C ends it.
        """
    }
}
