import SwarmBase
import SwarmTransport

/// The page at `/`: what this is, what it does now, how to use it. One file, no scripts, readable without styles.
struct FrontPage {
    var status: SupernodeStatus
    var isSecure: Bool
    /// What the client's `Host` field says: the name by which this host is reached from there.
    var authority: String?

    var response: HTTPResponse {
        HTTPResponse(
            html, type: "text/html; charset=utf-8",
            headers: [
                ("Cache-Control", "no-store"),
                ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
                ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
            ])
    }

    private var html: String {
        // Only what parses as an authority is repeated, and then it needs no escaping.
        let url = authority.flatMap { WebSocketURL("ws\(isSecure ? "s" : "")://\($0)/") }
        let name = url.flatMap { $0.target == "/" && !$0.host.contains("&") ? $0.description : nil }
        let tracker = name ?? "ws\(isSecure ? "s" : "")://THIS-HOST/"
        let counts: [(String, String)] = [
            ("Members on the tracker", "\(status.trackerPeers) in \(status.swarms) swarms"),
            ("Links to the relay", "\(status.gunLinks)"), ("Nodes that are watched", "\(status.subscribedSouls)"),
            ("STUN requests answered", "\(status.stunRequests)"), ("Running for", Self.text(of: status.uptime)),
        ]
        let rows = counts.map { "<tr><th scope=\"row\">\($0.0)</th><td>\($0.1)</td></tr>" }.joined(separator: "\n")
        return """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>swarm-space supernode</title>
            <style>
            :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
            body { max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }
            table { border-collapse: collapse; }
            th, td { text-align: left; font-weight: normal; padding: .2rem 1.5rem .2rem 0; }
            pre { overflow-x: auto; padding: .75rem; border: 1px solid; }
            </style>
            </head>
            <body>
            <main>
            <h1>swarm-space supernode</h1>
            <p>This host helps programs and browsers find each other and talk directly. It is a WebTorrent tracker, a GUN
            relay and a STUN server. It passes on offers, answers and sealed messages between members of a swarm; it is
            a member of none, and cannot read what they seal. Swarms work without it too.</p>
            <h2>Now</h2>
            <table>
            \(rows)
            </table>
            <h2>Join through it</h2>
            <p>Everybody who uses the same swarm name and secret meets:</p>
            <pre><code>swarm-space join NAME --secret SECRET \\
              --tracker \(tracker) \\
              --relay \(tracker)gun</code></pre>
            <p>Any GUN peer can use <code>\(tracker)gun</code> as a relay and any WebTorrent client
            <code>\(tracker)</code> as a tracker. Figures for monitoring are at <a href="/metrics">/metrics</a>, the
            health check is at <a href="/healthz">/healthz</a>.</p>
            </main>
            </body>
            </html>

            """
    }

    private static func text(of duration: Duration) -> String {
        let minutes = duration.components.seconds / 60
        if minutes < 60 { return "\(minutes) min" }
        if minutes < 48 * 60 { return "\(minutes / 60) h \(minutes % 60) min" }
        return "\(minutes / 1440) days"
    }
}
