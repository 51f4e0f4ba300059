// Which requests may be sent now, either way: what the request's row needs must have been offered
// or acknowledged.

import { hasFeature, type RequestRow, VhostUserError } from '../protocol/index.js';

/** Requests a front-end may send whatever it negotiated: SPDK asks GET_QUEUE_NUM without MQ. */
const UNGATED = new Set(['GET_QUEUE_NUM']);

export interface Negotiated {
  readonly offeredFeatures: bigint;
  readonly ackedFeatures: bigint;
  readonly protocolFeatures: bigint;
}

/** Throws NOT_NEGOTIATED. */
export function checkGates(row: RequestRow, negotiated: Negotiated): void {
  if (!UNGATED.has(row.name) && !hasFeature(negotiated.protocolFeatures, row.needs)) {
    throw new VhostUserError('NOT_NEGOTIATED', row.name);
  }
  if (row.feature !== undefined) {
    const { mask, state } = row.feature;
    const bits = state === 'offered' ? negotiated.offeredFeatures : negotiated.ackedFeatures;
    if (!hasFeature(bits, mask)) {
      throw new VhostUserError('NOT_NEGOTIATED', row.name);
    }
  }
}
