import Magnet
import NIOCore
import SwarmBase
import SwarmTransport
import Tracker

/// Asks one tracker once. Confined to its event loop.
final class TrackerScrape {
    /// Why there is no answer.
    struct Failure: Error {
        let reason: String
    }

    private let eventLoop: any EventLoop
    private let infoHash: InfoHash
    private let answer: EventLoopPromise<ScrapeReply>
    private var isOver = false
    private var connection: WebSocketConnection?
    private var port: UDPPort?
    private var exchange: UDPTrackerScrape?
    private var timer: LoopTimer?

    init(eventLoop: any EventLoop, infoHash: InfoHash) {
        self.eventLoop = eventLoop
        self.infoHash = infoHash
        answer = eventLoop.makePromise(of: ScrapeReply.self)
    }

    private var now: Instant { Instant(eventLoop.now) }

    /// - Returns: fails with ``Failure``.
    func ask(_ url: String, within limit: Duration) -> EventLoopFuture<ScrapeReply> {
        // Holds this object until it is over.
        eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(limit.nanosecondsClamped)) { () -> Void in
            self.fail("it does not answer")
        }
        switch TrackerLocation(url) {
        case .webSocket(let url): askByWebSocket(url)
        case .http(let url): askByHTTP(url, within: limit)
        case .udp(let host, let port): askByDatagram(host, port)
        case nil: fail("this is no tracker's URL")
        }
        return answer.futureResult
    }

    private func finish(_ result: Result<ScrapeReply, Failure>) {
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        connection?.close()
        port?.close()
        answer.completeWith(result.mapError { $0 as any Error })
    }

    private func fail(_ reason: String) { finish(.failure(Failure(reason: reason))) }

    private func askByWebSocket(_ text: String) {
        guard let url = WebSocketURL(text) else { return fail("this is no tracker's URL") }
        let connection = WebSocketConnection(eventLoop: eventLoop)
        self.connection = connection
        connection.onOpen = { [unowned connection] in connection.send(text: WebSocketScrape.request(self.infoHash)) }
        connection.onMessage = { message in
            do throws(AnnounceError) {
                if let reply = try WebSocketScrape.parse(message.bytes, self.infoHash) { self.finish(.success(reply)) }
            } catch { self.fail(error.reason) }
        }
        connection.onClose = { self.fail("\($0)") }
        connection.open(url)
    }

    private func askByHTTP(_ url: String, within limit: Duration) {
        guard let url = HTTPScrape.url(url, infoHash) else {
            return fail("its URL has no announce to replace by scrape")
        }
        HTTPFetch.askTracker(url, within: limit, on: eventLoop) { body, reason in
            guard let body else { return self.fail(reason) }
            do throws(AnnounceError) {
                self.finish(.success(try HTTPScrape.parse(body, self.infoHash)))
            } catch { self.fail(error.reason) }
        }
    }

    private func askByDatagram(_ host: String, _ number: UInt16) {
        let port = UDPPort(eventLoop: eventLoop)
        self.port = port
        NameResolution.address(of: host, port: number, on: eventLoop).and(port.bind()).assumeIsolated().whenComplete {
            guard case .success((let address, _)) = $0 else { return self.fail("no socket can be bound") }
            guard let address else { return self.fail("its name cannot be found") }
            guard !self.isOver else { return }
            self.timer = LoopTimer(eventLoop: self.eventLoop) { [weak self] in
                guard let self else { return }
                self.exchange?.handleTimeout(now: self.now)
                self.drain()
            }
            port.onDatagram = { datagram, source in
                self.exchange?.handle(datagram, from: source, now: self.now)
                self.drain()
            }
            self.exchange = UDPTrackerScrape(
                address: address, infoHash: self.infoHash, entropy: .system, now: self.now)
            self.drain()
        }
    }

    private func drain() {
        while let transmit = exchange?.pollTransmit() { port?.send(transmit) }
        port?.flush()
        timer?.schedule(at: exchange?.nextTimeout)
        switch exchange?.result {
        case .success(let reply): finish(.success(reply))
        case .failure(let error): fail(error.reason)
        case nil: break
        }
    }
}
