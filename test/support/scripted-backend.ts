// The other side for tests of the front-end: listens, remembers every message, answers what is due.

import { join } from 'node:path';
import type { Test } from 'tap';
import { Connection } from '../../src/core/connection/connection.js';
import { listenOnPath } from '../../src/core/daemon/listener.js';
import {
  encodeReply,
  type FrontendRequestName,
  frontendRequestById,
  payloadCodec,
  type RequestRow,
  replyIsDue,
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VIRTIO_F_VERSION_1,
} from '../../src/core/protocol/index.js';
import { temporaryDirectory } from './resources.js';

export interface Heard {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly fds: number;
}

type Replies = Partial<Record<FrontendRequestName, Uint8Array>>;

interface Offer {
  readonly protocolFeatures?: bigint;
}

const u64 = (value: bigint) => payloadCodec('u64').encode(value);

export class ScriptedBackend {
  readonly path: string;
  readonly messages: Heard[] = [];
  readonly features = VIRTIO_F_VERSION_1 | VHOST_USER_F_PROTOCOL_FEATURES;
  readonly #offered: bigint;
  readonly #replies: Replies;
  #protocolFeatures = 0n;

  private constructor(path: string, replies: Replies, offered: bigint) {
    this.path = path;
    this.#replies = replies;
    this.#offered = offered;
  }

  /** Serves one front-end. `replies`: payloads that differ from the usual ones. */
  static async listen(
    t: Test,
    replies: Replies = {},
    { protocolFeatures }: Offer = {},
  ): Promise<ScriptedBackend> {
    const path = join(temporaryDirectory(t), 'b');
    const usual = VHOST_USER_PROTOCOL_F_REPLY_ACK | VHOST_USER_PROTOCOL_F_CONFIG;
    const backend = new ScriptedBackend(path, replies, protocolFeatures ?? usual);
    const listener = listenOnPath(path);
    const served = listener.accept().then((fd) => {
      return fd === undefined ? undefined : backend.#serve(new Connection(fd));
    });
    t.teardown(async () => {
      listener.close();
      await served;
    });
    return backend;
  }

  named(name: FrontendRequestName): Heard[] {
    return this.messages.filter((message) => message.name === name);
  }

  async #serve(connection: Connection): Promise<void> {
    for (;;) {
      const message = await connection.receive().catch(() => undefined);
      if (message === undefined) {
        connection.close();
        return;
      }
      const { header, payload, fds } = message;
      const row = frontendRequestById(header.request) as unknown as RequestRow;
      this.messages.push({ name: row.name, payload, fds: fds.count });
      fds.close();
      if (row.name === 'SET_PROTOCOL_FEATURES') {
        this.#protocolFeatures = Buffer.from(payload).readBigUInt64LE();
      }
      if (replyIsDue(row, header.needReply, this.#protocolFeatures)) {
        connection.send(encodeReply(header.request, this.#reply(row.name, payload)));
      }
    }
  }

  #reply(name: string, payload: Uint8Array): Uint8Array {
    const scripted = this.#replies[name as FrontendRequestName];
    if (scripted !== undefined) {
      return scripted;
    }
    switch (name) {
      case 'GET_FEATURES':
        return u64(this.features);
      case 'GET_PROTOCOL_FEATURES':
        return u64(this.#offered);
      case 'GET_VRING_BASE':
      case 'GET_CONFIG':
        return payload;
      default:
        return u64(0n);
    }
  }
}
