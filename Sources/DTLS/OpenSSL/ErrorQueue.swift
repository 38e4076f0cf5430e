internal import COpenSSL

/// OpenSSL's error queue of this thread. Threads are shared, so it is emptied before each call.
enum ErrorQueue {
    static func clear() { ERR_clear_error() }

    /// What the newest entry says, as an error of ours.
    static func takeError() -> DTLSError {
        let code = ERR_peek_last_error()
        defer { ERR_clear_error() }
        guard code != 0 else { return .protocolFailure("no reason given") }
        let reason = Int(code & 0x7f_ffff)
        if reason == Int(SSL_R_READ_TIMEOUT_EXPIRED) { return .timedOut }
        // An alert of the peer is its number above this offset.
        if let alert = UInt8(exactly: reason - Int(SSL_AD_REASON_OFFSET)) { return .alert(alert) }
        guard let text = unsafe ERR_reason_error_string(code) else { return .protocolFailure("reason \(reason)") }
        return unsafe .protocolFailure(String(cString: text))
    }
}
