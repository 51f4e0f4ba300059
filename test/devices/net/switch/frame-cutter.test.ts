import t from 'tap';
import type { Batch } from '../../../../src/core/virtqueue/batch.js';
import { FrameCutter, shiftHeader } from '../../../../src/devices/net/switch/frame-cutter.js';
import { LinkHeader } from '../../../../src/devices/net/switch/link-header.js';
import { tcpFrame } from '../../../support/frames.js';

/** As a batch shows it, the virtio header in front. */
function linkOf(frame: Uint8Array): LinkHeader {
  const words = new Uint32Array(
    Uint8Array.from([...new Uint8Array(12), ...frame.subarray(0, 20)]).buffer,
  );
  const link = new LinkHeader();
  link.read({ headerWord: (_: number, word: number) => words[word] } as unknown as Batch, 0);
  return link;
}

/** Segmentation of TCP over IPv4 in pieces of so many bytes. */
const tso = (pieceBytes: number) =>
  Uint32Array.of(1 | (1 << 8) | (54 << 16), pieceBytes | (34 << 16), 16);

function cut(frame: Uint8Array, header: Uint32Array, tagVlan?: number): Uint8Array[] | undefined {
  const pieces: Uint8Array[] = [];
  const made = new FrameCutter().cut(
    { header, link: linkOf(frame) },
    tagVlan,
    frame.byteLength - 14,
    (to) => to.set(frame.subarray(14)),
    (piece) => pieces.push(piece.slice()),
  );
  return made ? pieces : undefined;
}

t.test('pieces, with and without a tag', async (t) => {
  const frame = tcpFrame(3054);
  for (const [tagVlan, shift] of [
    [undefined, 0],
    [9, 4],
  ] as const) {
    const pieces = cut(frame, tso(1000), tagVlan) ?? [];
    t.same(
      pieces.map(({ byteLength }) => byteLength),
      [1054, 1054, 1054].map((bytes) => bytes + shift),
    );
    const payload = Buffer.concat(pieces.map((piece) => piece.subarray(54 + shift)));
    t.equal(Buffer.compare(payload, frame.subarray(54)), 0);
    t.same(
      [...(pieces[0] as Uint8Array).subarray(12, 12 + shift)],
      shift === 0 ? [] : [0x81, 0, 0, 9],
    );
  }
});

t.test('what is not cut', async (t) => {
  t.equal(cut(tcpFrame(65_550), tso(8)), undefined, 'into crumbs');
  const other = tcpFrame(3000);
  other[23] = 17;
  t.equal(cut(other, tso(1000)), undefined, 'TCP that is UDP');
});

t.test('a header for a longer front', async (t) => {
  const to = new Uint32Array(4);
  shiftHeader(tso(1000), 4, to, 1);
  t.same([...to], [0, 1 | (1 << 8) | (58 << 16), 1000 | (38 << 16), 16]);
  shiftHeader(Uint32Array.of(0, 0, 0), 4, to, 1);
  t.same([...to], [0, 0, 0, 0], 'of which nothing counts from the front');
});
