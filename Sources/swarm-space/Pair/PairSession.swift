import DataChannels

/// How `pair` was started.
struct PairOptions: Sendable {
    var isAnswering = false
    var isEchoing = false
    var endpoint = EndpointConfiguration()
}

/// One peer connection on a UDP port of its own, driven by instructions and telling what happens.
actor PairSession {
    private let options: PairOptions
    private let report: @Sendable (PairReport) -> Void
    private let endpoint: Endpoint
    private let connection: PeerConnection
    /// The newest channel of each label.
    private var labels: [String: DataChannel] = [:]
    private var channelTasks: [Task<Void, Never>] = []

    /// Binds the port, and finds out under which addresses it can be reached.
    ///
    /// - Parameter report: called for everything that happens, one after another.
    static func open(
        _ options: PairOptions, report: @escaping @Sendable (PairReport) -> Void
    ) async throws(DataChannelsError) -> PairSession {
        let endpoint = try await Endpoint.open(options.endpoint)
        let session = PairSession(options, try await endpoint.connect(), report: report)
        Task { for await event in endpoint.events { await session.take(event) } }
        // Descriptions carry all candidates.
        await endpoint.gathered()
        return session
    }

    private init(_ options: PairOptions, _ connection: PeerConnection, report: @escaping @Sendable (PairReport) -> Void)
    {
        self.options = options
        self.report = report
        self.connection = connection
        endpoint = connection.endpoint
    }

    /// Makes the offer, unless it is to answer, and does what it is told until the connection is over.
    func run(_ instructions: PairInstructions) async {
        let incoming = Task { for await channel in connection.channels { follow(channel, isOpen: true) } }
        let reader = Task {
            if !options.isAnswering {
                await perform(.open(label: "main", DataChannelOptions()))
                await offer(restart: false)
            }
            for await instruction in instructions {
                await perform(instruction)
                instructions.done()
            }
        }
        for await state in connection.states {
            // What the channels have to say comes before the end of all.
            if state == .closed {
                await incoming.value
                for task in channelTasks { await task.value }
            }
            report(.state(state))
        }
        report(.closed)
        reader.cancel()
        instructions.finish()
        await endpoint.close()
    }

    /// Says goodbye to the peer and ends; `lingering` lets it have what was sent before.
    func close(lingering: Bool) async { await connection.close(lingering: lingering) }

    // MARK: Instructions

    private func perform(_ instruction: PairInstruction) async {
        do {
            switch instruction {
            case .description(let description):
                if description.kind == .offer {
                    report(.description(try await connection.accept(offer: description)))
                } else {
                    try await connection.accept(answer: description)
                }
            case .candidate(let candidate): await connection.addCandidate(candidate)
            case .open(let label, let options): follow(try await connection.openChannel(label, options), isOpen: false)
            case .send(let label, let message): try await channel(label).send(message)
            case .close(let label): try channel(label).close()
            case .restart: await offer(restart: true)
            case .disconnect: await close(lingering: false)
            }
        } catch let error as PairInputError {
            report(.error(error.message))
        } catch {
            report(.error("refused: \(error)"))
        }
    }

    private func offer(restart: Bool) async {
        do {
            let offer = restart ? try await connection.restartICE() : try await connection.createOffer()
            report(.description(offer))
        } catch {
            report(.error("cannot offer: \(error)"))
        }
    }

    private func channel(_ label: String) throws(PairInputError) -> DataChannel {
        guard let channel = labels[label] else { throw PairInputError(message: "no channel of that label") }
        return channel
    }

    // MARK: What happens

    /// Tells what happens on a channel, and answers if that is wanted.
    private func follow(_ channel: DataChannel, isOpen: Bool) {
        labels[channel.label] = channel
        channelTasks.append(
            Task {
                do {
                    if !isOpen { try await channel.opened() }
                    report(.open(channel))
                    for await message in channel.messages {
                        report(.message(channel, message))
                        if options.isEchoing { try await channel.send(message) }
                    }
                } catch DataChannelsError.closed {
                    // The peer, or we, have closed it: so be it.
                } catch {
                    report(.error("cannot echo: \(error)"))
                }
                await channel.closed()
                report(.channelClosed(channel))
                if labels[channel.label] === channel { labels[channel.label] = nil }
            })
    }

    private func take(_ event: EndpointEvent) {
        guard case .serverFailed(let server, let reason) = event else { return }
        report(.error("\(server) \(reason)"))
    }
}
