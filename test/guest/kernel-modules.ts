// Which module files a guest must load, dependencies first. Read from the modules themselves:
// an unpacked kernel package has no modules.dep yet, and depmod would be one more package.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import type { GuestKernel } from './kernels.js';

/** modprobe treats '-' and '_' as the same letter. */
function moduleName(file: string): string {
  return basename(file, '.ko').replaceAll('-', '_');
}

function indexModules(modulesDir: string): Map<string, string> {
  const files = readdirSync(join(modulesDir, 'kernel'), { recursive: true, encoding: 'utf8' });
  const modules = files.filter((file) => file.endsWith('.ko'));
  return new Map(modules.map((file) => [moduleName(file), join(modulesDir, 'kernel', file)]));
}

function builtInModules(modulesDir: string): Set<string> {
  const lines = readFileSync(join(modulesDir, 'modules.builtin'), 'utf8').split('\n');
  return new Set(lines.filter((line) => line !== '').map(moduleName));
}

/** `.modinfo` is a row of NUL-ended key=value strings. */
function dependenciesOf(file: string): string[] {
  const text = readFileSync(file, 'latin1');
  const names = /(?:^|\0)depends=([^\0]*)\0/.exec(text)?.[1] ?? '';
  return names.split(',').filter((name) => name !== '');
}

/** Paths of the module files in load order. */
export function modulesInLoadOrder({ modulesDir, moduleNames }: GuestKernel): string[] {
  const files = indexModules(modulesDir);
  const builtIn = builtInModules(modulesDir);
  const order = new Set<string>();
  const visit = (wanted: string, neededBy: string): void => {
    const name = wanted.replaceAll('-', '_');
    const file = files.get(name);
    if (file === undefined) {
      if (builtIn.has(name)) return;
      throw new Error(`kernel module ${name} (for ${neededBy}) is not in ${modulesDir}`);
    }
    if (order.has(file)) return;
    for (const dependency of dependenciesOf(file)) visit(dependency, name);
    order.add(file);
  };
  for (const name of moduleNames) visit(name, 'the guest');
  return [...order];
}
