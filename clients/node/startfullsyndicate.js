#!/usr/bin/env node
/**
 * A small collective whose state survives it:
 *
 *     HOLDFAST_URL=http://127.0.0.1:8080 node startfullsyndicate.js
 *
 * Ctrl-C ends it with a final backup; started again, it goes on where it was. SYNDICATE_STEP_MS sets its pace.
 */
import { pathToFileURL } from 'node:url';
import { realpathSync } from 'node:fs';
import { SystemStatePersistence } from './src/core/SystemStatePersistence.js';
import { createComponents } from './examples/learners.js';

const STATUS_EVERY_STEPS = 50;
const SIGNIFICANT_REWARD = 50;

export class MasterSyndicateOrchestrator {
  #components = createComponents();
  #startedAt = Date.now();
  #timer;
  #rewardSaved = 0;

  constructor(options = {}) {
    this.statePersistence = new SystemStatePersistence(options);
    this.system = Object.fromEntries(this.#components.map(([, key, component]) => [key, component]));
  }

  async start({ stepMs = 100 } = {}) {
    console.log('Step 8: Initializing State Persistence System...');
    for (const [name, , component, dependsOn, kind] of this.#components) {
      this.statePersistence.registerComponent(name, component, { dependsOn, kind });
    }
    await this.statePersistence.initialize();
    console.log('[x] State Persistence System operational with hourly backups');
    this.#rewardSaved = this.system.trader.state.totalReward;
    this.#timer = setInterval(() => this.step(), stepMs);
  }

  /** Everything moves on by one; a large reward is saved at once. */
  step() {
    for (const [, , component] of this.#components) component.step(this.system);
    const { totalReward, steps } = this.system.trader.state;
    if (Math.abs(totalReward - this.#rewardSaved) >= SIGNIFICANT_REWARD) {
      this.#rewardSaved = totalReward;
      this.statePersistence.saveComponentState('agent-arbitrage', undefined, { event: 'large-reward' }).catch(() => {});
    }
    if (steps % STATUS_EVERY_STEPS === 0) this.printStatus();
  }

  printStatus() {
    const status = this.statePersistence.getSystemStatus();
    const { judge } = this.system;
    const number = (value) => value.toLocaleString('en-US');
    console.log(
      [
        'SYSTEM STATUS:',
        `   Active Agents: ${status.activeAgents}`,
        `   Total Judgments: ${number(judge.state.total)}`,
        `   Learning Events: ${number(status.metricTotals.learningEvents ?? 0)}`,
        `   Uptime: ${number(Math.round((Date.now() - this.#startedAt) / 1000))}s`,
        `   Central Nervous System: ${judge.state.steps > 0 ? '[x] OPERATIONAL' : '[ ] STARTING'}`,
        `   Next Backup: ${Math.round((status.nextFullBackup - Date.now()) / 60000)} minutes`,
        `   System Health: ${(status.systemHealth.overallHealth * 100).toFixed(1)}%`,
      ].join('\n'),
    );
  }

  async stop() {
    clearInterval(this.#timer);
    console.log('Saving the final state...');
    await this.statePersistence.shutdown();
    console.log('[x] Final backup complete');
  }
}

async function main() {
  const orchestrator = new MasterSyndicateOrchestrator();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => orchestrator.stop());
  await orchestrator.start({ stepMs: Number(process.env.SYNDICATE_STEP_MS || 100) });
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) await main();
