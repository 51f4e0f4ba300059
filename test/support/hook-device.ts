// A device with every optional hook: it remembers what it was told and answers as it was told to.

import type { DeviceStateDirection } from '../../src/core/device.js';
import { readState, writeState } from '../../src/core/device-state/state-pipe.js';
import { VHOST_USER_PROTOCOL_F_HOST_NOTIFIER } from '../../src/core/protocol/index.js';
import { native } from '../../src/native/index.js';
import { RecordingDevice } from './session-rig.js';

const STATE_BYTES_MAX = 1 << 20;

export class HookDevice extends RecordingDevice {
  /** By UUID in hex; the descriptors are the test's. */
  readonly objects = new Map<string, number>();
  shmemSizes: readonly bigint[] = [0n, 4096n, 0n, 65536n];
  gpuSocket: number | undefined;
  state = new Uint8Array(0);
  /** What the next hook throws. */
  failure: Error | undefined;

  override protocolFeatures(): bigint {
    return VHOST_USER_PROTOCOL_F_HOST_NOTIFIER;
  }

  async sendRarp(mac: Uint8Array): Promise<void> {
    this.#told(`rarp ${hex(mac)}`);
  }

  async setMtu(mtu: number): Promise<void> {
    this.#told(`mtu ${mtu}`);
  }

  getSharedObject(uuid: Uint8Array): number | undefined {
    this.#told(`object ${hex(uuid)}`);
    return this.objects.get(hex(uuid));
  }

  getShmemConfig(): readonly bigint[] {
    this.#told('shmem');
    return this.shmemSizes;
  }

  setGpuSocket(fd: number): void {
    this.#told('gpu');
    if (this.gpuSocket !== undefined) {
      native.fdClose(this.gpuSocket);
    }
    this.gpuSocket = fd;
  }

  async setDeviceState(direction: DeviceStateDirection, fd: number): Promise<void> {
    this.#told(direction);
    if (direction === 'save') {
      await writeState(fd, this.state);
    } else {
      this.state = Uint8Array.from(await readState(fd, STATE_BYTES_MAX));
    }
  }

  async checkDeviceState(): Promise<void> {
    this.#told('check');
  }

  #told(what: string): void {
    this.calls.push(what);
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) {
      throw failure;
    }
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
