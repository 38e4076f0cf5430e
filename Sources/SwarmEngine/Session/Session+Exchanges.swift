import SwarmBase

/// Requests and byte streams.
extension Session {
    private mutating func say(_ message: ControlMessage, _ priority: MessagePriority) {
        outbounds[Lane(control: priority).index].enqueue(.binary(message.bytes))
    }

    private mutating func tell(_ exchange: Exchange) { events.append(.exchange(exchange)) }

    // MARK: Requests

    /// Asks the member to do something; the answer comes as `Exchange.response`.
    mutating func request(
        _ action: String, _ payload: [UInt8], limit: Duration?, _ priority: MessagePriority, now: Instant
    ) throws(SendError) -> UInt64 {
        guard knowsLanes != false else { throw .unsupported }
        guard requests.asked.count < Requests.mostAsked, backlog + payload.count <= configuration.largestBacklog else {
            throw .backlogFull
        }
        guard payload.count <= configuration.largestMessage - 1024 else {
            throw .tooLarge(limit: configuration.largestMessage - 1024)
        }
        let id = streamNumbers.next()
        requests.ask(id, priority, deadline: limit.map { now + $0 })
        say(.request(id: id, limit: limit, action: action, payload: payload), priority)
        return id
    }

    /// Nobody waits for an answer any more; the member is told.
    mutating func cancel(_ id: UInt64) {
        guard let priority = requests.endAsked(id) else { return }
        say(.cancel(id: id), priority)
    }

    mutating func endRequest(_ id: UInt64, _ result: RequestResult) {
        guard let priority = requests.endAsked(id) else { return }
        if result == .timedOut { say(.cancel(id: id), priority) }
        tell(.response(id: id, result))
    }

    /// Answers a request of the member, if it still waits.
    mutating func answer(_ id: UInt64, _ answer: RequestAnswer) {
        guard let priority = requests.endAnswer(id) else { return }
        let isTooLarge = answer.payload.count > configuration.largestMessage - 1024
        let fitting: RequestAnswer = isTooLarge ? .failed("the result is too large") : answer
        say(.response(id: id, status: fitting.status, payload: fitting.payload), priority)
    }

    mutating func takeControl(_ bytes: [UInt8], _ priority: MessagePriority, now: Instant) {
        guard let message = ControlMessage(bytes) else { return }
        switch message {
        case .request(let id, _, let action, let payload):
            guard requests.beginAnswer(id, priority) else {
                return say(.response(id: id, status: 4, payload: []), priority)
            }
            tell(.request(id: id, action: action, payload: payload))
        case .response(let id, let status, let payload):
            endRequest(id, RequestResult(status: status, payload: payload))
        case .cancel(let id):
            if requests.endAnswer(id) != nil { tell(.cancelled(id: id)) }
        case .open(let id, let limit, let name):
            accept(id, limit: limit, name: name, priority)
        case .finished(let id):
            guard let index = index(ofStream: id) else { return }
            streams[index].sending.finished()
            tell(.streamWritable(id: id))
            forgetIfOver(index)
        case .reset(let id, let code):
            guard let index = index(ofStream: id) else { return }
            streams.remove(at: index)
            tell(.streamEnded(id: id, StreamReset(rawValue: code)))
        }
    }

    // MARK: Byte streams

    func index(ofStream id: UInt64) -> Int? { streams.firstIndex { $0.id == id } }

    /// Opens a byte stream to the member.
    mutating func openStream(_ name: String, _ priority: MessagePriority) throws(SendError) -> UInt64 {
        guard knowsLanes != false else { throw .unsupported }
        guard streams.count < configuration.mostStreams else { throw .backlogFull }
        let id = streamNumbers.next()
        let limit = UInt64(streamWindow)
        streams.append(
            ByteStream(
                id: id, priority: priority, sending: SendingDirection(limit: SendingDirection.firstLimit),
                receiving: ReceivingDirection(limit: limit)))
        say(.open(id: id, limit: limit, name: name), priority)
        return id
    }

    private mutating func accept(_ id: UInt64, limit: UInt64, name: String, _ priority: MessagePriority) {
        guard index(ofStream: id) == nil else { return }
        guard streams.count < configuration.mostStreams else {
            return say(.reset(id: id, code: StreamReset.tooMany.rawValue), priority)
        }
        var receiving = ReceivingDirection(limit: SendingDirection.firstLimit)
        if receiving.grant(window: streamWindow), let carrier {
            acknowledgements.add(stream: id, on: carrier, at: .zero)
        }
        streams.append(
            ByteStream(id: id, priority: priority, sending: SendingDirection(limit: limit), receiving: receiving))
        tell(.streamOpened(id: id, name: name, priority))
    }

    /// How far the writer of one byte stream may go now: all that are there share what may be unread.
    private var streamWindow: Int {
        let share = configuration.largestUnread / max(1, streams.count)
        return max(Int(SendingDirection.firstLimit), min(configuration.streamWindow, share))
    }

    /// Writes to a byte stream.
    ///
    /// - Returns: how many bytes were taken; when that is not all, `Exchange.streamWritable` tells when there is room. `nil`
    ///   when the stream is not there any more.
    mutating func write(_ bytes: ArraySlice<UInt8>, to id: UInt64) -> Int? {
        guard let index = index(ofStream: id), !streams[index].sending.hasEnded else {
            return nil
        }
        let count = streams[index].sending.write(bytes, most: configuration.largestStreamBacklog)
        streams[index].sending.isBlocked = count < bytes.count
        return count
    }

    /// Nothing more will be written to a byte stream.
    mutating func finish(_ id: UInt64) {
        guard let index = index(ofStream: id) else { return }
        streams[index].sending.finish()
    }

    /// The next bytes of a byte stream; `nil` when there are none now. The end is told as `Exchange.streamEnded`.
    mutating func read(_ id: UInt64) -> [UInt8]? {
        guard let index = index(ofStream: id) else { return nil }
        let bytes = streams[index].receiving.read()
        if streams[index].receiving.grant(window: streamWindow), let carrier {
            acknowledgements.add(stream: id, on: carrier, at: .zero)
        }
        if bytes == nil { forgetIfOver(index) }
        return bytes
    }

    /// Whether a byte stream's other direction has come whole and was read.
    func hasReadAll(_ id: UInt64) -> Bool {
        streams.first { $0.id == id }.map { $0.receiving.isOver } ?? true
    }

    /// Whether everything that was written to a byte stream has come.
    func hasArrived(_ id: UInt64) -> Bool { streams.first { $0.id == id }.map { $0.sending.isOver } ?? true }

    /// Ends a byte stream at once.
    mutating func reset(_ id: UInt64, _ code: StreamReset) {
        guard let index = index(ofStream: id) else { return }
        let stream = streams.remove(at: index)
        say(.reset(id: id, code: code.rawValue), stream.priority)
    }

    /// How much of a byte stream has gone and come.
    func progress(ofStream id: UInt64) -> (acknowledged: UInt64, received: UInt64)? {
        streams.first { $0.id == id }.map { ($0.sending.acknowledged, $0.receiving.received) }
    }

    private mutating func forgetIfOver(_ index: Int) {
        if streams[index].isOver { streams.remove(at: index) }
    }

    /// - Returns: whether it is to be acknowledged.
    mutating func receive(_ piece: StreamPiece, now: Instant) -> Bool {
        guard let index = index(ofStream: piece.id) else { return false }
        let wasReadable = streams[index].receiving.isReadable
        guard streams[index].receiving.receive(piece) else {
            reset(piece.id, .violation)
            tell(.streamEnded(id: piece.id, .violation))
            return false
        }
        if streams[index].receiving.confirms() { say(.finished(id: piece.id), streams[index].priority) }
        if !wasReadable, streams[index].receiving.isReadable { tell(.streamReadable(id: piece.id)) }
        return true
    }

    /// - Returns: whether it is of a stream of ours.
    mutating func takeCredit(_ id: UInt64, received: UInt64, limit: UInt64) -> Bool {
        guard let index = index(ofStream: id) else { return false }
        guard streams[index].sending.credit(received: received, limit: limit) else {
            reset(id, .violation)
            tell(.streamEnded(id: id, .violation))
            return false
        }
        if streams[index].sending.isBlocked, streams[index].sending.held <= configuration.largestStreamBacklog / 2 {
            streams[index].sending.isBlocked = false
            tell(.streamWritable(id: id))
        }
        return true
    }

    // MARK: The end

    /// Requests and byte streams are over, and so is what is under way of them.
    ///
    /// - Parameter unsupported: because the member does not know them.
    mutating func endExchanges(unsupported: Bool = false) {
        for id in requests.asked.keys.sorted() { tell(.response(id: id, unsupported ? .unsupported : .interrupted)) }
        for id in requests.answering.keys.sorted() { tell(.cancelled(id: id)) }
        for stream in streams { tell(.streamEnded(id: stream.id, unsupported ? .unsupported : .interrupted)) }
        requests = Requests()
        streams = []
        for lane in Lane.all where lane.isControl {
            outbounds[lane.index] = Outbound(lane: lane, stream: streamNumbers.next())
            incompleteBytes -= inbounds[lane.index].heldBytes
            inbounds[lane.index] = Inbound(lane: lane, largestMessage: configuration.largestMessage)
        }
    }
}
