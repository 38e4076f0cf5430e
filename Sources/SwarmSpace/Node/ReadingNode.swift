import NIOCore
import Synchronization

/// Tells a node, from whatever thread the application reads on, that events have been read.
final class ReadingNode: Sendable {
    private let tell = Mutex<(@Sendable () -> Void)?>(nil)

    init() {}

    /// The node to be told; it is not kept alive.
    func set(_ node: Node, on eventLoop: any EventLoop) {
        let bound = NIOLoopBound(Weak(node), eventLoop: eventLoop)
        tell.withLock { $0 = { eventLoop.execute { bound.value.node?.keepsUp() } } }
    }

    func keepsUp() { tell.withLock { $0 }?() }
}
