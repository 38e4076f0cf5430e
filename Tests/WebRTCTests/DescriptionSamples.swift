/// Descriptions in the shape in which the common peers write them.
enum DescriptionSamples {
    static let digest =
        "12:34:56:78:9A:BC:DE:F0:12:34:56:78:9A:BC:DE:F0:12:34:56:78:9A:BC:DE:F0:12:34:56:78:9A:BC:DE:F0"
    static let digest384 = digest + ":" + digest.prefix(47)
    static let digest512 = digest + ":" + digest

    /// libwebrtc: Chromium, Safari.
    static let chromium = crlf(
        """
        v=0
        o=- 4962303333179871722 2 IN IP4 127.0.0.1
        s=-
        t=0 0
        a=group:BUNDLE 0
        a=extmap-allow-mixed
        a=msid-semantic: WMS
        m=application 51000 UDP/DTLS/SCTP webrtc-datachannel
        c=IN IP4 192.0.2.7
        a=candidate:1467250027 1 udp 2122260223 192.0.2.7 51000 typ host generation 0 network-id 1
        a=candidate:435653019 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active generation 0 network-id 1
        a=candidate:222 1 udp 2122194687 2f6d6f4a-5cd1-4c6b-9d1a-0c8c8ab8d4f5.local 51001 typ host generation 0
        a=ice-ufrag:FzPr
        a=ice-pwd:mSD4vDHUcUbFnWDDfDCbnM1c
        a=ice-options:trickle
        a=fingerprint:sha-256 \(digest)
        a=setup:actpass
        a=mid:0
        a=sctp-port:5000
        a=max-message-size:262144
        """)

    static let firefox = crlf(
        """
        v=0
        o=mozilla...THIS_IS_SDPARTA-99.0 8230482304820034 0 IN IP4 0.0.0.0
        s=-
        t=0 0
        a=fingerprint:sha-256 \(digest)
        a=group:BUNDLE 0
        a=ice-options:trickle
        a=msid-semantic:WMS *
        m=application 45001 UDP/DTLS/SCTP webrtc-datachannel
        c=IN IP4 192.0.2.8
        a=candidate:0 1 UDP 2122252543 192.0.2.8 45001 typ host
        a=candidate:1 1 TCP 2105524479 192.0.2.8 9 typ host tcptype active
        a=candidate:2 1 UDP 1686052863 198.51.100.4 45001 typ srflx raddr 192.0.2.8 rport 45001
        a=sendrecv
        a=end-of-candidates
        a=ice-pwd:0123456789abcdef0123456789abcdef
        a=ice-ufrag:89abcdef
        a=mid:0
        a=setup:actpass
        a=sctp-port:5000
        a=max-message-size:1073741823
        """)

    static let aiortc = crlf(
        """
        v=0
        o=- 3950000000 3950000000 IN IP4 0.0.0.0
        s=-
        t=0 0
        a=group:BUNDLE 0
        a=msid-semantic:WMS *
        m=application 40000 UDP/DTLS/SCTP webrtc-datachannel
        c=IN IP4 192.0.2.9
        a=mid:0
        a=sctp-port:5000
        a=max-message-size:65536
        a=candidate:0123456789abcdef0123456789abcdef 1 udp 2130706431 192.0.2.9 40000 typ host
        a=candidate:fedcba9876543210fedcba9876543210 1 udp 1694498815 198.51.100.9 40000 typ srflx raddr 192.0.2.9 rport 40000
        a=end-of-candidates
        a=ice-ufrag:a1B2
        a=ice-pwd:abcdefghijklmnopqrstuv
        a=fingerprint:sha-256 \(digest)
        a=fingerprint:sha-384 \(digest384)
        a=fingerprint:sha-512 \(digest512)
        a=setup:actpass
        """)

    static let libdatachannel = crlf(
        """
        v=0
        o=rtc 2707215541 0 IN IP4 127.0.0.1
        s=-
        t=0 0
        a=group:BUNDLE data
        a=group:LS data
        a=msid-semantic:WMS *
        a=ice-options:ice2,trickle
        a=fingerprint:sha-256 \(digest)
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel
        c=IN IP4 0.0.0.0
        a=mid:data
        a=sendrecv
        a=sctp-port:5000
        a=max-message-size:262144
        a=setup:active
        a=ice-ufrag:xY9z
        a=ice-pwd:ABCDEFGHIJKLMNOPQRSTUV
        """)

    /// The form before RFC 8841, as old simple-peer applications send it.
    static let old = crlf(
        """
        v=0
        o=- 1 2 IN IP4 127.0.0.1
        s=-
        t=0 0
        a=group:BUNDLE data
        m=application 9 DTLS/SCTP 5000
        c=IN IP4 0.0.0.0
        a=ice-ufrag:abcd
        a=ice-pwd:abcdefghijklmnopqrstuvwx
        a=fingerprint:sha-256 \(digest)
        a=setup:actpass
        a=mid:data
        a=sctpmap:5000 webrtc-datachannel 1024
        """)

    /// Media before and behind the data section.
    static let withMedia = crlf(
        """
        v=0
        o=- 1 2 IN IP4 127.0.0.1
        s=-
        t=0 0
        a=group:BUNDLE 0 1 2
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63
        c=IN IP4 0.0.0.0
        a=mid:0
        a=ice-ufrag:aaaa
        a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
        a=setup:actpass
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel
        c=IN IP4 0.0.0.0
        a=ice-ufrag:abcd
        a=ice-pwd:abcdefghijklmnopqrstuvwx
        a=fingerprint:sha-256 \(digest)
        a=setup:actpass
        a=mid:1
        a=sctp-port:5000
        m=video 9 UDP/TLS/RTP/SAVPF 96
        c=IN IP4 0.0.0.0
        a=mid:2
        """)

    static let all = [chromium, firefox, aiortc, libdatachannel, old, withMedia]

    static func crlf(_ text: String) -> String {
        text.split(separator: "\n").joined(separator: "\r\n") + "\r\n"
    }
}
