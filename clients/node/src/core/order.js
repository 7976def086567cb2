/**
 * Components in an order in which each comes after what it depends on, as far as that is among them. The service lets
 * no cycle in; one would end where it closes.
 *
 * @param {{name: string, dependsOn: string[]}[]} components
 */
export function inOrder(components) {
  const byName = new Map(components.map((component) => [component.name, component]));
  const ordered = new Set();
  const visited = new Set();
  const visit = (component) => {
    if (!component || visited.has(component)) return;
    visited.add(component);
    for (const name of component.dependsOn) visit(byName.get(name));
    ordered.add(component);
  };
  components.forEach(visit);
  return [...ordered];
}
