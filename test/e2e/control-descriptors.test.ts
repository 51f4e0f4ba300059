// CS rows of descriptors: too few, too many, of the wrong kind, hostile ones.

import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import t from 'tap';
import {
  encodeRequest,
  FRONTEND_REQUESTS,
  fdBounds,
  payloadCodec,
  type RequestRow,
} from '../../src/core/protocol/index.js';
import { check, native } from '../../src/native/index.js';
import type { TestFrontend } from '../../src/testing/index.js';
import { DescriptorKinds, type Kind } from './descriptor-kinds.js';
import {
  ask,
  checkClean,
  checkHealthy,
  checkIdle,
  drained,
  outcome,
  pause,
  postWrites,
  type Row,
  restart,
  runRows,
  type Signals,
  withDaemon,
} from './support.js';

const REQUESTS = FRONTEND_REQUESTS as unknown as readonly RequestRow[];
/** Linux' SCM_MAX_FD. */
const MESSAGE_FDS_MAX = 253;

function zeroes(row: RequestRow): Uint8Array {
  const rule = payloadCodec(row.payload).lengths;
  return new Uint8Array('oneOf' in rule ? (rule.oneOf[0] as number) : rule.minBytes);
}

t.test('too few and too many descriptors', async (t) => {
  const eventfd = native.eventfdCreate(0);
  const rows: Row[] = [];
  for (const row of REQUESTS) {
    const { min, max } = fdBounds(row);
    const counts = min > 0 ? [0, max + 1] : [max + 1];
    for (const count of [...counts, MESSAGE_FDS_MAX]) {
      rows.push({
        id: `${count === 0 ? 'CS-030' : 'CS-031'}: ${row.name} with ${count} descriptors`,
        stage: 'acked',
        expect: 'CLOSE',
        send: async (frontend) => {
          const message = encodeRequest(row.id, zeroes(row), { needReply: true });
          return (await ask(frontend, message, new Array<number>(count).fill(eventfd))).answer;
        },
      });
    }
  }
  for (const name of ['SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR'] as const) {
    rows.push({
      id: `CS-030: ${name} without descriptor and without NOFD`,
      expect: 'CLOSE',
      send: ({ frontend }) => outcome(frontend.request(name, { index: 0, hasFd: true })),
    });
    rows.push({
      id: `CS-031: ${name} with descriptor and NOFD`,
      expect: 'CLOSE',
      send: ({ frontend }) =>
        outcome(frontend.request(name, { index: 0, hasFd: false }, [eventfd])),
    });
  }
  await withDaemon(t, [], (scene) => runRows(t, scene, rows));
  native.fdClose(eventfd);
});

/** What each place accepts; every other kind is refused. */
const PLACES: Readonly<
  Record<
    string,
    { readonly good: readonly Kind[]; send(f: TestFrontend, fd: number): Promise<unknown> }
  >
> = {
  region: {
    good: ['regular file'],
    send: ({ frontend, memory }, fd) => frontend.setMemTable([memory.region], [fd]),
  },
  'added region': {
    good: ['regular file'],
    send: ({ frontend, memory }, fd) => {
      const shift = 1n << 40n;
      const { guestAddress, userAddress, ...rest } = memory.region;
      return frontend.addMemRegion(
        { guestAddress: guestAddress + shift, userAddress: userAddress + shift, ...rest },
        fd,
      );
    },
  },
  kick: { good: ['eventfd'], send: ({ frontend }, fd) => frontend.setVringKick(0, fd) },
  call: {
    good: ['eventfd', 'socket', 'pipe'],
    send: ({ frontend }, fd) => frontend.setVringCall(0, fd),
  },
  err: {
    good: ['eventfd', 'socket', 'pipe'],
    send: ({ frontend }, fd) => frontend.setVringErr(0, fd),
  },
  'back-end channel': {
    good: ['socket'],
    send: ({ frontend }, fd) => frontend.setBackendReqFd(fd),
  },
};

t.test('CS-035: descriptors of the wrong kind', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const MEMORY_BYTES = 4 << 20;
    const kinds = await DescriptorKinds.open(scene.directory, MEMORY_BYTES);
    const rows: Row[] = [];
    for (const [place, { good, send }] of Object.entries(PLACES)) {
      for (const [kind, fd] of kinds.fds) {
        rows.push({
          id: `CS-035: ${kind} as ${place}`,
          expect: good.includes(kind) ? 'WORK' : 'NACK',
          options: { memoryBytes: MEMORY_BYTES },
          send: (frontend) => outcome(send(frontend, fd)),
        });
      }
    }
    await runRows(t, scene, rows);
    kinds.close();
  });
});

/** An eventfd in blocking mode; one whose counter is at its end blocks whoever adds to it. */
function blockingEventfd({ full }: { readonly full: boolean }): number {
  const fd = check('eventfd', native.eventfdCreate(0));
  // libuv makes the standard streams of a child blocking; the mode belongs to the shared file.
  spawnSync('true', { stdio: ['ignore', fd, 'ignore'] });
  if (full) {
    writeSync(fd, BigUint64Array.of(2n ** 64n - 2n));
  }
  return fd;
}

t.test('descriptors that would block or spin', async (t) => {
  for (const aio of ['io_uring', 'threads']) {
    await withDaemon(t, ['--num-queues', '2', '--aio', aio], async (scene) => {
      const restarted = async (id: string, signals: Signals): Promise<void> => {
        const frontend = await scene.start({ queues: 2 });
        await frontend.stopQueues();
        await restart(frontend, 0, signals);
        await restart(frontend, 1);
        postWrites(frontend, 4, 0);
        if (signals.kick !== undefined) {
          native.eventfdSignal(signals.kick);
        }
        t.ok(await drained(frontend, 0), `${id}: requests are served (${aio})`);
        await checkIdle(t, scene, `${id} (${aio})`);
        postWrites(frontend, 4, 1);
        t.ok(await drained(frontend, 1), `${id}: the other queue too (${aio})`);
        frontend.close();
        await checkClean(t, scene, id);
      };
      const empty = blockingEventfd({ full: false });
      const full = blockingEventfd({ full: true });
      const readable = check('eventfd', native.eventfdCreate(1));
      const both = check('eventfd', native.eventfdCreate(0));
      await restarted('CS-036: blocking kick with nothing to read', { kick: empty });
      await restarted('CS-037: full call and err', { call: full, err: full });
      await restarted('CS-038: kick that is always readable', { kick: readable });
      await restarted('CS-039: kick and call in one', { kick: both, call: both });
      [empty, full, readable, both].forEach(native.fdClose);
      await checkHealthy(t, scene, aio);
    });
  }
});

t.test('CS-040: one eventfd kicks two queues', async (t) => {
  await withDaemon(t, ['--num-queues', '2'], async (scene) => {
    const kick = check('eventfd', native.eventfdCreate(0));
    const frontend = await scene.start({ queues: 2 });
    await frontend.stopQueues();
    await restart(frontend, 0, { kick });
    await restart(frontend, 1, { kick });
    await pause(50);
    postWrites(frontend, 3, 0);
    postWrites(frontend, 3, 1);
    native.eventfdSignal(kick);
    t.ok((await drained(frontend, 0)) && (await drained(frontend, 1)), 'both are served');
    frontend.close();
    native.fdClose(kick);
    await checkHealthy(t, scene, 'CS-040');
  });
});

t.test('CS-041: a kick descriptor replaced while it is polled', async (t) => {
  const REPLACEMENTS = 20;
  for (const aio of ['io_uring', 'threads']) {
    await withDaemon(t, ['--num-queues', '2', '--aio', aio], async (scene) => {
      const frontend = await scene.start({ queues: 2 });
      const answers = new Set<unknown>();
      let served = 0;
      for (let i = 0; i < REPLACEMENTS; i++) {
        const kick = check('eventfd', native.eventfdCreate(0));
        // Requests are on their way, or the worker sleeps.
        if (i % 2 === 0) postWrites(frontend, 1, 0);
        answers.add(await outcome(frontend.frontend.setVringKick(0, kick)));
        native.eventfdSignal(kick);
        native.fdClose(kick);
        postWrites(frontend, 1, 0);
        served += (await drained(frontend, 0)) ? 1 : 0;
      }
      t.same([...answers], ['NACK'], 'a running ring keeps the one it has');
      t.equal(served, REPLACEMENTS, `and listens to it (${aio})`);
      await checkIdle(t, scene, `CS-041 (${aio})`);
      frontend.close();
      await checkHealthy(t, scene, `CS-041 (${aio})`);
    });
  }
});

t.test('CS-034: no descriptors left', async (t) => {
  const LIMIT = 48;
  await withDaemon(t, ['--num-queues', '8'], async (scene) => {
    const free = LIMIT - scene.baseline.fds;
    t.ok(free > 2, `${free} descriptors are left`);
    const limit = (fds: number): void => {
      const { status } = spawnSync('prlimit', ['--pid', `${scene.daemon.pid}`, `--nofile=${fds}:`]);
      t.equal(status, 0, `limited to ${fds} descriptors`);
    };
    limit(LIMIT);
    // Eight queues with three descriptors each are more than that.
    const crowded = scene.connect({ queues: 8 });
    const answer = await outcome(crowded.negotiate().then(() => crowded.startQueues()));
    t.not(answer, 'WORK', `refused: ${answer}`);
    crowded.close();
    await checkHealthy(t, scene, 'CS-034: with the descriptors back');
    limit(1);
    const waiting = scene.connect();
    await checkIdle(t, scene, 'CS-034: EMFILE in accept');
    limit(256);
    t.ok(await waiting.frontend.getFeatures(), 'accepted once there is one');
    waiting.close();
    await checkHealthy(t, scene, 'CS-034');
  });
});

/** SET_VRING_CALL of vring 0 with what argv says as control data, then GET_FEATURES; prints how many
 *  bytes come back. Node can send one block only. */
const SEND = `
import array, os, socket, struct, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.settimeout(10)
fds = [os.eventfd(0) for _ in range(3)]
rights = lambda *fds: (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
credentials = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", os.getpid(), os.getuid(), os.getgid()))
control = {
  "one": [rights(fds[0])],
  "credentials": [rights(fds[0]), credentials],
  "credentials first": [credentials, rights(fds[0])],
  "an empty block": [rights(), rights(fds[0])],
  "two": [rights(fds[0]), rights(fds[1])],
  "three and credentials": [rights(fds[0]), credentials, rights(fds[1]), rights(fds[2])],
}[sys.argv[2]]
message = struct.pack("=3IQ", 13, 1, 8, 0)
peer.sendmsg([message], control)
got = b""
try:
  peer.send(struct.pack("=3I", 1, 1, 0))
  while len(got) < 20:
    part = peer.recv(64)
    if not part: break
    got += part
except ConnectionError: pass
print(len(got))
`;

/** Control data, and whether the session goes on. */
const CONTROL_DATA = [
  ['one', true],
  ['credentials', true],
  ['credentials first', true],
  ['an empty block', true],
  ['two', false],
  ['three and credentials', false],
] as const;

t.test('CS-043: several blocks of control data', async (t) => {
  await withDaemon(t, [], async (scene) => {
    for (const [what, goesOn] of CONTROL_DATA) {
      const words = ['-c', SEND, scene.daemon.socket, what];
      const { stdout } = spawnSync('python3', words, { encoding: 'utf8' });
      t.equal(stdout, goesOn ? '20\n' : '0\n', `CS-043: ${what}`);
      await checkClean(t, scene, `CS-043: ${what}`);
    }
    await checkHealthy(t, scene, 'CS-043');
  });
});

t.test('CS-045: descriptors and mappings after all of this', async (t) => {
  // The daemons of this file, each since its first session.
  for (const args of [[], ['--num-queues', '2'], ['--num-queues', '2', '--aio', 'io_uring']]) {
    await withDaemon(t, args, (scene) => checkHealthy(t, scene, `CS-045: ${args.join(' ')}`));
  }
});
