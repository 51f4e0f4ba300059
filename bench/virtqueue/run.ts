// npm run bench:virtqueue -- [--quick]
// Nanoseconds for a chain, pop and publish: the native rings, the batch face and the plain face.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildNativeFace, RING_SIZE, runNativeFace } from './native-face.js';
import { formatTable } from './report.js';
import { runScriptFace } from './script-face.js';

/** From dist/bench/virtqueue to the top of the checkout. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const rounds = values.quick ? 5 : 25;
const fills = values.quick ? 20 : 100;

const print = (text: string): void => {
  process.stdout.write(`${text}\n\n`);
};

const binary = join(ROOT, '.cache', 'bench', 'virtqueue-native-face');
buildNativeFace(ROOT, binary);
print(formatTable('native', runNativeFace(binary, rounds, fills)));
print(formatTable('batch face', runScriptFace('batch', RING_SIZE, rounds, fills)));
print(formatTable('plain face', runScriptFace('plain', RING_SIZE, rounds, fills)));
