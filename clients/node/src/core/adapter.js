/**
 * One way to speak with components of all kinds: an object with getState and setState, or one without, whose own data
 * are its state. It may stand in a description: {component, dependsOn, kind, requiredPointers}.
 *
 * @returns {{read: () => any, write: (state: any) => any, health: () => object, registration: object}}
 */
export function adapterOf(definition, more = {}) {
  if (definition === null || typeof definition !== 'object') {
    throw new TypeError('a component is an object: one with getState and setState, or one whose data are its state');
  }
  const target = definition.component ?? definition;
  const { dependsOn, kind, requiredPointers } = { ...definition, ...more };
  return {
    read: () => (target.getState ? target.getState() : ownData(target)),
    write: (state) => {
      if (target.setState) return target.setState(state);
      if (target.getState) throw new TypeError('it has getState and no setState: its state cannot be given back');
      return Object.assign(target, state);
    },
    health: () => target.getHealth?.() ?? {},
    registration: { dependsOn, kind, requiredPointers },
  };
}

function ownData(target) {
  return Object.fromEntries(Object.entries(target).filter(([, value]) => typeof value !== 'function'));
}
