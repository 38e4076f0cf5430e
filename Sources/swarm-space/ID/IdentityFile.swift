import JSON
import SEA
import SwarmBase
import SwarmEngine
import SwarmTransport

/// The identity of a data directory, made if need be.
struct IdentityFile {
    /// The public half.
    let peerID: String
    let path: String
    /// Whether there was none before.
    let wasMade: Bool

    /// Reads `identity.json`, and writes a new pair when there is none.
    init(inDirectory directory: String) throws(CommandFailure) {
        do {
            let data = try DataDirectory(path: directory)
            path = data.identityPath
            let known = try data.readIdentity()
            wasMade = known == nil
            let bytes: [UInt8]
            if let known {
                bytes = known
            } else {
                var entropy = Entropy.system
                bytes = try data.createIdentity(SEAPair.generate(using: &entropy).json.serialized())
            }
            peerID = Identity(try SEAPair(json: JSONValue(parsing: bytes))).peerID.description
        } catch let error as FileError {
            throw CommandFailure(.inputOutput, "\(error): choose another directory with --data")
        } catch {
            throw CommandFailure(
                .inputOutput,
                "\(directory)/identity.json is no identity (\(error)): put a copy back, or remove it for a new one")
        }
    }
}
