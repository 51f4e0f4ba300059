// The handler of each front-end request, in the order of the table.

import { VhostUserError } from '../../protocol/index.js';
import { getConfig, setBackendReqFd, setConfig } from './config-handlers.js';
import {
  checkDeviceState,
  getSharedObject,
  getShmemConfig,
  gpuSetSocket,
  netSetMtu,
  sendRarp,
  setDeviceStateFd,
} from './device-handlers.js';
import {
  getStatus,
  offeredProtocolFeatures,
  resetDevice,
  resetOwner,
  setFeatures,
  setOwner,
  setProtocolFeatures,
  setStatus,
} from './feature-handlers.js';
import type { Handlers } from './handler.js';
import { getInflightFd, setInflightFd } from './inflight-handlers.js';
import { iotlbMsg } from './iotlb-handlers.js';
import { setLogBase, setLogFd } from './log-handlers.js';
import { addMemReg, MEM_SLOTS_MAX, remMemReg, setMemTable } from './memory-handlers.js';
import { postcopyAdvise, postcopyEnd, postcopyListen } from './postcopy-handlers.js';
import {
  getVringBase,
  setVringAddr,
  setVringBase,
  setVringCall,
  setVringEnable,
  setVringErr,
  setVringKick,
  setVringNum,
  vringKick,
} from './vring-handlers.js';

/** For requests this back-end refuses: never a pretended success. */
async function unsupported(): Promise<never> {
  throw new VhostUserError('UNSUPPORTED');
}

export const HANDLERS: Handlers = {
  GET_FEATURES: async (session) => session.offeredFeatures,
  SET_FEATURES: setFeatures,
  SET_OWNER: setOwner,
  RESET_OWNER: resetOwner,
  SET_MEM_TABLE: setMemTable,
  SET_LOG_BASE: setLogBase,
  SET_LOG_FD: setLogFd,
  SET_VRING_NUM: setVringNum,
  SET_VRING_ADDR: setVringAddr,
  SET_VRING_BASE: setVringBase,
  GET_VRING_BASE: getVringBase,
  SET_VRING_KICK: setVringKick,
  SET_VRING_CALL: setVringCall,
  SET_VRING_ERR: setVringErr,
  GET_PROTOCOL_FEATURES: async (session) => offeredProtocolFeatures(session),
  SET_PROTOCOL_FEATURES: setProtocolFeatures,
  GET_QUEUE_NUM: async ({ device, vrings }) => BigInt(device.queueNumAnswer?.() ?? vrings.length),
  SET_VRING_ENABLE: setVringEnable,
  SEND_RARP: sendRarp,
  NET_SET_MTU: netSetMtu,
  SET_BACKEND_REQ_FD: setBackendReqFd,
  IOTLB_MSG: iotlbMsg,
  SET_VRING_ENDIAN: unsupported,
  GET_CONFIG: getConfig,
  SET_CONFIG: setConfig,
  CREATE_CRYPTO_SESSION: unsupported,
  CLOSE_CRYPTO_SESSION: unsupported,
  POSTCOPY_ADVISE: postcopyAdvise,
  POSTCOPY_LISTEN: postcopyListen,
  POSTCOPY_END: postcopyEnd,
  GET_INFLIGHT_FD: getInflightFd,
  SET_INFLIGHT_FD: setInflightFd,
  GPU_SET_SOCKET: gpuSetSocket,
  RESET_DEVICE: resetDevice,
  VRING_KICK: vringKick,
  GET_MAX_MEM_SLOTS: async () => BigInt(MEM_SLOTS_MAX),
  ADD_MEM_REG: addMemReg,
  REM_MEM_REG: remMemReg,
  SET_STATUS: setStatus,
  GET_STATUS: getStatus,
  GET_SHARED_OBJECT: getSharedObject,
  SET_DEVICE_STATE_FD: setDeviceStateFd,
  CHECK_DEVICE_STATE: checkDeviceState,
  GET_SHMEM_CONFIG: getShmemConfig,
};
