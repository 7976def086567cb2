/**
 * Eight small components that really do something. Chance is part of their state, so a run that goes on from a saved
 * state goes on exactly.
 */
const JUDGMENTS_KEPT = 100;

/** A number in [0, 1) from a state that can be saved (mulberry32). */
function chance(state) {
  state.random = (state.random + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state.random ^ (state.random >>> 15), state.random | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
}

class Component {
  constructor(state) {
    this.state = { steps: 0, random: 20260101, ...state };
  }

  getState() {
    return this.state;
  }

  setState(state) {
    this.state = state;
  }

  getHealth() {
    return { health: 1, metrics: this.metrics() };
  }

  metrics() {
    return { learningEvents: this.state.steps };
  }

  step(system) {
    this.state.steps += 1;
    this.work(this.state, system);
  }
}

/** The price that everybody sees: a walk that is drawn back to 100. */
class Infrastructure extends Component {
  work(state) {
    state.price += (100 - state.price) * 0.05 + (chance(state) - 0.5) * 4;
    state.feed = [...state.feed, state.price].slice(-20);
  }

  metrics() {
    return {};
  }
}

/** A population that looks for the minimum of a bowl. */
class Evolution extends Component {
  work(state) {
    const cost = (point) => point.reduce((sum, x) => sum + (x - 1) ** 2, 0);
    const children = state.population.map((point) => point.map((x) => x + (chance(state) - 0.5) * state.reach));
    state.population = [...state.population, ...children]
      .sort((a, b) => cost(a) - cost(b))
      .slice(0, state.population.length);
    state.best = cost(state.population[0]);
  }
}

/** Tries strategies and keeps the mean reward of each. */
class Strategies extends Component {
  work(state) {
    const tried = Math.floor(chance(state) * state.strategies.length);
    const strategy = state.strategies[tried];
    strategy.tries += 1;
    strategy.mean += (chance(state) * (tried + 1) - strategy.mean) / strategy.tries;
    state.cycles += 1;
  }
}

/** One neuron that learns OR by gradient descent. */
class NeuralNetwork extends Component {
  work(state) {
    const [a, b] = [chance(state) < 0.5 ? 0 : 1, chance(state) < 0.5 ? 0 : 1];
    const output = 1 / (1 + Math.exp(-(state.weights[0] * a + state.weights[1] * b + state.weights[2])));
    const error = (a || b) - output;
    state.weights = state.weights.map((weight, index) => weight + 0.5 * error * [a, b, 1][index]);
    state.loss = state.loss * 0.99 + error ** 2 * 0.01;
  }
}

/** Value iteration on a corridor with a reward at its end. */
class DecisionProcess extends Component {
  work(state) {
    const reward = (index) => (index === state.values.length - 1 ? 1 : 0);
    state.values = state.values.map(
      (value, index) =>
        reward(index) +
        0.9 *
          Math.max(state.values[Math.max(0, index - 1)], state.values[Math.min(state.values.length - 1, index + 1)]) *
          (1 - reward(index)),
    );
  }
}

/** Climbs a hill, with smaller steps when it gets no higher. */
class Optimizer extends Component {
  work(state) {
    const height = ({ x, y }) => -((x - 3) ** 2) - (y + 2) ** 2;
    const next = {
      x: state.at.x + (chance(state) - 0.5) * state.stride,
      y: state.at.y + (chance(state) - 0.5) * state.stride,
    };
    if (height(next) > height(state.at)) state.at = next;
    else state.stride = Math.max(0.01, state.stride * 0.99);
  }
}

/** Learns by a Q-table whether to buy when the price is low or high. */
class TradingAgent extends Component {
  work(state, { infrastructure }) {
    const { price } = infrastructure.state;
    const situation = price < 100 ? 'low' : 'high';
    const values = state.qTable[situation];
    const action = chance(state) < 0.1 ? Math.floor(chance(state) * 2) : Number(values[1] > values[0]);
    const reward = action === 1 ? (100 - price) / 10 : 0;
    values[action] += 0.1 * (reward - values[action]);
    state.totalReward += reward;
  }
}

/** Judges the agent after every step and remembers the last hundred judgments. */
class CentralNervousSystem extends Component {
  work(state, { trader, network }) {
    state.total += 1;
    state.judgments = [
      ...state.judgments,
      { step: state.steps, reward: trader.state.totalReward, loss: network.state.loss },
    ].slice(-JUDGMENTS_KEPT);
    state.profiles.trader = { totalReward: trader.state.totalReward };
    state.suggestions = network.state.loss > 0.1 ? ['train the network longer'] : [];
  }

  metrics() {
    return { judgments: this.state.total };
  }
}

/** name in the service, name in the system, component, what it depends on, kind */
export function createComponents() {
  return [
    ['infrastructure', 'infrastructure', new Infrastructure({ price: 100, feed: [] }), [], 'infrastructure'],
    [
      'alpha-gnome',
      'evolution',
      new Evolution({
        population: [
          [4, -3],
          [0, 5],
          [-2, 2],
          [6, 6],
        ],
        reach: 1,
        best: null,
      }),
      [],
      'learner',
    ],
    [
      'quantum-evolution',
      'strategies',
      new Strategies({ cycles: 0, strategies: Array.from({ length: 3 }, () => ({ tries: 0, mean: 0 })) }),
      [],
      'learner',
    ],
    ['neural-network', 'network', new NeuralNetwork({ weights: [0, 0, 0], loss: 0.25 }), [], 'learner'],
    ['mdp-framework', 'process', new DecisionProcess({ values: [0, 0, 0, 0, 0] }), [], 'learner'],
    [
      'optimization-engine',
      'optimizer',
      new Optimizer({ at: { x: 0, y: 0 }, stride: 1 }),
      ['neural-network'],
      'learner',
    ],
    [
      'agent-arbitrage',
      'trader',
      new TradingAgent({ qTable: { low: [0, 0], high: [0, 0] }, totalReward: 0 }),
      ['infrastructure'],
      'agent',
    ],
    [
      'central-nervous-system',
      'judge',
      new CentralNervousSystem({ total: 0, judgments: [], profiles: {}, suggestions: [] }),
      ['agent-arbitrage', 'neural-network', 'mdp-framework'],
      'judge',
    ],
  ];
}
