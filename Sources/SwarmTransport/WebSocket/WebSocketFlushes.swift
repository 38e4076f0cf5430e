public import NIOCore

/// The WebSockets of one event loop that have something to send: at the end of the loop's turn it leaves, for each of them in one
/// system call.
///
/// Confined to its event loop. Connections that share one cost the loop one task a turn instead of one each.
public final class WebSocketFlushes {
    private let eventLoop: any EventLoop
    private var waiting: [WebSocketConnection] = []
    /// Buffers that the kernel has taken the bytes of, to be written to again.
    private var buffers: [ByteBuffer] = []
    private static let mostBuffers = 64
    /// A reader that does not read keeps what it was given: that is not to be much more than it was sent.
    private static let largestBuffer = 1 << 14

    public init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func add(_ connection: WebSocketConnection) {
        waiting.append(connection)
        guard waiting.count == 1 else { return }
        // What is ready to be read in this turn is read before that.
        eventLoop.assumeIsolated().execute { self.flush() }
    }

    private func flush() {
        let due = waiting
        waiting.removeAll(keepingCapacity: waiting.count <= 1024)
        for connection in due { connection.flush() }
    }

    func takeBuffer(for byteCount: Int) -> ByteBuffer {
        guard var buffer = buffers.popLast() else {
            // 14 is the longest header of a frame.
            return ByteBufferAllocator().buffer(capacity: max(byteCount + 14, 512))
        }
        // Here nobody else holds it any more, so its memory stays.
        buffer.clear()
        return buffer
    }

    /// Takes a buffer back that a channel is done with.
    func giveBack(_ buffer: ByteBuffer) {
        guard buffers.count < Self.mostBuffers, buffer.capacity <= Self.largestBuffer else { return }
        buffers.append(buffer)
    }
}
