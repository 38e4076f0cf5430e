/** A member of a swarm in a browser: see `join`. */

/** The public half of an identity: two base64url numbers of 32 bytes, joined by a dot. */
export type PeerID = string;

/** One way to reach a member. */
export type Path = "direct" | "turn" | "mesh" | "relay";

/** What a node of the graph may hold: `null` stands for what is deleted, `{"#": soul}` is a link. */
export type GunValue = null | boolean | number | string | { "#": string };

export type SwarmEvent =
  | { type: "discovered"; peer: PeerID; plane: "gun" | "tracker" | "mesh" }
  | { type: "peer"; peer: PeerID; name: string; path: Path }
  | { type: "path"; peer: PeerID; path: Path; rtt: number | null }
  | { type: "message"; message: Message }
  | { type: "delivered"; to: PeerID; sequence: number }
  /** It was not handed on before its deadline, and never will be. */
  | { type: "expired"; to: PeerID; sequence: number }
  /** It was not taken, and never will be. */
  | { type: "rejected"; to: PeerID; sequence: number; reason: Rejection }
  /** A relay has it for a member that is away, which gets it when it returns, though this one be gone. */
  | { type: "stored"; to: PeerID; sequence: number }
  /** Nothing is heard of it any more. What is sent to it waits; it is `peer` again when it returns, and `left` when it does not for a minute. */
  | { type: "away"; peer: PeerID }
  /** It said good-bye, runs anew, or was away for too long. */
  | { type: "left"; peer: PeerID }
  | { type: "state"; soul: string; key: string; value: GunValue }
  | { type: "link"; url: string; isOpen: boolean }
  | { type: "warning"; message: string };

export interface Peer {
  id: PeerID;
  /** What it calls itself; anything. */
  name: string;
  path: Path;
  /** On a mesh path: the member that passes on. */
  through: PeerID | null;
  /** Milliseconds; `null` before it was measured. */
  rtt: number | null;
  /** Bytes that wait for its acknowledgement. */
  backlog: number;
}

/** One member in the roster. */
export interface RosterEntry {
  id: PeerID;
  /** What it calls itself; anything. */
  name: string;
  /** It was here and may come back: nothing is heard of it at present. */
  isAway: boolean;
  /** The ways that lead to it, the one in use first; `rtt` in milliseconds. */
  paths: { path: Path; rtt: number | null; isSuspect: boolean; isInUse: boolean }[];
}

export interface LinkStatus {
  url: string;
  kind: "relay" | "tracker";
  state: "connecting" | "open" | "waiting";
  framesSent: number;
  framesReceived: number;
}

/** How urgent something is. What is more urgent goes first, and a larger part of what goes is its; nothing starves. */
export type Priority = "low" | "normal" | "high" | "urgent";

/** What can be sent: a text, bytes, or a value as JSON. */
export type Sendable = string | BufferSource | object;

/** Why a message was not taken by the other; `blockedHere`: this member has blocked the other, or sent it away. */
export type Rejection = "refused" | "tooLarge" | "notAdmitted" | "kicked" | "blocked" | "blockedHere";

/** What became of a message. */
export type MessageOutcome = "delivered" | "expired" | "rejected";

/** What came: bytes, and ways to read them. */
export interface Payload {
  readonly bytes: Uint8Array;
  readonly text: string;
  /** The value that it holds as JSON; throws when it holds something else. */
  json(): unknown;
}

export declare class Message implements Payload {
  readonly from: PeerID;
  /** Its number among all that the sender sent to us. */
  readonly sequence: number;
  readonly path: Path;
  readonly isText: boolean;
  readonly bytes: Uint8Array;
  /** The same if the message is handed on again, after a page died while it was being taken. */
  readonly id: string;
  readonly text: string;
  json(): unknown;
}

export interface SendOptions {
  /** What is more urgent overtakes what waits; messages of one priority stay in order. */
  priority?: Priority;
  /** Whether it is handed on after those sent before it with the same priority, or as soon as it is there. */
  ordered?: boolean;
  /** When it is of no use any more, in milliseconds since 1970: it is `expired` then, unless it was handed on. */
  deadline?: number | Date;
}

/** Names a message, and tells what becomes of it. Nobody needs to keep it: events tell the same. */
export interface Receipt {
  readonly peer: PeerID;
  /** The message's number among those to this member. */
  readonly number: number;
  /** `null` while it is not known. */
  readonly knownOutcome: MessageOutcome | null;
  /** Why it was rejected, if it was. */
  readonly rejection: Rejection | null;
  /** Waits until it is known; rejects when the swarm is left before. */
  outcome(): Promise<MessageOutcome>;
}

export interface RequestOptions {
  /** How long the answer is waited for, in milliseconds; `null` for as long as both run. 30 s unless said otherwise. */
  timeout?: number | null;
  priority?: Priority;
  /** When it is aborted the other is told, and so is its handler. */
  signal?: AbortSignal;
}

/** A request has no answer. */
export declare class RequestError extends Error {
  readonly code: "failed" | "unknownAction" | "refused" | "busy" | "timedOut" | "interrupted" | "unsupported";
  /** What the other says of it. */
  readonly reason: string;
}

/** To be thrown by a handler that does not want to do what it is asked for. */
export declare class ActionRefusal extends Error {
  constructor(reason: string);
}

/** What it gives is answered, sent as `send` would; `signal` is aborted when nobody waits for the answer any more. */
export type RequestHandler = (payload: Payload, peer: PeerID, context: { signal: AbortSignal }) => Sendable | void | Promise<Sendable | void>;

/** A byte stream ended before both directions had come whole. */
export declare class StreamReset extends Error {
  /** From here on codes are the application's own. */
  static readonly firstOfApplication: 256;
  constructor(code: number);
  /** 0 unwanted, 1 refused, 2 against the rules, 3 too many, 254 interrupted, 255 unsupported, or the application's. */
  readonly code: number;
}

/** One byte stream between two members, with two directions; each waits while the other side does not keep up. It ends with the run of either. */
export interface SwarmStream {
  readonly peer: PeerID;
  /** What it is for, as the opener says. */
  readonly name: string;
  readonly readable: ReadableStream<Uint8Array>;
  /** `close` waits until all has arrived. */
  readonly writable: WritableStream<BufferSource>;
  /** How far it is, in bytes. */
  readonly progress: { acknowledged: number; received: number };
  /** Waits until all that was written has arrived, the end too. */
  drained(): Promise<void>;
  /** Ends both directions at once. */
  reset(code?: number): void;
}

export declare class Invite {
  readonly infoHash: Uint8Array;
  readonly name: string | null;
  readonly trackers: string[];
  readonly relays: string[];
  readonly secret: string | undefined;
  /** The magnet link by which others join; it never holds the secret. */
  readonly magnet: string;
  static parse(text: string, options?: { secret?: string; trackers?: string[]; relays?: string[] }): Promise<Invite>;
}

export declare class GraphNode implements AsyncIterable<{ key: string; value: GunValue }> {
  readonly soul: string;
  put(values: Record<string, GunValue>): this;
  readonly value: Record<string, GunValue>;
  /** Reports every change from now on, and what is known already, until the returned function is called. */
  on(listener: (key: string, value: GunValue) => void): () => void;
  [Symbol.asyncIterator](): AsyncIterator<{ key: string; value: GunValue }>;
}

export declare class Graph {
  get(soul: string): GraphNode;
  /** This member's own node: what is written there it signs, and nobody else writes. */
  readonly own: GraphNode;
  /** The node of a member, which only that member writes. */
  user(peer: PeerID): GraphNode;
}

/** Why a message was not taken, or a request or byte stream not begun. */
export declare class SendError extends Error {}

export declare class Swarm {
  readonly peerID: PeerID;
  readonly magnet: string;
  readonly title: string | null;
  readonly graph: Graph;
  /** To be read in one place. A message counts as taken when the next is asked for. */
  readonly messages: AsyncIterable<Message>;
  readonly events: AsyncIterable<SwarmEvent>;
  /** The members a session is up with. */
  readonly peers: Peer[];
  /** Who is here or away. */
  readonly roster: RosterEntry[];
  readonly status: { links: LinkStatus[]; refusals: Record<string, number>; unacknowledgedWrites: number } | null;
  on(listener: (event: SwarmEvent) => void): () => void;
  /** Once it is kept. It goes out as soon as there is a path. */
  send(peer: PeerID, value: Sendable, options?: SendOptions): Promise<Receipt>;
  /** The message's number for each member that is here. */
  broadcast(value: Sendable, options?: { priority?: Priority }): Promise<Map<PeerID, number>>;
  /** How much of a message the other has, in bytes; `null` when it does not wait any more. */
  progress(receipt: { peer: PeerID; number: number }): { received: number; size: number } | null;
  /** Does what members ask for under a name from now on. */
  handle(action: string, handler: RequestHandler): void;
  /** Asks a member to do something; rejects with a `RequestError` when there is no answer. */
  request(peer: PeerID, action: string, value?: Sendable, options?: RequestOptions): Promise<Payload>;
  openStream(peer: PeerID, options?: { name?: string; priority?: Priority }): Promise<SwarmStream>;
  /** Takes byte streams of a name from now on. When a handler is through, its stream is closed; what it did not read is not wanted. */
  acceptStreams(name: string, handler: (stream: SwarmStream) => unknown): void;
  /** Ends the conversation with a member: it may come again after a minute, or when it runs anew. */
  kick(peer: PeerID): void;
  /** Refuses a member: it gets nothing of us and we nothing of it. */
  block(peer: PeerID): void;
  /** Fault injection: what would take the path is dropped. */
  block(path: "direct" | "relay" | "mesh", peer?: PeerID): void;
  /** Ends what `block` or `kick` began. */
  unblock(peer: PeerID): void;
  unblock(path: "direct" | "relay" | "mesh", peer?: PeerID): void;
  /** The members that are blocked. */
  readonly blocked: PeerID[];
  leave(): Promise<void>;
}

export interface JoinOptions {
  /** What others see, at most 64 bytes of UTF-8. */
  name?: string;
  /** The passphrase of a private swarm. */
  secret?: string;
  trackers?: string[];
  relays?: string[];
  iceServers?: RTCIceServer[];
  paths?: ("direct" | "turn" | "relay" | "mesh")[];
  /** Whether it hands on, within limits, what two others say who do not reach each other; `true` unless said otherwise. */
  forwards?: boolean;
  /** Whether a member takes part in conversations with this one; asked at each of its runs. */
  admits?: (applicant: { peer: PeerID; name: string }) => boolean;
  /** Whether a message is taken; its sender learns that it was rejected. */
  accepts?: (sender: PeerID, message: { isText: boolean; bytes: Uint8Array }) => boolean;
  /** What each member may send; what is more waits there. */
  rateLimit?: { messagesPerSecond: number; bytesPerSecond: number; burst?: number };
  /** Where identity and conversations are kept. */
  storage?: "browser" | "memory";
  /** An identity of SEA's in place of the browser's own. */
  identity?: { pub: string; priv: string };
}

/** Joins a swarm, by a magnet link or by its name. It does not wait until somebody is found. */
export declare function join(invite: string | Invite, options?: JoinOptions): Promise<Swarm>;
