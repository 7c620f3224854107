// Writes the component's entry, which authors never see: `node entry.mjs ./agent.js memory-slots model > entry.js`.

const [agent, ...uses] = process.argv.slice(2);
const names = ['log', 'progress', ...uses];
const lines = [
  ...names.map((name, index) => `import * as i${index} from 'bandstand:agent/${name}@0.1.0';`),
  `import { node as made } from 'bandstand/wasm';`,
  `import agent from ${JSON.stringify(agent)};`,
  `export const node = made(agent, { ${names.map((name, index) => `'${name}': i${index}`).join(', ')} });`,
];
process.stdout.write(`${lines.join('\n')}\n`);
