import NIOCore
import SwarmTransport

extension HTTPFetch {
    /// Fetches what an HTTP tracker answers (BEP 3, BEP 48), of at most 128 KiB.
    ///
    /// - Parameter take: called once, on the event loop: with the body of an answer with status 200, or with `nil` and the reason.
    static func askTracker(
        _ url: String, within limit: Duration, on eventLoop: any EventLoop,
        then take: @escaping (_ body: [UInt8]?, _ reason: String) -> Void
    ) {
        get(url, limit: 1 << 17, timeout: limit, on: eventLoop).assumeIsolated().whenComplete {
            switch $0 {
            case .success(let result) where result.status == 200: take(result.body, "")
            case .success(let result): take(nil, "it answers with status \(result.status)")
            case .failure(let error): take(nil, "\(error)")
            }
        }
    }
}
