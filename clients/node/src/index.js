export { Holdfast } from './client.js';
export { HoldfastError } from './errors.js';
export { Saver } from './saver.js';
export { encodeState } from './state.js';
export { SystemStatePersistence } from './core/SystemStatePersistence.js';
