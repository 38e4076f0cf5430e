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
  /** A relay has it for a member that is away, which gets it when it returns, though this one be gone. */
  | { type: "stored"; to: PeerID; sequence: number }
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

export interface LinkStatus {
  url: string;
  kind: "relay" | "tracker";
  state: "connecting" | "open" | "waiting";
  framesSent: number;
  framesReceived: number;
}

export declare class Message {
  readonly from: PeerID;
  /** Counts what the sender sent to us, from 1. */
  readonly sequence: number;
  readonly path: Path;
  readonly isText: boolean;
  readonly bytes: Uint8Array;
  /** The same if the message is handed on again, after a page died while it was being taken. */
  readonly id: string;
  readonly text: string;
  /** The value that it holds as JSON; throws when it holds something else. */
  json(): unknown;
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

/** Why a message was not taken. */
export declare class SendError extends Error {}

export declare class Swarm {
  readonly peerID: PeerID;
  readonly magnet: string;
  readonly title: string | null;
  readonly graph: Graph;
  /** To be read in one place. A message counts as taken when the next is asked for. */
  readonly messages: AsyncIterable<Message>;
  readonly events: AsyncIterable<SwarmEvent>;
  readonly peers: Peer[];
  readonly status: { links: LinkStatus[]; refusals: Record<string, number>; unacknowledgedWrites: number } | null;
  on(listener: (event: SwarmEvent) => void): () => void;
  /** Its number among those to this member, once it is kept. */
  send(peer: PeerID, value: string | BufferSource | object): Promise<number>;
  /** The message's number for each member that is here. */
  broadcast(value: string | BufferSource | object): Promise<Map<PeerID, number>>;
  block(path: "direct" | "relay" | "mesh", peer?: PeerID): void;
  unblock(path: "direct" | "relay" | "mesh", peer?: PeerID): void;
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
  /** Where identity and conversations are kept. */
  storage?: "browser" | "memory";
  /** An identity of SEA's in place of the browser's own. */
  identity?: { pub: string; priv: string };
}

/** Joins a swarm, by a magnet link or by its name. It does not wait until somebody is found. */
export declare function join(invite: string | Invite, options?: JoinOptions): Promise<Swarm>;
