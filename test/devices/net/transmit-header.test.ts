import t from 'tap';
import { TransmitHeader } from '../../../src/devices/net/transmit-header.js';

const CSUM = 1n << 0n;
const TSO4 = 1n << 11n;
const USO = 1n << 56n;

/** Flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers. */
type Fields = readonly [number, number, number, number, number, number, number];

function judge(features: bigint, fields: Fields, frameBytes = 1514): readonly number[] | undefined {
  const header = new TransmitHeader();
  header.negotiated(features);
  const [flags, gso, hdrLen, gsoSize, start, offset, buffers] = fields;
  const words = [
    flags | (gso << 8) | (hdrLen << 16),
    gsoSize | (start << 16),
    offset | (buffers << 16),
  ];
  const [a, b, c] = words.map((word) => word >>> 0) as [number, number, number];
  return header.accept(a, b, c, frameBytes) ? [...header.words] : undefined;
}

t.test('what goes on is what means something (NT-009, NT-010)', async (t) => {
  t.same(judge(CSUM, [0xfe, 0, 9, 9, 9, 9, 9]), [0, 0, 0], 'nothing is asked for');
  t.same(judge(CSUM, [1, 0, 9, 9, 34, 16, 9]), [1, 34 << 16, 16]);
  t.same(judge(CSUM | TSO4, [0xff, 1, 54, 1448, 34, 16, 9]), [
    1 | (1 << 8) | (54 << 16),
    1448 | (34 << 16),
    16,
  ]);
});

t.test('offloads by what was negotiated (NT-006)', async (t) => {
  const rows: readonly (readonly [bigint, number, boolean])[] = [
    [CSUM, 1, false],
    [TSO4, 1, false],
    [CSUM | TSO4, 1, true],
    [CSUM | TSO4, 4, false],
    [CSUM | TSO4, 5, false],
    [CSUM | USO, 5, true],
    [CSUM | TSO4, 0x81, false],
    [CSUM | TSO4 | (1n << 13n), 0x81, true],
    [CSUM | TSO4, 33, false],
  ];
  for (const [features, gso, fine] of rows) {
    t.equal(
      judge(features, [1, gso, 54, 1448, 34, 16, 0]) !== undefined,
      fine,
      `${features} ${gso}`,
    );
  }
});
