import { EventEmitter } from 'node:events';

/** Any value that JSON can hold, or bytes, which are kept as they are. */
export type State = unknown;
/** An instant: RFC 3339, or a Date. */
export type Instant = string | Date;

export interface CallOptions {
  /** Ends the call; its reason is thrown. */
  signal?: AbortSignal;
  /** Of one attempt, in ms; 0: none. */
  timeout?: number;
}

export interface RetryPolicy {
  /** In all, the first one included. */
  attempts?: number;
  /** The pause after the first attempt; it doubles up to maxMs. */
  minMs?: number;
  maxMs?: number;
  /** No attempt begins later than this after the first; of calls without a timeout, after the first failure. */
  totalMs?: number;
}

export interface HoldfastOptions {
  /** Else HOLDFAST_TOKEN. */
  token?: string;
  /** Else HOLDFAST_SYSTEM, else `default`. */
  system?: string;
  /** Of one attempt, in ms; 30000. Snapshots, restores, validations, comparisons and forks have none. */
  timeout?: number;
  /** false: never try again. */
  retry?: RetryPolicy | false;
  /** Options of node:tls: ca, cert, key. */
  tls?: Record<string, unknown>;
  /** Of connect(). */
  signal?: AbortSignal;
}

export class HoldfastError extends Error {
  constructor(code: string, detail: string, more?: Record<string, unknown>);
  /** Programs decide by this: a code of the service, or of the client (connection_lost, bad_answer, queue_full …). */
  code: string;
  detail: string;
  /** 0: there was no answer. */
  status: number;
  /** The same call may succeed later. */
  retryable: boolean;
  requestId: string | null;
  retryAfterMs?: number;
  currentEtag?: string | null;
  component?: string;
  epoch?: number;
  limit?: number;
  cycle?: string;
  /** How often the call was tried. */
  attempts?: number;
  /** The outcome of an attempt before the last is not known. */
  uncertain?: boolean;
  /** The service itself gave this answer, and not something on the way to it. */
  readonly fromService: boolean;
  readonly nothingDone: boolean;
  readonly outcomeUnknown: boolean;
}

export interface Registration {
  kind?: string;
  dependsOn?: string[];
  heartbeatIntervalMs?: number;
  requiredPointers?: string[];
}

export interface SaveOptions extends CallOptions {
  contentType?: string;
  /** Only over the version with this ETag; else precondition_failed. */
  ifMatch?: string;
  /** Only if there is no state yet. */
  ifNoneMatch?: '*';
  /** stale_epoch if the system was restored since; else that of the client; null: none. */
  epoch?: number | null;
  /** The save becomes an event of this name. */
  event?: string;
  /** And an incremental snapshot is taken at once. */
  eventSnapshot?: boolean;
}

export interface EncodedState {
  bytes: Buffer;
  contentType: string;
  hash: string;
}

export interface Receipt {
  system: string;
  component: string;
  version: number;
  sequence: number;
  epoch: number;
  hash: string;
  bytes: number;
  unchanged: boolean;
  durability: 'database';
  committedAt: string | null;
  nextIncrementalBackup: number | null;
  etag?: string;
  /**
   * Only of a Saver: a later write of the same client, which did not come through it, was stored first and stays. Then
   * version is 0, and nothing else is known.
   */
  superseded?: true;
}

export interface BatchItem {
  component: string;
  state: State;
  contentType?: string;
  ifMatch?: string;
  ifNoneMatch?: '*';
  event?: string;
}

export interface LoadOptions extends CallOptions {
  version?: number;
  at?: Instant;
  sequence?: number;
  snapshot?: string;
  ifMatch?: string;
}

export interface LoadedState<T = any> {
  component: string;
  /** The JSON value; a Buffer when the content type is not JSON. */
  value: T;
  bytes: Buffer;
  contentType: string;
  hash: string;
  version: number;
  sequence: number;
  epoch: number;
  etag: string;
  cutAt: string | null;
  snapshot: string | null;
}

export interface Heartbeat {
  health?: number;
  status?: string;
  metrics?: Record<string, number>;
}

export interface Version {
  version: number;
  sequence: number;
  hash: string | null;
  bytes: number;
  contentType: string | null;
  committedAt: string;
  event: string | null;
  deleted: boolean;
}

export interface Component extends Required<Registration> {
  name: string;
  registeredAt: string | null;
  version: number;
  sequence: number;
  hash: string | null;
  bytes: number;
  contentType: string | null;
  committedAt: string | null;
  createdAt: string | null;
  lastActivityAt: string | null;
  heartbeatAt: string | null;
  health: number;
  healthLabel: 'healthy' | 'stale' | 'failed' | 'unknown';
  status: string;
  metrics: Record<string, number>;
  damaged: boolean;
}

export interface Snapshot {
  id: string;
  system: string;
  state: 'complete' | 'failed' | 'damaged';
  kind: 'full' | 'incremental';
  trigger: string;
  label: string;
  reason: string;
  generation: string;
  parent: string | null;
  sequence: number;
  epoch: number;
  rootHash: string;
  components: number;
  changed: number;
  deleted: number;
  stateBytes: number;
  fileBytes: number;
  file: string;
  cutAt: string;
  completedAt: string | null;
  durationMs: number;
  validation: { status: string; checkedAt: string | null; qualityScore: number | null };
  pinned: boolean;
  expiresAt: string | null;
  /** Of snapshot(): nothing changed, this is the one before. */
  unchanged?: boolean;
}

export interface ValidationResult {
  snapshot: string;
  status: 'valid' | 'healed' | 'damaged';
  checkedAt: string;
  qualityScore: number;
  checks: Array<{ name: string; status: string; detail: string; score: number }>;
  lost: Array<{ component: string; version: number; hash: string; bytes: number }>;
  lostAll: boolean;
  contentsHealed: number;
  blobsChecked: number;
  bytesChecked: number;
  durationMs: number;
}

export interface RestoreRequest {
  snapshot?: string;
  at?: Instant;
  components?: string[];
  includeDependencies?: boolean;
  maxAgeMs?: number;
  dryRun?: boolean;
  salvage?: boolean;
  reason?: string;
}

export type ReportStatus = 'restored' | 'failed' | 'fresh';

export interface RecoveryPart {
  component: string;
  status: ReportStatus | 'pending';
  version?: number;
  restoredVersion?: number | null;
  hash?: string | null;
  bytes?: number;
  ageMs?: number;
  dataLossMs?: number;
  versionsLost?: number;
  because?: string;
  detail?: string | null;
  durationMs?: number | null;
  reportedAt?: string | null;
}

export interface Recovery {
  id: string;
  system: string;
  source: 'head' | 'snapshot' | 'at';
  snapshot: string | null;
  at: string | null;
  status: 'planned' | 'pending' | 'applied' | 'completed' | 'failed' | 'fresh';
  reason: string;
  epoch: number;
  sequenceBefore: number;
  sequenceAfter: number;
  startedAt: string;
  completedAt: string | null;
  dataLoss: { ms: number; versions: number; bytes: number; components: number };
  cut: { sequence: number; at: string | null; snapshot: string | null; exact: boolean } | null;
  waves: RecoveryPart[][];
  removed: string[];
  warnings: Array<{ component: string; dependency: string; text: string }>;
  skipped: Array<{ snapshot: string; reason: string; extraDataLossMs?: number | null; extraVersions?: number | null }>;
  failed: string[];
  silent: string[];
  /** What else the service tells: steps, progress, waveTimes, lost, salvage … */
  [more: string]: unknown;
}

export interface Report {
  status: ReportStatus;
  detail?: string;
  durationMs?: number;
}

export interface HydrationContext {
  recovery: Recovery;
  wave: number;
  /** What failed in the waves before. */
  failed: string[];
  signal?: AbortSignal;
}

export type BringUp = (
  component: string,
  state: LoadedState | null,
  context: HydrationContext,
) => ReportStatus | Report | void | Promise<ReportStatus | Report | void>;

export interface HydrationOptions {
  reason?: string;
  /** These only; each must have a state. */
  components?: string[];
  /** With components: also what they depend on. */
  includeDependencies?: boolean;
  /** How many of a wave at a time; 8. */
  concurrency?: number;
  /** After a failure what comes in later waves is reported as failed without being asked. */
  stopOnFailure?: boolean;
  signal?: AbortSignal;
}

export interface HydrationResult {
  recovery: Recovery;
  reports: Array<Report & { component: string; wave: number; error?: unknown }>;
  restored: string[];
  fresh: string[];
  failed: string[];
}

export interface Diff {
  from: { sequence: number; at: string | null; snapshot: string | null; exact: boolean };
  to: { sequence: number; at: string | null; snapshot: string | null; exact: boolean };
  counts?: { added: number; removed: number; changed: number; unchanged: number };
  changes?: Array<Record<string, unknown> & { component: string; change: 'added' | 'removed' | 'changed' }>;
  component?: string;
  change?: 'added' | 'removed' | 'changed' | 'unchanged';
  patch?: object[] | null;
  reason?: string | null;
  [more: string]: unknown;
}

export interface SystemSettings {
  description?: string;
  backupIntervalMs?: number | null;
  incrementalIntervalMs?: number | null;
  maxRetentionHours?: number | null;
}

export interface SystemInfo extends Required<SystemSettings> {
  name: string;
  sequence: number;
  epoch: number;
  components: number;
  stateBytes: number;
  createdAt: string | null;
  committedAt: string | null;
  [more: string]: unknown;
}

export interface SystemStatus {
  status: string;
  systemHealth: { overallHealth: number; healthy: number; stale: number; failed: number };
  /** Epoch ms. */
  nextFullBackup: number;
  nextIncrementalBackup: number;
  lastFullBackup: { id: string; cutAt: string; validation: string } | null;
  lastIncrementalBackup: { id: string; cutAt: string; validation: string } | null;
  components: number;
  activeAgents: number;
  metricTotals: Record<string, number | null>;
  warnings: string[];
  [more: string]: unknown;
}

export interface ServiceEvent {
  /** None in the last event of a stream. */
  id?: number;
  occurredAt: string;
  severity: 'info' | 'warning' | 'error';
  type: string;
  system: string;
  text: string;
  data: Record<string, unknown>;
}

export interface EventsOptions {
  /** Begin after this id; 0: with the oldest kept. Left out: with the next. */
  after?: number;
  /** This one alone; left out: all. */
  severity?: 'info' | 'warning' | 'error';
  /** Come again when nothing came for so long, in ms; 45000. */
  idleTimeout?: number;
  /** false: end with the first connection. */
  reconnect?: boolean;
  signal?: AbortSignal;
}

export interface PageOptions extends CallOptions {
  /** Items a page: 1 to 1000. */
  limit?: number;
}

/** One system of a holdfast service. */
export class Holdfast {
  constructor(url?: string, options?: HoldfastOptions);
  /** A client of a service that answered and takes the token. */
  static connect(url?: string, options?: HoldfastOptions): Promise<Holdfast>;
  readonly system: string;
  readonly url: string;
  /**
   * Of the states that hydrate() or bringUp() gave; null before. Sent with every write that names no other, so that
   * none undoes a restore (stale_epoch): hydrate again then.
   */
  epoch: number | null;
  close(): void;

  register(component: string, registration?: Registration, options?: CallOptions): Promise<Component>;
  save(component: string, state: State, options?: SaveOptions): Promise<Receipt>;
  saveEncoded(component: string, encoded: EncodedState, options?: SaveOptions): Promise<Receipt>;
  saveMany(
    items: BatchItem[],
    options?: CallOptions & { idempotencyKey?: string; epoch?: number | null },
  ): Promise<{ sequence: number; results: Receipt[] }>;
  load<T = any>(component: string, options?: LoadOptions): Promise<LoadedState<T>>;
  loadIfAny<T = any>(component: string, options?: LoadOptions): Promise<LoadedState<T> | null>;
  heartbeat(component: string, beat?: Heartbeat, options?: CallOptions): Promise<void>;
  component(component: string, options?: CallOptions): Promise<Component>;
  components(options?: PageOptions & { kind?: string; health?: string }): AsyncGenerator<Component, void>;
  history(component: string, options?: PageOptions): AsyncGenerator<Version, void>;
  deleteComponent(component: string, options?: CallOptions & { ifMatch?: string; epoch?: number | null }): Promise<void>;

  snapshot(options?: CallOptions & { kind?: 'full' | 'incremental'; label?: string }): Promise<Snapshot>;
  snapshots(
    options?: PageOptions & { kind?: 'full' | 'incremental'; before?: Instant },
  ): AsyncGenerator<Snapshot, void>;
  snapshotInfo(id?: string, options?: CallOptions): Promise<Snapshot>;
  changeSnapshot(id: string, change: { label?: string; pinned?: boolean }, options?: CallOptions): Promise<Snapshot>;
  validate(id?: string, options?: CallOptions & { deep?: boolean }): Promise<ValidationResult>;

  restore(request?: RestoreRequest, options?: CallOptions & { idempotencyKey?: string }): Promise<Recovery>;
  planRestore(request?: RestoreRequest, options?: CallOptions & { idempotencyKey?: string }): Promise<Recovery>;
  apply(
    plan: string | Recovery,
    options?: CallOptions & { force?: boolean; reason?: string; idempotencyKey?: string },
  ): Promise<Recovery>;
  startRecovery(options?: {
    reason?: string;
    components?: string[];
    includeDependencies?: boolean;
    signal?: AbortSignal;
    idempotencyKey?: string;
  }): Promise<Recovery>;
  recovery(id: string, options?: CallOptions): Promise<Recovery>;
  recoveries(options?: PageOptions): AsyncGenerator<Recovery, void>;
  report(
    recovery: string,
    component: string,
    report: Report,
    options?: CallOptions,
  ): Promise<Report & { component: string; wave: number; recoveryStatus: string }>;
  /** not_found while the service does not know the system. */
  hydrate(bringUp: BringUp, options?: HydrationOptions): Promise<HydrationResult>;
  bringUp(recovery: Recovery, bringUp: BringUp, options?: HydrationOptions): Promise<HydrationResult>;
  diff(from: string | number, to?: string | number, options?: CallOptions & { component?: string }): Promise<Diff>;
  fork(
    name: string,
    options?: CallOptions & { at?: Instant; sequence?: number; snapshot?: string; description?: string },
  ): Promise<SystemInfo>;

  systemInfo(options?: CallOptions): Promise<SystemInfo>;
  systemIfAny(options?: CallOptions): Promise<SystemInfo | null>;
  configure(settings?: SystemSettings, options?: CallOptions): Promise<SystemInfo>;
  /** force: also where damaged states that others share with it could not be searched for everywhere. */
  deleteSystem(options?: CallOptions & { force?: boolean }): Promise<void>;
  status(options?: CallOptions): Promise<SystemStatus>;
  /** Anything else of the interface: path is '/v1/status', or what lies below the system. */
  call(
    method: string,
    path: string,
    options?: CallOptions & {
      query?: Record<string, string | number | boolean | Date | null | undefined>;
      headers?: Record<string, string | number | null | undefined>;
      json?: unknown;
      body?: Uint8Array;
      /** May be sent again though it may have been done; GET and HEAD always may. */
      safe?: boolean;
    },
  ): Promise<{ status: number; headers: Record<string, string | string[] | undefined>; body: Buffer }>;
  events(options?: EventsOptions): AsyncGenerator<ServiceEvent, void>;
}

export interface SaverOptions {
  /** How long a save waits for a newer one of its component; 50 ms. */
  coalesceMs?: number;
  /** States that may wait; 1024. */
  maxQueued?: number;
  /** And their bytes; 64 MiB. */
  maxQueuedBytes?: number;
  /** When the queue is full: wait (block), give up the oldest (drop-oldest), or refuse with queue_full (fail). */
  policy?: 'block' | 'drop-oldest' | 'fail';
  /** Saves under way at a time; 4. */
  concurrency?: number;
  /** Pauses while the service is away; 500 and 15000. */
  retryMinMs?: number;
  retryMaxMs?: number;
  /** What close() waits; 15000. */
  closeTimeoutMs?: number;
  /** Save what is queued when the process has nothing left to do; true. process.exit() and signals end it without. */
  flushOnExit?: boolean;
  /** Of the states that the process has; else that of the client, and where it has none, that of the first receipt. */
  epoch?: number | null;
}

export interface QueueOptions {
  contentType?: string;
  event?: string;
  eventSnapshot?: boolean;
  /** Also when nothing changed. */
  force?: boolean;
  /** Do not wait for more. */
  now?: boolean;
  /** Ends the waiting for room. */
  signal?: AbortSignal;
}

export interface SaverEvents {
  saved: [receipt: Receipt];
  failed: [{ component: string; error: unknown }];
  retrying: [{ component: string; error: HoldfastError; inMs: number }];
  dropped: [{ component: string }];
  epoch: [{ epoch: number | null; error: HoldfastError }];
}

/** A bounded queue that saves in the background. */
export class Saver extends EventEmitter {
  constructor(client: Holdfast, options?: SaverOptions);
  readonly epoch: number | null;
  readonly pending: number;
  save(component: string, state: State, options?: QueueOptions): Promise<Receipt>;
  enqueue(component: string, state: State, options?: QueueOptions): Promise<void>;
  every(intervalMs: number, component: string, produce: () => State | Promise<State>): () => void;
  remember(saved: { component: string; hash: string; epoch: number }): void;
  resume(epoch: number): void;
  flush(options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<void>;
  close(options?: { timeoutMs?: number }): Promise<void>;
  on<K extends keyof SaverEvents>(event: K, listener: (...args: SaverEvents[K]) => void): this;
  once<K extends keyof SaverEvents>(event: K, listener: (...args: SaverEvents[K]) => void): this;
}

/** What a state is on the wire. */
export function encodeState(value: State, contentType?: string): EncodedState;

export { SystemStatePersistence } from './core/SystemStatePersistence.js';
export type * from './core/SystemStatePersistence.js';
