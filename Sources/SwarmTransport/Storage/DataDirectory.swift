/// Where a node keeps what it must remember: `store.sqlite` and `identity.json`, for the owner's eyes only.
public struct DataDirectory: Hashable, Sendable {
    /// The directory's path, without a slash at the end.
    public let path: String
    /// The database's path.
    public var storePath: String { path + "/store.sqlite" }
    /// The identity's path.
    public var identityPath: String { path + "/identity.json" }
    /// The longest identity file that is read, in bytes.
    public static let maximumIdentityBytes = 64 << 10

    /// Makes the directory with mode 0700, and its parents, when it is not there.
    public init(path: String) throws(FileError) {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.path = path
        try PrivateFile.makeDirectory(path)
    }

    /// Opens the database.
    public func openStore(configuration: SQLiteStoreConfiguration = .init()) throws(StoreError) -> SQLiteStore {
        try SQLiteStore(path: storePath, configuration: configuration)
    }

    /// The identity file's bytes, or `nil` when there is none yet.
    public func readIdentity() throws(FileError) -> [UInt8]? {
        try PrivateFile.read(identityPath, limit: Self.maximumIdentityBytes)
    }

    /// Writes the identity unless there is one: two processes that start at once end up with the same.
    ///
    /// - Returns: the bytes that are in the file now.
    public func createIdentity(_ bytes: [UInt8]) throws(FileError) -> [UInt8] {
        if try PrivateFile.create(identityPath, with: bytes) { return bytes }
        return try readIdentity() ?? bytes
    }

    /// Puts an identity in place of the one that is there.
    public func replaceIdentity(_ bytes: [UInt8]) throws(FileError) {
        try PrivateFile.replace(identityPath, with: bytes)
    }
}
