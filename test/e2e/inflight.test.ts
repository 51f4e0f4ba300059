// The inflight area through the whole daemon. Ids are those of the catalogue of bad input; what
// happens under kill -9 is in kill.test.ts.

import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  encodeRequest,
  type Inflight,
  payloadCodec,
  VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
} from '../../src/core/protocol/index.js';
import { check, native } from '../../src/native/index.js';
import { BLK_OUT, STATUS_OK, STATUS_UNWRITTEN, type TestQueue } from '../../src/testing/index.js';
import { BlkLoad } from '../support/blk-load.js';
import { LastingGuest } from '../support/lasting-guest.js';
import {
  ask,
  checkClean,
  checkHealthy,
  ends,
  outcome,
  pause,
  type Row,
  reach,
  runRows,
  type Scene,
  withDaemon,
} from './support.js';

const GET_INFLIGHT_FD = 31;
const SET_INFLIGHT_FD = 32;
const QUEUE_SIZE = 128;
/** Of one queue of 128: header and entries, rounded up to 64. */
const AREA_BYTES = 2112;
const HEADER_BYTES = 16;
const ENTRY_BYTES = 16;
const VERSION_AT = 8;
const LAST_BATCH_HEAD_AT = 12;
const USED_IDX_AT = 14;

const area = (values: Partial<Inflight> = {}): Inflight => ({
  mmapSizeBytes: BigInt(AREA_BYTES),
  mmapOffsetBytes: 0n,
  queueCount: 1,
  queueSize: QUEUE_SIZE,
  encodedBytes: 24,
  ...values,
});

function memfd(bytes: number): number {
  return check('memfd', native.memfdCreate('vhost-ts-test', bytes));
}

function guest(sizeBytes = 4 << 20): LastingGuest {
  return new LastingGuest({ sizeBytes, queues: 1, queueSize: QUEUE_SIZE });
}

/** Heads marked as in flight. */
function marked(view: DataView): number[] {
  return Array.from({ length: QUEUE_SIZE }, (_, i) => i).filter(
    (i) => view.getUint8(HEADER_BYTES + i * ENTRY_BYTES) === 1,
  );
}

function mark(view: DataView, head: number, counter: bigint): void {
  view.setUint8(HEADER_BYTES + head * ENTRY_BYTES, 1);
  view.setBigUint64(HEADER_BYTES + head * ENTRY_BYTES + 8, counter, true);
}

async function allUsed(queue: TestQueue): Promise<boolean> {
  for (let i = 0; i < 2000 && queue.ring.publishedUsed !== queue.ring.availIndex; i++) {
    await pause(2);
  }
  return queue.ring.publishedUsed === queue.ring.availIndex;
}

/** A write of one block by one byte, made available but not published. */
function addWrite({ memory, queues }: LastingGuest, block: number, fill: number) {
  const header = memory.allocate(16);
  memory.view.setUint32(header, BLK_OUT, true);
  memory.view.setBigUint64(header + 8, BigInt(block * 8), true);
  const data = memory.allocate(4096, 4096);
  memory.bytes.fill(fill, data, data + 4096);
  const status = memory.allocate(1, 1);
  memory.bytes[status] = STATUS_UNWRITTEN;
  const queue = queues[0] as TestQueue;
  const head = queue.ring.add([
    { offset: header, bytes: 16, writable: false },
    { offset: data, bytes: 4096, writable: false },
    { offset: status, bytes: 1, writable: true },
  ]);
  return { head, status };
}

t.test('an area is answered in the length asked, sealed, and may be set twice', async (t) => {
  await withDaemon(t, ['--num-queues', '4'], async (scene) => {
    const frontend = await reach(scene, 'negotiated');
    for (const encodedBytes of [20, 24] as const) {
      const payload = payloadCodec('inflight').encode(
        area({ mmapSizeBytes: 0n, queueCount: 4, encodedBytes }),
      );
      frontend.frontend.sendRaw(encodeRequest(GET_INFLIGHT_FD, payload, { needReply: false }));
      const reply = await frontend.frontend.receive();
      t.equal(reply.payload.byteLength, encodedBytes);
      t.same(
        payloadCodec('inflight').decode(reply.payload),
        area({ mmapSizeBytes: BigInt(4 * AREA_BYTES), queueCount: 4, encodedBytes }),
      );
      const fd = reply.fds.take();
      t.throws(() => ftruncateSync(fd, 4096), { code: 'EPERM' });
      for (let i = 0; i < 2; i++) {
        await frontend.frontend.setInflightFd({ area: area({ queueCount: 1, encodedBytes }), fd });
      }
      closeSync(fd);
    }
    frontend.close();
    await checkHealthy(t, scene);
  });
});

t.test('RING_RESET: a ring begins anew though the area tells of the one before', async (t) => {
  await withDaemon(t, ['--num-queues', '2', '--in-order'], async (scene) => {
    for (const [packed, inOrder] of [
      [false, false],
      [true, false],
      [true, true],
    ] as const) {
      // As the load expects to find its blocks.
      writeFileSync(scene.image, new Uint8Array(64 * 4096), { flag: 'r+' });
      const rings = { queues: 2, queueSize: 64, packed, inOrder };
      const lasting = new LastingGuest({ sizeBytes: 4 << 20, ...rings });
      await lasting.connect(scene.daemon.socket);
      const load = new BlkLoad(lasting, 8, Math.random);
      const allBack = async () => {
        for (let i = 0; i < 2000 && load.outstanding > 0; i++) {
          load.collect();
          await pause(1);
        }
        t.equal(load.outstanding, 0, `${packed ? 'packed' : 'split'}: all came back`);
      };
      for (let round = 0; round < 3; round++) {
        load.pump();
        await allBack();
        await lasting.connected.setVringEnable(0, false);
        await lasting.connected.getVringBase(0);
        await lasting.renew(0);
        await lasting.connected.setVringEnable(0, true);
      }
      load.readAll();
      await allBack();
      t.same(load.faults, []);
      lasting.close();
    }
    await checkHealthy(t, scene, 'RING_RESET');
  });
});

t.test('CS-151: asked for again and again, nothing stays behind', async (t) => {
  const TIMES = 2000;
  await withDaemon(t, [], async (scene) => {
    const frontend = await reach(scene, 'negotiated');
    for (let i = 0; i < TIMES; i++) {
      const answer = await frontend.frontend.getInflightFd(1, QUEUE_SIZE);
      await frontend.frontend.setInflightFd(answer);
      closeSync(answer.fd);
    }
    frontend.close();
    await checkClean(t, scene, 'afterwards');
  });
});

t.test('CS-150 CS-152: areas that can not be', async (t) => {
  const get = (id: string, values: Partial<Inflight>): Row => ({
    id: `CS-150 ${id}`,
    expect: 'CLOSE',
    send: async ({ frontend }) => {
      const { queueCount, queueSize } = area(values);
      return await outcome(frontend.getInflightFd(queueCount, queueSize));
    },
  });
  const set = (
    id: string,
    values: Partial<Inflight>,
    fileBytes = AREA_BYTES,
    expect: Row['expect'] = 'NACK',
  ): Row => ({
    id: `CS-152 ${id}`,
    expect,
    send: async ({ frontend }) => {
      const fd = memfd(fileBytes);
      const answer = await outcome(frontend.setInflightFd({ area: area(values), fd }));
      closeSync(fd);
      return answer;
    },
  });
  await withDaemon(t, [], async (scene) => {
    await runRows(t, scene, [
      get('no queue', { queueCount: 0 }),
      get('65535 queues', { queueCount: 65535 }),
      get('two queues of one', { queueCount: 2 }),
      get('size 0', { queueSize: 0 }),
      get('size 65535', { queueSize: 65535 }),
      set('as it should be', {}, AREA_BYTES, 'WORK'),
      set('size too small', { mmapSizeBytes: BigInt(AREA_BYTES - 64) }),
      set('size 0', { mmapSizeBytes: 0n }),
      set('size wraps', { mmapSizeBytes: 2n ** 64n - 64n, mmapOffsetBytes: 128n }),
      set('offset wraps', { mmapOffsetBytes: 2n ** 64n - 64n }),
      set('file shorter', {}, AREA_BYTES - 1),
      set('offset behind the file', { mmapOffsetBytes: 64n }),
      set('too many queues (CVE-2021-3839)', { queueCount: 2 }, 2 * AREA_BYTES),
      set('no queue', { queueCount: 0 }),
      set('size 65535', { queueSize: 65535 }, 2 << 20),
      {
        id: 'CS-152 no descriptor',
        expect: 'CLOSE',
        send: async (frontend) => {
          const payload = payloadCodec('inflight').encode(area());
          const message = encodeRequest(SET_INFLIGHT_FD, payload, { needReply: true });
          return (await ask(frontend, message)).answer;
        },
      },
      {
        id: 'CS-055 GET_VRING_BASE_INFLIGHT alone',
        stage: 'connected',
        expect: 'NACK',
        send: async ({ frontend }) => {
          const all = await frontend.getProtocolFeatures();
          await frontend.setProtocolFeatures(all);
          const without = all & ~VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD;
          return await outcome(frontend.setProtocolFeatures(without));
        },
      },
      {
        id: 'not negotiated',
        expect: 'NACK',
        options: {
          withoutProtocolFeatures:
            VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD | VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT,
        },
        send: async ({ frontend }) => {
          const fd = memfd(AREA_BYTES);
          const answer = await outcome(frontend.setInflightFd({ area: area(), fd }));
          closeSync(fd);
          return answer;
        },
      },
      {
        id: 'CS-157 while a vring runs',
        stage: 'running',
        expect: 'NACK',
        send: async ({ frontend }) => {
          const fd = memfd(AREA_BYTES);
          const answer = await outcome(frontend.setInflightFd({ area: area(), fd }));
          closeSync(fd);
          return answer;
        },
      },
      {
        id: 'CS-152 a vring larger than the area says',
        expect: 'NACK',
        send: async (frontend) => {
          const fd = memfd(AREA_BYTES);
          await frontend.frontend.setInflightFd({ area: area({ queueSize: 64 }), fd });
          closeSync(fd);
          return await outcome(frontend.startQueues());
        },
      },
    ]);
  });
});

t.test('requests another back-end left are served, each once', async (t) => {
  await withDaemon(t, [], async (scene) => {
    const lasting = guest();
    const queue = lasting.queues[0] as TestQueue;
    await lasting.negotiate(scene.daemon.socket);
    const view = lasting.areaView();
    const second = addWrite(lasting, 1, 0x22);
    const first = addWrite(lasting, 2, 0x11);
    const fresh = addWrite(lasting, 3, 0x33);
    queue.ring.publish();
    view.setUint16(VERSION_AT, 1, true);
    view.setUint16(VERSION_AT + 2, QUEUE_SIZE, true);
    view.setUint16(USED_IDX_AT, queue.ring.base, true);
    mark(view, first.head, 5n);
    mark(view, second.head, 7n);
    lasting.disconnect();
    await lasting.connect(scene.daemon.socket, ({ ring }) => ring.availIndex);
    t.ok(await allUsed(queue));
    const ids = queue.ring.takeUsed().map(({ id }) => id);
    t.same(ids.sort(), [first.head, second.head, fresh.head].sort());
    for (const { status } of [first, second, fresh]) {
      t.equal(lasting.memory.bytes[status], STATUS_OK);
    }
    const disk = readFileSync(scene.image);
    t.same(
      [1, 2, 3].map((block) => disk[block * 4096]),
      [0x22, 0x11, 0x33],
    );
    t.same(marked(view), []);
    t.equal(view.getUint16(USED_IDX_AT, true), queue.ring.usedIndex);
    lasting.close();
    await checkHealthy(t, scene);
  });
});

t.test('GET_VRING_BASE with num=1: what is in flight stays recorded', async (t) => {
  const ROUNDS = 30;
  await withDaemon(t, [], async (scene) => {
    const lasting = guest();
    const queue = lasting.queues[0] as TestQueue;
    const load = new BlkLoad(lasting, 40, Math.random);
    await lasting.connect(scene.daemon.socket);
    const view = lasting.areaView();
    let suspended = 0;
    for (let i = 0; i < ROUNDS; i++) {
      load.pump();
      await pause(Math.random() * 2);
      const base = await lasting.connected.getVringBase(0, { suspend: true });
      const used = queue.ring.publishedUsed;
      const left = marked(view).length;
      t.equal((base - used) & 0xffff, left, 'everything fetched is shown or recorded');
      await pause(1);
      t.equal(queue.ring.publishedUsed, used, 'no used element after the answer');
      suspended += left;
      await lasting.startQueue(queue, base);
    }
    t.ok(await allUsed(queue));
    load.collect();
    load.readAll();
    t.ok(await allUsed(queue));
    load.collect();
    t.same(load.faults, []);
    t.equal(load.completed, load.submitted);
    t.comment(`${suspended} requests were suspended`);
    lasting.close();
    await checkHealthy(t, scene);
  });
});

t.test('CS-153: a ring does not start on content nobody leaves behind', async (t) => {
  const rows: readonly (readonly [what: string, spoil: (view: DataView) => void])[] = [
    ['version 2', (view) => view.setUint16(VERSION_AT, 2, true)],
    ['desc_num', (view) => view.setUint16(VERSION_AT + 2, 65535, true)],
    ['last_batch_head', (view) => view.setUint16(LAST_BATCH_HEAD_AT, 65535, true)],
    ['used_idx', (view) => view.setUint16(USED_IDX_AT, 30000, true)],
    ['next', (view) => view.setUint16(HEADER_BYTES + 6, 65535, true)],
  ];
  await withDaemon(t, [], async (scene) => {
    for (const [what, spoil] of rows) {
      const lasting = guest();
      const { ring } = lasting.queues[0] as TestQueue;
      await lasting.negotiate(scene.daemon.socket);
      const view = lasting.areaView();
      view.setUint16(VERSION_AT, 1, true);
      view.setUint16(VERSION_AT + 2, QUEUE_SIZE, true);
      view.setUint16(USED_IDX_AT, ring.base - 2, true);
      mark(view, 0, 0n);
      mark(view, 1, 1n);
      spoil(view);
      const start = lasting.startQueue(lasting.queues[0] as TestQueue, ring.base);
      t.equal(await outcome(start), 'NACK', what);
      lasting.close();
      await checkClean(t, scene, what);
    }
    await checkHealthy(t, scene);
  });
});

t.test('CS-152: an area taken away later ends the session, nothing else', async (t) => {
  await withDaemon(t, [], async (scene: Scene) => {
    const lasting = guest();
    const fd = openSync(join(scene.directory, 'area'), 'w+');
    ftruncateSync(fd, AREA_BYTES);
    lasting.inflight = { area: area(), fd };
    await lasting.connect(scene.daemon.socket);
    ftruncateSync(fd, 0);
    addWrite(lasting, 1, 1);
    const [queue] = lasting.queues;
    queue?.ring.publish();
    queue?.kick();
    t.ok(await ends(lasting.connected), 'MEMORY_LOST');
    t.equal(native.eventfdRead(queue?.errFd as number), 1, 'err once');
    lasting.close();
    await checkHealthy(t, scene);
  });
});
