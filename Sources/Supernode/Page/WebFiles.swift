import CWebFiles
import SwarmTransport

/// The page and the browser's member: the files of Web/, which are in the executable. Each is ready in both forms, as
/// it is and compressed, with a tag that changes with its content.
struct WebFiles {
    struct File {
        var bytes: [UInt8]
        /// For those who take gzip (RFC 9110 §8.4.1.3); `nil` when it saves nothing.
        var compressed: [UInt8]?
        var type: String
        /// RFC 9110 §8.8.3, without quotes.
        var tag: String
    }

    /// What may come from where: nothing but our own files and whatever relays and trackers a link names.
    static let contentSecurityPolicy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self' ws: wss:",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ].joined(separator: "; ")

    private var files: [String: File] = [:]

    init() {
        for index in 0..<web_file_count() {
            let file = unsafe web_file_at(index).pointee
            let path = unsafe String(cString: file.path)
            let bytes = unsafe Array(UnsafeBufferPointer(start: file.bytes, count: file.count))
            files[path] = File(
                bytes: bytes, compressed: Self.compressed(bytes), type: Self.type(of: path), tag: Self.tag(of: bytes))
        }
    }

    /// Where the files are.
    var paths: [String] { files.keys.sorted() }

    /// The answer to a request for a file; `nil` when there is none of that name.
    func response(to request: HTTPRequest) -> HTTPResponse? {
        let path =
            switch request.path {
            case "/": "/page/index.html"
            case "/status": "/page/status.html"
            case let path: path
            }
        guard let file = files[path] else { return nil }
        let accepts = request.header("Accept-Encoding").map { Self.acceptsGzip($0) } ?? false
        let compressed = accepts ? file.compressed : nil
        // Each form has a tag of its own (RFC 9110 §8.8.3.3).
        let tag = "\"\(file.tag)\(compressed == nil ? "" : "-gzip")\""
        var headers = [
            ("ETag", tag), ("Cache-Control", "no-cache"), ("Vary", "Accept-Encoding"),
            ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"), ("Content-Security-Policy", Self.contentSecurityPolicy),
        ]
        if let known = request.header("If-None-Match"), Self.matches(known, tag) {
            return HTTPResponse(status: 304, headers: headers)
        }
        headers.append(("Content-Type", file.type))
        if compressed != nil { headers.append(("Content-Encoding", "gzip")) }
        return HTTPResponse(status: 200, headers: headers, body: compressed ?? file.bytes)
    }

    // MARK: Negotiation

    /// RFC 9110 §12.5.3: a coding with the weight 0 is not acceptable.
    static func acceptsGzip(_ field: String) -> Bool {
        for part in field.split(separator: ",") {
            let words = part.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
            guard let coding = words.first, coding == "gzip" || coding == "*" else { continue }
            return !words.dropFirst().contains { $0.hasPrefix("q=0") && !$0.contains { "123456789".contains($0) } }
        }
        return false
    }

    /// RFC 9110 §13.1.2: weak comparison.
    static func matches(_ field: String, _ tag: String) -> Bool {
        field == "*"
            || field.split(separator: ",").contains { part in
                let known = part.filter { $0 != " " }
                return known == tag || known == "W/" + tag
            }
    }

    // MARK: Making

    private static func compressed(_ bytes: [UInt8]) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: web_gzip_bound(bytes.count))
        let count = unsafe output.withUnsafeMutableBufferPointer { output in
            unsafe bytes.withUnsafeBufferPointer { input in
                guard let first = input.baseAddress, let start = output.baseAddress else { return 0 }
                return unsafe web_gzip(first, input.count, start, output.count)
            }
        }
        return count == 0 || count >= bytes.count ? nil : Array(output[..<count])
    }

    private static func type(of path: String) -> String {
        switch path.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "js": "text/javascript; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "svg": "image/svg+xml"
        default: "application/octet-stream"
        }
    }

    /// FNV-1a, 64 bits, and the length: it tells versions of one file apart, and guards against nothing.
    private static func tag(of bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 36) + "-" + String(bytes.count, radix: 36)
    }
}
