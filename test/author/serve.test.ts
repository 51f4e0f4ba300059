import { spawn } from 'node:child_process';
import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { isMain, serve } from '../../src/author/serve.js';
import { plainNode, TestFrontend } from '../../src/testing/index.js';
import { temporaryDirectory, until } from '../support/resources.js';
import { RecordingDevice } from '../support/session-rig.js';

t.test('serves until a signal, closes the device, leaves no listener behind', async (t) => {
  const socket = join(temporaryDirectory(t), 's');
  const listeners = process.listenerCount('SIGTERM');
  let closed = 0;
  const device = Object.assign(new RecordingDevice(), { close: () => closed++ });
  const served = serve(device, { socket, engine: 'threads', pollUs: 0, workers: 9 });
  const frontend = await TestFrontend.start({ socket, queues: 2 });
  t.equal(process.listenerCount('SIGTERM'), listeners + 1);
  process.kill(process.pid, 'SIGTERM');
  await served;
  frontend.close();
  t.same([closed, existsSync(socket)], [1, false]);
  t.equal(process.listenerCount('SIGTERM'), listeners);
});

t.test('once, and what can not be served', async (t) => {
  const socket = join(temporaryDirectory(t), 's');
  const served = serve(new RecordingDevice(), { socket, engine: 'threads', once: true });
  (await TestFrontend.start({ socket })).close();
  await served;
  await t.rejects(serve(new RecordingDevice(), {}), TypeError);
  await t.rejects(serve(new RecordingDevice(), { socket, fd: 3 }), TypeError);
  const nowhere = join(socket, 'no', 's');
  await t.rejects(serve(new RecordingDevice(), { socket: nowhere }), { name: 'ListenError' });
});

t.test('isMain: the module that was started, by any name of it', async (t) => {
  const directory = temporaryDirectory(t);
  const library = new URL('../../src/author/serve.js', import.meta.url).href;
  const module = join(directory, 'module.mjs');
  writeFileSync(
    module,
    `import { isMain } from '${library}';\nprocess.stdout.write(String(isMain(import.meta.url)));\n`,
  );
  const link = join(directory, 'link.mjs');
  symlinkSync(module, link);
  const importer = join(directory, 'importer.mjs');
  writeFileSync(importer, `import './module.mjs';\n`);
  for (const [program, expected] of [
    [module, 'true'],
    [link, 'true'],
    [importer, 'false'],
  ] as const) {
    let said = '';
    const child = spawn('env', plainNode(program, []), { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.on('data', (text) => {
      said += String(text);
    });
    await until('exit', () => child.exitCode !== null);
    t.equal(said, expected, program);
  }
  t.notOk(isMain(library));
});
