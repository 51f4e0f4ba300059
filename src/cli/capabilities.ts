// vhost-user "Backend program conventions": what --print-capabilities answers.

const CAPABILITIES = {
  blk: { type: 'block', features: ['read-only', 'blk-file'] },
  net: { type: 'net' },
  vsock: { type: 'vsock' },
} as const;

export type DeviceName = keyof typeof CAPABILITIES;

export function capabilitiesJson(device: DeviceName): string {
  return JSON.stringify(CAPABILITIES[device], null, 2);
}
