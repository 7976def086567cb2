const DESCRIPTION = new Set(['component', 'dependsOn', 'kind', 'requiredPointers']);

/**
 * One way to speak with components of all kinds: an object with getState and setState, or one without, whose own data
 * are its state. It may stand in a description: {component, dependsOn, kind, requiredPointers}, and nothing else.
 *
 * @returns {{read: () => any, write: (state: any) => any, health: () => object, registration: object}}
 * @throws {TypeError} for what has no state that could be told: no object, or a Map and the like without getState
 */
export function adapterOf(definition, more = {}) {
  const described = isDescription(definition);
  const target = described ? definition.component : definition;
  if (!isObject(target)) {
    throw new TypeError('a component is an object: one with getState and setState, or one whose data are its state');
  }
  if (!target.getState && hidesItsData(target)) {
    throw new TypeError(`the data of a ${target.constructor.name} cannot be seen: it needs getState and setState`);
  }
  const told = described || target.getState ? definition : {}; // else its members are its state, whatever their names
  const { dependsOn, kind, requiredPointers } = { ...told, ...more };
  const data = new OwnData(target);
  return {
    read: () => (target.getState ? target.getState() : data.read()),
    write: (state) => {
      if (target.setState) return target.setState(state);
      if (target.getState) throw new TypeError('it has getState and no setState: its state cannot be given back');
      return data.write(state);
    },
    health: () => target.getHealth?.() ?? {},
    registration: { dependsOn, kind, requiredPointers },
  };
}

function isObject(value) {
  return value !== null && typeof value === 'object';
}

/** A component may itself have a member of that name: only what has nothing but the members of a description is one. */
function isDescription(definition) {
  return isObject(definition?.component) && Object.keys(definition).every((key) => DESCRIPTION.has(key));
}

/** What these hold is not in members, so that they would be saved as if they were empty. */
function hidesItsData(target) {
  const kinds = [Map, Set, WeakMap, WeakSet, Date, RegExp, Promise, ArrayBuffer];
  return kinds.some((kind) => target instanceof kind) || ArrayBuffer.isView(target);
}

/** The members of an object, or the items of an array, as its state. */
class OwnData {
  #target;
  /** What the program made it with: kept where a state of an earlier program has no such member. */
  #first = null;

  constructor(target) {
    this.#target = target;
  }

  read() {
    this.#noteFirst();
    return Array.isArray(this.#target) ? [...this.#target] : Object.fromEntries(this.#entries());
  }

  /** What came in later goes where the state has it not: it would live on in what was restored, and be saved with it. */
  write(state) {
    const target = this.#target;
    if (!isObject(state) || (Array.isArray(state) && !Array.isArray(target))) {
      throw new TypeError('the state is of another kind than the component: it needs setState');
    }
    this.#noteFirst();
    if (Array.isArray(target)) {
      target.splice(0, target.length, ...Object.values(state));
      return;
    }
    for (const [key] of this.#entries()) {
      if (!Object.hasOwn(state, key) && !this.#first.has(key)) delete target[key];
    }
    Object.assign(target, state);
  }

  #noteFirst() {
    this.#first ??= new Set(Object.keys(this.#target));
  }

  #entries() {
    return Object.entries(this.#target).filter(([, value]) => typeof value !== 'function');
  }
}
