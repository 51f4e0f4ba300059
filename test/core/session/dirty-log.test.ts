import t from 'tap';
import { GuestMemory } from '../../../src/core/memory/guest-memory.js';
import { DirtyLog } from '../../../src/core/session/dirty-log.js';
import { native } from '../../../src/native/index.js';
import { eventfd, memfd, openDescriptors } from '../../support/resources.js';

const AREA = { mmapSizeBytes: 4096n, mmapOffsetBytes: 0n };
const COVERED = 4096n * 8n * 4096n;

function open() {
  /** What the workers were told: log or none, data or not. */
  const told: string[] = [];
  const setLog = async (id: number, data: boolean) => {
    told.push(`${id === 0 ? 'none' : 'log'} ${data}`);
  };
  return { told, log: new DirtyLog({ setLog }) };
}

t.test('workers hear of what concerns them, and no more', async (t) => {
  const { log, told } = open();
  const fd = memfd(4096);
  await log.setData(true);
  await log.setData(false);
  t.same(told, [], 'nothing before there is an area');
  await log.setData(true);
  await log.setArea(fd, AREA, () => {});
  await log.setData(true);
  await log.setData(false);
  await log.setSignal(eventfd());
  await log.setArea(fd, AREA, () => {});
  await log.close();
  await log.close();
  t.same(told, ['log true', 'log false', 'log false', 'log false', 'none false']);
  native.fdClose(fd);
});

t.test('an area that is not accepted leaves the former in force', async (t) => {
  const { log, told } = open();
  const fd = memfd(4096);
  const memory = GuestMemory.empty();
  t.ok(log.mayCover(2n ** 64n - 1n, 1n), 'nothing is known yet');
  await log.setArea(fd, AREA, (area) => {
    t.ok(area.coversMemory(memory));
    t.same([area.covers(0n, COVERED), area.covers(1n, COVERED)], [true, false]);
  });
  const refuse = () => {
    throw new Error('no');
  };
  await t.rejects(log.setArea(fd, AREA, refuse), { message: 'no' });
  await t.rejects(
    log.setArea(fd, { ...AREA, mmapSizeBytes: 0n }, () => {}),
    { code: 'EINVAL' },
  );
  t.same(told, ['log false']);
  t.same([log.mayCover(COVERED - 1n, 1n), log.mayCover(COVERED, 1n)], [true, false]);
  await log.close();
  memory.release();
  native.fdClose(fd);
});

t.test('descriptors go with the log', async (t) => {
  const fd = memfd(4096);
  const before = openDescriptors();
  const { log } = open();
  await log.setSignal(eventfd());
  await log.setArea(fd, AREA, () => {});
  await log.setSignal(eventfd());
  await log.setArea(fd, AREA, () => {});
  await log.close();
  t.equal(openDescriptors(), before);
  native.fdClose(fd);
});
