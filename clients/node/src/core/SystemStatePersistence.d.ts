import { EventEmitter } from 'node:events';
import type { Holdfast, HoldfastOptions, Receipt, SaverOptions, Snapshot, State, SystemStatus } from '../index.js';

export interface Logger {
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

/** A client's options (token, system, timeout, retry, tls), and these. Times are in ms. */
export interface PersistenceOptions extends HoldfastOptions {
  /** Else HOLDFAST_URL. */
  url?: string;
  /** Instead of url and the client's options. */
  client?: Holdfast;
  /** Between full snapshots (1 hour): becomes the system's setting when given here or in the environment. */
  backupInterval?: number;
  /** Between saves of what changed and incremental snapshots (5 minutes); the same. */
  incrementalSaveInterval?: number;
  /** Hours (168); the same. */
  maxBackupRetention?: number;
  /** Read full backups back after they were taken; true. */
  enableStateValidation?: boolean;
  /** Read a backup back before it is restored; true. */
  validateOnRestore?: boolean;
  /** Where the service's files are seen from here, for `path` of a backup. Changes nothing in the service. */
  backupDirectory?: string;
  incrementalDirectory?: string;
  /** Backups older than this are not restored unless named; 2 hours. */
  recoveryMaxAge?: number;
  /** 30 s; 0: none are sent. */
  heartbeatInterval?: number;
  /** How often the copy of the status is refreshed; 15 s. */
  statusInterval?: number;
  /** How long shutdown() may take; 15 s. */
  shutdownTimeout?: number;
  /** false: leave the system's intervals alone. */
  configureSystem?: boolean;
  /** false: no lines; left out: the console. */
  logger?: Logger | false | null;
  saver?: SaverOptions;
}

/** What has methods is asked; what has none is its own state. */
export interface StatefulComponent {
  getState?(): State | Promise<State>;
  setState?(state: any): unknown;
  getHealth?(): { health?: number; status?: string; metrics?: Record<string, number> };
}

export interface ComponentOptions {
  dependsOn?: string[];
  kind?: string;
  requiredPointers?: string[];
}

export interface Backup extends Snapshot {
  /** Where the file is, when it is seen from here. */
  path: string | null;
}

export interface RecoveryResult {
  /** Every component took its state. */
  success: boolean;
  /** null: there was nothing to recover, or the token allows no recovery and the states were loaded without one. */
  recoveryId: string | null;
  /** The snapshot it came from; null: the present states. */
  backupId: string | null;
  /** ms. At the start: the most that the run before may have lost; of a restore: what it took back. */
  dataLoss: number;
  componentsRestored: number;
  restored: string[];
  fresh: string[];
  failed: string[];
  durationMs: number;
  versionsLost?: number;
  removed?: string[];
  skipped?: Array<{ snapshot: string; reason: string }>;
  [more: string]: unknown;
}

export interface PersistenceStatus extends SystemStatus {
  /** The service answered when it was last asked. */
  connected: boolean;
  /** When the copy was made, epoch ms; null: never. */
  fetchedAt: number | null;
  componentsRegistered: number;
  pendingSaves: number;
}

export interface PersistenceEvents {
  backup: [Backup];
  recovery: [RecoveryResult];
  'recovery-failed': [unknown];
  warning: [{ code: string; text: string; error: unknown }];
  epoch: [{ epoch: number | null; error: unknown }];
  initialized: [PersistenceStatus];
  shutdown: [];
}

/** Keeps the states of the components of a process in a holdfast service. */
export class SystemStatePersistence extends EventEmitter {
  constructor(options?: PersistenceOptions);
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly client: Holdfast;
  registerComponent(
    name: string,
    component: StatefulComponent | object | (ComponentOptions & { component: StatefulComponent | object }),
    more?: ComponentOptions,
  ): Promise<void>;
  initialize(): Promise<this>;
  saveFullBackup(options?: { label?: string }): Promise<Backup>;
  saveIncrementalBackup(options?: { label?: string }): Promise<Backup>;
  saveComponentState(
    name: string,
    state?: State,
    options?: { event?: string; eventSnapshot?: boolean; contentType?: string },
  ): Promise<Receipt>;
  saveChanges(): Promise<Receipt[]>;
  getSystemStatus(): PersistenceStatus;
  restoreSystemState(backupId?: string, options?: { reason?: string; maxAgeMs?: number }): Promise<RecoveryResult>;
  acceptRestore(): Promise<void>;
  shutdown(): Promise<void>;
  on<K extends keyof PersistenceEvents>(event: K, listener: (...args: PersistenceEvents[K]) => void): this;
  once<K extends keyof PersistenceEvents>(event: K, listener: (...args: PersistenceEvents[K]) => void): this;
}
