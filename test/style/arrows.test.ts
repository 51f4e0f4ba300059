// Who may import whom, and the few rules about source files that no linter of ours has.

import t from 'tap';
import ts from 'typescript';
import {
  existsInRoot,
  type ImportOf,
  lineOf,
  parse,
  type SourceFile,
  sourceFiles,
  walk,
} from './source-tree.js';

interface Arrows {
  /** Rooms, or single files without `.ts`, whose values this room may use. */
  readonly values: readonly string[];
  /** More of them from which it may use types. */
  readonly types?: readonly string[];
  /** npm packages, by their name; Node's own modules are free unless `node` says which. */
  readonly packages?: readonly string[];
  readonly node?: readonly string[];
}

/** The one table. A room is a folder of src/, without the rooms below it. Every import counts for an
 *  arrow, type-only ones too; own files are always allowed. */
const ARROWS: Readonly<Record<string, Arrows>> = {
  native: { values: [], node: ['node:module', 'node:os'] },
  'core/protocol': { values: [], node: [] },
  core: { values: [], types: ['core/virtqueue'], node: [] },
  'core/memory': { values: ['native'], node: [] },
  'core/virtqueue': { values: ['native', 'core/memory'], node: [] },
  'core/worker': {
    values: ['native', 'core', 'core/virtqueue', 'core/memory'],
    node: ['node:os', 'node:worker_threads'],
  },
  'core/session': {
    values: ['native', 'core', 'core/protocol', 'core/memory', 'core/worker', 'core/connection'],
    node: [],
  },
  'core/daemon': {
    values: ['native', 'core', 'core/protocol', 'core/session', 'core/worker', 'core/connection'],
    node: ['node:fs'],
  },
  'core/device-state': { values: ['native'], node: ['node:fs'] },
  'core/connection': { values: ['native', 'core', 'core/protocol'], node: [] },
  'core/frontend': {
    values: ['native', 'core', 'core/protocol', 'core/memory', 'core/connection'],
  },
  'core/index.ts': {
    values: ['core', 'core/daemon', 'core/device-state', 'core/protocol', 'core/worker'],
    node: [],
  },
  devices: {
    values: ['native', 'core', 'core/protocol', 'core/virtqueue', 'core/device-state'],
    packages: ['zod'],
    node: ['node:child_process', 'node:crypto', 'node:fs', 'node:os', 'node:path'],
  },
  author: {
    values: ['core', 'core/index.ts', 'core/protocol', 'core/virtqueue'],
    packages: ['zod'],
    node: ['node:fs', 'node:url', 'node:worker_threads'],
  },
  'index.ts': { values: ['author', 'core/index.ts', 'devices'], node: [] },
  cli: {
    values: ['author', 'core/index.ts', 'devices', 'commands'],
    packages: ['@oclif/core', 'pino', 'zod'],
  },
  commands: { values: ['cli'] },
  testing: {
    values: ['native', 'core', 'core/index.ts', 'core/protocol', 'core/frontend'],
    types: ['author'],
  },
};

/** Started from outside src/, so nobody imports them. */
const ENTRY_POINTS = new Set(['index.ts', 'cli/main.ts', 'core/virtqueue/index.ts']);

/** Files without a test file of their own, and why. */
const NO_TWIN: Readonly<Record<string, string>> = {
  'index.ts': 'door: re-exports only',
  'author/index.ts': 'door: re-exports only',
  'core/index.ts': 'door: re-exports only',
  'core/frontend/index.ts': 'door: re-exports only',
  'core/protocol/index.ts': 'door: re-exports only',
  'core/virtqueue/index.ts': 'door: re-exports only',
  'testing/index.ts': 'door: re-exports only',
  'author/definition.ts': 'types only',
  'core/device.ts': 'types only',
  'devices/net/ports/port.ts': 'types and one number',
  'core/virtqueue/chain-access.ts': 'types only',
  'core/virtqueue/object-layout.ts': 'types only',
  'core/virtqueue/queue-state.ts': 'types only',
  'core/session/handlers/handler.ts': 'types only',
  'core/worker/commands.ts': 'types only',
  'devices/vsock/host-end.ts': 'types only',
  'core/protocol/frontend-requests.ts': 'table, held by core/protocol/requests.test.ts',
  'core/protocol/backend-requests.ts': 'table, held by core/protocol/requests.test.ts',
};

/** Rooms whose tests are still being written; goes empty, and a room that is done must leave. */
const PENDING_ROOMS: readonly string[] = [];

const LINE_COLUMNS_MAX = 100;
const FUNCTION_LINES_MAX = 70;

const files = sourceFiles();
const byPath = new Map(files.map((file) => [file.path, file]));

function roomOf(path: string): string {
  if (ARROWS[path] !== undefined) {
    return path;
  }
  const [first = '', second] = path.split('/');
  return first === 'core' && second !== undefined && !second.endsWith('.ts')
    ? `core/${second}`
    : first;
}

/** What is wrong with an import, or undefined. */
function importFault(path: string, { target, own, typeOnly }: ImportOf): string | undefined {
  const room = roomOf(path);
  const arrows = ARROWS[room];
  if (arrows === undefined) {
    return `${path} is in room ${room}, which the table does not have`;
  }
  const { values, types = [], packages = [], node } = arrows;
  const allowed = typeOnly ? [...values, ...types] : values;
  if (own) {
    const to = roomOf(target);
    return to === room || allowed.includes(to) || allowed.includes(target.replace(/\.ts$/, ''))
      ? undefined
      : `${path} imports ${target}`;
  }
  const fine = target.startsWith('node:')
    ? node === undefined || node.includes(target)
    : packages.some((name) => target === name || target.startsWith(`${name}/`));
  return fine ? undefined : `${path} imports ${target}`;
}

/** Files along a cycle of imports, of values only: types are gone when the program runs. */
function cycles(all: readonly SourceFile[]): string[] {
  const graph = new Map(
    all.map(({ path, imports }) => [
      path,
      imports.filter(({ own, typeOnly }) => own && !typeOnly).map(({ target }) => target),
    ]),
  );
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      found.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
    } else if (!done.has(path)) {
      done.add(path);
      for (const next of graph.get(path) ?? []) {
        visit(next, [...trail, path]);
      }
    }
  };
  for (const path of graph.keys()) {
    visit(path, []);
  }
  return found;
}

/** Faults within one file, each with its line. */
function styleFaults(file: SourceFile): string[] {
  const { path, text, tree } = file;
  const faults: string[] = [];
  const fault = (position: number, what: string) => {
    faults.push(`${path}:${lineOf(tree, position)} ${what}`);
  };
  text.split('\n').forEach((line, i) => {
    if (line.length > LINE_COLUMNS_MAX) {
      faults.push(`${path}:${i + 1} has ${line.length} columns`);
    }
  });
  const room = roomOf(path);
  walk(tree, (node) => {
    if (node.kind === ts.SyntaxKind.AnyKeyword) {
      fault(node.pos, 'says any');
    }
    if (ts.isFunctionLike(node)) {
      const lines = lineOf(tree, node.end) - lineOf(tree, node.getStart()) + 1;
      if (lines > FUNCTION_LINES_MAX) {
        fault(node.getStart(), `has a function of ${lines} lines`);
      }
    }
    if (room !== 'cli' && ts.isIdentifier(node) && node.text === 'console') {
      fault(node.getStart(), 'writes to the console');
    }
    if (room !== 'commands' && isDefaultExport(node)) {
      fault(node.getStart(), 'has a default export');
    }
    if (path !== 'native/index.ts' && loadsAddon(node)) {
      fault(node.getStart(), 'loads an addon');
    }
    if (room === 'devices' && ts.isPropertyAccessExpression(node)) {
      const call = /^native\.(socket(Send|Receive|Pair)|memory|mapShared|Watcher|DataPlane)/.exec(
        node.getText(),
      );
      if (call !== null) {
        fault(node.getStart(), `touches ${call[0]}: devices move no bytes and see no guest memory`);
      }
    }
  });
  return faults;
}

function isDefaultExport(node: ts.Node): boolean {
  return (
    ts.isExportAssignment(node) ||
    node.kind === ts.SyntaxKind.DefaultKeyword ||
    (ts.isExportSpecifier(node) && node.name.getText() === 'default')
  );
}

function loadsAddon(node: ts.Node): boolean {
  return (
    (ts.isStringLiteralLike(node) && node.text.endsWith('.node')) ||
    (ts.isIdentifier(node) && (node.text === 'createRequire' || node.text === 'dlopen'))
  );
}

t.test('every import follows an arrow', async (t) => {
  t.ok(files.length > 40, 'src/ was found');
  const faults = files.flatMap((file) => file.imports.map((of) => importFault(file.path, of)));
  t.same(
    faults.filter((fault) => fault !== undefined),
    [],
  );
});

t.test('every import finds its file', async (t) => {
  const lost = files.flatMap(({ path, imports }) =>
    imports
      .filter(({ own, target }) => own && !byPath.has(target))
      .map(({ target }) => `${path} imports ${target}, which does not exist`),
  );
  t.same(lost, []);
});

t.test('no cycle of imports', async (t) => {
  t.same(cycles(files), []);
});

t.test('no file that nobody imports', async (t) => {
  const used = new Set(files.flatMap(({ imports }) => imports.map(({ target }) => target)));
  const unused = files
    .map(({ path }) => path)
    .filter((path) => !used.has(path) && !isEntryPoint(path));
  t.same(unused, []);
});

/** Doors that package.json names, and commands, which oclif finds by their place. */
function isEntryPoint(path: string): boolean {
  return ENTRY_POINTS.has(path) || path === 'testing/index.ts' || path.startsWith('commands/');
}

t.test('every file has a twin', async (t) => {
  const twinless = files
    .map(({ path }) => path)
    .filter((path) => !existsInRoot(`test/${path.replace(/\.ts$/, '.test.ts')}`));
  t.same(
    twinless.filter((path) => NO_TWIN[path] === undefined && !PENDING_ROOMS.includes(roomOf(path))),
    [],
    'without a twin and without a reason',
  );
  t.same(
    Object.keys(NO_TWIN).filter((path) => !twinless.includes(path)),
    [],
    'excused without need',
  );
  const done = PENDING_ROOMS.filter(
    (room) =>
      files.some(({ path }) => roomOf(path) === room) &&
      !twinless.some((path) => roomOf(path) === room),
  );
  t.same(done, [], 'pending rooms that are done');
});

t.test('files excused as types only are', async (t) => {
  for (const [path, reason] of Object.entries(NO_TWIN)) {
    const statements = byPath.get(path)?.tree.statements ?? [];
    if (reason === 'types only') {
      const typesOnly = statements.every(
        (statement) =>
          ts.isInterfaceDeclaration(statement) ||
          ts.isTypeAliasDeclaration(statement) ||
          ts.isImportDeclaration(statement),
      );
      t.ok(typesOnly, path);
    } else if (reason.startsWith('door')) {
      t.ok(statements.every(ts.isExportDeclaration), path);
    }
  }
});

t.test('no fault within a file', async (t) => {
  t.same(files.flatMap(styleFaults), []);
});

t.test('the rules can fail', async (t) => {
  const long = `${'\n'.repeat(FUNCTION_LINES_MAX)}`;
  const rows: readonly (readonly [path: string, text: string, expected: RegExp])[] = [
    ['core/log.ts', `import { x } from '../native/index.js';`, /imports native/],
    ['core/log.ts', `import { B } from './virtqueue/batch.js';`, /imports core\/virtqueue/],
    ['core/protocol/x.ts', `import fs from 'node:fs';`, /imports node:fs/],
    ['devices/blk/x.ts', `import { S } from '../../core/session/session.js';`, /core\/session/],
    ['devices/blk/x.ts', `import net from 'node:net';`, /imports node:net/],
    ['devices/blk/x.ts', `import p from 'pino';`, /imports pino/],
    ['devices/blk/x.ts', `native.socketSend(1);`, /touches native\.socket/],
    ['commands/x.ts', `const x = await import('../core/index.js');`, /imports core\/index/],
    ['nowhere/x.ts', `import './y.js';`, /does not have/],
    ['core/x.ts', `let x: any;`, /:1 says any/],
    ['core/x.ts', `\nconsole.log(1);`, /:2 writes/],
    ['core/x.ts', `function f() {${long}}`, /a function of 71 lines/],
    ['core/x.ts', `export default 1;`, /default export/],
    ['core/x.ts', `export { x as default };`, /default export/],
    ['core/x.ts', `require('./a.node');`, /loads an addon/],
    ['core/x.ts', `// ${'x'.repeat(98)}`, /101 columns/],
  ];
  for (const [path, text, expected] of rows) {
    const file = parse(path, text);
    const faults = [...file.imports.map((of) => importFault(path, of)), ...styleFaults(file)];
    t.match(faults.join('\n'), expected, text.trim().slice(0, 60));
  }
  const circle = [
    parse('a.ts', `import './b.js';`),
    parse('b.ts', `import { c } from './c.js';`),
    parse('c.ts', `import './a.js'; import type { b } from './b.js';`),
  ];
  t.same(cycles(circle), ['a.ts -> b.ts -> c.ts -> a.ts']);
  t.same(
    cycles([parse('a.ts', `import './b.js';`), parse('b.ts', `import type {} from './a.js';`)]),
    [],
  );
  const allowed = [
    parse('core/device.ts', `import type { Batch } from './virtqueue/batch.js';`),
    parse('core/frontend/x.ts', `import { Connection } from '../connection/connection.js';`),
    parse('commands/x.ts', `export default class X {}`),
  ];
  for (const file of allowed) {
    const faults = file.imports.map((of) => importFault(file.path, of));
    t.same([...faults.filter((fault) => fault !== undefined), ...styleFaults(file)], [], file.path);
  }
});
