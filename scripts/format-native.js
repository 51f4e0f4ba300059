// clang-format over all C++ files, in place.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const files = [
  'native/core',
  'native/binding',
  'native/test',
  'native/fuzz',
  'bench/common',
  'bench/blk',
  'bench/vsock',
]
  .filter((place) => existsSync(place))
  .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
  .filter((name) => /\.(h|cc)$/.test(name));
execFileSync('clang-format', ['-i', ...files], { stdio: 'inherit' });
