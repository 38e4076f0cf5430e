import SwarmBase
import SwarmTransport
import Testing

@testable import Supernode

@Suite struct StatusAccessTests {
    private func request(
        from address: IPAddress, host: String? = "127.0.0.1:7750", _ headers: [(name: String, value: String)] = []
    ) -> HTTPRequest {
        HTTPRequest(
            path: "/status.json", headers: (host.map { [(name: "Host", value: $0)] } ?? []) + headers,
            remoteAddress: TransportAddress(address, port: 50_000))
    }

    private let loopback = IPAddress.v4(0x7f00_0001)
    private let elsewhere = IPAddress.v4(0x0a4d_0002)

    @Test(arguments: ["127.0.0.1:7750", "localhost:7750", "[::1]:7750"])
    func thisHostSeesIt(host: String) {
        #expect(StatusAccess(token: nil).decide(request(from: loopback, host: host)) == .granted)
    }

    @Test func othersNeedTheToken() {
        #expect(StatusAccess(token: nil).decide(request(from: elsewhere)) == .hostOnly)
        let access = StatusAccess(token: "clover")
        #expect(access.decide(request(from: elsewhere)) == .tokenNeeded)
        for wrong in ["clover", "Bearer", "Bearer ", "Bearer clove", "Bearer clover1", "Bearer Clover"] {
            let request = request(from: elsewhere, [(name: "Authorization", value: wrong)])
            #expect(access.decide(request) == .tokenNeeded, "\(wrong)")
        }
        #expect(
            access.decide(request(from: elsewhere, [(name: "Authorization", value: "Bearer clover")])) == .granted)
    }

    @Test func aProxyAndAForeignNameAreNotThisHost() {
        let access = StatusAccess(token: nil)
        #expect(
            access.decide(request(from: loopback, [(name: "X-Forwarded-For", value: "10.0.0.1")])) == .hostOnly)
        #expect(access.decide(request(from: loopback, host: "evil.example")) == .hostOnly)
        #expect(access.decide(request(from: loopback, host: nil)) == .hostOnly)
    }
}

@Suite struct StatusHistoryTests {
    private func sample(_ seconds: Int, announces: Int) -> StatusHistory.Sample {
        StatusHistory.Sample(at: Instant.zero + .seconds(seconds), announces: announces)
    }

    @Test func ratesAreOfTheLastMinute() {
        var history = StatusHistory()
        #expect(history.rate(\.announces) == 0)
        history.note(sample(0, announces: 1000))
        #expect(history.rate(\.announces) == 0)
        history.note(sample(100, announces: 1000))
        history.note(sample(110, announces: 1020))
        #expect(history.rate(\.announces) == 2)
    }

    @Test func itIsBounded() {
        var history = StatusHistory()
        for second in 0..<(StatusHistory.most + 5) { history.note(sample(second, announces: second)) }
        #expect(history.samples.count == StatusHistory.most)
        #expect(history.samples.first?.announces == 5)
    }
}

@Suite struct WebFilesTests {
    private let files = WebFiles()

    private func status(_ headers: [(name: String, value: String)]) -> Int? {
        files.response(to: HTTPRequest(path: "/swarm-space.js", headers: headers))?.status
    }

    @Test func theMemberAndThePagesAreThere() {
        let paths = files.paths
        for path in ["/swarm-space.js", "/page/index.html", "/page/status.html", "/base/bytes.js"] {
            #expect(paths.contains(path))
        }
        #expect(!paths.contains { $0.hasPrefix("/tests/") })
        #expect(files.response(to: HTTPRequest(path: "/no-such.js")) == nil)
    }

    @Test func gzipIsForThoseWhoTakeIt() {
        for field in ["gzip", "br, GZIP;q=0.5", "*"] { #expect(WebFiles.acceptsGzip(field), "\(field)") }
        for field in ["", "br", "gzip;q=0", "gzip; q=0.000", "identity"] {
            #expect(!WebFiles.acceptsGzip(field), "\(field)")
        }
    }

    @Test func aKnownTagIsNotSentAgain() throws {
        let response = try #require(files.response(to: HTTPRequest(path: "/swarm-space.js")))
        let tag = try #require(response.headers.first { $0.name == "ETag" }?.value)
        #expect(status([(name: "If-None-Match", value: tag)]) == 304)
        #expect(status([(name: "If-None-Match", value: "\"other\", W/\(tag)")]) == 304)
        #expect(status([(name: "If-None-Match", value: "\"other\"")]) == 200)
        #expect(
            status([(name: "If-None-Match", value: tag), (name: "Accept-Encoding", value: "gzip")]) == 200,
            "each form has a tag of its own")
    }
}
