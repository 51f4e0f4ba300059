import { existsSync } from 'node:fs';
import t from 'tap';
import { Child } from '../../../src/devices/vsock/child.js';
import { native } from '../../../src/native/index.js';
import { PolledConnections } from '../../support/polled-connections.js';
import { openDescriptors, until } from '../../support/resources.js';
import { readNow } from '../../support/vsock-rig.js';

function started(command: string) {
  const connections = new PolledConnections();
  const state = { over: false };
  const child = Child.start(command, 1, connections, () => {
    state.over = true;
  }) as Child;
  const end = (aborted: boolean) => {
    native.fdClose(child.link.fd);
    child.link.ended?.(aborted);
  };
  return { connections, child, state, end };
}

/** What it says first: its own number. */
async function pidOf(fd: number): Promise<number> {
  let text = '';
  await until('a line', () => {
    text += readNow(fd);
    return text.endsWith('\n');
  });
  return Number(text);
}

t.test('one that ends with its connection', async (t) => {
  const before = openDescriptors();
  const { connections, state, end } = started('cat');
  end(false);
  await until('it is over', () => state.over);
  t.equal(connections.watching, 0);
  t.equal(openDescriptors(), before);
});

t.test('one that was over before its connection is taken after it', async (t) => {
  const { child, state, end } = started('exit 3');
  let ended = false;
  await until('the end of its output', () => {
    ended ||= native.hostReceive(child.link.fd, new Uint8Array(1), 0, 1, false) === 0;
    return ended;
  });
  t.notOk(state.over, 'its number is still its own');
  end(false);
  await until('it is over', () => state.over);
});

t.test('the guest resets: it and what it has started are ended', async (t) => {
  const { child, state, end } = started('sleep 100 & echo $!; trap "" HUP; wait');
  const grandchild = await pidOf(child.link.fd);
  end(true);
  await until('both are over', () => state.over && !existsSync(`/proc/${grandchild}`));
  t.pass();
});

t.test('one that hears of nothing', async (t) => {
  const { connections, child, state, end } = started(
    'trap "" TERM; echo $$; while :; do sleep 100; done',
  );
  await pidOf(child.link.fd);
  end(false);
  connections.pass(9999);
  t.notOk(state.over);
  connections.pass(10_000);
  connections.pass(2000);
  await until('it is over', () => state.over);
  child.kill();
  child.terminate();
  t.ok(child.take(), 'nobody else gets its signals');
});
