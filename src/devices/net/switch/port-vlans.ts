// Which VLANs a port of the switch belongs to, and whether their frames carry tags there
// (IEEE 802.1Q). VLAN 0 stands for frames without tag between ports that know of no VLAN.

/** 0 and 4095 are no VLANs (802.1Q table 9-2). */
export const VLAN_MAX = 4094;
export const NO_VLAN = 0;

export const EGRESS_NONE = 0;
export const EGRESS_UNTAGGED = 1;
export const EGRESS_TAGGED = 2;
export type Egress = typeof EGRESS_NONE | typeof EGRESS_UNTAGGED | typeof EGRESS_TAGGED;

/** Plain data: it crosses a thread. */
export type PortVlanOptions =
  /** Tags are the guests' affair: they pass as they are. */
  | { readonly kind: 'any' }
  /** One VLAN, of which the guest sees nothing. */
  | { readonly kind: 'access'; readonly vlan: number }
  /** Several, tagged; `native`: the one whose frames are not. */
  | { readonly kind: 'trunk'; readonly vlans: readonly number[]; readonly native?: number };

export class PortVlans {
  /** 1 for each VLAN whose tagged frames pass. */
  readonly #tagged = new Uint8Array(VLAN_MAX + 2);
  /** VLAN of frames without tag; -1: they do not pass. */
  readonly #untagged: number;

  constructor(options: PortVlanOptions) {
    switch (options.kind) {
      case 'any':
        this.#tagged.fill(1, 1, VLAN_MAX + 1);
        this.#untagged = NO_VLAN;
        break;
      case 'access':
        this.#untagged = options.vlan;
        break;
      case 'trunk':
        for (const vlan of options.vlans) {
          this.#tagged[vlan] = 1;
        }
        this.#untagged = options.native ?? -1;
        break;
    }
  }

  /** The VLAN of a frame that comes in; -1: it does not. A tag of VLAN 0 has a priority only. */
  ingress(tagVlan: number): number {
    if (tagVlan === NO_VLAN) {
      return this.#untagged;
    }
    return this.#tagged[tagVlan] === 1 ? tagVlan : -1;
  }

  /** How a frame of the VLAN leaves. */
  egress(vlan: number): Egress {
    if (vlan === this.#untagged) {
      return EGRESS_UNTAGGED;
    }
    return this.#tagged[vlan] === 1 ? EGRESS_TAGGED : EGRESS_NONE;
  }
}
