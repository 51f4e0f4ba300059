// What a driver and a device might do, as values that fast-check can make, and make smaller. Numbers
// mean nothing by themselves: the scene takes them modulo what it has.

import fc from 'fast-check';

export interface BufferSpec {
  readonly place: number;
  readonly bytes: number;
  readonly writable: boolean;
}

/** A descriptor of any content, legal by chance only. */
export interface RawSpec {
  readonly index: number;
  readonly address: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

export type Step =
  | { readonly do: 'offer'; readonly buffers: readonly BufferSpec[]; readonly indirect: boolean }
  | { readonly do: 'reap' }
  | { readonly do: 'raw'; readonly descriptors: readonly RawSpec[]; readonly head: number }
  | { readonly do: 'rawTable'; readonly entries: readonly RawSpec[]; readonly named: number }
  | { readonly do: 'jump'; readonly by: number }
  | { readonly do: 'event'; readonly place: number; readonly flags: number }
  | { readonly do: 'pokeUsed'; readonly value: number }
  | { readonly do: 'pop'; readonly max: number }
  | { readonly do: 'write'; readonly which: number; readonly bytes: number }
  | { readonly do: 'complete'; readonly which: number }
  | { readonly do: 'used'; readonly which: readonly number[]; readonly bytes: number }
  | { readonly do: 'bogus'; readonly head: number }
  | { readonly do: 'previous' }
  | { readonly do: 'enable' }
  | { readonly do: 'disable' }
  | { readonly do: 'needs' }
  | { readonly do: 'restart' }
  | { readonly do: 'renew'; readonly base: number };

const buffer: fc.Arbitrary<BufferSpec> = fc.record({
  place: fc.nat(0xffff),
  bytes: fc.oneof({ weight: 6, arbitrary: fc.nat(40) }, { weight: 1, arbitrary: fc.nat(5000) }),
  writable: fc.boolean(),
});

const raw: fc.Arbitrary<RawSpec> = fc.record({
  index: fc.nat(0xffff),
  address: fc.nat(0xffff),
  length: fc.oneof(
    { weight: 4, arbitrary: fc.nat(64) },
    { weight: 1, arbitrary: fc.nat(20000) },
    { weight: 1, arbitrary: fc.constantFrom(0xffffffff, 0xfffffff0, 0x80000000) },
  ),
  flags: fc.oneof(
    { weight: 5, arbitrary: fc.nat(3) },
    { weight: 1, arbitrary: fc.nat(7) },
    { weight: 1, arbitrary: fc.nat(0x7f7f) },
  ),
  next: fc.oneof({ weight: 5, arbitrary: fc.nat(15) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
});

const buffers = fc
  .array(buffer, { minLength: 1, maxLength: 6 })
  // Legal: what the device reads comes first (VIRTIO 1.3 §2.7.4.2).
  .map((list) => [...list].sort((a, b) => Number(a.writable) - Number(b.writable)));

const legal: fc.Arbitrary<Step>[] = [
  fc.record({ do: fc.constant('offer'), buffers, indirect: fc.boolean() }),
  fc.record({ do: fc.constant('reap') }),
];

const device: fc.Arbitrary<Step>[] = [
  fc.record({ do: fc.constant('pop'), max: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ do: fc.constant('write'), which: fc.nat(), bytes: fc.nat(60) }),
  fc.record({ do: fc.constant('complete'), which: fc.nat() }),
  fc.record({
    do: fc.constant('used'),
    which: fc.array(fc.nat(), { minLength: 1, maxLength: 8 }),
    bytes: fc.oneof(fc.nat(100), fc.constant(0xffffffff)),
  }),
  fc.record({ do: fc.constant('bogus'), head: fc.nat(0x1ffff) }),
  fc.record({ do: fc.constant('previous') }),
  fc.record({ do: fc.constantFrom('enable', 'disable', 'needs', 'restart') }),
];

const illegal: fc.Arbitrary<Step>[] = [
  fc.record({
    do: fc.constant('raw'),
    descriptors: fc.array(raw, { minLength: 1, maxLength: 20 }),
    head: fc.nat(0xffff),
  }),
  fc.record({
    do: fc.constant('rawTable'),
    entries: fc.array(raw, { maxLength: 6 }),
    named: fc.nat(200),
  }),
  fc.record({ do: fc.constant('jump'), by: fc.integer({ min: -20, max: 40 }) }),
  fc.record({ do: fc.constant('event'), place: fc.nat(0xffff), flags: fc.nat(0xffff) }),
  fc.record({ do: fc.constant('event'), place: fc.nat(20), flags: fc.nat(3) }),
  fc.record({ do: fc.constant('pokeUsed'), value: fc.nat(0xffff) }),
  fc.record({ do: fc.constant('renew'), base: fc.nat(0xffff) }),
];

/** Mostly what drivers do; with `hostile`, what none should. */
export function steps(hostile: boolean, maxLength: number): fc.Arbitrary<Step[]> {
  const weighted = [
    ...legal.map((arbitrary) => ({ weight: hostile ? 4 : 8, arbitrary })),
    ...device.map((arbitrary) => ({ weight: 3, arbitrary })),
    ...(hostile ? illegal.map((arbitrary) => ({ weight: 1, arbitrary })) : []),
  ];
  return fc.array(fc.oneof(...weighted), { maxLength, size: 'max' });
}

export interface SceneSpec {
  readonly size: number;
  readonly eventIdx: boolean;
  readonly inOrder: boolean;
  readonly base: number;
}

export function sceneSpecs(packed: boolean): fc.Arbitrary<SceneSpec> {
  return fc.record({
    size: packed ? fc.integer({ min: 1, max: 16 }) : fc.constantFrom(1, 2, 4, 8, 16),
    eventIdx: fc.boolean(),
    inOrder: fc.boolean(),
    // Often shortly before the indices wrap (RG-038).
    base: fc.oneof(fc.nat(0xffff), fc.integer({ min: 65520, max: 65535 }), fc.constant(0)),
  });
}
