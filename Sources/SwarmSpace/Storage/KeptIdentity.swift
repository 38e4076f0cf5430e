import JSON
import SEA
import SwarmBase
package import SwarmEngine
package import SwarmTransport

/// The identity of a data directory: `identity.json`, a SEA pair.
package struct KeptIdentity {
    package let identity: Identity
    /// Whether there was none before.
    package let wasMade: Bool

    /// Reads the identity, and makes one when there is none.
    ///
    /// - Throws: `FileError` when the file cannot be read or written, `SwarmError` when it holds no identity.
    package init(in directory: DataDirectory) throws {
        let known = try directory.readIdentity()
        wasMade = known == nil
        let bytes: [UInt8]
        if let known {
            bytes = known
        } else {
            var entropy = Entropy.system
            bytes = try directory.createIdentity(SEAPair.generate(using: &entropy).json.serialized())
        }
        do { identity = Identity(try SEAPair(json: JSONValue(parsing: bytes))) } catch {
            throw SwarmError(
                .storage,
                "\(directory.identityPath) is no identity (\(error)): put a copy back, or remove it for a new one")
        }
    }
}
