import Foundation
import SwarmBase
import Testing

@testable import SwarmEngine

/// The browser's member does the same, step by step (`Web/tests`).
@Suite struct LaneVectorTests {
    typealias Step = LaneVectors.Step

    /// Not random, and other at each place.
    private static func content(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) } }

    // MARK: Frames

    private static let frames: [[Frame]] = [
        [
            .data(
                DataFrame(
                    lane: Lane(messages: .low, isOrdered: false), stream: 1, sequence: 5, base: 2, message: 3,
                    flags: [.withdrawn, .last], payload: [])),
            .data(
                DataFrame(
                    lane: Lane(control: .urgent), stream: .max, sequence: 1, base: 1, message: 1,
                    flags: [.first, .last], payload: [3, 0, 0, 0, 0, 0, 0, 0, 9])),
        ],
        [
            .acknowledgement(
                Acknowledgement(
                    lane: Lane(messages: .high, isOrdered: false), stream: 9, received: 8, durable: 7, window: 256,
                    outcomes: [.init(sequence: 0, message: 3, code: 1), .init(sequence: 0, message: 4, code: 3)],
                    bitmap: [5, 128])),
            .acknowledgement(
                Acknowledgement(
                    stream: 9, received: 8, durable: 7, window: 6, outcomes: [.init(sequence: 0, message: 3, code: 2)])),
            .acknowledgement(
                Acknowledgement(
                    lane: Lane(messages: .urgent, isOrdered: true), stream: 2, received: 1, durable: 1, window: 0)),
        ],
        [
            .confirmed(Lane(messages: .high, isOrdered: true), stream: 4, base: 9),
            .credit(id: .max, received: 2, limit: 1 << 20), .refused(reason: 3),
            .bytes(StreamPiece(id: 7, offset: 8, isEnd: true, payload: [1])),
            .bytes(StreamPiece(id: 7, offset: 1 << 40, isEnd: false, payload: [])),
        ],
    ]

    private static let malformed = [
        "0a0000002304" + String(repeating: "00", count: 34), "0a000000010c", "0c000000010c", "0f00000000",
        "0e0000000100",
        "0d000000100000000000000000000000000000000000",
        "0b0000001f00000000000000000100000000000000020000000000000003000000000000",
        "0b0000001d0000000000000000010000000000000002000000000000000200000801",
    ]

    private static let messages: [ControlMessage] = [
        .request(id: 1, limit: nil, action: "sum", payload: [1, 2, 3]),
        .request(id: .max, limit: .milliseconds(1500), action: "größe", payload: []),
        .response(id: 2, status: 0, payload: [9]), .response(id: 2, status: 3, payload: Array("no".utf8)),
        .cancel(id: 3),
        .open(id: 4, limit: 1 << 20, name: "backup"), .open(id: 4, limit: 0, name: ""), .finished(id: 5),
        .reset(id: 6, code: 256),
    ]

    private static let notMessages = [
        "", "01", "0700000000000000010000", "0100000000000000010000000005616263", "06000000000000000100",
    ]

    // MARK: What a reader does

    private struct Reader {
        var inbound: Inbound
        var last: Inbound.Message?

        mutating func perform(_ step: Step) throws -> [String] {
            switch step.action {
            case "receive":
                var results: [String] = []
                for case .data(let frame) in try Frame.parse([UInt8](hexadecimal: step.bytes ?? "") ?? []) {
                    for message in inbound.receive(frame, budget: step.number ?? .max) {
                        last = message
                        results.append(
                            "\(message.number) \(message.content.isText) \(message.content.bytes.count) \(message.last)"
                        )
                    }
                }
                return results + ["expected \(inbound.expected) held \(inbound.heldBytes)"]
            case "refuse":
                last.map { inbound.refuse($0) }
                return []
            case "note":
                guard let note = inbound.pollNote() else { return ["none"] }
                inbound.commit(note)
                return [
                    "\(note.stream) \(note.next) \(note.beyond.hexadecimal)"
                        + note.outcomes.map { " \($0.sequence):\($0.message):\($0.code)" }.joined()
                ]
            case "acknowledge":
                return [
                    inbound.acknowledgement(isPaused: step.number == 1).map { Frame.acknowledgement($0).packet }
                        ?? "none"
                ]
            case "confirm":
                inbound.confirm(base: UInt64(step.number ?? 0))
                return []
            case "restart":
                let note = inbound.note
                inbound = Inbound(lane: inbound.lane, largestMessage: 20_000)
                inbound.restore(note)
                return []
            default: throw CocoaError(.featureUnsupported)
            }
        }
    }

    /// The fragments of messages of these sizes; of every third one withdrawn.
    private static func fragments(_ lane: Lane, _ sizes: [Int], withdrawn: Set<Int> = []) -> [String] {
        var outbound = Outbound(lane: lane, stream: 77)
        for (index, size) in sizes.enumerated() {
            if withdrawn.contains(index) {
                outbound.enqueueWithdrawn(number: UInt64(index + 1), fragments: size)
            } else {
                outbound.enqueue(.binary(content(size)), number: UInt64(index + 1))
            }
        }
        return (1..<outbound.next).compactMap { outbound.fragment($0).map { Frame.data($0).packet } }
    }

    private static func receive(_ packets: [String], _ order: [Int]) -> [Step] {
        order.map { Step(action: "receive", bytes: packets[$0]) }
    }

    private static let settle = [Step(action: "note"), Step(action: "acknowledge"), Step(action: "note")]

    private static func readerScripts() -> [LaneVectors.Script] {
        let ordered = Lane(messages: .high, isOrdered: true)
        let unordered = Lane(messages: .low, isOrdered: false)
        let some = fragments(ordered, [5, 20_000, 0, 9_000, 3], withdrawn: [])
        let torn = fragments(ordered, [5, 2, 8_200, 1], withdrawn: [1])
        let large = fragments(ordered, [20_000, 20_001, 3])
        let loose = fragments(unordered, [5, 20_000, 5, 2, 7], withdrawn: [3])
        let looseLarge = fragments(unordered, [20_001, 5])
        let plain = fragments(.plain, [3, 9_000, 1])
        func script(_ what: String, _ lane: Lane, _ steps: [Step]) -> LaneVectors.Script {
            LaneVectors.Script(what: what, lane: lane.index, largest: 20_000, steps: steps)
        }
        return [
            script("in order, late and twice", ordered, receive(some, [0, 2, 1, 1, 4, 3, 5, 7, 6, 0]) + settle),
            script(
                "a message without its beginning is passed over", ordered,
                receive(Array(some[2...]), [0, 1, 2, 3, 4, 5]) + settle),
            script("withdrawn, and half withdrawn", ordered, receive(torn, [0, 1, 2, 3, 4, 5]) + settle),
            script("the largest, and one byte more", ordered, receive(large, Array(large.indices)) + settle),
            script(
                "more than may be held", ordered,
                [Step(action: "receive", bytes: some[0], number: 4), Step(action: "receive", bytes: some[0])]
                    + receive(some, [1]) + [Step(action: "receive", bytes: some[2], number: 100)]
                    + receive(some, [3, 4])
                    + settle),
            script(
                "refused, confirmed, and a restart", ordered,
                receive(some, [0]) + [Step(action: "refuse")] + settle + [
                    Step(action: "acknowledge", number: 1), Step(action: "restart"),
                ]
                    + receive(some, [0, 1]) + [Step(action: "confirm", number: 2)] + settle),
            script(
                "in any order", unordered,
                receive(loose, [6, 2, 5, 0]) + settle + receive(loose, [1, 4, 3, 3]) + settle),
            script(
                "in any order, with a restart", unordered,
                receive(loose, [6, 4, 5]) + settle + [Step(action: "restart")] + receive(loose, [4, 6, 0, 1, 2, 3])
                    + settle),
            script("in any order, too large", unordered, receive(looseLarge, [2, 1, 3, 0]) + settle),
            script("the lane that everybody knows", .plain, receive(plain, [2, 0, 1, 3]) + settle),
        ]
    }

    // MARK: What a writer does

    private struct Writer {
        var outbound: Outbound

        private func end(_ entry: Outbound.Settled) -> String {
            switch entry.outcome {
            case nil: "\(entry.number) known"
            case .delivered: "\(entry.number) delivered"
            case .expired: "\(entry.number) expired"
            case .rejected(let reason): "\(entry.number) rejected \(reason)"
            }
        }

        mutating func perform(_ step: Step) throws -> [String] {
            switch step.action {
            case "enqueue":
                // With a deadline, by the virtual clock's milliseconds.
                let entry = outbound.enqueue(
                    .binary([UInt8](hexadecimal: step.bytes ?? "") ?? []), number: outbound.nextMessage + 1,
                    deadline: step.number.map { .zero + .milliseconds($0) })
                return ["\(entry.message) \(entry.sequence)"]
            case "send":
                var results: [String] = []
                while results.count < step.number ?? .max, let sequence = outbound.nextSequence(on: .relay),
                    let fragment = outbound.fragment(sequence)
                {
                    outbound.sent(sequence, on: .relay)
                    var bytes: [UInt8] = []
                    Frame.data(fragment).write(to: &bytes)
                    results.append(bytes.prefix(48).hexadecimal + " \(bytes.count)")
                }
                return results
            case "rewind":
                outbound.cursors[.relay] = 0
                return []
            case "restarted":
                outbound.peerRestarted()
                return []
            case "acknowledged":
                var results: [String] = []
                for case .acknowledgement(let frame) in try Frame.parse([UInt8](hexadecimal: step.bytes ?? "") ?? []) {
                    results += outbound.acknowledge(frame).map(end)
                }
                return results + ["base \(outbound.base) received \(outbound.received) bytes \(outbound.bytes)"]
            case "expire", "expire plain":
                return outbound.expire(
                    now: .zero + .milliseconds(step.number ?? 0), knowsLanes: step.action == "expire"
                ).map { "\($0.entry.number) \($0.isExpired)" }
            default: throw CocoaError(.featureUnsupported)
            }
        }
    }

    private static func writerScripts() -> [LaneVectors.Script] {
        func enqueue(_ size: Int, deadline: Int? = nil) -> Step {
            Step(action: "enqueue", bytes: content(size).hexadecimal, number: deadline)
        }
        func acknowledged(
            _ lane: Lane, received: UInt64, durable: UInt64, window: UInt16 = 256, _ outcomes: [(UInt64, UInt8)] = [],
            bitmap: [UInt8] = []
        ) -> Step {
            Step(
                action: "acknowledged",
                bytes: Frame.acknowledgement(
                    Acknowledgement(
                        lane: lane, stream: 77, received: received, durable: durable, window: window,
                        outcomes: outcomes.map { .init(sequence: 0, message: $0.0, code: $0.1) }, bitmap: bitmap)
                ).packet)
        }
        let (send, rewind, restarted) = (Step(action: "send"), Step(action: "rewind"), Step(action: "restarted"))
        func expire(_ at: Int, plain: Bool = false) -> Step {
            Step(action: plain ? "expire plain" : "expire", number: at)
        }
        let ordered = Lane(messages: .urgent, isOrdered: true)
        let unordered = Lane(messages: .normal, isOrdered: false)
        func script(_ what: String, _ lane: Lane, _ steps: [Step]) -> LaneVectors.Script {
            LaneVectors.Script(what: what, lane: lane.index, largest: 20_000, steps: steps)
        }
        return [
            script(
                "fragments, a window, and two runs of the reader", ordered,
                [
                    enqueue(3), enqueue(9_000), enqueue(0), send,
                    acknowledged(ordered, received: 3, durable: 2, window: 1), rewind, send,
                    restarted, rewind, send, acknowledged(ordered, received: 9, durable: 9),
                    acknowledged(ordered, received: 5, durable: 5),
                ]),
            script(
                "outcomes", ordered,
                [enqueue(1), enqueue(1), enqueue(1), enqueue(1), send]
                    + [acknowledged(ordered, received: 5, durable: 5, [(2, 1), (3, 2), (4, 3)])]),
            script(
                "deadlines before and after something has left", ordered,
                [
                    enqueue(9_000, deadline: 100), enqueue(9_000, deadline: 50), enqueue(1, deadline: 300),
                    Step(action: "send", number: 3),
                    expire(49), expire(50), expire(100), rewind, send,
                    acknowledged(ordered, received: 6, durable: 6, [(2, 1), (3, 1)]),
                    expire(300),
                ]),
            script(
                "deadlines for one who knows one lane", .plain,
                [
                    enqueue(9_000, deadline: 10), enqueue(9_000, deadline: 10), Step(action: "send", number: 1),
                    expire(10, plain: true), rewind, send,
                ]),
            script(
                "in any order: what is through beyond the first", unordered,
                [
                    enqueue(1), enqueue(9_000), enqueue(2), enqueue(3), send,
                    acknowledged(unordered, received: 1, durable: 1, [(4, 2)], bitmap: [0b1110]), rewind, send,
                    restarted, rewind, send,
                    acknowledged(unordered, received: 6, durable: 6),
                ]),
        ]
    }

    // MARK: Byte streams

    private struct Streams {
        var sending = SendingDirection(limit: 20_000)
        var receiving = ReceivingDirection(limit: 20_000)

        mutating func perform(_ step: Step) throws -> [String] {
            let number = step.number ?? 0
            switch step.action {
            case "write":
                return ["\(sending.write(LaneVectorTests.content(number)[...], most: 30_000)) held \(sending.held)"]
            case "finish":
                sending.finish()
                return []
            case "send":
                guard let chunk = sending.next(on: .relay) else { return ["none"] }
                let piece = sending.send(chunk, of: 5, on: .relay)
                return ["\(piece.offset) \(piece.payload.count) \(piece.isEnd)"]
            case "credit":
                // Received; the limit is 20,000 beyond.
                return [
                    "\(sending.credit(received: UInt64(number), limit: UInt64(number) + 20_000)) held \(sending.held)"
                ]
            case "finished":
                sending.finished()
                return ["\(sending.isOver) held \(sending.held)"]
            case "receive":
                var results: [String] = []
                for case .bytes(let piece) in try Frame.parse([UInt8](hexadecimal: step.bytes ?? "") ?? []) {
                    results.append(
                        "\(receiving.receive(piece)) \(receiving.received) \(receiving.isReadable) \(receiving.confirms())"
                    )
                }
                return results
            case "read":
                let bytes = receiving.read()
                return [
                    "\(bytes?.count ?? -1) \(receiving.grant(window: number)) \(receiving.limit) \(receiving.isOver)"
                ]
            default: throw CocoaError(.featureUnsupported)
            }
        }
    }

    private static func streamScripts() -> [LaneVectors.Script] {
        func piece(_ offset: UInt64, _ count: Int, isEnd: Bool = false) -> Step {
            Step(
                action: "receive",
                bytes: Frame.bytes(StreamPiece(id: 5, offset: offset, isEnd: isEnd, payload: content(count))).packet)
        }
        func step(_ action: String, _ number: Int? = nil) -> Step { Step(action: action, number: number) }
        func script(_ what: String, _ steps: [Step]) -> LaneVectors.Script {
            LaneVectors.Script(what: what, lane: 0, largest: 20_000, steps: steps)
        }
        let (send, read) = (step("send"), step("read", 20_000))
        return [
            script(
                "writing within the limit",
                [
                    step("write", 100), step("write", 9_000), send, step("write", 25_000), send, send, send,
                    step("finish"),
                    step("write", 1), step("credit", 8_192), send, step("credit", 8_000), step("credit", 40_000),
                    step("credit", 30_000), send, send, send, send, step("finished"),
                ]),
            script(
                "reading pieces that are early, late and too much",
                [
                    piece(100, 50), piece(0, 100), piece(50, 60), piece(150, 0), read, read, read, read,
                    piece(19_000, 1_001),
                    piece(150, 9_000), piece(9_150, 9_000), read, read, read, piece(18_150, 10, isEnd: true),
                    piece(18_150, 11), piece(18_100, 1, isEnd: true),
                    read, read, read,
                ]),
        ]
    }

    // MARK: All together

    private static func make() throws -> LaneVectors {
        let packets = frames.map { frames in
            LaneVectors.Packet(packet: frames.map(\.packet).joined(), frames: frames.map(\.vector))
        }
        let controls = messages.map { LaneVectors.Control(bytes: $0.bytes.hexadecimal, message: $0.vector) }
        var scheduler = SendScheduler()
        let schedule = (0..<170).compactMap { _ -> Int? in
            let rank = scheduler.choose({ _ in true })?.rank
            rank.map { scheduler.sent(1000, rank: $0) }
            return rank
        }
        func perform(_ scripts: [LaneVectors.Script], _ body: (LaneVectors.Script) throws -> [Step]) rethrows
            -> [LaneVectors.Script]
        {
            try scripts.map { script in
                var script = script
                script.steps = try body(script)
                return script
            }
        }
        func steps(_ script: LaneVectors.Script, _ body: (Step) throws -> [String]) rethrows -> [Step] {
            try script.steps.map { step in
                var step = step
                step.results = try body(step)
                return step
            }
        }
        return LaneVectors(
            packets: packets + malformed.map { LaneVectors.Packet(packet: $0, frames: nil) },
            controls: controls + notMessages.map { LaneVectors.Control(bytes: $0, message: nil) },
            inbound: try perform(readerScripts()) { script in
                var reader = Reader(inbound: Inbound(lane: Lane.all[script.lane], largestMessage: script.largest))
                return try steps(script) { try reader.perform($0) }
            },
            outbound: try perform(writerScripts()) { script in
                var writer = Writer(outbound: Outbound(lane: Lane.all[script.lane], stream: 77))
                return try steps(script) { try writer.perform($0) }
            },
            streams: try perform(streamScripts()) { script in
                var streams = Streams()
                return try steps(script) { try streams.perform($0) }
            }, schedule: schedule)
    }

    @Test func theFileIsWhatThisImplementationDoes() throws {
        let vectors = try Self.make()
        if let path = ProcessInfo.processInfo.environment["SWARM_WRITE_LANE_VECTORS"] { try vectors.write(to: path) }
        let kept = try LaneVectors.load()
        #expect(kept == vectors)
        for vector in kept.packets where vector.frames == nil {
            let bytes = try #require([UInt8](hexadecimal: vector.packet))
            #expect(throws: Refusal.malformed) { try Frame.parse(bytes) }
        }
        for vector in kept.packets {
            guard let frames = vector.frames, let bytes = [UInt8](hexadecimal: vector.packet) else { continue }
            #expect(try Frame.parse(bytes).map(\.vector) == frames)
        }
        for vector in kept.controls {
            let bytes = try #require([UInt8](hexadecimal: vector.bytes))
            #expect(ControlMessage(bytes)?.vector == vector.message)
        }
    }
}
