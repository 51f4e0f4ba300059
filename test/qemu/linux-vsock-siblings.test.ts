// Linux's own vsock test program between two guests: `vsock --guest` carries what is tested,
// `net --switch` its control channel, which is TCP. Once under QEMU on split rings, once under User-mode
// Linux on packed ones. Run as linux-vsock.test.ts.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startListening } from '../cli/command.js';
import type { Machine } from '../guest/console.js';
import { whyNoQemuGuest, whyNoUmlGuest } from '../guest/kernels.js';
import {
  failureOf,
  GUEST_PROGRAM,
  LINUX_VERSION,
  nextLine,
  only,
  TEST_LIMIT_MS,
  testCases,
  Words,
  whyNoLinuxTest,
} from '../guest/linux-vsock.js';
import { chooseAccelerator, startQemu } from '../guest/qemu.js';
import { startUml, VIRTIO_ID_NET, VIRTIO_ID_VSOCK } from '../guest/uml.js';
import { temporaryDirectory } from '../support/resources.js';
import { until } from '../support/until.js';

const CIDS = [3, 4] as const;
const CONTROL_PORT = 7000;
const RUN_LIMIT_MS = 600_000;
t.setTimeout(2 * RUN_LIMIT_MS);

/** Where one guest finds its devices. */
interface Place {
  readonly vsock: string;
  readonly card: string;
  readonly uds: string;
  readonly parameters: Readonly<Record<string, string | number>>;
}

interface Guest {
  readonly machine: Machine;
  readonly words: Words;
}

type Boot = (place: Place, index: number) => Promise<Machine>;

async function bootQemu({ vsock, card, parameters }: Place, index: number): Promise<Machine> {
  return startQemu({
    numQueues: 1,
    parameters,
    accelerator: await chooseAccelerator(),
    programs: [GUEST_PROGRAM],
    devices: [
      ...['-chardev', `socket,id=vsock,path=${vsock}`],
      ...['-device', 'vhost-user-vsock-pci,chardev=vsock'],
      ...['-chardev', `socket,id=card,path=${card}`],
      ...['-netdev', 'vhost-user,id=net,chardev=card'],
      ...['-device', `virtio-net-pci,netdev=net,vectors=0,romfile=,mac=52:54:00:00:20:0${index}`],
    ],
  });
}

async function bootUml({ vsock, card, parameters }: Place): Promise<Machine> {
  return startUml({
    socketPath: vsock,
    virtioId: VIRTIO_ID_VSOCK,
    second: { socketPath: card, virtioId: VIRTIO_ID_NET },
    programs: [GUEST_PROGRAM],
    parameters,
  });
}

const addressOf = (index: number) => `10.77.0.${index + 1}`;

function placesIn(directory: string): Place[] {
  return CIDS.map((cid, index) => ({
    vsock: join(directory, `vsock-${cid}`),
    card: join(directory, `card-${cid}`),
    uds: join(directory, `host-${cid}`),
    parameters: {
      vt_role: 'vsock-test',
      vt_guest_ip: addressOf(index),
      vt_peer_ip: addressOf(1 - index),
      vt_peer_cid: CIDS[1 - index] as number,
    },
  }));
}

/** Both daemons, and both guests on them. */
async function start(t: Test, boot: Boot): Promise<Guest[]> {
  const places = placesIn(temporaryDirectory(t));
  const cards = places.flatMap(({ card }) => ['--socket', card]);
  const sockets = places.flatMap(({ vsock, uds }, index) => [
    ...['--guest', `${vsock},cid=${CIDS[index]},group=pair,uds-path=${uds}`],
  ]);
  for (const args of [
    ['vsock', ...sockets],
    ['net', '--switch', 'lan', ...cards],
  ]) {
    const daemon = await startListening(args, {}, RUN_LIMIT_MS);
    t.teardown(() => daemon.child.kill());
  }
  await until(() => places.every(({ vsock, card }) => existsSync(vsock) && existsSync(card)));
  const guests: Guest[] = [];
  for (const [index, place] of places.entries()) {
    const words = new Words(place.uds);
    t.teardown(() => words.close());
    const machine = await boot(place, index);
    t.teardown(() => machine.child.kill());
    guests.push({ machine, words });
  }
  return guests;
}

/** One test; what went wrong. */
async function play(client: Guest, server: Guest, skip: readonly string[]): Promise<string> {
  const results = [client, server].map(({ machine }) => nextLine(machine.console, 'result '));
  const serves = nextLine(server.machine.console, 'mark serves');
  server.words.say(`server ${CONTROL_PORT} ${skip.join(' ')}`);
  await serves;
  client.words.say(`client ${CONTROL_PORT} ${skip.join(' ')}`);
  const [ofClient, ofServer] = await Promise.all(results);
  return [failureOf(ofClient), failureOf(ofServer)].filter((text) => text !== '').join(' | ');
}

for (const { title, whyNot, boot } of [
  { title: 'QEMU, split rings', whyNot: whyNoQemuGuest(), boot: bootQemu },
  { title: 'User-mode Linux, packed rings', whyNot: whyNoUmlGuest(), boot: bootUml },
]) {
  const skip = whyNoLinuxTest(whyNot) ?? false;
  t.test(`vsock_test of Linux ${LINUX_VERSION}, two guests: ${title}`, { skip }, async (t) => {
    const [client, server] = (await start(t, boot)) as [Guest, Guest];
    const cases = testCases();
    t.ok(cases.length > 0);
    for (const { id, name } of cases) {
      t.equal(await play(client, server, only(id, cases.length)), '', name);
    }
    for (const { machine, words } of [client, server]) {
      words.say('poweroff');
      t.ok(await machine.console.waitFor('end poweroff', TEST_LIMIT_MS), 'it powers off');
      t.same(machine.console.troubles, []);
    }
  });
}
