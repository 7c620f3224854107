// Writes the component's entry, which authors never see: `node entry.mjs ./agent.js memory-slots http > entry.js`.

const [agent, ...uses] = process.argv.slice(2);

/** The modules of each interface, by the names that `wasm.js` has for them. Of WASI they stand in another namespace until the component
 * is built: `plugin build` says why. */
const modulesOf = (name) => (name === 'http'
  ? { types: 'host:http/types@0.2.0', handler: 'host:http/outgoing-handler@0.2.0' }
  : { '': `bandstand:agent/${name}@0.1.0` });

const imports = [];
const members = ['log', 'progress', ...uses].map((name) => {
  const parts = Object.entries(modulesOf(name)).map(([part, module]) => {
    const local = `i${imports.length}`;
    imports.push(`import * as ${local} from '${module}';`);
    return [part, local];
  });
  const whole = parts[0][0] === '' ? parts[0][1] : `{ ${parts.map(([part, local]) => `${part}: ${local}`).join(', ')} }`;
  return `'${name}': ${whole}`;
});
const lines = [
  ...imports,
  `import { node as made } from 'bandstand/wasm';`,
  `import agent from ${JSON.stringify(agent)};`,
  `export const node = made(agent, { ${members.join(', ')} });`,
];
process.stdout.write(`${lines.join('\n')}\n`);
