import NIOCore
import NIOSSL

/// TLS cannot be set up as asked.
public enum TLSSetupError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file is missing, unreadable or not what it should be; the path.
    case badFile(String)
    /// Key and certificate do not belong together, or the system's trust store cannot be read.
    case badConfiguration(String)

    public var description: String {
        switch self {
        case .badFile(let path): "cannot read \(path) as PEM"
        case .badConfiguration(let text): "TLS cannot be set up: \(text)"
        }
    }
}

/// Whom a client trusts. Making one reads and parses all roots, so it is made once and shared.
public final class ClientTLS: Sendable {
    let context: NIOSSLContext

    /// Trusts the system's roots.
    public static let system: Result<ClientTLS, TLSSetupError> = Result { () throws(TLSSetupError) in
        try ClientTLS(configuration: .makeClientConfiguration())
    }

    /// Trusts the certificates in a PEM file, and no others.
    public convenience init(rootsFile: String) throws(TLSSetupError) {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(rootsFile)
        configuration.additionalTrustRoots = []
        try self.init(configuration: configuration)
    }

    private init(configuration: TLSConfiguration) throws(TLSSetupError) {
        do { context = try NIOSSLContext(configuration: configuration) } catch {
            throw .badConfiguration(String(describing: error))
        }
    }

    /// The handler that speaks TLS to `host`; for an address the certificate must name the address.
    func handler(host: String) throws -> NIOSSLClientHandler {
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }
}

/// A server's certificate and key.
public final class ServerTLS: Sendable {
    let context: NIOSSLContext

    /// Reads a PEM certificate chain, leaf first, and a PEM private key.
    public init(certificateFile: String, keyFile: String) throws(TLSSetupError) {
        let chain: [NIOSSLCertificate]
        let key: NIOSSLPrivateKey
        do { chain = try NIOSSLCertificate.fromPEMFile(certificateFile) } catch { throw .badFile(certificateFile) }
        do { key = try NIOSSLPrivateKey(file: keyFile, format: .pem) } catch { throw .badFile(keyFile) }
        guard !chain.isEmpty else { throw .badFile(certificateFile) }
        do {
            context = try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key)))
        } catch { throw .badConfiguration(String(describing: error)) }
    }
}
