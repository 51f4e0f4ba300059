// Bundles what runs when a command is started into dist/bundle: a few files load in half the time
// that some two hundred modules take. Help, version and the library stay unbundled. Also writes the
// manifest from which oclif renders the help.

import { rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Plugin } from '@oclif/core';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const compiled = join(root, 'dist/src');

/** What bin/ starts, and what a thread is started with by URL. */
const ENTRIES = [
  'cli/main.js',
  'core/worker/worker-main.js',
  'devices/blk/handler.js',
  'devices/net/handler.js',
  'devices/net/switch/handler.js',
  'devices/vsock/handler.js',
];

/** Parts of oclif that a started command does not come to: finding plugins, rendering help. What
 *  asks for them gets the real thing then. */
const SELDOM = { config: '@oclif/core/config', help: '@oclif/core/help' };

/** 'devices/blk/handler.js' lies in the bundle as 'devices-blk-handler.js'. */
const flatName = (path) => path.replaceAll('/', '-');

/** `new URL('./handler.js', import.meta.url)` names a file beside the source; in the bundle all
 *  entries lie side by side. */
const entryUrls = {
  name: 'entry-urls',
  setup({ onLoad }) {
    onLoad({ filter: /dist\/src\/.*\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const contents = source.replace(
        /new URL\('(\.[^']*\.js)', import\.meta\.url\)/g,
        (_, target) => {
          const entry = relative(compiled, join(dirname(path), target));
          if (!ENTRIES.includes(entry)) {
            throw new Error(`${entry} is loaded by URL but is no entry of the bundle`);
          }
          return `new URL('./${flatName(entry)}', import.meta.url)`;
        },
      );
      return { contents, loader: 'js' };
    });
  },
};

/** Stand-ins for parts of oclif that cost 60 ms and do nothing for a started command. */
const standIns = {
  name: 'stand-ins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^debug$/ }, ({ path }) => ({ path, namespace: 'debug' }));
    onLoad({ filter: /.*/, namespace: 'debug' }, () => ({
      contents: 'module.exports = () => Object.assign(() => {}, { enabled: false });',
    }));
    onResolve({ filter: /^\.\.?\/(config|help|help\/index)$/ }, ({ path, importer }) =>
      importer.includes('/@oclif/core/lib/')
        ? { path: SELDOM[path.split('/')[1]], namespace: 'seldom' }
        : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'seldom' }, ({ path }) => ({
      contents: `module.exports = new Proxy({}, { get: (_, key) => require('${path}')[key] });`,
    }));
  },
};

async function bundle() {
  rmSync(join(root, 'dist/bundle'), { recursive: true, force: true });
  await build({
    entryPoints: Object.fromEntries(
      ENTRIES.map((path) => [flatName(path).replace(/\.js$/, ''), join(compiled, path)]),
    ),
    outdir: join(root, 'dist/bundle'),
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Not minified: a stack trace shows the names and lines of this bundle as they are, and
    // minifying gained nothing that could be measured.
    external: ['@oclif/core/execute', ...Object.values(SELDOM), 'typescript'],
    plugins: [entryUrls, standIns],
    // CommonJS packages inside ask for Node's modules with require().
    banner: {
      js:
        "import { createRequire as bundleRequire } from 'node:module';\n" +
        'const require = bundleRequire(import.meta.url);',
    },
    logLevel: 'warning',
  });
}

/** What oclif would find out by loading every command, for --help and the completions. */
async function writeManifest() {
  const plugin = new Plugin({ root, type: 'core', ignoreManifest: true });
  await plugin.load();
  const text = `${JSON.stringify(plugin.manifest, null, 2)}\n`;
  writeFileSync(join(root, 'oclif.manifest.json'), text);
}

await bundle();
await writeManifest();
