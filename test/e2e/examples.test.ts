// The examples as an author runs them: by the command, by themselves, and under the test kit.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { echoConsole } from '../../examples/console.js';
import { entropy } from '../../examples/entropy.js';
import { ramDisk } from '../../examples/ram-disk.js';
import {
  BLK_FLUSH,
  BLK_GET_ID,
  BLK_IN,
  BLK_OUT,
  BlkDriver,
  ChainDriver,
  type ChainShape,
  plainNode,
  STATUS_IOERR,
  STATUS_OK,
  STATUS_UNSUPP,
  TestFrontend,
  testDevice,
} from '../../src/testing/index.js';
import { ROOT, startListening } from '../cli/command.js';
import { temporaryDirectory, until } from '../support/resources.js';

const NOTHING = new Uint8Array(0);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const typed = (words: string) => new TextEncoder().encode(words);

t.test('entropy: all of the buffer, different each time, bounded', async (t) => {
  const faults = await testDevice(
    entropy,
    async (driver) => {
      const seen = new Set<string>();
      const shapes: ChainShape[] = [{}, { pieceBytes: 5 }, { pieceBytes: 16, indirect: true }];
      for (const shape of shapes) {
        const { usedBytes, bytes } = await driver.send(0, NOTHING, 64, shape);
        t.equal(usedBytes, 64);
        seen.add(Buffer.from(bytes).toString('hex'));
      }
      t.equal(seen.size, shapes.length);
      const long = await driver.send(0, NOTHING, 1000);
      t.equal(long.usedBytes, 100, 'bytesMax');
      t.ok(long.bytes.subarray(100).every((byte) => byte === long.bytes[100]));
      const readable = await driver.send(0, Uint8Array.of(1, 2, 3), 0);
      t.equal(readable.usedBytes, 0, 'nothing to write to');
    },
    { options: { bytesMax: 100 } },
  );
  t.same(faults, []);
});

t.test('console: what is typed comes back, whoever comes first', async (t) => {
  const faults = await testDevice(echoConsole, async (driver) => {
    const first = driver.offer(0, NOTHING, 16);
    t.equal((await driver.send(1, typed('hello'), 0)).usedBytes, 0);
    const hello = await driver.returned(first);
    t.equal(text(hello.bytes.subarray(0, hello.usedBytes)), 'hello');
    await driver.send(1, typed('typed ahead'), 0);
    const parts: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { usedBytes, bytes } = await driver.send(0, NOTHING, 4);
      parts.push(text(bytes.subarray(0, usedBytes)));
    }
    t.same(parts, ['type', 'd ah', 'ead']);
    driver.offer(0, NOTHING, 16);
  });
  t.same(faults, [], 'a receive buffer nobody filled comes back at the end');
});

t.test('RAM disk: reads, writes, refuses, and takes bad chains', async (t) => {
  const faults = await testDevice(
    ramDisk,
    async ({ frontend }) => {
      const driver = new BlkDriver(frontend);
      const out = Uint8Array.from({ length: 4096 }, (_, i) => i * 7);
      await driver.write(8, out);
      t.same(await driver.read(8, 4096), out);
      t.equal(
        (await driver.read(0, 512)).every((byte) => byte === 0),
        true,
      );
      const rows = [
        [{ type: BLK_FLUSH }, STATUS_OK],
        [{ type: BLK_GET_ID, inBytes: 20 }, STATUS_UNSUPP],
        [{ type: BLK_IN, sector: 2047, inBytes: 1024 }, STATUS_IOERR],
        [{ type: BLK_IN, sector: 2047, inBytes: 512 }, STATUS_OK],
        [{ type: BLK_OUT, sector: 2n ** 63n, out }, STATUS_IOERR],
        [{ type: BLK_OUT, sector: 0, out: out.subarray(0, 511) }, STATUS_IOERR],
        [{ type: BLK_OUT, sector: 0, out, pieceBytes: 7, indirect: true }, STATUS_OK],
      ] as const;
      for (const [request, status] of rows) {
        t.equal((await driver.request(request)).status, status, `type ${request.type}`);
      }
      const raw = new ChainDriver(frontend);
      for (const [readable, writable] of [
        [16, 0],
        [15, 1],
        [0, 1],
      ] as const) {
        const { usedBytes } = await raw.send(0, new Uint8Array(readable), writable);
        t.equal(usedBytes, 0, `${readable} + ${writable}`);
      }
      t.equal((await driver.request({ type: BLK_FLUSH })).status, STATUS_OK, 'and goes on');
    },
    { options: { mebibytes: 1 } },
  );
  t.same(faults, []);
});

t.test('each example by `vhost-ts run`, and as a script', async (t) => {
  for (const name of ['entropy', 'console', 'ram-disk']) {
    const program = join(ROOT, `dist/examples/${name}.js`);
    const socket = join(temporaryDirectory(t), 's');
    const { child, outcome } = await startListening(['run', program, '--socket', socket]);
    await session(socket, name);
    child.kill('SIGTERM');
    const { code, stderr } = await outcome;
    t.equal(code, 0, `${name}: ${stderr}`);
    t.match(stderr, new RegExp(`"name":"${name}"`));

    const script = spawn('env', plainNode(program, [socket]), { stdio: 'inherit' });
    await until('listening', () => canConnect(socket) || script.exitCode !== null);
    await session(socket, name);
    script.kill('SIGTERM');
    await until('exit', () => script.exitCode !== null);
    t.equal(script.exitCode, 0, name);
  }
});

/** Two front-ends, one after the other. */
async function session(socket: string, name: string): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const frontend = await TestFrontend.start({ socket, queues: name === 'console' ? 2 : 1 });
    if (name === 'entropy') {
      await new ChainDriver(frontend).send(0, NOTHING, 16);
    }
    await frontend.stopQueues();
    frontend.close();
  }
}

/** A look without a session. */
function canConnect(socket: string): boolean {
  try {
    new TestFrontend({ socket, memoryBytes: 4096 }).close();
    return true;
  } catch {
    return false;
  }
}
