import t from 'tap';
import { editDistance, nearest } from '../../src/cli/suggestion.js';

const DISTANCES: readonly (readonly [string, string, number])[] = [
  ['', '', 0],
  ['blk', 'blk', 0],
  ['bkl', 'blk', 2],
  ['block', 'blk', 2],
  ['bl', 'blk', 1],
  ['vsock', 'sock', 1],
  ['', 'blk', 3],
];

for (const [a, b, distance] of DISTANCES) {
  t.equal(editDistance(a, b), distance, `${a} ${b}`);
  t.equal(editDistance(b, a), distance, `${b} ${a}`);
}

t.equal(nearest('bkl', ['net', 'blk']), 'blk');
t.equal(nearest('nat', ['net', 'blk']), 'net');
t.equal(nearest('nonsense', ['net', 'blk']), undefined);
t.equal(nearest('x', ['ab']), undefined, 'as many slips as letters');
